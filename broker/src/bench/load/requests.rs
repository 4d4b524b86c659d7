//! Requests that are encoded once and sent any number of times, with a few fields changed in place.
//!
//! The versions are ones that Apache Kafka 4.x and Cauce both serve, with topics by name.

use bytes::{Bytes, BytesMut};
use protocol_compat::ApiKey;
use protocol_compat::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use protocol_compat::messages::fetch_request::{FetchPartition, FetchTopic};
use protocol_compat::messages::metadata_request::MetadataRequestTopic;
use protocol_compat::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol_compat::messages::{
    ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, Encodable, FetchRequest, MetadataRequest,
    ProduceRequest, StrBytes, TopicName,
};

/// What every frame names itself.
const CLIENT_ID: &[u8] = b"cauce-bench-load";

/// Where the correlation id stands: behind length, API key and version.
const CORRELATION_ID_AT: usize = 8;

/// Tags of partition, topic and request end a Produce request.
const PRODUCE_TAIL_BYTES: usize = 3;

/// From the partition's number to the end of a Fetch request of one partition: number, leader epoch, offset, epoch of the
/// last fetched, log start offset, most bytes, tags of partition and topic, no forgotten topics, no rack, tags.
const FETCH_PARTITION_FROM_END: usize = 4 + 4 + FETCH_OFFSET_FROM_END;
const FETCH_OFFSET_FROM_END: usize = 8 + 4 + 8 + 4 + 5;

/// How long the broker may take over a request.
const TIMEOUT_MS: i32 = 30_000;

/// The version in which each API is asked.
pub const VERSIONS: [(ApiKey, i16); 6] = [
    (ApiKey::ApiVersions, 0),
    (ApiKey::CreateTopics, 5),
    (ApiKey::DeleteTopics, 4),
    (ApiKey::Metadata, 9),
    (ApiKey::Produce, 9),
    (ApiKey::Fetch, 12),
];

/// A whole frame.
#[derive(Clone, Debug)]
pub struct Frame {
    api: ApiKey,
    bytes: Vec<u8>,
    /// Of Produce and Fetch.
    partition_at: usize,
    /// Of Fetch.
    offset_at: usize,
}

impl Frame {
    fn new(api: ApiKey, body: &impl Encodable) -> Self {
        let version = version_of(api);
        let mut encoded = BytesMut::new();
        body.encode(&mut encoded, version)
            .expect("because every field is one of this version");
        let mut bytes = vec![0; 4];
        bytes.extend(api.code().to_be_bytes());
        bytes.extend(version.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend((CLIENT_ID.len() as i16).to_be_bytes());
        bytes.extend(CLIENT_ID);
        if api.is_flexible(version) {
            bytes.push(0);
        }
        bytes.extend(encoded);
        let length =
            u32::try_from(bytes.len() - 4).expect("because settings bound a request far below 4 GiB");
        write_at(&mut bytes, 0, &length.to_be_bytes());
        Self {
            api,
            bytes,
            partition_at: 0,
            offset_at: 0,
        }
    }

    /// Kafka's name of the request.
    pub fn name(&self) -> &'static str {
        self.api.name()
    }

    /// Ready to be sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Changes what the answer repeats.
    pub fn set_correlation_id(&mut self, id: i32) {
        write_at(&mut self.bytes, CORRELATION_ID_AT, &id.to_be_bytes());
    }

    /// Changes the partition of a Produce or Fetch request.
    pub fn set_partition(&mut self, partition: i32) {
        write_at(&mut self.bytes, self.partition_at, &partition.to_be_bytes());
    }

    /// Changes where a Fetch request begins.
    pub fn set_offset(&mut self, offset: i64) {
        write_at(&mut self.bytes, self.offset_at, &offset.to_be_bytes());
    }
}

fn write_at(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + field.len()) {
        place.copy_from_slice(field);
    }
}

fn version_of(api: ApiKey) -> i16 {
    VERSIONS
        .iter()
        .find(|(asked, _)| *asked == api)
        .map_or(0, |(_, version)| *version)
}

/// Asks what the broker serves.
pub fn api_versions() -> Frame {
    Frame::new(ApiKey::ApiVersions, &ApiVersionsRequest::default())
}

/// Creates a topic of one replica with these keys.
pub fn create_topic(name: &str, partitions: i32, keys: &[(&str, &str)]) -> Frame {
    let keys = keys.iter().map(|(key, value)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string((*key).to_owned()))
            .with_value(Some(StrBytes::from_string((*value).to_owned())))
    });
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(keys.collect());
    let body = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(TIMEOUT_MS);
    Frame::new(ApiKey::CreateTopics, &body)
}

