//! Reading: whole batches from an offset on, without a lock.
//!
//! The index gives a position at or before the offset; one read from there takes what was asked for and the few bytes that
//! stand before it. What is handed out begins with the batch that holds the offset and ends with a whole batch below the
//! upper bound.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use protocol_compat::record_batch::batch::{
    BATCH_HEADER_BYTES, LOG_OVERHEAD_BYTES, RecordBatch, claimed_size,
};

use super::PartitionLog;
use super::error::ReadError;
use super::scan::{NO_OFFSETS, PAST_SEGMENT, has_offsets};
use super::segment::Segment;
use crate::disk::File;

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadInfo {
    /// Whole batches; empty at the end of what may be read, or if the first batch is larger than what was asked for.
    pub records: Bytes,
    /// Base offset of the first batch in `records`.
    pub base_offset: Option<i64>,
    /// End of `records`, exclusive; the offset asked for if there are none.
    pub next_offset: i64,
    /// There is a batch, but it is larger than `max_bytes` and was not asked for all the same.
    pub first_batch_too_large: bool,
}

impl ReadInfo {
    fn empty(offset: i64) -> ReadInfo {
        ReadInfo {
            records: Bytes::new(),
            base_offset: None,
            next_offset: offset,
            first_batch_too_large: false,
        }
    }
}

/// Which bytes a read may take.
struct Wanted {
    offset: i64,
    upper: i64,
    max_bytes: usize,
    at_least_one: bool,
}

impl PartitionLog {
    /// Reads whole batches from the one that holds `offset` up to `max_bytes`, all of them below `upper` (exclusive: end
    /// offset, high watermark or last stable offset). With `at_least_one` the first batch comes whatever its size.
    ///
    /// # Errors
    /// [`ReadError::OffsetOutOfRange`] below the log's start or above its end; the file system's; damaged bytes.
    pub fn read(
        &self,
        offset: i64,
        max_bytes: usize,
        upper: i64,
        at_least_one: bool,
    ) -> Result<ReadInfo, ReadError> {
        let end = self.log_end_offset();
        let wanted = Wanted {
            offset,
            upper: upper.min(end),
            max_bytes,
            at_least_one,
        };
        // A consumer at the end asks again and again: it needs no segment.
        if offset >= wanted.upper || (max_bytes == 0 && !at_least_one) {
            return self
                .require_in_range(offset, end)
                .map(|()| ReadInfo::empty(offset));
        }
        let found = self.look_up(|segments| {
            // With every look: retention may have taken what the one before still found.
            self.require_in_range(offset, end)?;
            let first = segments
                .partition_point(|segment| segment.base_offset <= offset)
                .saturating_sub(1);
            for (index, segment) in segments.iter().enumerate().skip(first) {
                let next_base = segments.get(index + 1).map(|next| next.base_offset);
                let bounds = segment.base_offset..next_base.unwrap_or(i64::MAX);
                if let Some(info) = self.read_segment(segment, &bounds, &wanted)? {
                    return Ok(info);
                }
                // The offset lies in a hole at the end of this segment.
            }
            Ok(ReadInfo::empty(offset))
        });
        found.inspect_err(|error| self.tell_corrupt(error))
    }

    /// Writes of a damaged place once, however often clients come back to it.
    fn tell_corrupt(&self, error: &ReadError) {
        if let ReadError::Corrupt { position, .. } = error
            && self.told_corrupt_at.swap(*position, Ordering::Relaxed) != *position
        {
            tracing::error!(log = %self.topic_partition, %error, "damaged records are not served");
        }
    }

    fn require_in_range(&self, offset: i64, log_end_offset: i64) -> Result<(), ReadError> {
        let log_start_offset = self.log_start_offset();
        if (log_start_offset..=log_end_offset).contains(&offset) {
            return Ok(());
        }
        Err(ReadError::OffsetOutOfRange {
            offset,
            log_start_offset,
            log_end_offset,
        })
    }

