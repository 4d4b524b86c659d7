//! What a connection asks next, and what it makes of an answer.
//!
//! Knows nothing of sockets and takes the time as an argument. One file for all workloads, because they differ in little
//! more than this.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::answers::{self, Found};
use super::error::Malformed;
use super::requests::Frame;
use super::tally::{Period, Tally};

/// Kafka's default `retry.backoff.ms`: asking at once again would take the broker's time from what is waited for.
const RETRY_BACKOFF: Duration = Duration::from_millis(100);

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const LEADER_NOT_AVAILABLE: i16 = 5;
const NOT_LEADER_OR_FOLLOWER: i16 = 6;

/// What one connection does.
#[derive(Debug)]
pub enum Script {
    /// Produces to its partitions in turn, until the time is up.
    Produce(Produce),
    /// Produces to each of its partitions once.
    ProduceOnce(Produce),
    /// Reads its partitions again and again.
    Fetch(Vec<Cursor>, Frame),
    /// Asks the same again and again.
    Metadata(Frame),
    /// Produces what another connection of the same pair waits for.
    Send(Produce, usize),
    /// Waits for what the other connection of its pair produces.
    Arrive(Cursor, Frame, usize),
}

/// A batch and where it goes.
#[derive(Debug)]
pub struct Produce {
    /// One for each topic.
    pub frames: Vec<Frame>,
    /// Which of the frames, and the partition.
    pub targets: Vec<(usize, i32)>,
    /// The next target's place.
    pub turn: usize,
    /// Records in the batch.
    pub records: u64,
    /// Bytes of the batch.
    pub bytes: u64,
    /// Whether the broker answers: not with `acks=0`.
    pub answered: bool,
    /// Nothing is sent until then, as the broker did not lead a partition yet.
    pub rests_until: Option<Instant>,
}

/// A place in a partition.
#[derive(Clone, Debug)]
pub struct Cursor {
    /// The partition's number.
    pub partition: i32,
    /// Where it begins, and begins again.
    pub from: i64,
    /// Where it ends.
    pub end: i64,
    /// Where it is.
    pub offset: i64,
    /// Whether an answer about it is awaited.
    pub busy: bool,
}

/// What was sent on one connection and is awaited on another: since when each is due, in order.
pub type InTransit = VecDeque<Instant>;

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// When it was due.
    pub due: Instant,
    /// The script's own number for it: a target or a cursor.
    pub slot: usize,
}

/// The moment of an answer, and what it is counted in.
#[derive(Debug)]
pub struct Counting<'a> {
    /// What counts.
    pub period: &'a Period,
    /// When the answer was read.
    pub now: Instant,
    /// Where it is counted.
    pub tally: &'a mut Tally,
}

impl Script {
    /// Whether it could send now, if as many are in flight.
    pub fn has_next(&self, in_flight: usize, limit: usize, transit: &[InTransit]) -> bool {
        in_flight < limit
            && match self {
                Script::Produce(_) | Script::Metadata(_) => true,
                Script::ProduceOnce(produce) => produce.turn < produce.targets.len(),
                Script::Fetch(cursors, _) => cursors.iter().any(|cursor| !cursor.busy),
                Script::Send(_, pair) => transit.get(*pair).is_none_or(|transit| transit.len() < limit),
                Script::Arrive(cursor, ..) => !cursor.busy,
            }
    }

    /// The next request and the script's number for it; none if it has none.
    pub fn next(&mut self, due: Instant, transit: &mut [InTransit]) -> Option<(&mut Frame, usize)> {
        match self {
            Script::Produce(produce) => produce.next(),
            Script::ProduceOnce(produce) => produce.next_once(),
            Script::Metadata(frame) => Some((frame, 0)),
            Script::Fetch(cursors, frame) => {
                let slot = cursors.iter().position(|cursor| !cursor.busy)?;
                Some((cursors.get_mut(slot)?.ask(frame), slot))
            }
            Script::Send(produce, pair) => {
                transit.get_mut(*pair)?.push_back(due);
                produce.next()
            }
            Script::Arrive(cursor, frame, _) => Some((cursor.ask(frame), 0)),
        }
    }

