//! Fetch and ListOffsets: with a session or without, and what the answers say to the history.

use std::collections::BTreeMap;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use protocol_compat::error_code::ErrorCode;
use protocol_compat::messages::ListOffsetsRequest;
use protocol_compat::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use uuid::Uuid;

use super::batches;
use super::topics::{Kind, Topic};
use crate::check::violation::Violation;
use crate::check::watermarks::{Ends, Floors};
use crate::client::{Client, Failure};
use crate::history::{Fetched, PartitionId};
use crate::rng::Rng;
use crate::world::World;

const FIRST_VERSION_WITH_IDS: i16 = 13;
const FIRST_VERSION_WITH_SESSIONS: i16 = 7;
const FIRST_VERSION_WITH_LOG_START: i16 = 5;
const LIST_OFFSETS_VERSION: i16 = 7;
/// ListOffsets' name for the log start.
pub const EARLIEST: i64 = -2;
/// ListOffsets' name for the high watermark.
pub const LATEST: i64 = -1;

/// How a reader fetches.
#[derive(Clone, Debug)]
pub struct Style {
    /// Version of its requests.
    pub version: i16,
    /// Whether it keeps a session.
    pub has_session: bool,
    /// Bytes of a partition that it asks for.
    pub partition_max_bytes: i32,
    /// How long the node may wait for records.
    pub max_wait_ms: i32,
    /// 1 reads committed records only.
    pub isolation_level: i8,
}

impl Style {
    /// A style for `topic`.
    pub fn chosen(topic: &Topic, rng: &mut Rng) -> Style {
        let version = match topic.kind {
            Kind::Volatile => *rng.pick(&[13, 17]),
            Kind::Steady | Kind::Compacted | Kind::Trimmed => *rng.pick(&[4, 7, 11, 12, 13, 15, 17]),
        };
        Style {
            version,
            has_session: version >= FIRST_VERSION_WITH_SESSIONS && rng.chance(600),
            partition_max_bytes: *rng.pick(&[1, 500, 5_000, 1 << 20]),
            max_wait_ms: *rng.pick(&[0, 50, 500]),
            isolation_level: i8::from(rng.chance(300)),
        }
    }

    /// The style of a last look: everything, at once.
    pub fn thorough() -> Style {
        Style {
            version: 17,
            has_session: false,
            partition_max_bytes: 1 << 20,
            max_wait_ms: 0,
            isolation_level: 0,
        }
    }
}

/// A fetch session as its client sees it (KIP-227).
#[derive(Debug, Default)]
struct Session {
    id: i32,
    /// Of the next request; 0 makes a new session.
    epoch: i32,
    /// What the node knows to be wanted.
    known: BTreeMap<i32, i64>,
    /// The high watermark that was shown last, of each partition.
    shown: BTreeMap<i32, i64>,
    /// How often in a row a partition with records below its high watermark had none in the answer.
    in_vain: BTreeMap<i32, u32>,
}

impl Session {
    /// Takes an answer into account. The partition that waits in vain although it has records, if there is one: whichever
    /// comes first in an answer gets a batch, and a session lets all partitions come first in turn.
    fn starved(
        &mut self,
        positions: &BTreeMap<i32, i64>,
        steps: &BTreeMap<i32, Step>,
        high_watermarks: &BTreeMap<i32, i64>,
    ) -> Option<i32> {
        self.shown.extend(high_watermarks);
        let most = 3 * positions.len() as u32 + 3;
        for (index, from) in positions {
            let got_on = match steps.get(index) {
                None => false,
                Some(Step::Next(next)) => next > from,
                Some(Step::OutOfRange | Step::Error(_)) => true,
            };
            let has_more = self.shown.get(index).is_some_and(|shown| shown > from);
            let in_vain = self.in_vain.entry(*index).or_insert(0);
            *in_vain = if got_on || !has_more { 0 } else { *in_vain + 1 };
            if *in_vain > most {
                return Some(*index);
            }
        }
        None
    }
}