/// Deletes a topic.
pub fn delete_topic(name: &str) -> Frame {
    let body = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic_name(name)])
        .with_timeout_ms(TIMEOUT_MS);
    Frame::new(ApiKey::DeleteTopics, &body)
}

/// Asks about one topic, or about all. Creates none.
pub fn metadata(topic: Option<&str>) -> Frame {
    let topics = topic.map(|name| vec![MetadataRequestTopic::default().with_name(Some(topic_name(name)))]);
    let body = MetadataRequest::default()
        .with_topics(topics)
        .with_allow_auto_topic_creation(false);
    Frame::new(ApiKey::Metadata, &body)
}

/// Produces one batch to partition 0, until another is set.
pub fn produce(topic: &str, acks: i16, batch: Bytes) -> Frame {
    let records_bytes = batch.len();
    let data = PartitionProduceData::default().with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(topic_name(topic))
        .with_partition_data(vec![data]);
    let body = ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(TIMEOUT_MS)
        .with_topic_data(vec![topic]);
    let mut frame = Frame::new(ApiKey::Produce, &body);
    let behind = PRODUCE_TAIL_BYTES + records_bytes + varint_bytes(records_bytes + 1) + 4;
    frame.partition_at = frame.bytes.len() - behind;
    frame
}

/// How much a fetch asks for, and how long it may wait for it.
#[derive(Clone, Copy, Debug)]
pub struct FetchBound {
    /// Of one answer.
    pub max_bytes: i32,
    /// If there is nothing yet.
    pub max_wait_ms: i32,
}

/// Fetches partition 0 from offset 0, until others are set, without a session.
pub fn fetch(topic: &str, bound: FetchBound) -> Frame {
    let partition = FetchPartition::default().with_partition_max_bytes(bound.max_bytes);
    let topic = FetchTopic::default()
        .with_topic(topic_name(topic))
        .with_partitions(vec![partition]);
    let body = FetchRequest::default()
        .with_max_wait_ms(bound.max_wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(bound.max_bytes)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let mut frame = Frame::new(ApiKey::Fetch, &body);
    frame.partition_at = frame.bytes.len() - FETCH_PARTITION_FROM_END;
    frame.offset_at = frame.bytes.len() - FETCH_OFFSET_FROM_END;
    frame
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn varint_bytes(value: usize) -> usize {
    let bits = usize::BITS - value.leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

#[cfg(test)]
mod tests {
    use protocol_compat::{decode_request, decode_request_header};

    use super::*;

    fn body_of(frame: &Frame) -> Bytes {
        let length = u32::from_be_bytes(frame.bytes[..4].try_into().expect("four bytes"));
        assert_eq!(length as usize, frame.bytes.len() - 4);
        let mut bytes = Bytes::copy_from_slice(&frame.bytes[4..]);
        let header = decode_request_header(&mut bytes).expect("a header");
        assert_eq!(header.correlation_id, 77);
        assert_eq!(header.api_version, version_of(header.api_key));
        bytes
    }

    #[test]
    fn a_produce_request_changes_its_partition_in_place() {
        for records in [1, 200, 20_000, 3_000_000] {
            let batch = Bytes::from(vec![5; records]);
            let mut frame = produce("orders", -1, batch.clone());
            frame.set_correlation_id(77);
            frame.set_partition(0x0102_0304);
            let decoded: ProduceRequest = decode_request(9, body_of(&frame)).expect("a request");
            assert_eq!(decoded.acks, -1);
            let topic = &decoded.topic_data[0];
            assert_eq!(&*topic.name.0, "orders");
            assert_eq!(topic.partition_data[0].index, 0x0102_0304);
            assert_eq!(topic.partition_data[0].records.as_ref(), Some(&batch));
        }
    }

    #[test]
    fn a_fetch_request_changes_partition_and_offset_in_place() {
        let bound = FetchBound {
            max_bytes: 4096,
            max_wait_ms: 20,
        };
        let mut frame = fetch("orders", bound);
        frame.set_correlation_id(77);
        frame.set_partition(9);
        frame.set_offset(1 << 40);
        let decoded: FetchRequest = decode_request(12, body_of(&frame)).expect("a request");
        assert_eq!((decoded.max_bytes, decoded.max_wait_ms), (4096, 20));
        let partition = &decoded.topics[0].partitions[0];
        assert_eq!((partition.partition, partition.fetch_offset), (9, 1 << 40));
        assert_eq!(partition.partition_max_bytes, 4096);
    }

    #[test]
    fn every_version_that_is_asked_is_one_that_cauce_serves() {
        for (api, version) in VERSIONS {
            let served = api.served_versions().expect("it is served");
            assert!(served.contains(&version), "{}: {served:?}", api.name());
        }
    }
}
