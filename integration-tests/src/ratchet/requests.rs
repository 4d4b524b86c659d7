//! The hot requests, each on a node that is ready for it.

use std::io;

use bytes::Bytes;
use protocol_compat::ApiKey;
use protocol_compat::messages::join_group_request::JoinGroupRequestProtocol;
use protocol_compat::messages::metadata_request::MetadataRequestTopic;
use protocol_compat::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol_compat::messages::{
    FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, MetadataRequest, StrBytes,
    SyncGroupRequest, TopicName,
};

use super::asleep;
use crate::bench::client::{Client, Request, produce_error};
use crate::record_bytes::Batch;

const TOPIC: &str = "hot";
const EMPTY_TOPIC: &str = "empty";
const MANY_TOPICS: i32 = 1_000;
/// Less than what a topic of one partition takes in an answer: its identifier alone has so many.
const TOPIC_BYTES: usize = 16;
const TOPICS_PER_REQUEST: i32 = 100;
const GROUP: &str = "hot-group";
const GROUP_WITHOUT_MEMBERS: &str = "simple-group";
const FIND_COORDINATOR_VERSION: i16 = 2;
const JOIN_GROUP_VERSION: i16 = 3;
const SYNC_GROUP_VERSION: i16 = 2;
const HEARTBEAT_VERSION: i16 = 3;
const METADATA_VERSION: i16 = 12;
/// Error code of a response whose first fields are correlation id, throttle time and error code.
const ERROR_AFTER_THROTTLE: usize = 8;
/// Error code of the only partition in a fetch answer on [`EMPTY_TOPIC`]: behind correlation id, tags, throttle time, error code,
/// session, topic count, name, partition count and index.
const EMPTY_FETCH_ERROR: usize = 4 + 1 + 4 + 2 + 4 + 1 + (1 + EMPTY_TOPIC.len()) + 1 + 4;
/// Less than a fetch answer with any record.
const EMPTY_FETCH_BYTES: usize = 80;
const TRIES: usize = 1_000;

/// A request that is sent again and again.
#[derive(Clone, Debug)]
pub struct Hot {
    /// Its name in the table.
    pub name: &'static str,
    /// The frame.
    pub request: Request,
    /// How often it is sent before anything is counted, and as often again while it is.
    pub times: u32,
    /// Whether an answer is the one whose costs are wanted.
    is_right: fn(&[u8]) -> bool,
}

/// Prepares a node and gives the requests that need no more than two topics.
///
/// # Errors
/// Any answer that is not the one expected.
pub fn prepare(client: &mut Client) -> io::Result<Vec<Hot>> {
    for topic in [TOPIC, EMPTY_TOPIC] {
        client.call(&mut Request::create_topic(topic, 1))?;
    }
    let value = |bytes: usize| "v".repeat(bytes);
    let batch =
        |records: usize, bytes: usize| Bytes::from(Batch::of(&vec![value(bytes).as_str(); records]).bytes());
    let produce = |records, bytes| Request::produce(TOPIC, 0, -1, batch(records, bytes));
    client.produce_once_led(&mut produce(16, 1_000))?;
    client.produce_once_led(&mut Request::produce(EMPTY_TOPIC, 0, -1, batch(1, 1)))?;
    let heartbeat = join(client)?;
    let mut commit = Request::offset_commit(GROUP_WITHOUT_MEMBERS, TOPIC, 1, 1);
    retried(|| Ok(last_error(client.call(&mut commit)?) == Some(0)))?;
    let hot = |name, request, is_right| Hot {
        name,
        request,
        times: 20,
        is_right,
    };
    let is_produced: fn(&[u8]) -> bool = |answer| produce_error(answer) == Some(0);
    let fetch = Request::fetch(TOPIC, 0, 0, 16 << 10);
    let fetch_empty = Request::fetch_within(0, EMPTY_TOPIC, 0, 1, 16 << 10);
    Ok(vec![
        hot("produce-tiny", produce(1, 10), is_produced),
        hot("produce-1k", produce(1, 1_000), is_produced),
        hot("produce-16k", produce(16, 1_000), is_produced),
        hot("fetch-16k", fetch, |answer| answer.len() > 10_000),
        hot("fetch-empty", fetch_empty, |answer| {
            answer.get(EMPTY_FETCH_ERROR..EMPTY_FETCH_ERROR + 2) == Some(&[0, 0])
                && answer.len() < EMPTY_FETCH_BYTES
        }),
        hot("heartbeat", heartbeat, |answer| {
            error_after_throttle(answer) == Some(0)
        }),
        hot("offset-commit", commit, |answer| last_error(answer) == Some(0)),
        hot("metadata-1-topic", metadata(Some(TOPIC)), |answer| {
            holds(answer, TOPIC.as_bytes())
        }),
    ])
}