/// What a fetch said of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read on here.
    Next(i64),
    /// The offset that was asked for is not in the log.
    OutOfRange,
    /// The partition cannot be read now.
    Error(ErrorCode),
}

/// Fetches from one topic.
pub struct Fetcher {
    /// How.
    pub style: Style,
    topic: Topic,
    topic_id: Uuid,
    session: Session,
}

impl Fetcher {
    /// A fetcher of the topic while its id is `topic_id`.
    pub fn new(style: Style, topic: Topic, topic_id: Uuid) -> Fetcher {
        Fetcher {
            style,
            topic,
            topic_id,
            session: Session::default(),
        }
    }

    /// The partition of this topic id.
    pub fn partition(&self, index: i32) -> PartitionId {
        self.topic.partition(self.topic_id, index)
    }

    /// Asks for all of `positions`, and adds what comes to the history.
    ///
    /// # Errors
    /// No answer. A session is begun anew then.
    pub async fn fetch(
        &mut self,
        client: &mut Client,
        world: &World,
        positions: &BTreeMap<i32, i64>,
    ) -> Result<BTreeMap<i32, Step>, Failure> {
        let floors: BTreeMap<i32, Floors> = {
            let mut history = world.history().borrow_mut();
            let floors = positions
                .keys()
                .map(|index| (*index, history.floors(self.partition(*index))));
            floors.collect()
        };
        let request = self.request(positions);
        let response = match client.call(self.style.version, &request).await {
            Ok(response) => response,
            Err(failure) => {
                self.session = Session::default();
                return Err(failure);
            }
        };
        if !self.session_goes_on(&response) {
            return Ok(BTreeMap::new());
        }
        let (mut steps, mut high_watermarks) = (BTreeMap::new(), BTreeMap::new());
        for data in response.responses.iter().flat_map(|topic| &topic.partitions) {
            let index = data.partition_index;
            if let (Some(from), Some(floors)) = (positions.get(&index), floors.get(&index)) {
                steps.insert(index, self.record(world, data, *from, *floors));
                high_watermarks.insert(index, data.high_watermark);
            }
        }
        if self.style.has_session
            && let Some(index) = self.session.starved(positions, &steps, &high_watermarks)
        {
            let what = format!(
                "a session brings nothing of {} partition {index}, which has records",
                self.topic.name
            );
            world
                .history()
                .borrow_mut()
                .violated(Violation::new("G12", "unavailable", what));
        }
        Ok(steps)
    }

