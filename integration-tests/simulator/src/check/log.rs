//! What one partition must hold, from everything that was sent, acknowledged and read, and what contradicts it.
//!
//! An offset has one record and a record one offset for ever. After a power cut without flushing the log may have lost a
//! tail and nothing else: what was there before is *uncertain* until a later sight proves a prefix kept or a tail lost, and
//! both at once is a hole. What may be missing for other reasons (retention, deletion, compaction) is decided in
//! [`super::removal`].

use std::collections::BTreeMap;

use super::removal::Removal;
use super::violation::Violation;
use crate::marked_record::RecordId;

/// What a producer said of a record.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Whether it has no value.
    pub is_tombstone: bool,
    /// Its checksum.
    pub checksum: u32,
    /// Whether its producer is idempotent: order within the partition is then promised.
    pub is_ordered: bool,
}

/// What is known of a record's way into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Sent, and it may or may not be there.
    Open,
    /// Acknowledged.
    Acked,
    /// Every attempt was refused.
    Refused,
    /// Acknowledged and then lost with an unflushed tail, which the default mode allows.
    Lost,
}

#[derive(Clone, Debug)]
struct Record {
    written: Written,
    fate: Fate,
    /// Attempts that may still have done something.
    attempts: u32,
    sent_in_life: u32,
    acked_in_life: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: RecordId,
    /// The life in which it was last known to be there.
    life: u32,
}

/// A power cut that may have taken a tail.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// The first life after it.
    since: u32,
    /// All below was kept.
    kept_below: i64,
    /// All from here was lost.
    lost_from: i64,
}

/// A record that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenRecord {
    /// Where.
    pub offset: i64,
    /// Which.
    pub id: RecordId,
    /// Its checksum, which its bytes have.
    pub checksum: u32,
}

/// One partition of one topic id.
#[derive(Clone, Debug, Default)]
pub struct PartitionLog {
    name: String,
    /// What may take records away.
    pub removal: Removal,
    records: BTreeMap<RecordId, Record>,
    entries: BTreeMap<i64, Entry>,
    places: BTreeMap<RecordId, i64>,
    by_key: BTreeMap<Vec<u8>, Vec<RecordId>>,
    /// One behind the other.
    cuts: Vec<Cut>,
}

impl PartitionLog {
    /// An empty log; the name is for people.
    pub fn new(name: String) -> PartitionLog {
        PartitionLog {
            name,
            ..PartitionLog::default()
        }
    }

    /// Its name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A producer sends a record, for the first time or again.
    pub fn sent(&mut self, id: RecordId, written: Written, life: u32) {
        if let Some(record) = self.records.get_mut(&id) {
            record.attempts += 1;
            record.fate = Fate::Open;
            return;
        }
        if let Some(key) = &written.key {
            self.by_key.entry(key.clone()).or_default().push(id);
        }
        let record = Record {
            written,
            fate: Fate::Open,
            attempts: 1,
            sent_in_life: life,
            acked_in_life: 0,
        };
        self.records.insert(id, record);
    }

    /// An attempt was refused with an error that says that nothing was appended.
    pub fn refused(&mut self, id: RecordId, out: &mut Vec<Violation>) {
        let Some(record) = self.records.get_mut(&id) else {
            return;
        };
        record.attempts = record.attempts.saturating_sub(1);
        if record.attempts > 0 || record.fate != Fate::Open {
            return;
        }
        record.fate = Fate::Refused;
        if let Some(offset) = self.places.get(&id) {
            let what = format!("{id} of {} was refused, but stands at {offset}", self.name);
            out.push(Violation::new("G3", "G1a", what));
        }
    }

    /// A record was acknowledged, at an offset unless the broker only knows that it is a duplicate.
    pub fn acked(&mut self, id: RecordId, offset: Option<i64>, life: u32, out: &mut Vec<Violation>) {
        let Some(record) = self.records.get_mut(&id) else {
            return;
        };
        record.fate = Fate::Acked;
        record.acked_in_life = life;
        if let Some(offset) = offset {
            self.place(offset, id, life, out);
        }
    }