/// Metadata of all topics, once there are [`MANY_TOPICS`] more.
///
/// # Errors
/// No answer.
pub fn prepare_many_topics(client: &mut Client) -> io::Result<Hot> {
    for first in (0..MANY_TOPICS).step_by(TOPICS_PER_REQUEST as usize) {
        let names: Vec<String> = (first..first + TOPICS_PER_REQUEST)
            .map(|n| format!("topic-{n}"))
            .collect();
        client.call(&mut Request::create_topics(&names, 1))?;
    }
    let mut request = metadata(None);
    let answer = client.call(&mut request)?;
    let is_named = |n: i32| holds(answer, format!("topic-{n}").as_bytes());
    if !(0..MANY_TOPICS).all(is_named) {
        return Err(io::Error::other("not every topic was created"));
    }
    Ok(Hot {
        name: "metadata-1000-topics",
        request,
        times: 10,
        // A longer look would be counted: the node does other things meanwhile.
        is_right: |answer| answer.len() > MANY_TOPICS as usize * TOPIC_BYTES,
    })
}

/// Sends a request so often to the node of this process id, each when it sleeps, and returns when it does again.
///
/// # Errors
/// No answer, or one that is not to be counted.
pub fn repeat(client: &mut Client, hot: &Hot, pid: u32) -> io::Result<()> {
    let mut request = hot.request.clone();
    asleep::wait_for(pid);
    for _ in 0..hot.times {
        let answer = client.call(&mut request)?;
        if !(hot.is_right)(answer) {
            return Err(io::Error::other(format!(
                "{}: not the answer that is to be counted",
                hot.name
            )));
        }
        asleep::wait_for(pid);
    }
    Ok(())
}

fn metadata(topic: Option<&str>) -> Request {
    let named = |name: &str| {
        MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_string(name.to_owned()))))
    };
    let body = MetadataRequest::default()
        .with_topics(topic.map(|name| vec![named(name)]))
        .with_allow_auto_topic_creation(false);
    Request::new(ApiKey::Metadata, METADATA_VERSION, &body)
}

/// Makes the client the only member of a group and gives its heartbeat.
fn join(client: &mut Client) -> io::Result<Request> {
    let group = || GroupId(StrBytes::from_static_str(GROUP));
    let find = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str(GROUP));
    let mut find = Request::new(ApiKey::FindCoordinator, FIND_COORDINATOR_VERSION, &find);
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(StrBytes::from_static_str("range"))
        .with_metadata(Bytes::from_static(b"subscription"));
    let join = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(300_000)
        .with_rebalance_timeout_ms(300_000)
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol]);
    let mut join = Request::new(ApiKey::JoinGroup, JOIN_GROUP_VERSION, &join);
    let mut joined = None;
    retried(|| {
        client.call(&mut find)?;
        joined = Joined::read(client.call(&mut join)?);
        Ok(joined.is_some())
    })?;
    let joined = joined.ok_or_else(|| io::Error::other("nobody has joined"))?;
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member.clone())
        .with_assignment(Bytes::from_static(b"all"));
    let sync = SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(joined.generation)
        .with_member_id(joined.member.clone())
        .with_assignments(vec![assignment]);
    let synced = client.call(&mut Request::new(ApiKey::SyncGroup, SYNC_GROUP_VERSION, &sync))?;
    if error_after_throttle(synced) != Some(0) {
        return Err(io::Error::other("the only member of a group gets no assignment"));
    }
    let heartbeat = HeartbeatRequest::default()
        .with_group_id(group())
        .with_generation_id(joined.generation)
        .with_member_id(joined.member);
    Ok(Request::new(ApiKey::Heartbeat, HEARTBEAT_VERSION, &heartbeat))
}

/// A member of a group.
struct Joined {
    generation: i32,
    member: StrBytes,
}

impl Joined {
    /// Reads an answer of the version used here; `None` if it is an error.
    fn read(answer: &[u8]) -> Option<Joined> {
        let rest = answer.get(ERROR_AFTER_THROTTLE..)?;
        let (error, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (_protocol, rest) = string(rest)?;
        let (_leader, rest) = string(rest)?;
        let (member, _) = string(rest)?;
        (i16::from_be_bytes(*error) == 0).then(|| Joined {
            generation: i32::from_be_bytes(*generation),
            member: StrBytes::from_string(member.to_owned()),
        })
    }
}

fn string(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// A coordinator may still be loading its partition.
fn retried(mut succeeds: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    for _ in 0..TRIES {
        if succeeds()? {
            return Ok(());
        }
    }
    Err(io::Error::other("the group coordinator does not get ready"))
}

/// Error code of an answer that ends with its only partition's.
fn last_error(answer: &[u8]) -> Option<i16> {
    answer.last_chunk().map(|code| i16::from_be_bytes(*code))
}

fn holds(answer: &[u8], name: &[u8]) -> bool {
    answer.windows(name.len()).any(|bytes| bytes == name)
}

fn error_after_throttle(answer: &[u8]) -> Option<i16> {
    let code = answer.get(ERROR_AFTER_THROTTLE..)?.first_chunk()?;
    Some(i16::from_be_bytes(*code))
}
