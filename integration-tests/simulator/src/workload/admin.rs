//! An admin: lets topics come, go and come again under the same name, alters settings that retention and the cleaner work by,
//! and deletes records.

use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteTopicsRequest, IncrementalAlterConfigsRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use protocol_compat::error_code::ErrorCode;
use tokio::time::sleep;
use uuid::Uuid;

use super::fetch::{self, LATEST};
use super::topics::{self, Kind, Topic};
use crate::check::violation::Violation;
use crate::check::watermarks::Ends;
use crate::client::{Client, Failure};
use crate::rng::Rng;
use crate::world::{Actor, Phase, World};

const DELETE_TOPICS_VERSION: i16 = 6;
const DELETE_RECORDS_VERSION: i16 = 2;
const ALTER_CONFIGS_VERSION: i16 = 1;
const TIMEOUT_MS: i32 = 10_000;
const TOPIC_RESOURCE: i8 = 2;
const SET: i8 = 0;

/// The admin.
pub struct Admin {
    name: String,
    topics: Vec<Topic>,
    rng: Rng,
    left: u32,
}

impl Admin {
    /// An admin of `topics` that does `steps` things.
    pub fn new(name: String, topics: Vec<Topic>, steps: u32, rng: Rng) -> Admin {
        Admin {
            name,
            topics,
            rng,
            left: steps,
        }
    }

    async fn work(&mut self, world: &World) {
        let mut client = Client::new(world, &self.name);
        while self.left > 0 && world.phase() == Phase::Working {
            let pause_ms = match self.step(&mut client, world).await {
                Ok(()) => self.rng.between(50, 500),
                Err(_) => self.rng.between(50, 400),
            };
            sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    async fn step(&mut self, client: &mut Client, world: &World) -> Result<(), Failure> {
        let topic = self.rng.pick(&self.topics).clone();
        let found = topics::look_up(client, world, &topic).await?;
        self.left -= 1;
        let Some(id) = found else {
            topics::create(client, world, &topic).await?;
            return Ok(());
        };
        match topic.kind {
            Kind::Volatile if self.rng.chance(300) => delete_topic(client, world, id).await,
            Kind::Volatile => Ok(()),
            Kind::Trimmed if self.rng.chance(400) => self.delete_records(client, world, &topic, id).await,
            Kind::Trimmed | Kind::Compacted | Kind::Steady => self.alter(client, world, &topic, id).await,
        }
    }

    async fn delete_records(
        &mut self,
        client: &mut Client,
        world: &World,
        topic: &Topic,
        id: Uuid,
    ) -> Result<(), Failure> {
        let index = self.rng.below(topic.partitions as u64) as i32;
        let ends = fetch::list_offsets(client, world, topic, id, &[index], LATEST).await?;
        let end = ends.get(&index).copied().unwrap_or(0);
        let offset = self.rng.below(end as u64 + 1) as i64;
        let partition = topic.partition(id, index);
        let at_send = {
            let mut history = world.history().borrow_mut();
            history.delete_records_sent(partition, offset);
            history.floors(partition)
        };
        let wanted = DeleteRecordsPartition::default()
            .with_partition_index(index)
            .with_offset(offset);
        let request = DeleteRecordsRequest::default()
            .with_timeout_ms(TIMEOUT_MS)
            .with_topics(vec![
                DeleteRecordsTopic::default()
                    .with_name(TopicName::from(StrBytes::from_string(topic.name.clone())))
                    .with_partitions(vec![wanted]),
            ]);
        let answer = client.call(DELETE_RECORDS_VERSION, &request).await?;
        let result = answer.topics.first().and_then(|topic| topic.partitions.first());
        let Some(result) = result.filter(|result| result.error_code == 0) else {
            return Ok(());
        };
        world.trace(format_args!(
            "records of {} {index} deleted to {}",
            topic.name, result.low_watermark
        ));
        let ends = Ends {
            log_start: Some(result.low_watermark),
            ..Ends::default()
        };
        let mut history = world.history().borrow_mut();
        history.ends_seen(partition, at_send, ends);
        if result.low_watermark < offset {
            let what = format!(
                "{} {index} starts at {} after {offset} was deleted to",
                topic.name, result.low_watermark
            );
            history.violated(Violation::new("G4", "log-start-regression", what));
        }
        Ok(())
    }

    async fn alter(
        &mut self,
        client: &mut Client,
        world: &World,
        topic: &Topic,
        id: Uuid,
    ) -> Result<(), Failure> {
        let (name, values): (&'static str, &[&'static str]) = match (topic.kind, self.rng.below(4)) {
            (Kind::Trimmed, 0) => ("retention.ms", &["-1", "1000", "10000"]),
            (Kind::Trimmed, 1) => ("retention.bytes", &["-1", "2000", "100000"]),
            (Kind::Trimmed, 2) => ("cleanup.policy", &["delete", "compact,delete"]),
            (Kind::Compacted, 0) => ("min.cleanable.dirty.ratio", &["0", "0.2", "0.8"]),
            (Kind::Compacted, 1) => ("delete.retention.ms", &["0", "2000", "86400000"]),
            (Kind::Compacted, 2) => ("max.compaction.lag.ms", &["1", "1000", "9223372036854775807"]),
            (_, 3) => ("segment.ms", &["100", "3000", "604800000"]),
            _ => ("segment.index.bytes", &["16", "64", "1048576"]),
        };
        let value = *self.rng.pick(values);
        if value == "compact,delete" {
            world
                .history()
                .borrow_mut()
                .may_be_compacted(id, topic.partitions);
        }
        let config = AlterableConfig::default()
            .with_name(StrBytes::from_static_str(name))
            .with_config_operation(SET)
            .with_value(Some(StrBytes::from_static_str(value)));
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![
            AlterConfigsResource::default()
                .with_resource_type(TOPIC_RESOURCE)
                .with_resource_name(StrBytes::from_string(topic.name.clone()))
                .with_configs(vec![config]),
        ]);
        let token = world.history().borrow_mut().config_sent((id, name), value);
        let answer = client.call(ALTER_CONFIGS_VERSION, &request).await;
        let code = match &answer {
            Ok(answer) => answer.responses.first().map(|response| response.error_code),
            Err(Failure::NotSent) => Some(-1),
            Err(Failure::Unknown) => None,
        };
        if let Some(code) = code {
            world.history().borrow_mut().config_answered(token, code == 0);
        }
        answer?;
        let code = ErrorCode::from_code(code.unwrap_or(-1)).name();
        world.trace(format_args!("{} of {} set to {value}: {code}", name, topic.name));
        Ok(())
    }
}

/// By id, so that a deletion that comes late does not meet the topic that has the name then.
async fn delete_topic(client: &mut Client, world: &World, id: Uuid) -> Result<(), Failure> {
    world.history().borrow_mut().topic_deletion_sent(id);
    let request = DeleteTopicsRequest::default()
        .with_timeout_ms(TIMEOUT_MS)
        .with_topics(vec![
            DeleteTopicState::default().with_name(None).with_topic_id(id),
        ]);
    let answer = client.call(DELETE_TOPICS_VERSION, &request).await?;
    let code = answer
        .responses
        .first()
        .map_or(-1, |response| response.error_code);
    world.trace(format_args!(
        "delete topic {id}: {}",
        ErrorCode::from_code(code).name()
    ));
    if code == 0 {
        world.history().borrow_mut().topic_deletion_acked(id);
    }
    Ok(())
}

impl Actor for Admin {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn live<'a>(&'a mut self, world: World) -> LocalBoxFuture<'a, ()> {
        Box::pin(async move { self.work(&world).await })
    }
}