    /// Whether the broker answers its requests.
    pub fn is_answered(&self) -> bool {
        match self {
            Script::Produce(produce) | Script::ProduceOnce(produce) | Script::Send(produce, _) => {
                produce.answered
            }
            Script::Fetch(..) | Script::Metadata(_) | Script::Arrive(..) => true,
        }
    }

    /// Whether it ends by itself, rather than with the time.
    pub fn ends_by_itself(&self) -> bool {
        matches!(self, Script::ProduceOnce(_))
    }

    /// Whether it only waits for what another connection sends.
    pub fn only_listens(&self) -> bool {
        matches!(self, Script::Arrive(..))
    }

    /// When it goes on, if the broker was not ready for it.
    pub fn rests_until(&self) -> Option<Instant> {
        match self {
            Script::ProduceOnce(produce) => produce.rests_until,
            Script::Produce(_)
            | Script::Fetch(..)
            | Script::Metadata(_)
            | Script::Send(..)
            | Script::Arrive(..) => None,
        }
    }

    /// It goes on.
    pub fn end_rest(&mut self) {
        if let Script::ProduceOnce(produce) = self {
            produce.rests_until = None;
        }
    }

    /// The pair of connections that it belongs to.
    pub fn pair(&self) -> Option<usize> {
        match self {
            Script::Send(_, pair) | Script::Arrive(_, _, pair) => Some(*pair),
            Script::Produce(_) | Script::ProduceOnce(_) | Script::Fetch(..) | Script::Metadata(_) => None,
        }
    }

    /// A request without an answer has left.
    pub fn left(&self, sent: Sent, counting: &mut Counting<'_>) {
        match self {
            Script::Produce(produce) | Script::ProduceOnce(produce) => produce.count(sent, counting),
            Script::Send(..) | Script::Fetch(..) | Script::Metadata(_) | Script::Arrive(..) => {}
        }
    }

    /// Counts an answer and takes from it what the next request needs.
    ///
    /// # Errors
    /// If it is none to this request.
    pub fn answered(
        &mut self,
        answer: &[u8],
        sent: Sent,
        transit: &mut [InTransit],
        counting: &mut Counting<'_>,
    ) -> Result<(), Malformed> {
        match self {
            Script::Produce(produce) => {
                let found = answers::produce(answer)?;
                counting.tally.note_errors(&found.errors);
                if found.errors.is_empty() {
                    produce.count_answer(&found, sent, counting);
                }
            }
            Script::ProduceOnce(produce) => produce.answered_once(&answers::produce(answer)?, sent, counting),
            Script::Metadata(_) => {
                let found = answers::metadata(answer)?;
                counting.tally.note_errors(&found.errors);
                if found.errors.is_empty() {
                    let Counting { period, now, tally } = counting;
                    tally.answered(period, sent.due, *now, 0, found.bytes);
                }
            }
            Script::Fetch(cursors, _) => {
                let found = answers::fetch(answer)?;
                if let Some(cursor) = cursors.get_mut(sent.slot) {
                    cursor.fetched(&found, sent, counting);
                }
            }
            Script::Send(_, pair) => {
                let found = answers::produce(answer)?;
                counting.tally.note_errors(&found.errors);
                // What was refused never arrives.
                if let Some(transit) = transit.get_mut(*pair).filter(|_| !found.errors.is_empty())
                    && let Some(place) = transit.iter().position(|due| *due == sent.due)
                {
                    transit.remove(place);
                }
            }
            Script::Arrive(cursor, _, pair) => {
                let found = answers::fetch(answer)?;
                if let Some(transit) = transit.get_mut(*pair) {
                    cursor.arrived(&found, transit, counting)?;
                }
            }
        }
        Ok(())
    }
}

