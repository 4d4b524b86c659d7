//! The last look: every topic with its settings, every partition from its start to its end, and every group's committed
//! offsets, from a node that nothing disturbs any more.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{DescribeConfigsRequest, MetadataRequest};
use kafka_protocol::protocol::StrBytes;
use protocol_compat::messages::OffsetFetchRequest;
use protocol_compat::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use tokio::time::sleep;
use uuid::Uuid;

use super::commits::CommitKey;
use super::topics::Deletion;
use super::violation::Violation;
use crate::client::{Client, Failure};
use crate::workload::fetch::{self, EARLIEST, Fetcher, LATEST, Step, Style};
use crate::workload::topics::{Kind, Topic};
use crate::world::World;

const METADATA_VERSION: i16 = 12;
const DESCRIBE_CONFIGS_VERSION: i16 = 4;
const TOPIC_RESOURCE: i8 = 2;
const OFFSET_FETCH_VERSION: i16 = 9;
const ATTEMPTS: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);

/// Reads everything once more from a healthy node and compares with the history. Gives all violations of the seed.
pub async fn final_check(world: &World) -> Vec<Violation> {
    let mut client = Client::new(world, "final-check");
    let found = look(&mut client, world).await;
    let mut history = world.history().borrow_mut();
    if let Err(what) = found {
        history.violated(Violation::new("G12", "unavailable", what));
    }
    history.violations().to_vec()
}

async fn look(client: &mut Client, world: &World) -> Result<(), String> {
    let there = topics_there(client).await?;
    world.history().borrow_mut().topics_at_rest(&there);
    let known: Vec<(Uuid, Topic)> = {
        let history = world.history().borrow();
        let of_interest = history.topics().iter().filter(|(id, topic)| {
            topic.deletion != Deletion::Acked && there.iter().any(|(_, there)| there == *id)
        });
        of_interest
            .map(|(id, topic)| (*id, plain(&topic.name, topic.partitions)))
            .collect()
    };
    for (id, topic) in &known {
        read_topic(client, world, topic, *id).await?;
        read_configs(client, world, topic, *id).await?;
    }
    read_commits(client, world, &there).await
}

/// A topic of which only name and size matter.
fn plain(name: &str, partitions: i32) -> Topic {
    Topic {
        name: name.to_owned(),
        kind: Kind::Steady,
        partitions,
        configs: Vec::new(),
    }
}

async fn topics_there(client: &mut Client) -> Result<Vec<(String, Uuid)>, String> {
    let request = MetadataRequest::default().with_topics(None);
    for _ in 0..ATTEMPTS {
        if let Ok(answer) = client.call(METADATA_VERSION, &request).await {
            let named = answer.topics.into_iter().filter_map(|topic| {
                let name = topic.name.map(|name| name.0.to_string())?;
                Some((name, topic.topic_id))
            });
            return Ok(named.collect());
        }
        sleep(PAUSE).await;
    }
    Err("the node does not answer Metadata".to_owned())
}

async fn read_topic(client: &mut Client, world: &World, topic: &Topic, id: Uuid) -> Result<(), String> {
    let indexes: Vec<i32> = (0..topic.partitions).collect();
    let starts = all_ends(client, world, topic, id, &indexes, EARLIEST).await?;
    let ends = all_ends(client, world, topic, id, &indexes, LATEST).await?;
    let mut positions = starts.clone();
    let mut fetcher = Fetcher::new(Style::thorough(), topic.clone(), id);
    let mut idle = 0;
    while !positions.is_empty() {
        let steps = fetcher.fetch(client, world, &positions).await.unwrap_or_default();
        let before = positions.clone();
        for (index, step) in steps {
            match step {
                Step::Next(offset) => positions.insert(index, offset),
                // Retention moved the start in between.
                Step::OutOfRange => positions.insert(index, start_now(client, world, topic, id, index).await),
                Step::Error(_) => None,
            };
        }
        positions.retain(|index, offset| ends.get(index).is_some_and(|end| *offset < *end));
        idle = if positions == before { idle + 1 } else { 0 };
        if idle > ATTEMPTS {
            return Err(format!(
                "{} cannot be read on at {positions:?}, which end at {ends:?}",
                topic.name
            ));
        }
        if idle > 0 {
            sleep(PAUSE).await;
        }
    }
    let starts = all_ends(client, world, topic, id, &indexes, EARLIEST).await?;
    let mut history = world.history().borrow_mut();
    for (index, end) in ends {
        let start = starts.get(&index).copied().unwrap_or(0);
        history.partition_at_rest(topic.partition(id, index), start, end);
    }
    Ok(())
}

