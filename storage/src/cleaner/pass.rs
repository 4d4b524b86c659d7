//! One cleaning of one log: the map of its dirty part, the groups of segments, and their replacement.

use std::sync::Arc;

use protocol_compat::record_batch::batch::RecordBatch;
use protocol_compat::record_batch::record::records;

use super::error::{CleanError, DECOMPRESSED_LIMIT, damaged};
use super::offset_map::{MapSecret, OffsetMap};
use super::range::CleanRange;
use super::rewrite::{Rewriter, Rules};
use super::transactions::OngoingTransactions;
use crate::log::scan::{Scan, Step};
use crate::log::segment::Segment;
use crate::log::{AbortedFinder, AbortedTransaction, DeletedFiles, LogConfig, PartitionLog, TransactionPart};

/// Settings of the cleaner.
#[derive(Clone, Copy, Debug)]
pub struct CleanerSettings {
    /// Most memory of the offset map: `log.cleaner.dedupe.buffer.size` shared among `log.cleaner.threads`.
    pub map_bytes: u64,
    /// `log.cleaner.io.buffer.load.factor`: how full the map may be, above 0 and at most 1.
    pub load_factor: f64,
    /// Bytes that are read, or collected before they are written, at a time: half of one thread's share of
    /// `log.cleaner.io.buffer.size`. A batch is never too large for it.
    pub io_buffer_bytes: usize,
    /// Secret of the map's hashes.
    pub secret: MapSecret,
}

/// Told of every piece of input and output, so that it can slow the cleaner down or stop it.
pub trait Pace {
    /// So many bytes were read or written. `false` ends the cleaning.
    fn moved(&mut self, bytes: u64) -> bool;
}

/// What a cleaning did.
#[derive(Clone, Debug, Default)]
pub struct Cleaned {
    /// Every record below was cleaned: the next cleaning's first dirty offset. 0 for a cleaning that did not end.
    pub end_offset: i64,
    /// Records that were looked at for replacement, and those of them that stayed.
    pub records_read: u64,
    /// See `records_read`.
    pub records_kept: u64,
    /// Bytes of the segments before.
    pub bytes_read: u64,
    /// Bytes of the segments afterwards.
    pub bytes_kept: u64,
    /// Records without a key, which a compacted log cannot keep.
    pub records_without_key: u64,
    /// Which part of the map's bound was used, 0 to 1.
    pub map_utilization: f64,
    /// Files that leave the disk after `file.delete.delay.ms`.
    pub deleted: DeletedFiles,
}

/// Cleans `range` of `log`, as much of it as the map takes, and tells in `cleaned` what was done.
///
/// # Errors
/// [`CleanError`]; groups of segments that were replaced before stay replaced, and stand in `cleaned`.
pub fn clean(
    log: &PartitionLog,
    range: &CleanRange,
    settings: &CleanerSettings,
    now_ms: i64,
    pace: &mut dyn Pace,
    cleaned: &mut Cleaned,
) -> Result<(), CleanError> {
    let mut walk = Walk::new(log, pace, settings.io_buffer_bytes);
    let map = walk.map_dirty_part(range, settings)?;
    let end_offset = map
        .latest_offset()
        .saturating_add(1)
        .max(range.first_dirty_offset);
    let segments = log.segments();
    let wanted: Vec<Arc<Segment>> = segments
        .iter()
        .filter(|segment| segment.base_offset < end_offset.min(range.first_uncleanable_offset))
        .cloned()
        .collect();
    let config = log.config();
    let rules = Rules {
        map: &map,
        now_ms,
        delete_retention_ms: config.delete_retention_ms,
        upper_bound_offset: range.first_uncleanable_offset,
        producers: log.producers().into_iter().collect(),
    };
    cleaned.map_utilization = map.utilization();
    let mut ongoing = None;
    for group in groups(&wanted, &config, range.first_uncleanable_offset) {
        walk.clean_group(&group, &rules, &config, &mut ongoing, cleaned)?;
    }
    cleaned.end_offset = end_offset;
    Ok(())
}

/// A walk along the log, and what was learned of its transactions.
pub(super) struct Walk<'a> {
    log: &'a PartitionLog,
    pace: &'a mut dyn Pace,
    /// Aborted transactions of the whole log by first offset, once a transaction was met.
    aborted: Option<Vec<AbortedTransaction>>,
    io_buffer_bytes: usize,
}