impl Produce {
    fn next(&mut self) -> Option<(&mut Frame, usize)> {
        let slot = self.turn;
        self.turn = (self.turn + 1) % self.targets.len().max(1);
        self.frame(slot)
    }

    fn next_once(&mut self) -> Option<(&mut Frame, usize)> {
        let slot = self.turn;
        self.turn += 1;
        self.frame(slot)
    }

    fn frame(&mut self, slot: usize) -> Option<(&mut Frame, usize)> {
        let (frame, partition) = *self.targets.get(slot)?;
        let frame = self.frames.get_mut(frame)?;
        frame.set_partition(partition);
        Some((frame, slot))
    }

    fn count(&self, sent: Sent, counting: &mut Counting<'_>) {
        let Counting { period, now, tally } = counting;
        tally.answered(period, sent.due, *now, self.records, self.bytes);
    }

    /// An answer that names no partition is short: nobody knows what became of the records.
    fn count_answer(&self, found: &Found, sent: Sent, counting: &mut Counting<'_>) {
        match found.base_offset {
            Some(_) => self.count(sent, counting),
            None => counting.tally.short_answers += 1,
        }
    }

    /// Apache Kafka answers CreateTopics before it leads the partitions.
    fn answered_once(&mut self, found: &Found, sent: Sent, counting: &mut Counting<'_>) {
        let not_yet = |code: &i16| {
            [
                UNKNOWN_TOPIC_OR_PARTITION,
                LEADER_NOT_AVAILABLE,
                NOT_LEADER_OR_FOLLOWER,
            ]
            .contains(code)
        };
        if found.errors.is_empty() {
            self.count_answer(found, sent, counting);
        } else if found.errors.iter().all(not_yet) && counting.now < counting.period.until {
            counting.tally.retried += 1;
            self.rests_until = Some(counting.now + RETRY_BACKOFF);
            if let Some(target) = self.targets.get(sent.slot).copied() {
                self.targets.push(target);
            }
        } else {
            counting.tally.note_errors(&found.errors);
        }
    }
}

impl Cursor {
    /// At the beginning of what it reads.
    pub fn new(partition: i32, from: i64, end: i64) -> Self {
        Self {
            partition,
            from,
            end,
            offset: from,
            busy: false,
        }
    }

    fn ask<'a>(&mut self, frame: &'a mut Frame) -> &'a mut Frame {
        self.busy = true;
        frame.set_partition(self.partition);
        frame.set_offset(self.offset);
        frame
    }

    fn fetched(&mut self, found: &Found, sent: Sent, counting: &mut Counting<'_>) {
        self.busy = false;
        let Counting { period, now, tally } = counting;
        tally.note_errors(&found.errors);
        match found.next_offset {
            _ if !found.errors.is_empty() => self.offset = self.from,
            None => tally.short_answers += 1,
            Some(next) => {
                self.offset = if next >= self.end { self.from } else { next };
                tally.answered(period, sent.due, *now, found.records, found.bytes);
            }
        }
    }

    fn arrived(
        &mut self,
        found: &Found,
        transit: &mut InTransit,
        counting: &mut Counting<'_>,
    ) -> Result<(), Malformed> {
        self.busy = false;
        let Counting { period, now, tally } = counting;
        tally.note_errors(&found.errors);
        let Some((base, next)) = found.base_offset.zip(found.next_offset) else {
            return Ok(());
        };
        if base != self.offset {
            return Err(Malformed::Offset {
                expected: self.offset,
                found: base,
            });
        }
        self.offset = next;
        let batches = found.batches.max(1);
        for _ in 0..batches {
            let due = transit.pop_front().ok_or(Malformed::Unasked)?;
            tally.answered(period, due, *now, found.records / batches, found.bytes / batches);
        }
        Ok(())
    }
}