async fn start_now(client: &mut Client, world: &World, topic: &Topic, id: Uuid, index: i32) -> i64 {
    let found = fetch::list_offsets(client, world, topic, id, &[index], EARLIEST).await;
    found
        .ok()
        .and_then(|found| found.get(&index).copied())
        .unwrap_or(0)
}

async fn all_ends(
    client: &mut Client,
    world: &World,
    topic: &Topic,
    id: Uuid,
    indexes: &[i32],
    which: i64,
) -> Result<BTreeMap<i32, i64>, String> {
    for _ in 0..ATTEMPTS {
        match fetch::list_offsets(client, world, topic, id, indexes, which).await {
            Ok(found) if found.len() == indexes.len() => return Ok(found),
            Ok(_) | Err(Failure::NotSent | Failure::Unknown) => sleep(PAUSE).await,
        }
    }
    Err(format!("{} does not name its ends", topic.name))
}

async fn read_configs(client: &mut Client, world: &World, topic: &Topic, id: Uuid) -> Result<(), String> {
    let keys = world.history().borrow().configs().keys_of(id);
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC_RESOURCE)
        .with_resource_name(StrBytes::from_string(topic.name.clone()));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    for _ in 0..ATTEMPTS {
        let answer = client.call(DESCRIBE_CONFIGS_VERSION, &request).await;
        let results = answer.map(|answer| answer.results).unwrap_or_default();
        let Some(found) = results.first().filter(|result| result.error_code == 0) else {
            sleep(PAUSE).await;
            continue;
        };
        for key in keys {
            let entry = found.configs.iter().find(|entry| entry.name.as_str() == key);
            let value = entry.and_then(|entry| entry.value.as_deref());
            world.history().borrow_mut().config_at_rest((id, key), value);
        }
        return Ok(());
    }
    Err(format!("the settings of {} cannot be read", topic.name))
}

async fn read_commits(client: &mut Client, world: &World, there: &[(String, Uuid)]) -> Result<(), String> {
    let keys = world.history().borrow().commit_keys();
    for key in keys {
        let Some((name, _)) = there.iter().find(|(_, id)| *id == key.topic) else {
            continue;
        };
        read_commit(client, world, &key, name).await?;
    }
    Ok(())
}

async fn read_commit(client: &mut Client, world: &World, key: &CommitKey, topic: &str) -> Result<(), String> {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: StrBytes::from_string(key.group.clone()),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: StrBytes::from_string(topic.to_owned()),
                partition_indexes: vec![key.partition],
                ..OffsetFetchRequestTopics::default()
            }]),
            ..OffsetFetchRequestGroup::default()
        }],
        ..OffsetFetchRequest::default()
    };
    for _ in 0..ATTEMPTS {
        let snapshot = world.history().borrow().commit_snapshot(key);
        let answer = client.call(OFFSET_FETCH_VERSION, &request).await;
        let groups = answer.map(|answer| answer.groups).unwrap_or_default();
        let of_group = groups.first().filter(|group| group.error_code == 0);
        let found = of_group.and_then(|group| group.topics.first()?.partitions.first());
        if let Some(found) = found.filter(|found| found.error_code == 0) {
            let value = Some(found.committed_offset).filter(|offset| *offset >= 0);
            world.history().borrow_mut().commit_fetched(key, &snapshot, value);
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    Err(format!("the committed offset of {key:?} cannot be read"))
}
