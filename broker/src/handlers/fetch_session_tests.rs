//! A fetch session against a naive one that reads every partition on every fetch: over random histories both say the same.

use std::sync::Arc;
use std::time::Duration;

use ::metadata::image::{PartitionImage, TopicImage};
use bytes::{Buf, BytesMut};
use futures_util::poll;
use kafka_protocol::protocol::{Decodable, Encodable};
use protocol_compat::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use protocol_compat::messages::{FetchRequest, FetchResponse, Records, StrBytes, TopicName};
use protocol_compat::record_batch::batch::{Compression, TimestampType};
use protocol_compat::record_batch::builder::BatchBuilder;
use protocol_compat::{ApiKey, BrokerId as NodeId, ErrorCode, LeaderEpoch, TopicId};
use storage::disk::{Disk, SimDisk};
use storage::log::AppendOrigin;
use uuid::Uuid;

use super::fetch;
use crate::fetch_session::FetchSessionCache;
use crate::replica_manager::config_tests::Node;
use crate::replica_manager::{FetchLimits, Isolation, PartitionFetch, PartitionRead, read_or_wait};
use crate::request::{Handled, RequestContext, ResponseFrame};

const NAMES: [&str; 2] = ["orders", "payments"];
const BY_NAME: i16 = 12;
const BY_ID: i16 = 15;

/// A small generator (splitmix64) so that a seed always gives the same history.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

type Key = (&'static str, TopicId, i32);

/// What an answer says of a partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    key: Key,
    error: i16,
    high_watermark: i64,
    log_start_offset: i64,
    record_bytes: usize,
}

/// What the naive session knows of a partition.
#[derive(Clone, Debug)]
struct Told {
    key: Key,
    wanted: FetchPartition,
    high_watermark: i64,
    log_start_offset: i64,
}

/// A node, a client's session on it, and the naive session beside.
struct History {
    random: Random,
    node: Node,
    sessions: Arc<FetchSessionCache>,
    version: i16,
    id: i32,
    epoch: i32,
    naive: Vec<Told>,
    next_topic_id: u128,
    /// Whether a topic may come in the place of another.
    may_replace: bool,
}

impl History {
    fn new(seed: u64) -> History {
        let disk = Disk::simulated(&SimDisk::new(seed, 64 << 20));
        let mut random = Random(seed);
        History {
            version: random.pick(&[BY_NAME, BY_ID]),
            random,
            node: Node::on(&disk, &["/data"]).expect("an empty disk"),
            sessions: Arc::new(FetchSessionCache::new(2)),
            id: 0,
            epoch: 0,
            naive: Vec::new(),
            next_topic_id: 700,
            may_replace: true,
        }
    }

    /// A partition's key, while the topic is there; else with an id that no topic has.
    fn key(&mut self) -> Key {
        let name = self.random.pick(&NAMES);
        let image = self.node.cache.image();
        let id = image
            .topics
            .by_name(name)
            .map_or(TopicId(Uuid::from_u128(name.len() as u128)), |topic| topic.id);
        (name, id, self.random.below(3) as i32)
    }

    fn wanted(&mut self, key: Key) -> FetchPartition {
        let found = self.node.replicas.partition(key.0, key.2);
        let (start, end, epoch) = found.map_or((0, 0, 0), |partition| {
            let log = partition.log();
            (
                log.log_start_offset(),
                log.high_watermark(),
                partition.leader_epoch(),
            )
        });
        FetchPartition::default()
            .with_partition(key.2)
            .with_fetch_offset(self.random.pick(&[0, start, end, end, end, end, end + 1]))
            .with_partition_max_bytes(self.random.pick(&[1, 100, 1 << 20, 1 << 20, -1]))
            .with_current_leader_epoch(self.random.pick(&[-1, -1, epoch, epoch - 1]))
            .with_last_fetched_epoch(self.random.pick(&[-1, -1, epoch]))
    }

