//! A blocking connection with requests that are encoded once.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use protocol_compat::ApiKey;
use protocol_compat::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use protocol_compat::messages::fetch_request::{FetchPartition, FetchTopic};
use protocol_compat::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use protocol_compat::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol_compat::messages::offset_fetch::OffsetFetchRequest;
use protocol_compat::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol_compat::messages::{
    ApiVersionsRequest, CreateTopicsRequest, FetchRequest, IncrementalAlterConfigsRequest, ProduceRequest,
    TopicName,
};
use protocol_compat::messages::{Encodable, StrBytes};

const PATIENCE: Duration = Duration::from_secs(60);
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const LEADER_NOT_AVAILABLE: i16 = 5;
const NOT_LEADER_OR_FOLLOWER: i16 = 6;
const CREATE_TOPICS_VERSION: i16 = 5;
const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;
const OFFSET_COMMIT_VERSION: i16 = 7;
const OFFSET_FETCH_VERSION: i16 = 7;
const INCREMENTAL_ALTER_CONFIGS_VERSION: i16 = 1;
/// A topic's number among the kinds of resources.
const TOPIC_RESOURCE: i8 = 2;
/// Where the correlation id stands in a frame with its length.
const CORRELATION_ID_AT: usize = 8;

/// A connection to a broker.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// A whole frame, ready to be sent any number of times.
#[derive(Clone, Debug)]
pub struct Request(Vec<u8>);

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Client {
            stream,
            answer: Vec::new(),
        })
    }

    /// The same connection once more, so that one sends while the other receives.
    pub fn another_end(&self) -> io::Result<Client> {
        Ok(Client {
            stream: self.stream.try_clone()?,
            answer: Vec::new(),
        })
    }

    /// Sends a request under a correlation id.
    pub fn send(&mut self, request: &mut Request, correlation_id: i32) -> io::Result<()> {
        request.0[CORRELATION_ID_AT..CORRELATION_ID_AT + 4].copy_from_slice(&correlation_id.to_be_bytes());
        self.stream.write_all(&request.0)
    }

    /// Receives the next answer, correlation id included.
    pub fn receive(&mut self) -> io::Result<&[u8]> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if self.answer.len() < length {
            self.answer.resize(length, 0);
        }
        self.stream.read_exact(&mut self.answer[..length])?;
        Ok(&self.answer[..length])
    }

    /// Produces one batch, again and again while the broker does not lead the new partition: Apache Kafka answers
    /// CreateTopics before it does.
    pub fn produce_once_led(&mut self, request: &mut Request) -> io::Result<()> {
        let began = Instant::now();
        loop {
            match produce_error(self.call(request)?) {
                Some(0) => return Ok(()),
                Some(UNKNOWN_TOPIC_OR_PARTITION | LEADER_NOT_AVAILABLE | NOT_LEADER_OR_FOLLOWER)
                    if began.elapsed() < PATIENCE => {}
                error => return Err(io::Error::other(format!("produce: error {error:?}"))),
            }
        }
    }

    /// Sends a request and receives its answer.
    pub fn call(&mut self, request: &mut Request) -> io::Result<&[u8]> {
        self.send(request, 1)?;
        self.receive()
    }
}

impl Request {
    /// A request whose body has only fields of the version.
    pub fn new(api_key: ApiKey, version: i16, body: &impl Encodable) -> Request {
        let mut bytes = BytesMut::new();
        body.encode(&mut bytes, version)
            .expect("because every field is one of this version");
        let mut frame = vec![0; 4];
        frame.extend(api_key.code().to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend(0i32.to_be_bytes());
        frame.extend(5i16.to_be_bytes());
        frame.extend(b"bench");
        if api_key.is_flexible(version) {
            frame.push(0);
        }
        frame.extend(bytes);
        let length = (frame.len() - 4) as u32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Request(frame)
    }

    /// Asks for the versions of every API.
    pub fn api_versions() -> Request {
        Request::new(ApiKey::ApiVersions, 0, &ApiVersionsRequest::default())
    }

    /// Creates a topic of one replica.
    pub fn create_topic(name: &str, partitions: i32) -> Request {
        Request::create_topics(&[name], partitions)
    }

    /// Creates topics of one replica.
    pub fn create_topics(names: &[impl AsRef<str>], partitions: i32) -> Request {
        let topics = names.iter().map(|name| {
            CreatableTopic::default()
                .with_name(topic_name(name.as_ref()))
                .with_num_partitions(partitions)
                .with_replication_factor(1)
        });
        let body = CreateTopicsRequest::default()
            .with_topics(topics.collect())
            .with_timeout_ms(60_000);
        Request::new(ApiKey::CreateTopics, CREATE_TOPICS_VERSION, &body)
    }

    /// Creates a topic of one partition and one replica with keys of its own.
    pub fn create_topic_with(name: &str, keys: &[(&str, &str)]) -> Request {
        let keys = keys.iter().map(|(key, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string((*key).to_owned()))
                .with_value(Some(StrBytes::from_string((*value).to_owned())))
        });
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(keys.collect());
        let body = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(60_000);
        Request::new(ApiKey::CreateTopics, CREATE_TOPICS_VERSION, &body)
    }

