//! What every client did and saw. Each event is checked when it is added, against all that was added before.
//!
//! The rules are in [`crate::check`]; here is what an event touches, and what the end of a life makes uncertain: a kill and
//! a clean stop nothing, a power cut an unflushed tail unless the node flushes before it acknowledges.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::check::commits::{CommitKey, CommitSnapshot, CommitToken, Commits};
use crate::check::configs::{ConfigKey, ConfigToken, Configs};
use crate::check::groups::{Assignment, Groups};
use crate::check::log::{PartitionLog, SeenRecord, Written};
use crate::check::topics::{Deletion, Topics};
use crate::check::violation::Violation;
use crate::check::watermarks::{Ends, Floors};
use crate::marked_record::{MarkedRecord, RecordId};

/// More would not help anybody.
const MAX_VIOLATIONS: usize = 100;

/// How a life of the node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeEnd {
    /// The process died; the machine went on.
    Kill,
    /// The power went.
    PowerCut,
    /// The node was asked to stop.
    CleanStop,
}

/// A partition of one topic id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The topic.
    pub topic: Uuid,
    /// The partition's index.
    pub index: i32,
}

/// A fetch's answer for one partition.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The offset that was asked for.
    pub from: i64,
    /// The ends.
    pub ends: Ends,
    /// The records from there on.
    pub records: Vec<SeenRecord>,
    /// Where the next fetch goes on: behind the last batch, or `from`.
    pub next: i64,
}

/// How much was done, so that a run that did nothing is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records sent for the first time or again.
    pub sent: u64,
    /// Records acknowledged.
    pub acked: u64,
    /// Records refused.
    pub refused: u64,
    /// Records read.
    pub read: u64,
    /// Commits acknowledged.
    pub commits: u64,
    /// Commits read.
    pub commits_read: u64,
    /// Assignments received.
    pub assignments: u64,
    /// Topic ids seen.
    pub topics: u64,
}

#[derive(Clone, Debug, Default)]
struct Partition {
    log: PartitionLog,
    floors: Floors,
}

/// Everything that was done and seen in a seed.
#[derive(Debug, Default)]
pub struct History {
    is_flushed: bool,
    life: u32,
    producers: u32,
    partitions: BTreeMap<PartitionId, Partition>,
    topics: Topics,
    configs: Configs,
    commits: Commits,
    groups: Groups,
    counts: Counts,
    violations: Vec<Violation>,
}

impl History {
    /// An empty history of a node that flushes before it acknowledges, or not.
    pub fn new(is_flushed: bool) -> History {
        History {
            is_flushed,
            ..History::default()
        }
    }

    /// The node's life ended.
    pub fn life_ended(&mut self, how: LifeEnd, _at_ms: i64) {
        self.life += 1;
        if how != LifeEnd::PowerCut || self.is_flushed {
            return;
        }
        for partition in self.partitions.values_mut() {
            partition.log.may_have_lost_a_tail(self.life);
            partition.floors = Floors::default();
        }
        self.commits.may_have_fallen_back();
        self.groups.may_have_fallen_back();
    }

    /// What was wrong, in the order in which it was seen.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How much was done.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Adds what a client found wrong by itself.
    pub fn violated(&mut self, violation: Violation) {
        self.add(vec![violation]);
    }

    fn add(&mut self, violations: Vec<Violation>) {
        let room = MAX_VIOLATIONS.saturating_sub(self.violations.len());
        self.violations.extend(violations.into_iter().take(room));
    }

    // Topics.

    /// A topic was named with its id.
    pub fn topic_seen(&mut self, name: &str, id: Uuid, partitions: i32) {
        let mut out = Vec::new();
        if self.topics.seen(name, id, partitions, &mut out) {
            self.counts.topics += 1;
        }
        self.add(out);
    }

    /// A topic's deletion is about to be sent.
    pub fn topic_deletion_sent(&mut self, id: Uuid) {
        self.topics.deleted(id, Deletion::Sent);
        self.commits.topic_deleted(id);
    }

    /// A topic's deletion was acknowledged.
    pub fn topic_deletion_acked(&mut self, id: Uuid) {
        self.topics.deleted(id, Deletion::Acked);
    }

    /// All topics that were seen.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The node at rest has the topics `there`.
    pub fn topics_at_rest(&mut self, there: &[(String, Uuid)]) {
        let mut out = Vec::new();
        self.topics.check_at_rest(there, &mut out);
        self.add(out);
    }

    /// A topic of this id was created with a value of a key.
    pub fn config_created(&mut self, key: ConfigKey, value: &str) {
        self.configs.created(key, value);
    }

    /// A key's change is about to be sent.
    pub fn config_sent(&mut self, key: ConfigKey, value: &str) -> ConfigToken {
        self.configs.sent(key, value)
    }