    /// Something happens on the node.
    fn happen(&mut self) {
        let key = self.key();
        let found = self.node.replicas.partition(key.0, key.2);
        match (self.random.below(20), found) {
            (0..10, Ok(partition)) => {
                let mut batch = BatchBuilder::new(0, Compression::None, TimestampType::CreateTime, None, -1);
                batch.append(1, None, Some(b"value"), &[]);
                let appended = partition.append(batch.build(), AppendOrigin::Client, 1);
                assert!(appended.is_ok() || partition.log().is_failed());
            }
            (10..13, Ok(partition)) => {
                let start = self.random.below(1 + partition.log().high_watermark() as u64);
                let deleted = partition.log().delete_records_before(start as i64);
                assert!(deleted.is_ok() || partition.log().is_failed());
            }
            (13..16, Ok(_)) => self.register(key, |partition| partition.leader_epoch.0 += 1),
            (16, _) => self.register(key, |partition| {
                partition.leader = NodeId(3 - partition.leader.0);
                partition.leader_epoch = LeaderEpoch(partition.leader_epoch.0 + 1);
            }),
            (17, _) => self.node.publish(|image| {
                image.topics.remove(key.1);
            }),
            (18, Ok(partition)) if self.random.below(20) == 0 => partition.log().fail(),
            _ if self.may_replace || self.node.cache.image().topics.by_name(key.0).is_none() => {
                self.create(key.0);
            }
            _ => {}
        }
    }

    fn register(&mut self, key: Key, change: impl FnOnce(&mut PartitionImage)) {
        self.node.publish(|image| {
            if let Some(partition) = image.topics.partition(key.0, key.2) {
                let mut partition = partition.clone();
                partition.partition_epoch += 1;
                change(&mut partition);
                image.topics.set_partition(key.1, key.2, partition);
            }
        });
    }

    /// Creates a topic; one of this name goes.
    fn create(&mut self, name: &'static str) {
        self.next_topic_id += 1;
        let id = TopicId(Uuid::from_u128(self.next_topic_id));
        self.node.publish(|image| {
            if let Some(before) = image.topics.by_name(name).map(|topic| topic.id) {
                image.topics.remove(before);
            }
            let mut topic = TopicImage::new(name.into(), id);
            for index in 0..2 {
                let one = vec![NodeId(1)];
                topic.set_partition(index, PartitionImage::created(one.clone(), Vec::new(), one));
            }
            image.topics.insert(topic);
        });
    }

    /// The session's next request, which the naive session learns of as well.
    fn request(&mut self) -> FetchRequest {
        let is_full = self.epoch == 0 || self.random.below(30) == 0;
        if is_full {
            (self.id, self.epoch) = (0, 0);
            self.naive.clear();
        }
        let mut request = FetchRequest::default()
            .with_session_id(self.id)
            .with_session_epoch(self.epoch)
            .with_max_bytes(self.random.pick(&[1, 150, 1 << 20]));
        for _ in 0..self.random.below(if is_full { 6 } else { 3 }) {
            let mut key = self.key();
            if self.version == BY_NAME {
                key.1 = TopicId::NIL;
            }
            let wanted = self.wanted(key);
            match self.naive.iter_mut().find(|told| told.key == key) {
                Some(told) => told.wanted = wanted.clone(),
                None => self.naive.push(Told {
                    key,
                    wanted: wanted.clone(),
                    high_watermark: -1,
                    log_start_offset: -1,
                }),
            }
            let topic = FetchTopic::default().with_partitions(vec![wanted]);
            request.topics.push(match self.version {
                BY_ID => topic.with_topic_id(key.1.0),
                _ => topic.with_topic(TopicName(StrBytes::from_static_str(key.0))),
            });
        }
        if !is_full && self.naive.len() > 1 && self.random.below(4) == 0 {
            let place = self.random.below(self.naive.len() as u64) as usize;
            let (name, id, index) = self.naive.remove(place).key;
            let topic = ForgottenTopic::default().with_partitions(vec![index]);
            request.forgotten_topics_data.push(match self.version {
                BY_ID => topic.with_topic_id(id.0),
                _ => topic.with_topic(TopicName(StrBytes::from_static_str(name))),
            });
        }
        request
    }

    fn send(&self, request: &FetchRequest) -> Handled {
        let context = RequestContext::for_test(ApiKey::Fetch, self.version);
        let mut body = BytesMut::new();
        request.encode(&mut body, self.version).expect("a request");
        fetch::handle(
            &self.node.replicas,
            &self.sessions,
            1 << 20,
            &context,
            body.freeze(),
        )
    }

