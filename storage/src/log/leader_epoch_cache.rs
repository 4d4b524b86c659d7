//! Which leader epoch begins at which offset: `leader-epoch-checkpoint` in Kafka's text format, and its rules.
//!
//! Answers OffsetForLeaderEpoch (KIP-101, KIP-279) and is cut together with the log (R3). Rebuilt from the log where the
//! file is missing or damaged (S9).

use std::fmt::Write;

/// One leadership: its epoch and the first offset it wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The leader epoch.
    pub epoch: i32,
    /// Offset of its first batch.
    pub start_offset: i64,
}

/// The epochs of a log, ascending in both fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochCache {
    entries: Vec<EpochEntry>,
}

/// Name of the file in the partition's directory.
pub const FILE_NAME: &str = "leader-epoch-checkpoint";

impl LeaderEpochCache {
    /// Notes that the batch at `start_offset` carries `epoch`. True if that begins an epoch. Entries that contradict it
    /// (an epoch not below, an offset not below) are taken out, as Kafka does.
    pub fn assign(&mut self, epoch: i32, start_offset: i64) -> bool {
        if epoch < 0
            || self
                .latest()
                .is_some_and(|last| last.epoch == epoch && last.start_offset <= start_offset)
        {
            return false;
        }
        self.entries
            .retain(|entry| entry.epoch < epoch && entry.start_offset < start_offset);
        // Most logs have one for as long as they are open.
        self.entries.reserve_exact(1);
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// The newest epoch.
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The largest epoch not above `epoch`, and where it ends (exclusive). `(-1, -1)` for an epoch that the log cannot
    /// speak of.
    pub fn end_offset_for(&self, epoch: i32, log_end_offset: i64) -> (i32, i64) {
        const UNDEFINED: (i32, i64) = (-1, -1);
        let Some(latest) = self.latest() else {
            return UNDEFINED;
        };
        if epoch < 0 || epoch > latest.epoch {
            return UNDEFINED;
        }
        if epoch == latest.epoch {
            return (epoch, log_end_offset);
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end_offset = self
            .entries
            .get(above)
            .map_or(log_end_offset, |entry| entry.start_offset);
        match above.checked_sub(1).and_then(|floor| self.entries.get(floor)) {
            Some(floor) => (floor.epoch, end_offset),
            // Older than the oldest entry: its records are gone, and the log starts with the next epoch.
            None => (epoch, end_offset),
        }
    }

    /// The epoch of the batch at `offset`.
    pub fn epoch_for(&self, offset: i64) -> Option<i32> {
        let above = self.entries.partition_point(|entry| entry.start_offset <= offset);
        above
            .checked_sub(1)
            .and_then(|floor| self.entries.get(floor))
            .map(|entry| entry.epoch)
    }

    /// Forgets what begins at or after `end_offset`. True if that changed anything.
    pub fn truncate_from_end(&mut self, end_offset: i64) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.start_offset < end_offset);
        self.entries.len() != before
    }

    /// Moves the start of the log up: older epochs go, the one that covers `start_offset` begins there. True if that
    /// changed anything.
    pub fn truncate_from_start(&mut self, start_offset: i64) -> bool {
        let before = self.entries.clone();
        let covering = self.epoch_for(start_offset);
        self.entries.retain(|entry| entry.start_offset >= start_offset);
        if let Some(epoch) = covering
            && self
                .entries
                .first()
                .is_none_or(|first| first.start_offset > start_offset)
        {
            self.entries.insert(0, EpochEntry { epoch, start_offset });
        }
        self.entries != before
    }

    /// Kafka's text: version, count, a line per entry.
    pub fn encode(&self) -> String {
        let mut text = format!("0\n{}\n", self.entries.len());
        for entry in &self.entries {
            // Writing to a string does not fail.
            writeln!(text, "{} {}", entry.epoch, entry.start_offset).unwrap_or_default();
        }
        text
    }

    /// Reads that text; `None` if it is damaged or its end is missing.
    pub fn decode(text: &str) -> Option<LeaderEpochCache> {
        if !text.ends_with('\n') {
            return None;
        }
        let mut lines = text.lines();
        let (version, count) = (lines.next()?, lines.next()?.parse::<usize>().ok()?);
        let mut entries: Vec<EpochEntry> = Vec::new();
        for line in lines {
            let (epoch, start_offset) = line.split_once(' ')?;
            let entry = EpochEntry {
                epoch: epoch.parse().ok()?,
                start_offset: start_offset.parse().ok()?,
            };
            if entries
                .last()
                .is_some_and(|last| last.epoch >= entry.epoch || last.start_offset > entry.start_offset)
            {
                return None;
            }
            entries.push(entry);
        }
        (version == "0" && entries.len() == count).then_some(LeaderEpochCache { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> LeaderEpochCache {
        let mut cache = LeaderEpochCache::default();
        for &(epoch, offset) in entries {
            cache.assign(epoch, offset);
        }
        cache
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let cache = cache(&[(1, 0), (3, 10), (6, 25)]);
        assert_eq!(cache.end_offset_for(6, 40), (6, 40));
        assert_eq!(cache.end_offset_for(3, 40), (3, 25));
        assert_eq!(
            cache.end_offset_for(5, 40),
            (3, 25),
            "the largest epoch not above the one asked for"
        );
        assert_eq!(cache.end_offset_for(7, 40), (-1, -1));
        assert_eq!(cache.end_offset_for(0, 40), (0, 0));
    }

    #[test]
    fn a_cut_takes_epochs_with_it() {
        let mut cut = cache(&[(1, 0), (3, 10), (6, 25)]);
        assert!(cut.truncate_from_end(25));
        assert_eq!(cut, cache(&[(1, 0), (3, 10)]));
        assert!(cut.truncate_from_start(4));
        assert_eq!(cut, cache(&[(1, 4), (3, 10)]));
        assert!(cut.truncate_from_start(10));
        assert_eq!(cut, cache(&[(3, 10)]));
    }

    #[test]
    fn the_file_is_kafkas_and_a_damaged_one_is_refused() {
        let two = cache(&[(1, 0), (3, 10)]);
        assert_eq!(two.encode(), "0\n2\n1 0\n3 10\n");
        assert_eq!(LeaderEpochCache::decode(&two.encode()), Some(two));
        for damaged in [
            "",
            "0\n",
            "0\n2\n1 0\n",
            "1\n0\n",
            "0\n1\nx 0\n",
            "0\n2\n3 0\n1 5\n",
            "0\n1\n3 1",
        ] {
            assert_eq!(LeaderEpochCache::decode(damaged), None, "{damaged:?}");
        }
    }
}