    /// A key's change was answered: done, or refused.
    pub fn config_answered(&mut self, token: ConfigToken, is_done: bool) {
        if is_done {
            self.configs.acked(token);
        } else {
            self.configs.refused(token);
        }
    }

    /// What was done to settings.
    pub fn configs(&self) -> &Configs {
        &self.configs
    }

    /// The node at rest says what a key's value is.
    pub fn config_at_rest(&mut self, key: ConfigKey, found: Option<&str>) {
        let mut out = Vec::new();
        self.configs.check_at_rest(key, found, &mut out);
        self.add(out);
    }

    /// From now on the cleaner may work on the topic.
    pub fn may_be_compacted(&mut self, topic: Uuid, partitions: i32) {
        for index in 0..partitions {
            self.partition(PartitionId { topic, index })
                .log
                .removal
                .is_compacted = true;
        }
    }

    /// From now on retention may delete from the topic.
    pub fn may_be_retained_short(&mut self, topic: Uuid, partitions: i32) {
        for index in 0..partitions {
            self.partition(PartitionId { topic, index })
                .log
                .removal
                .has_retention = true;
        }
    }

    /// DeleteRecords is about to be sent.
    pub fn delete_records_sent(&mut self, partition: PartitionId, offset: i64) {
        let removal = &mut self.partition(partition).log.removal;
        removal.deleted_to = removal.deleted_to.max(offset);
    }

    // Records.

    /// Numbers a producer, or the next life of one that lost its sequence numbers.
    pub fn new_producer(&mut self) -> u32 {
        self.producers += 1;
        self.producers
    }

    /// A record is about to be sent, for the first time or again.
    pub fn record_sent(&mut self, partition: PartitionId, record: &MarkedRecord, is_ordered: bool) {
        self.counts.sent += 1;
        let written = Written {
            key: record.key.as_ref().map(|key| key.to_vec()),
            is_tombstone: record.value.is_none(),
            checksum: record.checksum(),
            is_ordered,
        };
        let life = self.life;
        self.partition(partition).log.sent(record.id, written, life);
    }

    /// A batch of records was acknowledged. `base_offset` is left out where the broker only knows a duplicate; `by_all`
    /// says that all replicas were asked for.
    pub fn batch_acked(
        &mut self,
        partition: PartitionId,
        records: &[RecordId],
        base_offset: Option<i64>,
        by_all: bool,
    ) {
        let (life, mut out) = (self.life, Vec::new());
        self.counts.acked += records.len() as u64;
        let known = self.partition(partition);
        let mut offset = base_offset;
        for id in records {
            known.log.acked(*id, offset, life, &mut out);
            offset = offset.map(|offset| offset + 1);
        }
        if let Some(end) = offset.filter(|_| by_all) {
            known.floors.acked_to(end);
        }
        self.add(out);
    }

    /// A batch of records was refused with an error that says that nothing was appended by this attempt.
    pub fn batch_refused(&mut self, partition: PartitionId, records: &[RecordId]) {
        let mut out = Vec::new();
        self.counts.refused += records.len() as u64;
        let known = self.partition(partition);
        for id in records {
            known.log.refused(*id, &mut out);
        }
        self.add(out);
    }

    /// A sound batch was refused for something that it is not.
    pub fn batch_slandered(&mut self, partition: PartitionId, code: &str) {
        let what = format!(
            "{} refuses a sound batch with {code}",
            self.partition(partition).log.name()
        );
        self.violated(Violation::new("G11", "false-alarm", what));
    }

    /// The first open batch of an idempotent producer was refused for its sequence number: the node forgot what it had
    /// acknowledged.
    pub fn sequence_refused(&mut self, partition: PartitionId, producer: u32, sequence: i32) {
        let log = &self.partition(partition).log;
        if !log.may_have_lost_records() {
            let what = format!(
                "{} refuses producer {producer} at sequence {sequence}, all before was acknowledged",
                log.name()
            );
            self.violated(Violation::new("G5", "lost-sequence", what));
        }
    }

    /// What a request that is sent now must find.
    pub fn floors(&mut self, partition: PartitionId) -> Floors {
        self.partition(partition).floors
    }

    /// An answer named a partition's ends.
    pub fn ends_seen(&mut self, partition: PartitionId, at_send: Floors, ends: Ends) {
        let mut out = Vec::new();
        let Partition { log, floors } = self.partition(partition);
        floors.seen(log.name(), at_send, ends, log.removal, &mut out);
        self.add(out);
    }