    /// A record was read.
    pub fn seen(&mut self, seen: SeenRecord, life: u32, out: &mut Vec<Violation>) {
        let SeenRecord { offset, id, checksum } = seen;
        let Some(record) = self.records.get(&id) else {
            let what = format!("{} shows {id} at {offset}, which was never sent there", self.name);
            return out.push(Violation::new("G2", "inconsistent-offsets", what));
        };
        if record.written.checksum != checksum {
            let what = format!(
                "{} shows {id} at {offset} with bytes of another record",
                self.name
            );
            out.push(Violation::new("G11", "inconsistent-offsets", what));
        }
        if record.fate == Fate::Refused {
            let what = format!("{} shows {id} at {offset}, which was refused", self.name);
            out.push(Violation::new("G3", "G1a", what));
        }
        self.place(offset, id, life, out);
    }

    /// A power cut that may have taken what was not flushed; `since` is the life after it.
    pub fn may_have_lost_a_tail(&mut self, since: u32) {
        self.cuts.push(Cut {
            since,
            kept_below: 0,
            lost_from: i64::MAX,
        });
    }

    /// Whether a power cut may have taken what was acknowledged.
    pub fn may_have_lost_records(&self) -> bool {
        !self.cuts.is_empty()
    }

    fn is_uncertain(&self, offset: i64, entry: Entry) -> bool {
        let mut cuts = self.cuts.iter();
        cuts.any(|cut| entry.life < cut.since && offset >= cut.kept_below)
    }

    fn place(&mut self, offset: i64, id: RecordId, life: u32, out: &mut Vec<Violation>) {
        if let Some(entry) = self.entries.get_mut(&offset).filter(|entry| entry.id == id) {
            let before = std::mem::replace(&mut entry.life, life);
            return self.kept(offset, before, out);
        }
        self.leave_earlier_place(offset, id, out);
        self.replace_earlier_record(offset, id, out);
        self.check_resurrection(offset, id, out);
        let sent_in_life = self.records.get(&id).map_or(0, |record| record.sent_in_life);
        // What was sent after a cut stands where the log ended then, or behind it.
        let earlier = |cut: &Cut| cut.since <= sent_in_life && cut.lost_from > offset;
        while let Some(cut) = self.cuts.iter().position(earlier) {
            self.lose_in(cut, offset, out);
        }
        self.entries.insert(offset, Entry { id, life });
        self.places.insert(id, offset);
        self.check_order(offset, id, out);
    }

    /// The record stood elsewhere.
    fn leave_earlier_place(&mut self, offset: i64, id: RecordId, out: &mut Vec<Violation>) {
        let Some(earlier) = self.places.get(&id).copied() else {
            return;
        };
        let entry = self.entries.get(&earlier).copied();
        if entry.is_some_and(|entry| self.is_uncertain(earlier, entry)) {
            return self.lose_from(earlier.min(offset), entry.map_or(0, |entry| entry.life), out);
        }
        let what = format!("{id} of {} stands at {earlier} and at {offset}", self.name);
        out.push(Violation::new("G5", "duplicate", what));
    }

    /// Another record stood here.
    fn replace_earlier_record(&mut self, offset: i64, id: RecordId, out: &mut Vec<Violation>) {
        let Some(earlier) = self.entries.get(&offset).copied() else {
            return;
        };
        if self.is_uncertain(offset, earlier) {
            return self.lose_from(offset, earlier.life, out);
        }
        let what = format!("offset {offset} of {} had {} and has {id}", self.name, earlier.id);
        out.push(Violation::new("G2", "inconsistent-offsets", what));
    }

