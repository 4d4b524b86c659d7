//! A Produce request of several partitions' batches, its answer by partition, and how a producer writes.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use protocol_compat::error_code::ErrorCode;
use protocol_compat::record_batch::batch::Compression;
use uuid::Uuid;

use super::batches::CODECS;
use super::topics::{Kind, Topic};
use crate::marked_record::{MarkedRecord, RecordId};
use crate::rng::Rng;

/// From here on topics go by id.
const FIRST_VERSION_WITH_IDS: i16 = 13;
/// KIP-110.
const FIRST_VERSION_WITH_ZSTD: i16 = 7;
/// How long the node may wait for replicas.
const TIMEOUT_MS: i32 = 10_000;

/// A name may mean another topic meanwhile, an id cannot.
fn version_for(topic: &Topic, rng: &mut Rng) -> i16 {
    match topic.kind {
        Kind::Volatile => FIRST_VERSION_WITH_IDS,
        Kind::Steady | Kind::Compacted | Kind::Trimmed => *rng.pick(&[3, 7, 9, 12, 13, 13]),
    }
}

/// A codec that the version may carry.
fn codec_for(version: i16, rng: &mut Rng) -> Compression {
    match *rng.pick(&CODECS) {
        Compression::Zstd if version < FIRST_VERSION_WITH_ZSTD => Compression::None,
        codec => codec,
    }
}

/// A request of one batch for each of some partitions of a topic.
pub fn request(
    topic: &Topic,
    id: Uuid,
    acks: i16,
    batches: Vec<(i32, Bytes)>,
    version: i16,
) -> ProduceRequest {
    let data = |(index, records)| {
        PartitionProduceData::default()
            .with_index(index)
            .with_records(Some(records))
    };
    let mut of_topic =
        TopicProduceData::default().with_partition_data(batches.into_iter().map(data).collect());
    if version >= FIRST_VERSION_WITH_IDS {
        of_topic.topic_id = id;
    } else {
        of_topic.name = TopicName::from(StrBytes::from_string(topic.name.clone()));
    }
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(TIMEOUT_MS)
        .with_topic_data(vec![of_topic])
}

/// Error and base offset by partition.
pub fn answers(response: &ProduceResponse) -> BTreeMap<i32, (ErrorCode, i64)> {
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses);
    partitions
        .map(|one| (one.index, (ErrorCode::from_code(one.error_code), one.base_offset)))
        .collect()
}

/// How a producer writes.
#[derive(Clone, Debug)]
pub struct Style {
    /// Version of its requests.
    pub version: i16,
    /// Its codec.
    pub codec: Compression,
    /// How many keys it writes to; 0 for records without one.
    keys: u64,
    max_records: u64,
    max_value_bytes: u64,
}

impl Style {
    /// A style for `topic`: keys where the cleaner needs them, and sometimes elsewhere.
    pub fn chosen(topic: &Topic, rng: &mut Rng) -> Style {
        let is_compacted = topic.kind == Kind::Compacted;
        let version = version_for(topic, rng);
        Style {
            codec: codec_for(version, rng),
            version,
            keys: if is_compacted || rng.chance(if topic.kind == Kind::Trimmed { 800 } else { 200 }) {
                rng.between(1, 20)
            } else {
                0
            },
            max_records: *rng.pick(&[1, 3, 8]),
            max_value_bytes: *rng.pick(&[10, 100, 1_000, 6_000]),
        }
    }

    /// How many records the next batch has.
    pub fn batch_size(&self, rng: &mut Rng) -> usize {
        rng.between(1, self.max_records) as usize
    }

    /// The next record; one of ten with a key is a tombstone.
    pub fn record(&self, id: RecordId, rng: &mut Rng) -> MarkedRecord {
        let key = (self.keys > 0).then(|| Bytes::from(format!("key-{}", rng.below(self.keys))));
        let is_tombstone = key.is_some() && rng.chance(100);
        let value_bytes = (!is_tombstone).then(|| rng.below(self.max_value_bytes) as usize);
        MarkedRecord::new(id, key, value_bytes)
    }
}