    /// A fetch was answered with records or without.
    pub fn fetched(&mut self, partition: PartitionId, at_send: Floors, fetched: &Fetched) {
        let (life, mut out) = (self.life, Vec::new());
        self.counts.read += fetched.records.len() as u64;
        let Partition { log, floors } = self.partition(partition);
        floors.seen(log.name(), at_send, fetched.ends, log.removal, &mut out);
        if let (Some(last), Some(high)) = (fetched.records.last(), fetched.ends.high_watermark)
            && last.offset >= high
        {
            let what = format!("{} gave {} at high watermark {high}", log.name(), last.offset);
            out.push(Violation::new("G3", "dirty-read", what));
        }
        for record in &fetched.records {
            log.seen(*record, life, &mut out);
        }
        log.check_range(fetched.from, fetched.next, &fetched.records, &mut out);
        self.add(out);
    }

    /// A fetch within what was known to be there was refused as out of range.
    pub fn fetch_out_of_range(&mut self, partition: PartitionId, at_send: Floors, from: i64) {
        let Partition { log, floors } = self.partition(partition);
        let is_removed = log.removal.has_retention || from < log.removal.deleted_to.max(floors.log_start);
        if from <= at_send.high_watermark && !is_removed {
            let high = at_send.high_watermark;
            let what = format!(
                "{} refuses offset {from} though high watermark {high} was seen",
                log.name()
            );
            self.violated(Violation::new("G4", "high-watermark-regression", what));
        }
    }

    /// A partition was read from `start` to `end` at rest.
    pub fn partition_at_rest(&mut self, partition: PartitionId, start: i64, end: i64) {
        let mut out = Vec::new();
        self.partition(partition).log.check_at_rest(start, end, &mut out);
        self.add(out);
    }

    fn partition(&mut self, id: PartitionId) -> &mut Partition {
        let topics = &self.topics;
        self.partitions.entry(id).or_insert_with(|| {
            let name = topics.get(id.topic).map_or("?", |topic| topic.name.as_str());
            let short = id.topic.simple().to_string();
            Partition {
                log: PartitionLog::new(format!(
                    "{name}-{} ({})",
                    id.index,
                    short.get(..8).unwrap_or_default()
                )),
                floors: Floors::default(),
            }
        })
    }

    // Groups.

    /// A commit is about to be sent; `None` deletes. The generation is -1 for one without members.
    pub fn commit_sent(&mut self, key: &CommitKey, value: Option<i64>, generation: i32) -> CommitToken {
        self.commits.sent(key, value, generation, self.life)
    }

    /// It was acknowledged.
    pub fn commit_acked(&mut self, key: &CommitKey, token: CommitToken) {
        self.counts.commits += 1;
        self.commits.acked(key, token);
    }

    /// It was refused with an error that says that nothing was committed.
    pub fn commit_refused(&mut self, key: &CommitKey, token: CommitToken) {
        self.commits.refused(key, token);
    }

    /// What a fetch of a committed offset that is sent now may give.
    pub fn commit_snapshot(&self, key: &CommitKey) -> CommitSnapshot {
        self.commits.snapshot(key)
    }

    /// A committed offset was fetched.
    pub fn commit_fetched(&mut self, key: &CommitKey, snapshot: &CommitSnapshot, value: Option<i64>) {
        let mut out = Vec::new();
        self.counts.commits_read += 1;
        self.commits.fetched(key, snapshot, value, &mut out);
        self.add(out);
    }

    /// Every group, topic and partition that was ever committed for.
    pub fn commit_keys(&self) -> Vec<CommitKey> {
        self.commits.keys().cloned().collect()
    }

    /// The newest generation that is known to have begun.
    pub fn stable_generation(&self, group: &str) -> i32 {
        self.groups.stable_generation(group)
    }

    /// A member joined; `floor` was the stable generation when it asked.
    pub fn joined(&mut self, group: &str, generation: i32, floor: i32) {
        let mut out = Vec::new();
        let may_be_forgotten = !self.commits.has_acked(group);
        self.groups
            .joined(group, generation, floor, may_be_forgotten, &mut out);
        self.add(out);
    }

    /// A member got its assignment.
    pub fn assigned(&mut self, group: &str, generation: i32, member: &str, assignment: &Assignment) {
        let mut out = Vec::new();
        self.counts.assignments += 1;
        let may_be_forgotten = !self.commits.has_acked(group);
        self.groups
            .assigned(group, generation, member, assignment, may_be_forgotten, &mut out);
        self.add(out);
    }

    /// A member's commit or heartbeat was accepted; `floor` was the stable generation when it was sent.
    pub fn accepted(&mut self, group: &str, what: &str, generation: i32, floor: i32) {
        let mut out = Vec::new();
        self.groups.accepted(group, what, generation, floor, &mut out);
        self.add(out);
    }
}