    /// Reads an answer, which goes on with the session.
    fn take(&mut self, frame: ResponseFrame) -> Vec<Line> {
        let mut bytes = frame.to_bytes();
        bytes.advance(9);
        let answer = FetchResponse::decode(&mut bytes, self.version).expect("an answer");
        assert_eq!(answer.error_code, 0);
        (self.id, self.epoch) = match answer.session_id {
            0 => (0, 0),
            id => (id, self.epoch + 1),
        };
        let mut lines = Vec::new();
        for topic in &answer.responses {
            for data in &topic.partitions {
                let is_meant = |told: &&Told| {
                    told.key.2 == data.partition_index
                        && match self.version {
                            BY_ID => told.key.1 == topic.topic_id,
                            _ => *told.key.0 == *topic.topic,
                        }
                };
                let told = self
                    .naive
                    .iter()
                    .find(is_meant)
                    .expect("a partition that was asked for");
                lines.push(Line {
                    key: told.key,
                    error: data.error_code,
                    high_watermark: data.high_watermark,
                    log_start_offset: data.log_start_offset,
                    record_bytes: data.records.as_ref().map_or(0, Records::len),
                });
            }
        }
        lines
    }

    /// Reads everything now, in the order of an answer.
    fn read_all(&self, max_bytes: i32) -> Vec<(Key, PartitionRead)> {
        let found = self.naive.iter().map(|told| {
            let replicas = &self.node.replicas;
            let partition = match self.version {
                BY_ID => replicas.partition_by_id(told.key.1, told.key.2),
                _ => replicas.partition(told.key.0, told.key.2),
            };
            (told, partition)
        });
        let is_unknown = |error: &ErrorCode| {
            matches!(
                error,
                ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition
            )
        };
        let (unknown, readable): (Vec<_>, Vec<_>) =
            found.partition(|(_, partition)| partition.as_ref().is_err_and(is_unknown));
        let keys: Vec<Key> = readable.iter().map(|(told, _)| told.key).collect();
        let fetches = readable.into_iter().map(|(told, partition)| PartitionFetch {
            partition,
            fetch_offset: told.wanted.fetch_offset,
            max_bytes: told.wanted.partition_max_bytes,
            current_leader_epoch: told.wanted.current_leader_epoch,
            last_fetched_epoch: told.wanted.last_fetched_epoch,
        });
        let limits = FetchLimits {
            min_bytes: 0,
            max_bytes: usize::try_from(max_bytes).unwrap_or(0),
            max_wait: Duration::ZERO,
            isolation: Isolation::ReadUncommitted,
        };
        let reads = read_or_wait(fetches.collect(), limits).map_err(|_| "it waits");
        let mut all: Vec<_> = keys.into_iter().zip(reads.expect("no minimum")).collect();
        for (told, error) in unknown {
            all.push((told.key, PartitionRead::error(error.err().expect("unknown"))));
        }
        all
    }

    /// What the naive session answers, all of it where the session is new.
    fn naive_answer(&mut self, max_bytes: i32, is_full: bool) -> Vec<Line> {
        let mut lines = Vec::new();
        for (key, read) in self.read_all(max_bytes) {
            let place = self
                .naive
                .iter()
                .position(|told| told.key == key)
                .expect("it was read");
            let told = &mut self.naive[place];
            let line = Line {
                key,
                error: read.error.code(),
                high_watermark: read.high_watermark,
                log_start_offset: read.log_start_offset,
                record_bytes: read.records.len(),
            };
            let is_wrong = read.error != ErrorCode::None || read.diverging_epoch.is_some();
            let has_moved =
                told.high_watermark != read.high_watermark || told.log_start_offset != read.log_start_offset;
            if is_full || is_wrong || has_moved || line.record_bytes > 0 {
                lines.push(line);
            }
            told.high_watermark = if is_wrong && !is_full {
                -1
            } else {
                read.high_watermark
            };
            told.log_start_offset = read.log_start_offset;
            if !read.records.is_empty() && !is_full {
                let told = self.naive.remove(place);
                self.naive.push(told);
            }
        }
        if is_full {
            // A new session keeps the partitions in the order of its first answer.
            let place = |told: &Told| lines.iter().position(|line| line.key == told.key);
            self.naive.sort_by_key(place);
        }
        lines
    }
}