    /// A record that was acknowledged and lost does not come back: its producer does not send it again.
    fn check_resurrection(&self, offset: i64, id: RecordId, out: &mut Vec<Violation>) {
        if self
            .records
            .get(&id)
            .is_some_and(|record| record.fate == Fate::Lost)
        {
            let what = format!("{id} of {} was lost and is back at {offset}", self.name);
            out.push(Violation::new("G2", "inconsistent-offsets", what));
        }
    }

    fn kept(&mut self, offset: i64, seen_in_life: u32, out: &mut Vec<Violation>) {
        let name = &self.name;
        for cut in self.cuts.iter_mut().filter(|cut| seen_in_life < cut.since) {
            cut.kept_below = cut.kept_below.max(offset + 1);
            if cut.kept_below > cut.lost_from {
                let what = format!(
                    "{name} lost {} in a power cut but kept {offset} behind it",
                    cut.lost_from
                );
                out.push(Violation::new("G1", "lost-write", what));
            }
        }
    }

    /// What stood at `offset` and was last seen in `life` is gone: the first cut after that life that can have taken it did.
    fn lose_from(&mut self, offset: i64, life: u32, out: &mut Vec<Violation>) {
        let may_have_taken = |cut: &Cut| life < cut.since && offset >= cut.kept_below;
        if let Some(cut) = self.cuts.iter().position(may_have_taken) {
            self.lose_in(cut, offset, out);
        }
    }

    /// All that was there before the cut with this number, from `offset` on, is gone.
    fn lose_in(&mut self, cut: usize, offset: i64, out: &mut Vec<Violation>) {
        let Some(cut) = self.cuts.get_mut(cut).filter(|cut| offset < cut.lost_from) else {
            return;
        };
        cut.lost_from = offset;
        let cut = *cut;
        if cut.kept_below > offset {
            let kept = cut.kept_below - 1;
            let what = format!(
                "{} lost {offset} in a power cut but kept {kept} behind it",
                self.name
            );
            out.push(Violation::new("G1", "lost-write", what));
        }
        let tail: Vec<(i64, RecordId)> = self
            .entries
            .range(offset..)
            .filter(|(_, entry)| entry.life < cut.since)
            .map(|(offset, entry)| (*offset, entry.id))
            .collect();
        for (offset, id) in tail {
            self.entries.remove(&offset);
            self.places.remove(&id);
            if let Some(record) = self
                .records
                .get_mut(&id)
                .filter(|record| record.fate == Fate::Acked)
            {
                record.fate = Fate::Lost;
            }
        }
    }

    /// Another record of the producer on the wrong side of this one is gone if a power cut may have taken it.
    fn check_order(&mut self, offset: i64, id: RecordId, out: &mut Vec<Violation>) {
        while let Some((other, place)) = self.out_of_order(offset, id) {
            if let Some(entry) = self.entries.get(&place).copied()
                && self.is_uncertain(place, entry)
            {
                self.lose_from(place.min(offset), entry.life, out);
                if self.places.get(&other) != Some(&place) {
                    continue;
                }
            }
            let what = format!("in {}, {id} stands at {offset} and {other} at {place}", self.name);
            return out.push(Violation::new("G5", "nonmonotonic-send", what));
        }
    }

    /// A neighbour in the order of the producer that stands on the wrong side.
    fn out_of_order(&self, offset: i64, id: RecordId) -> Option<(RecordId, i64)> {
        self.records.get(&id).filter(|record| record.written.is_ordered)?;
        let first = RecordId { number: 0, ..id };
        let before = self.places.range(first..id).next_back();
        let after = self.places.range(id..).nth(1);
        let after = after.filter(|(other, _)| other.producer == id.producer);
        let wrong = before
            .filter(|(_, place)| **place > offset)
            .or(after.filter(|(_, place)| **place < offset));
        wrong.map(|(other, place)| (*other, *place))
    }

