//! The topics of a seed, and how a client finds out their ids: whoever comes first creates what is to stay.

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{CreateTopicsRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use protocol_compat::error_code::ErrorCode;
use uuid::Uuid;

use crate::client::{Client, Failure};
use crate::history::PartitionId;
use crate::rng::Rng;
use crate::world::World;

const METADATA_VERSION: i16 = 12;
const CREATE_TOPICS_VERSION: i16 = 7;
const CREATION_PATIENCE_MS: i32 = 10_000;

/// What becomes of a topic's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They stay.
    Steady,
    /// The cleaner works on them.
    Compacted,
    /// Retention and DeleteRecords work on them, and an admin alters how.
    Trimmed,
    /// The topic itself comes and goes.
    Volatile,
}

/// A topic of the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// What becomes of its records.
    pub kind: Kind,
    /// How many partitions.
    pub partitions: i32,
    /// Its settings.
    pub configs: Vec<(&'static str, String)>,
}

impl Topic {
    /// A topic whose size and settings `rng` chooses.
    pub fn chosen(name: &str, kind: Kind, rng: &mut Rng) -> Topic {
        let partitions = if kind == Kind::Steady && rng.chance(250) {
            rng.between(12, 24)
        } else {
            rng.between(1, 4)
        };
        Topic {
            name: name.to_owned(),
            kind,
            partitions: partitions as i32,
            configs: configs(kind, rng),
        }
    }

    /// A partition of the topic while its id is `id`.
    pub fn partition(&self, id: Uuid, index: i32) -> PartitionId {
        PartitionId { topic: id, index }
    }
}

/// Segments are small in the only way that Kafka still allows: by a small index or a short time.
fn configs(kind: Kind, rng: &mut Rng) -> Vec<(&'static str, String)> {
    let mut configs = vec![("message.timestamp.after.max.ms", i64::MAX.to_string())];
    if rng.chance(700) || kind != Kind::Steady {
        configs.push(("segment.index.bytes", rng.pick(&["24", "64", "160"]).to_string()));
        configs.push(("index.interval.bytes", rng.pick(&["0", "512"]).to_string()));
    }
    if rng.chance(300) {
        configs.push(("segment.ms", rng.pick(&["500", "5000"]).to_string()));
    }
    if rng.chance(200) {
        configs.push((
            "compression.type",
            rng.pick(&["lz4", "zstd", "gzip", "snappy", "uncompressed"])
                .to_string(),
        ));
    }
    if rng.chance(200) {
        configs.push(("message.timestamp.type", "LogAppendTime".to_owned()));
    }
    match kind {
        Kind::Steady | Kind::Volatile => configs.push(("retention.ms", "-1".to_owned())),
        Kind::Compacted => configs.extend([
            ("cleanup.policy", "compact".to_owned()),
            (
                "min.cleanable.dirty.ratio",
                rng.pick(&["0", "0.1", "0.5"]).to_string(),
            ),
            (
                "delete.retention.ms",
                rng.pick(&["0", "1000", "86400000"]).to_string(),
            ),
        ]),
        Kind::Trimmed => configs.extend([
            ("retention.ms", rng.pick(&["-1", "5000", "60000"]).to_string()),
            (
                "file.delete.delay.ms",
                rng.pick(&["0", "1000", "60000"]).to_string(),
            ),
        ]),
    }
    configs
}

/// The topic's id. What is to stay is created where it is missing; a volatile topic may be missing.
///
/// # Errors
/// The node did not answer.
pub async fn id_of(client: &mut Client, world: &World, topic: &Topic) -> Result<Option<Uuid>, Failure> {
    if let Some(id) = look_up(client, world, topic).await? {
        return Ok(Some(id));
    }
    if topic.kind == Kind::Volatile {
        return Ok(None);
    }
    create(client, world, topic).await
}

/// The topic's id, asked for until it is `known`.
///
/// # Errors
/// The node did not answer, or the topic is missing and volatile.
pub async fn known_id(
    client: &mut Client,
    world: &World,
    topic: &Topic,
    known: &mut Option<Uuid>,
) -> Result<Uuid, Failure> {
    if known.is_none() {
        *known = id_of(client, world, topic).await?;
    }
    known.ok_or(Failure::NotSent)
}

/// The topic's id, if the node knows it.
///
/// # Errors
/// The node did not answer.
pub async fn look_up(client: &mut Client, world: &World, topic: &Topic) -> Result<Option<Uuid>, Failure> {
    let name = TopicName::from(StrBytes::from_string(topic.name.clone()));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![MetadataRequestTopic::default().with_name(Some(name))]))
        .with_allow_auto_topic_creation(false);
    let answer = client.call(METADATA_VERSION, &request).await?;
    let found = answer
        .topics
        .iter()
        .find(|found| found.error_code == 0 && !found.topic_id.is_nil());
    if let Some(found) = found {
        saw(world, topic, found.topic_id);
    }
    Ok(found.map(|found| found.topic_id))
}

/// Creates the topic. Gives no id where somebody else did.
///
/// # Errors
/// The node did not answer.
pub async fn create(client: &mut Client, world: &World, topic: &Topic) -> Result<Option<Uuid>, Failure> {
    let config = |(name, value): &(&'static str, String)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(StrBytes::from_string(value.clone())))
    };
    let creatable = CreatableTopic::default()
        .with_name(TopicName::from(StrBytes::from_string(topic.name.clone())))
        .with_num_partitions(topic.partitions)
        .with_replication_factor(1)
        .with_configs(topic.configs.iter().map(config).collect());
    let request = CreateTopicsRequest::default()
        .with_topics(vec![creatable])
        .with_timeout_ms(CREATION_PATIENCE_MS);
    let answer = client.call(CREATE_TOPICS_VERSION, &request).await?;
    let Some(result) = answer.topics.first() else {
        return Ok(None);
    };
    let code = ErrorCode::from_code(result.error_code);
    world.trace(format_args!(
        "create {} {} with {:?}: {}",
        topic.name,
        result.topic_id,
        topic.configs,
        code.name()
    ));
    if code != ErrorCode::None {
        return Ok(None);
    }
    saw(world, topic, result.topic_id);
    Ok(Some(result.topic_id))
}

fn saw(world: &World, topic: &Topic, id: Uuid) {
    let mut history = world.history().borrow_mut();
    history.topic_seen(&topic.name, id, topic.partitions);
    for (name, value) in &topic.configs {
        history.config_created((id, name), value);
    }
    match topic.kind {
        Kind::Steady | Kind::Volatile => {}
        Kind::Compacted => history.may_be_compacted(id, topic.partitions),
        Kind::Trimmed => history.may_be_retained_short(id, topic.partitions),
    }
}
