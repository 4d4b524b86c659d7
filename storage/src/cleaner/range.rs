//! Which part of a log may be cleaned now, and how much it needs it (Kafka's `LogCleanerManager` and `LogToClean`).
//!
//! Never cleaned: the active segment, what lies at or above the last stable offset, and segments with records younger than
//! `min.compaction.lag.ms`. The rest of the log above the last cleaned offset is dirty; below it is clean.

use std::io;
use std::sync::Arc;

use crate::log::PartitionLog;
use crate::log::segment::Segment;

/// What a cleaning of a log would work on.
#[derive(Clone, Debug)]
pub struct CleanRange {
    /// Every record below was cleaned before.
    pub first_dirty_offset: i64,
    /// The base offset of the first segment that must stay as it is.
    pub first_uncleanable_offset: i64,
    /// The last cleaned offset on record was not one of this log: it is to be written anew.
    pub checkpoint_was_wrong: bool,
    /// Bytes below `first_dirty_offset`.
    pub clean_bytes: u64,
    /// Bytes between both.
    pub dirty_bytes: u64,
    /// For how long a dirty record has been older than `max.compaction.lag.ms`; 0 where none is.
    pub overdue_ms: i64,
}

impl CleanRange {
    /// What may be cleaned of `log`, which was last cleaned up to `last_clean_offset`.
    ///
    /// # Errors
    /// The file system's, where a segment's first batch is looked at.
    pub fn of(log: &PartitionLog, last_clean_offset: Option<i64>, now_ms: i64) -> io::Result<CleanRange> {
        let config = log.config();
        let segments = log.segments();
        let (first_dirty_offset, checkpoint_was_wrong) = first_dirty(log, last_clean_offset);
        let sealed = segments.split_last().map_or(&[][..], |(_, sealed)| sealed);
        let active = segments
            .last()
            .map_or(first_dirty_offset, |segment| segment.base_offset);
        let young = (config.min_compaction_lag_ms > 0)
            .then(|| first_young(sealed, first_dirty_offset, now_ms - config.min_compaction_lag_ms))
            .flatten();
        let limit = log
            .last_stable_offset()
            .min(active)
            .min(young.unwrap_or(i64::MAX))
            .max(first_dirty_offset);
        let first_uncleanable_offset =
            base_of_segment_with(&segments, limit).max(first_dirty_offset.min(active));
        let bytes = |wanted: &dyn Fn(&Segment) -> bool| {
            let found = segments.iter().filter(|segment| wanted(segment));
            found.map(|segment| segment.size_bytes()).sum()
        };
        let dirty_from = base_of_segment_with(&segments, first_dirty_offset);
        let overdue_ms = match config.max_compaction_lag_ms {
            i64::MAX => 0,
            lag_ms => overdue_ms(log, sealed, first_dirty_offset, now_ms - lag_ms.max(0))?,
        };
        Ok(CleanRange {
            first_dirty_offset,
            first_uncleanable_offset,
            checkpoint_was_wrong,
            clean_bytes: bytes(&|segment| segment.base_offset < first_dirty_offset),
            dirty_bytes: bytes(&|segment| {
                (dirty_from..first_uncleanable_offset).contains(&segment.base_offset)
            }),
            overdue_ms,
        })
    }

    /// Which part of the log is dirty, from 0 to 1.
    pub fn dirty_ratio(&self) -> f64 {
        match self.clean_bytes.saturating_add(self.dirty_bytes) {
            0 => 0.0,
            total => self.dirty_bytes as f64 / total as f64,
        }
    }

    /// Whether the log is to be cleaned: more of it is dirty than `min.cleanable.dirty.ratio`, or a record is overdue.
    pub fn is_due(&self, min_cleanable_dirty_ratio: f64) -> bool {
        let is_overdue = self.overdue_ms > 0 && self.dirty_bytes > 0;
        is_overdue || self.dirty_ratio() > min_cleanable_dirty_ratio
    }
}

/// The first offset that was not cleaned, and whether what is on record cannot be right.
fn first_dirty(log: &PartitionLog, last_clean_offset: Option<i64>) -> (i64, bool) {
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    match last_clean_offset {
        None => (start, false),
        Some(known) if (start..=end).contains(&known) => (known, false),
        Some(_) => (start, true),
    }
}

/// Base offset of the segment that an offset falls into.
fn base_of_segment_with(segments: &[Arc<Segment>], offset: i64) -> i64 {
    let above = segments.partition_point(|segment| segment.base_offset <= offset);
    segments
        .get(above.saturating_sub(1))
        .map_or(offset, |segment| segment.base_offset)
}

/// The sealed segments that hold dirty records.
fn dirty_segments(sealed: &[Arc<Segment>], first_dirty_offset: i64) -> impl Iterator<Item = &Arc<Segment>> {
    let from = base_of_segment_with(sealed, first_dirty_offset);
    sealed.iter().filter(move |segment| segment.base_offset >= from)
}

fn first_young(sealed: &[Arc<Segment>], first_dirty_offset: i64, newest_ms: i64) -> Option<i64> {
    dirty_segments(sealed, first_dirty_offset)
        .find(|segment| segment.max_timestamp().0 > newest_ms)
        .map(|segment| segment.base_offset)
}

/// For how long the oldest dirty segment, by its first batch, has been older than it may be.
fn overdue_ms(
    log: &PartitionLog,
    sealed: &[Arc<Segment>],
    first_dirty_offset: i64,
    clean_until_ms: i64,
) -> io::Result<i64> {
    let mut earliest = i64::MAX;
    for segment in dirty_segments(sealed, first_dirty_offset) {
        if let Some(first_ms) = log.first_timestamp_ms(segment)?.filter(|first_ms| *first_ms > 0) {
            earliest = earliest.min(first_ms);
        }
    }
    Ok(clean_until_ms.saturating_sub(earliest).max(0))
}