impl<'a> Walk<'a> {
    fn new(log: &'a PartitionLog, pace: &'a mut dyn Pace, io_buffer_bytes: usize) -> Walk<'a> {
        Walk {
            log,
            pace,
            aborted: None,
            io_buffer_bytes,
        }
    }

    pub(super) fn moved(&mut self, bytes: u64) -> Result<(), CleanError> {
        if self.log.is_failed() || !self.pace.moved(bytes) {
            return Err(CleanError::CalledOff);
        }
        Ok(())
    }

    /// Whether the walk may leave a batch out as far as transactions are concerned.
    pub(super) fn may_discard(
        &mut self,
        ongoing: &mut Option<OngoingTransactions>,
        batch: &RecordBatch<'_>,
    ) -> Result<bool, CleanError> {
        let part = TransactionPart::of(batch);
        if part == TransactionPart::Plain && ongoing.is_none() {
            return Ok(false);
        }
        if ongoing.is_none() {
            let aborted = match self.aborted.take() {
                Some(aborted) => aborted,
                None => self.find_aborted()?,
            };
            *ongoing = Some(OngoingTransactions::new(&aborted, batch.base_offset()));
            self.aborted = Some(aborted);
        }
        Ok(ongoing
            .as_mut()
            .is_some_and(|ongoing| ongoing.may_discard(batch, part)))
    }

    /// Walks the headers of the whole log, its uncleanable end included: there stand markers of what is cleaned now.
    fn find_aborted(&mut self) -> Result<Vec<AbortedTransaction>, CleanError> {
        let mut finder = AbortedFinder::default();
        for segment in self.log.segments().iter() {
            self.for_each_batch(segment, 0, |_, batch| {
                finder.note(batch);
                Ok(true)
            })?;
        }
        let mut aborted = finder.finish();
        aborted.sort_by_key(|transaction| transaction.first_offset);
        Ok(aborted)
    }

    /// Calls `each` with every batch from `position` on, checksums looked at, until it says `false`. Whether it never did.
    pub(super) fn for_each_batch(
        &mut self,
        segment: &Arc<Segment>,
        position: u64,
        mut each: impl FnMut(&mut Self, &RecordBatch<'_>) -> Result<bool, CleanError>,
    ) -> Result<bool, CleanError> {
        let size = segment.size_bytes();
        if size == 0 {
            return Ok(true);
        }
        let file = segment.log.get(self.log.file_cache())?;
        let damaged = |position, reason| CleanError::Damaged {
            segment: segment.base_offset,
            position,
            reason,
        };
        let (mut next_offset, end) = (segment.base_offset, self.log.log_end_offset());
        let mut scan = Scan::new(&file, position, size).piece_bytes(self.io_buffer_bytes);
        loop {
            match scan.next(true)? {
                Step::Batch(position, batch) => {
                    // No checksum covers the base offset.
                    let offsets = batch.base_offset()..batch.next_offset();
                    if offsets.start < next_offset || offsets.is_empty() || offsets.end > end {
                        return Err(damaged(position, format!("a batch at offset {}", offsets.start)));
                    }
                    next_offset = offsets.end;
                    self.moved(batch.size_bytes() as u64)?;
                    if !each(self, &batch)? {
                        return Ok(false);
                    }
                }
                Step::End => return Ok(true),
                Step::Invalid(position, reason) => return Err(damaged(position, reason)),
            }
        }
    }

    /// The last offset of each key in the dirty part, until the map is full.
    fn map_dirty_part(
        &mut self,
        range: &CleanRange,
        settings: &CleanerSettings,
    ) -> Result<OffsetMap, CleanError> {
        let (start, end) = (range.first_dirty_offset, range.first_uncleanable_offset);
        let most_records = u64::try_from(end.saturating_sub(start)).unwrap_or(0);
        let mut map = OffsetMap::new(
            settings.secret,
            settings.map_bytes,
            settings.load_factor,
            most_records,
        );
        let segments = self.log.segments();
        let dirty = segments
            .iter()
            .enumerate()
            .filter(|(_, segment)| segment.base_offset < end);
        let mut ongoing = None;
        for (index, segment) in dirty {
            let next_base = segments.get(index + 1).map_or(end, |next| next.base_offset);
            if next_base <= start {
                continue;
            }
            let position = segment.position_at_or_before(self.log.file_cache(), start)?;
            let is_whole = self.for_each_batch(segment, position, |walk, batch| {
                let is_aborted = walk.may_discard(&mut ongoing, batch)?;
                if !batch.is_control() && !is_aborted && !put_all(&mut map, batch, start, segment)? {
                    return Ok(false);
                }
                if batch.last_offset() >= start {
                    map.set_latest_offset(batch.last_offset());
                }
                Ok(true)
            })?;
            if !is_whole {
                break;
            }
            map.set_latest_offset(next_base - 1);
        }
        Ok(map)
    }

    fn clean_group(
        &mut self,
        group: &[Arc<Segment>],
        rules: &Rules<'_>,
        config: &LogConfig,
        ongoing: &mut Option<OngoingTransactions>,
        cleaned: &mut Cleaned,
    ) -> Result<(), CleanError> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            return Ok(());
        };
        let log = self.log;
        let target = log.new_cleaned_segment(first.base_offset, last.created_ms);
        let mut rewriter = Rewriter::new(log, target, config, self.io_buffer_bytes);
        let written = self.write_group(group, rules, ongoing, &mut rewriter);
        let (target, counts) = rewriter.finish();
        if let Err(error) = written {
            if let Err(leftover) = log.discard_cleaned(&target) {
                tracing::warn!(log = %log.topic_partition(), error = %leftover, "an unfinished cleaning goes with the next start");
            }
            return Err(error);
        }
        let kept_bytes = target.size_bytes();
        let Some(deleted) = log.replace_segments(target, group)? else {
            return Err(CleanError::CalledOff);
        };
        cleaned.records_read += counts.records.read;
        cleaned.records_kept += counts.records.kept;
        cleaned.records_without_key += counts.without_key;
        cleaned.bytes_read += group.iter().map(|segment| segment.size_bytes()).sum::<u64>();
        cleaned.bytes_kept += kept_bytes;
        cleaned.deleted.segments += deleted.segments;
        cleaned.deleted.paths.extend(deleted.paths);
        Ok(())
    }

    fn write_group(
        &mut self,
        group: &[Arc<Segment>],
        rules: &Rules<'_>,
        ongoing: &mut Option<OngoingTransactions>,
        rewriter: &mut Rewriter<'_>,
    ) -> Result<(), CleanError> {
        for segment in group {
            self.for_each_batch(segment, 0, |walk, batch| {
                let may_discard = walk.may_discard(ongoing, batch)?;
                let written = rewriter.take(batch, rules, may_discard, segment)?;
                walk.moved(written)?;
                Ok(true)
            })?;
        }
        rewriter.sync(group)?;
        Ok(())
    }
}