    fn read_segment(
        &self,
        segment: &Arc<Segment>,
        bounds: &Range<i64>,
        wanted: &Wanted,
    ) -> Result<Option<ReadInfo>, ReadError> {
        let size = segment.size_bytes();
        if size == 0 {
            return Ok(None);
        }
        let file = segment.log.get(&self.files)?;
        let mut position = segment.position_at_or_before(&self.files, wanted.offset)?;
        // The index is sparse by this many bytes, but for batches that are larger.
        let lead = usize::try_from(self.config.load().index_interval_bytes)
            .unwrap_or(usize::MAX)
            .min(1 << 20);
        while position < size {
            let piece = read_piece(&file, position, size, wanted.max_bytes.saturating_add(lead))?;
            match take_batches(&file, &piece, position, size, bounds, wanted)? {
                Taken::Nothing { skipped: 0 } | Taken::End => return Ok(None),
                Taken::Nothing { skipped } => position = position.saturating_add(skipped as u64),
                Taken::Range {
                    start,
                    end,
                    base_offset,
                    next_offset,
                } => {
                    let records = piece.slice(start..end);
                    let checked_from = position.saturating_add(start as u64);
                    segment
                        .cold
                        .remove(&(checked_from..position.saturating_add(end as u64)));
                    return Ok(Some(ReadInfo {
                        records,
                        base_offset: Some(base_offset),
                        next_offset,
                        first_batch_too_large: false,
                    }));
                }
                Taken::LargerThanPiece { at, size_bytes } => {
                    if !wanted.at_least_one && size_bytes > wanted.max_bytes {
                        return Ok(Some(ReadInfo {
                            first_batch_too_large: true,
                            ..ReadInfo::empty(wanted.offset)
                        }));
                    }
                    let at = position.saturating_add(at as u64);
                    let info = self.read_one(&file, at, size_bytes, wanted)?;
                    segment.cold.remove(&(at..at.saturating_add(size_bytes as u64)));
                    return Ok(Some(info));
                }
                Taken::AboveUpper => return Ok(Some(ReadInfo::empty(wanted.offset))),
            }
        }
        Ok(None)
    }

    /// Reads the single batch at `position`.
    fn read_one(
        &self,
        file: &File,
        position: u64,
        size: usize,
        wanted: &Wanted,
    ) -> Result<ReadInfo, ReadError> {
        let bytes = read_piece(file, position, position.saturating_add(size as u64), size)?;
        let (batch, _) = RecordBatch::split_first(&bytes).map_err(|e| corrupt(file, position, &e))?;
        batch.verify_checksum().map_err(|e| corrupt(file, position, &e))?;
        let (base_offset, next_offset) = (batch.base_offset(), batch.next_offset());
        debug_assert!(next_offset > wanted.offset);
        Ok(ReadInfo {
            records: bytes,
            base_offset: Some(base_offset),
            next_offset,
            first_batch_too_large: false,
        })
    }
}