    /// Sets a key of a topic.
    pub fn set_topic_key(topic: &str, key: &str, value: &str) -> Request {
        let change = AlterableConfig::default()
            .with_name(StrBytes::from_string(key.to_owned()))
            .with_config_operation(0)
            .with_value(Some(StrBytes::from_string(value.to_owned())));
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC_RESOURCE)
            .with_resource_name(StrBytes::from_string(topic.to_owned()))
            .with_configs(vec![change]);
        let body = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        Request::new(
            ApiKey::IncrementalAlterConfigs,
            INCREMENTAL_ALTER_CONFIGS_VERSION,
            &body,
        )
    }

    /// Produces one batch to one partition.
    pub fn produce(topic: &str, partition: i32, acks: i16, batch: Bytes) -> Request {
        let data = PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(batch));
        let topic = TopicProduceData::default()
            .with_name(topic_name(topic))
            .with_partition_data(vec![data]);
        let body = ProduceRequest::default()
            .with_acks(acks)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![topic]);
        Request::new(ApiKey::Produce, PRODUCE_VERSION, &body)
    }

    /// Fetches one partition from an offset, without a session.
    pub fn fetch(topic: &str, partition: i32, offset: i64, max_bytes: i32) -> Request {
        Request::fetch_within(500, topic, partition, offset, max_bytes)
    }

    /// Fetches one partition from an offset, without a session; an empty answer comes after so many milliseconds.
    pub fn fetch_within(
        max_wait_ms: i32,
        topic: &str,
        partition: i32,
        offset: i64,
        max_bytes: i32,
    ) -> Request {
        let partition = FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(max_bytes);
        let topic = FetchTopic::default()
            .with_topic(topic_name(topic))
            .with_partitions(vec![partition]);
        let body = FetchRequest::default()
            .with_max_wait_ms(max_wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(max_bytes)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        Request::new(ApiKey::Fetch, FETCH_VERSION, &body)
    }
}

impl Request {
    /// Commits the same offset to the first partitions of a topic, for a group without members.
    pub fn offset_commit(group: &str, topic: &str, partitions: i32, offset: i64) -> Request {
        let partitions = (0..partitions).map(|partition| OffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: offset,
            ..Default::default()
        });
        let topic = OffsetCommitRequestTopic {
            name: StrBytes::from_string(topic.to_owned()),
            partitions: partitions.collect(),
            ..Default::default()
        };
        let body = OffsetCommitRequest {
            group_id: StrBytes::from_string(group.to_owned()),
            topics: vec![topic],
            ..Default::default()
        };
        Request::new(ApiKey::OffsetCommit, OFFSET_COMMIT_VERSION, &body)
    }

    /// Asks for all offsets of a group.
    pub fn offset_fetch(group: &str) -> Request {
        let body = OffsetFetchRequest {
            group_id: StrBytes::from_string(group.to_owned()),
            topics: None,
            ..Default::default()
        };
        Request::new(ApiKey::OffsetFetch, OFFSET_FETCH_VERSION, &body)
    }
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// Error code of the only partition in a produce answer of the version used here.
pub fn produce_error(answer: &[u8]) -> Option<i16> {
    // Correlation id, header tags, topic count, name, partition count, index: all but the name have one size.
    let name_length = usize::from(*answer.get(6)?).checked_sub(1)?;
    let at = 7 + name_length + 1 + 4;
    answer
        .get(at..)?
        .first_chunk::<2>()
        .map(|code| i16::from_be_bytes(*code))
}