/// Puts the keys of a batch from `start` on into the map. Whether all of them went in.
fn put_all(
    map: &mut OffsetMap,
    batch: &RecordBatch<'_>,
    start: i64,
    segment: &Segment,
) -> Result<bool, CleanError> {
    let mut scratch = Vec::new();
    let all =
        records(batch, &mut scratch, DECOMPRESSED_LIMIT).map_err(|error| damaged(segment, batch, &error))?;
    for record in all {
        let record = record.map_err(|error| damaged(segment, batch, &error))?;
        if let Some(key) = record.key
            && record.offset >= start
            && map.put(key, record.offset).is_err()
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Neighbours that together fit into one segment: its size, its indexes, and offsets that fit into 32 bits.
fn groups(
    segments: &[Arc<Segment>],
    config: &LogConfig,
    first_uncleanable_offset: i64,
) -> Vec<Vec<Arc<Segment>>> {
    let mut groups: Vec<Vec<Arc<Segment>>> = Vec::new();
    let (mut bytes, mut offset_entries, mut time_entries) = (0_u64, 0_u64, 0_u64);
    for (index, segment) in segments.iter().enumerate() {
        let last_offset = segments
            .get(index + 1)
            .map_or(first_uncleanable_offset, |next| next.base_offset)
            .saturating_sub(1);
        let own_offset_entries = segment.offset_index.len() as u64;
        let own_time_entries = segment.time_index.len() as u64;
        let joins = groups
            .last()
            .and_then(|group| group.first())
            .is_some_and(|first| {
                bytes.saturating_add(segment.size_bytes()) <= config.segment_bytes
                    && (offset_entries + own_offset_entries) * 8 <= config.segment_index_bytes
                    && (time_entries + own_time_entries) * 12 <= config.segment_index_bytes
                    && (segment.size_bytes() == 0
                        || last_offset.saturating_sub(first.base_offset) <= i64::from(i32::MAX))
            });
        match groups.last_mut() {
            Some(group) if joins => {
                group.push(segment.clone());
                bytes = bytes.saturating_add(segment.size_bytes());
                offset_entries += own_offset_entries;
                time_entries += own_time_entries;
            }
            _ => {
                groups.push(vec![segment.clone()]);
                (bytes, offset_entries, time_entries) =
                    (segment.size_bytes(), own_offset_entries, own_time_entries);
            }
        }
    }
    groups
}