/// Finds the batches of `piece` that were asked for. All of a segment's lie within `bounds`, one behind the other: no
/// checksum covers where a batch begins, and which of two that overlap is damaged nobody knows.
fn take_batches(
    file: &File,
    piece: &Bytes,
    position: u64,
    size: u64,
    bounds: &Range<i64>,
    wanted: &Wanted,
) -> Result<Taken, ReadError> {
    let mut at = 0;
    let mut taken: Option<Taken> = None;
    let mut without_last = None;
    let mut walked_to = bounds.start;
    while let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(base) = rest.first_chunk().map(|base| i64::from_be_bytes(*base))
            && base < walked_to
        {
            let error = format!("offset {base} does not follow {walked_to}");
            return without_last.ok_or_else(|| corrupt(file, position + at as u64, &error));
        }
        let claimed = claimed_size(rest);
        let ends_in_segment = |bytes: usize| position.saturating_add((at + bytes) as u64) <= size;
        let whole = claimed.is_some_and(|bytes| bytes >= BATCH_HEADER_BYTES && ends_in_segment(bytes));
        // A length that is there and negative is damage as much as one that goes too far.
        let has_length = rest.len() >= LOG_OVERHEAD_BYTES;
        if !whole && (has_length || rest.len() as u64 == size.saturating_sub(position + at as u64)) {
            let error = "the bytes are not a record batch";
            return taken.ok_or_else(|| corrupt(file, position + at as u64, &error));
        }
        let Some(bytes) = claimed.filter(|bytes| *bytes <= rest.len()) else {
            // The batch goes on behind the piece: read it for itself if it is the first one asked for.
            return Ok(
                taken.unwrap_or(match (claimed, first_header_ends(rest, wanted.offset)) {
                    (Some(size_bytes), Some(true)) => {
                        above_or(rest, wanted, Taken::LargerThanPiece { at, size_bytes })
                    }
                    (Some(size_bytes), Some(false)) => Taken::Nothing {
                        skipped: at + size_bytes,
                    },
                    _ => Taken::Nothing { skipped: at },
                }),
            );
        };
        let batch_at = position + at as u64;
        let (batch, _) = RecordBatch::split_first(rest).map_err(|e| corrupt(file, batch_at, &e))?;
        if !has_offsets(&batch) {
            return taken.ok_or_else(|| corrupt(file, batch_at, &NO_OFFSETS));
        }
        if batch.next_offset() > bounds.end {
            return taken.ok_or_else(|| corrupt(file, batch_at, &PAST_SEGMENT));
        }
        let end = at + bytes;
        // Memory and disk may have changed since the batch was checked on its way in (rule S3).
        if batch.last_offset() >= wanted.offset
            && let Err(error) = batch.verify_checksum()
        {
            return taken.ok_or_else(|| corrupt(file, batch_at, &error));
        }
        without_last = taken;
        walked_to = batch.next_offset();
        match taken {
            None if batch.last_offset() < wanted.offset => {}
            None if batch.base_offset() >= wanted.upper => return Ok(Taken::AboveUpper),
            None if bytes > wanted.max_bytes => {
                return Ok(Taken::LargerThanPiece {
                    at,
                    size_bytes: bytes,
                });
            }
            None => {
                let (base_offset, next_offset) = (batch.base_offset(), batch.next_offset());
                taken = Some(Taken::Range {
                    start: at,
                    end,
                    base_offset,
                    next_offset,
                });
            }
            Some(Taken::Range {
                start, base_offset, ..
            }) => {
                if end - start > wanted.max_bytes || batch.base_offset() >= wanted.upper {
                    break;
                }
                taken = Some(Taken::Range {
                    start,
                    end,
                    base_offset,
                    next_offset: batch.next_offset(),
                });
            }
            Some(_) => break,
        }
        at = end;
    }
    Ok(taken.unwrap_or(if position.saturating_add(at as u64) >= size {
        Taken::End
    } else {
        Taken::Nothing { skipped: at }
    }))
}

/// What a piece of a segment has for a reader.
#[derive(Clone, Copy)]
enum Taken {
    /// Whole batches.
    Range {
        start: usize,
        end: usize,
        base_offset: i64,
        next_offset: i64,
    },
    /// The first batch asked for has more bytes than the piece or than was asked for.
    LargerThanPiece { at: usize, size_bytes: usize },
    /// Only batches below the offset; go on behind them.
    Nothing { skipped: usize },
    /// The first batch asked for lies above the upper bound.
    AboveUpper,
    /// The segment ends below the offset.
    End,
}

/// Whether the batch whose header begins `rest` reaches `offset`; `None` if the header is cut off.
fn first_header_ends(rest: &[u8], offset: i64) -> Option<bool> {
    const LAST_OFFSET_DELTA_AT: usize = 23;
    let base = i64::from_be_bytes(*rest.first_chunk::<8>()?);
    let delta = i32::from_be_bytes(*rest.get(LAST_OFFSET_DELTA_AT..)?.first_chunk::<4>()?);
    Some(base.saturating_add(i64::from(delta)) >= offset)
}

fn above_or(rest: &[u8], wanted: &Wanted, otherwise: Taken) -> Taken {
    let base = rest
        .first_chunk::<8>()
        .map_or(i64::MAX, |base| i64::from_be_bytes(*base));
    if base >= wanted.upper {
        Taken::AboveUpper
    } else {
        otherwise
    }
}

fn corrupt(file: &File, position: u64, error: &dyn std::fmt::Display) -> ReadError {
    ReadError::Corrupt {
        file: file.path().display().to_string(),
        position,
        reason: error.to_string(),
    }
}

/// Reads up to `wanted` bytes from `position`, never past `end`.
fn read_piece(file: &File, position: u64, end: u64, wanted: usize) -> io::Result<Bytes> {
    let left = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
    // At least a header, so that a walk always gets on.
    file.read_to_bytes(wanted.max(BATCH_HEADER_BYTES).min(left), position)
}
