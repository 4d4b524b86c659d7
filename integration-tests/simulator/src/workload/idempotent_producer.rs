//! A producer with sequence numbers: several batches in flight on several partitions, sent again with the same numbers until
//! their outcome is known, through lost connections and deaths of the node.
//!
//! Its rules are those of Kafka's Java producer, but for one: where Kafka's would give the open batches new numbers after the
//! broker lost its state, this one drops them with their outcome unknown, so that a duplicate is always the broker's.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest, ProducerId};
use protocol_compat::error_code::ErrorCode;
use tokio::time::sleep;
use uuid::Uuid;

use super::batches;
use super::outcomes::{self, Outcome};
use super::produce::{self, Style};
use super::topics::{self, Topic};
use crate::check::violation::Violation;
use crate::client::{Client, Failure};
use crate::history::PartitionId;
use crate::marked_record::{MarkedRecord, RecordId};
use crate::rng::Rng;
use crate::world::{Actor, Phase, World};

const INIT_PRODUCER_ID_VERSION: i16 = 4;
/// Kafka keeps the numbers of five batches to know a duplicate by.
const MAX_OPEN: usize = 5;
/// Rounds without any progress after which the topic is looked up again.
const ROUNDS_UNTIL_LOOK_UP: u32 = 5;
/// Rounds without any progress on a healthy node that are a finding.
const HEALTHY_ROUNDS: u32 = 100;

/// The producer.
pub struct IdempotentProducer {
    name: String,
    topic: Topic,
    style: Style,
    rng: Rng,
    /// Batches that are still to be made.
    left: u32,
    session: Option<Session>,
    rounds_in_vain: u32,
}

/// A producer id and all that is numbered under it.
struct Session {
    producer: u32,
    producer_id: i64,
    epoch: i16,
    topic_id: Uuid,
    next_number: u32,
    lanes: BTreeMap<i32, Lane>,
    /// The broker refused in a way that numbers cannot mend.
    is_over: bool,
}

/// One partition's row of batches without a known outcome.
#[derive(Default)]
struct Lane {
    next_sequence: i32,
    open: VecDeque<Batch>,
}

struct Batch {
    base_sequence: i32,
    records: Vec<MarkedRecord>,
    made_at_ms: i64,
    attempts: u32,
    /// A later batch was acknowledged.
    is_passed: bool,
}

impl Lane {
    /// Whether the batch at `at` is the next for the node, or the last that it has: it must know it then. What stands
    /// further back it may have forgotten, for a start from a snapshot, as in Kafka, brings back the last batch alone.
    fn must_be_next_or_last(&self, at: usize) -> bool {
        let Some(batch) = self.open.get(at) else {
            return false;
        };
        let was_followed = batch.is_passed || self.open.iter().skip(1).any(|later| later.attempts > 1);
        at == 0 && (batch.attempts == 1 || !was_followed)
    }
}

impl IdempotentProducer {
    /// A producer of `batches` batches to `topic`.
    pub fn new(name: String, topic: Topic, batches: u32, mut rng: Rng) -> IdempotentProducer {
        IdempotentProducer {
            name,
            style: Style::chosen(&topic, &mut rng),
            topic,
            rng,
            left: batches,
            session: None,
            rounds_in_vain: 0,
        }
    }