    fn request(&mut self, positions: &BTreeMap<i32, i64>) -> FetchRequest {
        let is_full = !self.style.has_session || self.session.epoch == 0;
        let known = std::mem::take(&mut self.session.known);
        let wanted = positions
            .iter()
            .filter(|(index, offset)| is_full || known.get(*index) != Some(*offset));
        let partitions: Vec<FetchPartition> = wanted
            .map(|(index, offset)| {
                FetchPartition::default()
                    .with_partition(*index)
                    .with_current_leader_epoch(-1)
                    .with_fetch_offset(*offset)
                    .with_log_start_offset(-1)
                    .with_partition_max_bytes(self.style.partition_max_bytes)
            })
            .collect();
        let forgotten: Vec<i32> = known
            .keys()
            .filter(|index| !positions.contains_key(*index))
            .copied()
            .collect();
        let mut request = FetchRequest::default()
            .with_max_wait_ms(self.style.max_wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_isolation_level(self.style.isolation_level)
            .with_session_id(if self.style.has_session {
                self.session.id
            } else {
                0
            })
            .with_session_epoch(if self.style.has_session {
                self.session.epoch
            } else {
                -1
            });
        let name = TopicName::from(StrBytes::from_string(self.topic.name.clone()));
        let has_ids = self.style.version >= FIRST_VERSION_WITH_IDS;
        if !partitions.is_empty() {
            let topic = FetchTopic::default().with_partitions(partitions);
            request.topics = vec![match has_ids {
                true => topic.with_topic_id(self.topic_id),
                false => topic.with_topic(name.clone()),
            }];
        }
        if !is_full && !forgotten.is_empty() {
            let topic = ForgottenTopic::default().with_partitions(forgotten);
            request.forgotten_topics_data = vec![match has_ids {
                true => topic.with_topic_id(self.topic_id),
                false => topic.with_topic(name),
            }];
        }
        self.session.known = positions.clone();
        request
    }

    /// Whether the answer is one, and what it means for the session.
    fn session_goes_on(&mut self, response: &FetchResponse) -> bool {
        if response.error_code != 0 || !self.style.has_session {
            self.session = Session::default();
            return response.error_code == 0;
        }
        if self.session.epoch == 0 && response.session_id == 0 {
            self.session = Session::default();
        } else {
            self.session.id = response.session_id;
            self.session.epoch += 1;
        }
        true
    }

    fn record(&self, world: &World, data: &PartitionData, from: i64, at_send: Floors) -> Step {
        let partition = self.partition(data.partition_index);
        let mut history = world.history().borrow_mut();
        match ErrorCode::from_code(data.error_code) {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => {
                history.fetch_out_of_range(partition, at_send, from);
                return Step::OutOfRange;
            }
            code => return Step::Error(code),
        }
        let read = batches::read(data.records.as_deref().unwrap_or_default(), from);
        let (records, next) = match read {
            Ok(read) => read,
            Err(what) => {
                let what = format!("{} partition {}: {what}", self.topic.name, data.partition_index);
                history.violated(Violation::new("G11", "damaged-record", what));
                return Step::Error(ErrorCode::CorruptMessage);
            }
        };
        let has_log_start = self.style.version >= FIRST_VERSION_WITH_LOG_START;
        let fetched = Fetched {
            from,
            ends: Ends {
                high_watermark: Some(data.high_watermark),
                last_stable_offset: Some(data.last_stable_offset).filter(|_| self.style.isolation_level == 1),
                log_start: Some(data.log_start_offset).filter(|_| has_log_start),
            },
            records,
            next,
        };
        history.fetched(partition, at_send, &fetched);
        Step::Next(next)
    }
}

/// An end of each of `indexes`: [`EARLIEST`] or [`LATEST`].
///
/// # Errors
/// No answer.
pub async fn list_offsets(
    client: &mut Client,
    world: &World,
    topic: &Topic,
    topic_id: Uuid,
    indexes: &[i32],
    which: i64,
) -> Result<BTreeMap<i32, i64>, Failure> {
    let floors: BTreeMap<i32, Floors> = {
        let mut history = world.history().borrow_mut();
        let floors = indexes
            .iter()
            .map(|index| (*index, history.floors(topic.partition(topic_id, *index))));
        floors.collect()
    };
    let wanted = |index: &i32| ListOffsetsPartition {
        partition_index: *index,
        timestamp: which,
        ..ListOffsetsPartition::default()
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: StrBytes::from_string(topic.name.clone()),
            partitions: indexes.iter().map(wanted).collect(),
        }],
        ..ListOffsetsRequest::default()
    };
    let response = client.call(LIST_OFFSETS_VERSION, &request).await?;
    let mut history = world.history().borrow_mut();
    let mut found = BTreeMap::new();
    for one in response.topics.iter().flat_map(|topic| &topic.partitions) {
        let Some(at_send) = floors.get(&one.partition_index).filter(|_| one.error_code == 0) else {
            continue;
        };
        // A name may mean another id by now; what may come and go is looked at by id alone.
        if topic.kind != Kind::Volatile {
            let ends = Ends {
                high_watermark: Some(one.offset).filter(|_| which == LATEST),
                log_start: Some(one.offset).filter(|_| which == EARLIEST),
                last_stable_offset: None,
            };
            history.ends_seen(topic.partition(topic_id, one.partition_index), *at_send, ends);
        }
        found.insert(one.partition_index, one.offset);
    }
    Ok(found)
}