    /// Whether the cleaner may have removed `id` from `offset`: a later record of its key may be there, or it is a
    /// tombstone, or it has no key.
    fn may_be_cleaned(&self, offset: i64, id: RecordId) -> bool {
        if !self.removal.is_compacted {
            return false;
        }
        let Some(record) = self.records.get(&id) else {
            return false;
        };
        let Some(key) = record
            .written
            .key
            .as_ref()
            .filter(|_| !record.written.is_tombstone)
        else {
            return true;
        };
        let of_key = self.by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        of_key.iter().any(|other| match self.places.get(other) {
            Some(place) => *place > offset,
            None => {
                *other != id
                    && self
                        .records
                        .get(other)
                        .is_some_and(|other| other.fate != Fate::Refused)
            }
        })
    }

    /// Offsets `from` to `end` (exclusive) were read and gave `records`: nothing may be missing.
    pub fn check_range(&self, from: i64, end: i64, records: &[SeenRecord], out: &mut Vec<Violation>) {
        let mut next = from;
        for record in records {
            if record.offset < next {
                let what = format!("{} gave {} where {next} comes next", self.name, record.offset);
                out.push(Violation::new("G2", "nonmonotonic-poll", what));
                continue;
            }
            self.check_gap(next, record.offset, out);
            next = record.offset + 1;
        }
        self.check_gap(next, end, out);
    }

    fn check_gap(&self, from: i64, end: i64, out: &mut Vec<Violation>) {
        if from >= end {
            return;
        }
        if !self.removal.is_compacted {
            let what = format!("{} has nothing at {from} to {}", self.name, end - 1);
            return out.push(Violation::new("G1", "poll-skip", what));
        }
        for (offset, entry) in self.entries.range(from..end) {
            if !self.is_uncertain(*offset, *entry) && !self.may_be_cleaned(*offset, entry.id) {
                let what = format!(
                    "{} has no {} at {offset}, the last record of its key",
                    self.name, entry.id
                );
                out.push(Violation::new("G1", "lost-write", what));
            }
        }
    }

    /// The log was read from `start` to `end` (exclusive) at rest: what was acknowledged is there or may be gone.
    pub fn check_at_rest(&mut self, start: i64, end: i64, out: &mut Vec<Violation>) {
        self.check_end(end, out);
        let first_certain_life = self.cuts.last().map_or(0, |cut| cut.since);
        let all_remain = start == 0 && !self.removal.is_compacted;
        for (id, record) in &self.records {
            let is_there = self.places.contains_key(id);
            let must_be = record.fate == Fate::Acked && record.acked_in_life >= first_certain_life;
            if all_remain && must_be && !is_there {
                let what = format!("{id} of {} was acknowledged and is nowhere", self.name);
                out.push(Violation::new("G1", "unseen", what));
            }
        }
        if all_remain && self.cuts.is_empty() {
            self.check_gaps_of_producers(out);
        }
    }

    fn check_end(&mut self, end: i64, out: &mut Vec<Violation>) {
        let beyond: Vec<(i64, Entry)> = self
            .entries
            .range(end..)
            .map(|(offset, entry)| (*offset, *entry))
            .collect();
        for (offset, entry) in beyond {
            if self.is_uncertain(offset, entry) {
                self.lose_from(offset, entry.life, out);
            } else {
                let what = format!("{} ends at {end}, but {} was at {offset}", self.name, entry.id);
                out.push(Violation::new("G1", "lost-write", what));
            }
        }
    }

    /// What an idempotent producer sent earlier is there if what it sent later is.
    fn check_gaps_of_producers(&self, out: &mut Vec<Violation>) {
        let mut last_there: Option<RecordId> = None;
        for (id, record) in self
            .records
            .iter()
            .rev()
            .filter(|(_, record)| record.written.is_ordered)
        {
            if self.places.contains_key(id) {
                last_there = Some(*id);
            } else if last_there.is_some_and(|last| last.producer == id.producer)
                && record.fate != Fate::Acked
            {
                let what = format!("{} has a later record of its producer, but not {id}", self.name);
                out.push(Violation::new("G5", "int-send-skip", what));
                last_there = None;
            }
        }
    }
}