    async fn work(&mut self, world: &World) {
        let mut client = Client::new(world, &self.name);
        // What was in vain in an earlier life says nothing about this node.
        self.rounds_in_vain = 0;
        loop {
            let is_healing = world.phase() == Phase::Healing;
            if is_healing {
                self.left = 0;
            }
            let open = self.session.as_ref().map_or(0, Session::open_batches);
            if self.left == 0 && open == 0 {
                return;
            }
            if is_healing && self.rounds_in_vain > HEALTHY_ROUNDS {
                let what = format!("{} cannot finish {open} batches on a healthy node", self.name);
                world
                    .history()
                    .borrow_mut()
                    .violated(Violation::new("G12", "unavailable", what));
                return;
            }
            self.rounds_in_vain += 1;
            let pause_ms = match self.round(&mut client, world).await {
                Ok(()) => self.rng.below(80),
                Err(_) => self.rng.between(50, 400),
            };
            if self.rng.chance(20) {
                client.disconnect();
            }
            sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    async fn round(&mut self, client: &mut Client, world: &World) -> Result<(), Failure> {
        if self.session.is_none() || self.rounds_in_vain.is_multiple_of(ROUNDS_UNTIL_LOOK_UP) {
            self.begin(client, world).await?;
        }
        let Some(session) = &mut self.session else {
            return Err(Failure::NotSent);
        };
        session.fill(
            &self.topic,
            &self.style,
            &mut self.rng,
            &mut self.left,
            world.now_ms(),
        );
        let open = session.open_batches();
        let result = session.exchange(&self.topic, &self.style, client, world).await;
        if session.open_batches() < open {
            self.rounds_in_vain = 0;
        }
        if session.is_over {
            world.trace(format_args!(
                "{} gives up producer id {}",
                self.name, session.producer_id
            ));
            self.session = None;
        }
        result
    }

    /// Finds the topic again, and takes a producer id where there is none for it.
    async fn begin(&mut self, client: &mut Client, world: &World) -> Result<(), Failure> {
        let found = topics::id_of(client, world, &self.topic).await?;
        if self
            .session
            .as_ref()
            .is_some_and(|session| Some(session.topic_id) != found)
        {
            self.session = None;
        }
        let Some(topic_id) = found.filter(|_| self.session.is_none()) else {
            return Ok(());
        };
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let answer = client.call(INIT_PRODUCER_ID_VERSION, &request).await?;
        if answer.error_code != 0 {
            return Err(Failure::Unknown);
        }
        let producer = world.history().borrow_mut().new_producer();
        world.trace(format_args!(
            "{} is producer {producer} with id {} and {:?}",
            self.name, answer.producer_id.0, self.style
        ));
        self.session = Some(Session {
            producer,
            producer_id: answer.producer_id.0,
            epoch: answer.producer_epoch,
            topic_id,
            next_number: 0,
            lanes: BTreeMap::new(),
            is_over: false,
        });
        Ok(())
    }
}

impl Session {
    fn open_batches(&self) -> usize {
        self.lanes.values().map(|lane| lane.open.len()).sum()
    }

    /// Makes new batches where there is room.
    fn fill(&mut self, topic: &Topic, style: &Style, rng: &mut Rng, left: &mut u32, now_ms: i64) {
        for _ in 0..rng.between(1, 4) {
            let lane = self
                .lanes
                .entry(rng.below(topic.partitions as u64) as i32)
                .or_default();
            if *left == 0 || lane.open.len() >= MAX_OPEN {
                continue;
            }
            *left -= 1;
            let count = style.batch_size(rng);
            let mut records = Vec::with_capacity(count);
            for _ in 0..count {
                let id = RecordId {
                    producer: self.producer,
                    number: self.next_number,
                };
                self.next_number += 1;
                records.push(style.record(id, rng));
            }
            let base_sequence = lane.next_sequence;
            lane.next_sequence += count as i32;
            lane.open.push_back(Batch {
                base_sequence,
                records,
                made_at_ms: now_ms,
                attempts: 0,
                is_passed: false,
            });
        }
    }

    /// Sends all that is open, the n-th batches of all partitions in the n-th request, and takes the answers.
    async fn exchange(
        &mut self,
        topic: &Topic,
        style: &Style,
        client: &mut Client,
        world: &World,
    ) -> Result<(), Failure> {
        let depth = self.lanes.values().map(|lane| lane.open.len()).max().unwrap_or(0);
        let mut sent: Vec<BTreeMap<i32, i32>> = Vec::new();
        for row in 0..depth {
            let (request, base_sequences) = self.request(row, topic, style, world);
            client.send(style.version, &request, true).await?;
            sent.push(base_sequences);
        }
        for base_sequences in sent {
            let response = client.receive::<ProduceRequest>(style.version).await?;
            let answers = produce::answers(&response);
            for (index, base_sequence) in base_sequences {
                let partition = topic.partition(self.topic_id, index);
                if let Some((code, base_offset)) = answers.get(&index) {
                    self.answered(partition, base_sequence, *code, *base_offset, world);
                }
            }
        }
        Ok(())
    }

    fn request(
        &mut self,
        row: usize,
        topic: &Topic,
        style: &Style,
        world: &World,
    ) -> (ProduceRequest, BTreeMap<i32, i32>) {
        let mut history = world.history().borrow_mut();
        let (mut data, mut base_sequences) = (Vec::new(), BTreeMap::new());
        for (index, lane) in &mut self.lanes {
            let Some(batch) = lane.open.get_mut(row) else {
                continue;
            };
            batch.attempts += 1;
            for record in &batch.records {
                history.record_sent(topic.partition(self.topic_id, *index), record, true);
            }
            let numbers = (self.producer_id, self.epoch, batch.base_sequence);
            let bytes = batches::batch(&batch.records, style.codec, Some(numbers), batch.made_at_ms);
            data.push((*index, bytes));
            base_sequences.insert(*index, batch.base_sequence);
        }
        let request = produce::request(topic, self.topic_id, -1, data, style.version);
        (request, base_sequences)
    }

    fn answered(
        &mut self,
        partition: PartitionId,
        base_sequence: i32,
        code: ErrorCode,
        base_offset: i64,
        world: &World,
    ) {
        let Some(lane) = self.lanes.get_mut(&partition.index) else {
            return;
        };
        let Some(at) = lane
            .open
            .iter()
            .position(|batch| batch.base_sequence == base_sequence)
        else {
            return;
        };
        let Some(batch) = lane.open.get(at) else {
            return;
        };
        let ids: Vec<RecordId> = batch.records.iter().map(|record| record.id).collect();
        let mut history = world.history().borrow_mut();
        if code != ErrorCode::None {
            let index = partition.index;
            world.trace(format_args!(
                "producer {} partition {index} sequence {base_sequence}: {}",
                self.producer,
                code.name()
            ));
        }
        if outcomes::slanders_the_batch(code) {
            history.batch_slandered(partition, code.name());
        }
        match outcomes::of_produce(code) {
            Outcome::Acked => {
                let known = Some(base_offset).filter(|offset| code == ErrorCode::None && *offset >= 0);
                history.batch_acked(partition, &ids, known, true);
                lane.open.remove(at);
                lane.open
                    .iter_mut()
                    .take(at)
                    .for_each(|earlier| earlier.is_passed = true);
            }
            Outcome::Refused => {
                history.batch_refused(partition, &ids);
                // Behind a batch that did not come through, the numbers do not fit: that one is sent again first.
                self.is_over |= at == 0 || code != ErrorCode::OutOfOrderSequenceNumber;
                if code == ErrorCode::OutOfOrderSequenceNumber && lane.must_be_next_or_last(at) {
                    history.sequence_refused(partition, self.producer, base_sequence);
                }
            }
            Outcome::Unknown => {}
        }
    }
}

impl Actor for IdempotentProducer {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn live<'a>(&'a mut self, world: World) -> LocalBoxFuture<'a, ()> {
        Box::pin(async move { self.work(&world).await })
    }
}