#[test]
fn a_session_answers_as_one_that_reads_every_partition_each_time() {
    for seed in 0..100 {
        let mut history = History::new(seed);
        for step in 0..120 {
            for _ in 0..history.random.below(4) {
                history.happen();
            }
            let request = history.request();
            let is_full = request.session_epoch == 0;
            let expected = history.naive_answer(request.max_bytes, is_full);
            let Handled::Now(frame) = history.send(&request) else {
                panic!("seed {seed}, step {step}: a fetch with nothing to wait for waits");
            };
            let answer = history.take(frame);
            assert_eq!(answer, expected, "seed {seed}, step {step}: {request:?}");
        }
    }
}

/// Whether a fetch that asks for `min_bytes` is to be answered; for what was `unknown` when it began it does not wait.
fn is_due(reads: &[(Key, PartitionRead)], min_bytes: usize, unknown: &[Key]) -> bool {
    let known = reads.iter().filter(|(key, _)| !unknown.contains(key));
    let mut bytes = 0;
    for (_, read) in known {
        bytes += read.records.len();
        if read.error != ErrorCode::None || read.diverging_epoch.is_some() {
            return true;
        }
    }
    bytes >= min_bytes
}

#[tokio::test]
async fn a_session_that_waits_is_woken_by_what_it_would_be_answered() {
    let (mut woken, mut cancelled) = (0, 0);
    for seed in 0..100 {
        let mut history = History::new(1000 + seed);
        // A fetch that waits would be told of the one that went, and one that comes later would read the other.
        history.may_replace = false;
        for step in 0..80 {
            let mut request = history.request();
            request.max_wait_ms = i32::MAX;
            // A size that is none is an error once there are records, whose bytes are waited for before.
            let has_sizes = history
                .naive
                .iter()
                .all(|told| told.wanted.partition_max_bytes > 0);
            request.min_bytes = history.random.pick(&[1, if has_sizes { 150 } else { 1 }]);
            let min_bytes = request.min_bytes.min(request.max_bytes) as usize;
            let is_full = request.session_epoch == 0;
            let before = history.read_all(request.max_bytes);
            let unknown = before.iter().filter(|(_, read)| is_unknown(read.error));
            let unknown: Vec<Key> = unknown.map(|(key, _)| *key).collect();
            let mut answer = match history.send(&request) {
                Handled::Later(answer) => answer,
                Handled::Now(frame) => {
                    let has_to_wait = unknown.len() < before.len() && !is_due(&before, min_bytes, &unknown);
                    assert!(!has_to_wait, "seed {seed}, step {step}");
                    let expected = history.naive_answer(request.max_bytes, is_full);
                    assert_eq!(history.take(frame), expected, "seed {seed}, step {step}");
                    (0..history.random.below(3)).for_each(|_| history.happen());
                    continue;
                }
                _ => panic!("no answer"),
            };
            let mut frame = None;
            for _ in 0..8 {
                if let std::task::Poll::Ready(ready) = poll!(&mut answer) {
                    frame = Some(ready);
                    break;
                }
                let reads = history.read_all(request.max_bytes);
                assert!(
                    !is_due(&reads, min_bytes, &unknown),
                    "seed {seed}, step {step}: {reads:?}"
                );
                history.happen();
            }
            let Some(frame) = frame else {
                // The client is gone; its next request goes on with the session.
                cancelled += 1;
                history.epoch += i32::from(!is_full);
                continue;
            };
            woken += 1;
            let mut answered = history.take(frame);
            let mut expected = history.naive_answer(request.max_bytes, is_full);
            // A partition that went while it was waited for is told by one error or the other, and in any place.
            let codes = expected.iter().map(|line| ErrorCode::from_code(line.error));
            if is_full && codes.into_iter().any(is_unknown) {
                history.epoch = 0;
            }
            for line in answered.iter_mut().chain(&mut expected) {
                if is_unknown(ErrorCode::from_code(line.error)) {
                    line.error = ErrorCode::NotLeaderOrFollower.code();
                }
            }
            answered.sort();
            expected.sort();
            assert_eq!(answered, expected, "seed {seed}, step {step}");
        }
    }
    assert!(woken > 300 && cancelled > 100, "{woken} {cancelled}");
}

fn is_unknown(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition
    )
}
