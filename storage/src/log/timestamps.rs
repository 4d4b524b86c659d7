//! Looking offsets up by time: ListOffsets' timestamps and its largest one.

use protocol_compat::record_batch::batch::RecordBatch;
use protocol_compat::record_batch::record::{DecompressionLimit, records};

use super::PartitionLog;
use super::error::ReadError;
use super::scan::{Scan, Step};
use super::segment::Segment;

/// Most bytes of one batch that are decompressed to find a record's timestamp.
const DECOMPRESSED_LIMIT: DecompressionLimit = DecompressionLimit(128 << 20);

/// A record found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The record's timestamp, ms since the epoch.
    pub timestamp_ms: i64,
    /// Its offset.
    pub offset: i64,
    /// The leader epoch of its batch.
    pub leader_epoch: i32,
}

impl PartitionLog {
    /// The first record below `upper` (exclusive) whose timestamp is at least `timestamp_ms`.
    ///
    /// # Errors
    /// The file system's; damaged bytes.
    pub fn offset_for_timestamp(
        &self,
        timestamp_ms: i64,
        upper: i64,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        self.look_up(|segments| {
            let start = self.log_start_offset();
            for segment in segments {
                if segment.max_timestamp().0 < timestamp_ms {
                    continue;
                }
                let from = segment
                    .offset_at_or_before_timestamp(&self.files, timestamp_ms)?
                    .max(start);
                let found = self.first_record(segment, from, |record| {
                    record.timestamp_ms >= timestamp_ms && record.offset >= start
                })?;
                if let Some(found) = found {
                    return Ok((found.offset < upper).then_some(found));
                }
            }
            Ok(None)
        })
    }

    /// The first record that has the largest timestamp of the log (KIP-734); `None` for an empty log.
    ///
    /// # Errors
    /// The file system's; damaged bytes.
    pub fn max_timestamp_offset(&self) -> Result<Option<TimestampOffset>, ReadError> {
        self.look_up(|segments| {
            let mut best: Option<&Segment> = None;
            for segment in segments.iter().filter(|segment| segment.size_bytes() > 0) {
                if best.is_none_or(|best| segment.max_timestamp().0 > best.max_timestamp().0) {
                    best = Some(segment);
                }
            }
            let Some(segment) = best else { return Ok(None) };
            let (largest, _) = segment.max_timestamp();
            let from = segment.offset_at_or_before_timestamp(&self.files, largest)?;
            self.first_record(segment, from, |record| record.timestamp_ms == largest)
        })
    }

    fn first_record(
        &self,
        segment: &Segment,
        from: i64,
        mut wanted: impl FnMut(&TimestampOffset) -> bool,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let file = segment.log.get(&self.files)?;
        let mut scan = Scan::new(
            &file,
            segment.position_at_or_before(&self.files, from)?,
            segment.size_bytes(),
        );
        loop {
            match scan.next(false)? {
                Step::Batch(position, batch) => {
                    let found = find_in_batch(&batch, &mut wanted).map_err(|reason| ReadError::Corrupt {
                        file: self.topic_partition.to_string(),
                        position,
                        reason,
                    })?;
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Step::End => return Ok(None),
                Step::Invalid(position, reason) => {
                    return Err(ReadError::Corrupt {
                        file: self.topic_partition.to_string(),
                        position,
                        reason,
                    });
                }
            }
        }
    }
}

fn find_in_batch(
    batch: &RecordBatch<'_>,
    wanted: &mut impl FnMut(&TimestampOffset) -> bool,
) -> Result<Option<TimestampOffset>, String> {
    let leader_epoch = batch.partition_leader_epoch();
    // A batch whose largest timestamp is not wanted has no wanted record: spare the walk and the decompression.
    let latest = TimestampOffset {
        timestamp_ms: batch.max_timestamp_ms(),
        offset: i64::MAX,
        leader_epoch,
    };
    if !wanted(&latest) && batch.max_timestamp_ms() >= 0 {
        return Ok(None);
    }
    let mut scratch = Vec::new();
    for record in records(batch, &mut scratch, DECOMPRESSED_LIMIT).map_err(|error| error.to_string())? {
        let record = record.map_err(|error| error.to_string())?;
        let candidate = TimestampOffset {
            timestamp_ms: record.timestamp_ms,
            offset: record.offset,
            leader_epoch,
        };
        if wanted(&candidate) {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}
