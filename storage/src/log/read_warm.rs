//! Finding records that can be sent without being read: what this process appended and the page cache still holds.
//!
//! Such bytes were checked when they came and have been in memory ever since, so that nothing is gained by checking them
//! again (rule S3 is about cold data). What turns out not to be resident counts as cold, and so is all that an earlier
//! process wrote: it is read and checked, which makes it warm. The ends of what is found come from the offset index, a
//! handful of headers is all that is read.

use std::io;
use std::ops::Range;

use protocol_compat::messages::FileRecords;
use protocol_compat::record_batch::batch::{BATCH_HEADER_BYTES, claimed_size, last_offset_of};

use super::PartitionLog;
use super::file_cache::FileCache;
use super::index_file::read_offset_entry;
use super::segment::Segment;
use super::tail::{CURRENT_MAGIC, MAGIC_AT};
use crate::disk::File;

/// Less than this is read: the calls that find and send it would cost more than the copies.
const LEAST_BYTES: u64 = 64 << 10;
/// Headers that are read between an index entry and the first batch that was asked for; batches smaller than a few hundred
/// bytes are read.
const MOST_HEADERS: usize = 16;
/// A read may bring so much back from the disk behind what it reads, unchecked: twice what the system reads ahead, since it
/// begins to while the part before it is not used up. That is 128 KiB if nothing else was set, 8 MiB on some machines.
const READ_AHEAD_BYTES: u64 = 16 << 20;
/// What is not resident is found in pieces of this size.
const PIECE_BYTES: u64 = 64 << 10;

/// Records in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct WarmRecords {
    /// Whole batches, the first of which holds the offset that was asked for.
    pub records: FileRecords,
    /// End of the records, exclusive.
    pub next_offset: i64,
}

impl PartitionLog {
    /// What [`PartitionLog::read`] would find, or less of it, where that need not be read. `None` where it must be: it is
    /// little, cold, damaged, or not there.
    pub fn warm_records(&self, offset: i64, max_bytes: usize, upper: i64) -> Option<WarmRecords> {
        let max_bytes = max_bytes as u64;
        let upper = upper.min(self.log_end_offset());
        if max_bytes < LEAST_BYTES || !(self.log_start_offset()..upper).contains(&offset) {
            return None;
        }
        let segments = self.segments.load();
        let at = segments
            .partition_point(|segment| segment.base_offset <= offset)
            .checked_sub(1)?;
        let segment = segments.get(at)?;
        // An error is for the read to meet and to tell.
        let near = segment.position_at_or_before(&self.files, offset).ok()?;
        if segment.size_bytes().saturating_sub(near) < LEAST_BYTES {
            return None;
        }
        let part = near..near.saturating_add(max_bytes);
        let file = segment.log.get(&self.files).ok()?;
        let to_send = file.to_send()?;
        let cold = segment.cold.first_in(&part);
        let is_cold = cold.is_some_and(|cold| cold.start <= part.start && part.end <= cold.end);
        let found = if is_cold {
            Ok(None)
        } else {
            warm_part(&self.files, segment, &file, offset, &part, upper)
        };
        let Some((part, next_offset)) = found.ok().flatten() else {
            note_missing(segment, &file, &part);
            return None;
        };
        Some(WarmRecords {
            records: FileRecords {
                file: to_send,
                position: part.start,
                length: usize::try_from(part.end - part.start).ok()?,
            },
            next_offset,
        })
    }
}

/// The warm bytes from the batch that holds `offset` on, which stands at or behind the start of `near`, no more than `near`
/// has; and the offset behind them.
fn warm_part(
    files: &FileCache,
    segment: &Segment,
    file: &File,
    offset: i64,
    near: &Range<u64>,
    upper: i64,
) -> io::Result<Option<(Range<u64>, i64)>> {
    let Some(start) = first_batch(file, near.start, segment.size_bytes(), offset)? else {
        return Ok(None);
    };
    let most = near.end - near.start;
    // The batch at an entry that is far enough behind ends what is sent; it is whole, and so is all before it.
    let named = |entry: &[u8; 8]| {
        let (relative, position) = read_offset_entry(entry);
        (segment.base_offset + i64::from(relative), u64::from(position))
    };
    let is_within = |entry: &[u8; 8]| {
        let (last_offset, position) = named(entry);
        position <= start.saturating_add(most) && last_offset < upper
    };
    let last = segment.offset_index.floor(files, is_within, |_| Ok(true))?;
    let Some((last_offset, end)) = last.as_ref().map(named) else {
        return Ok(None);
    };
    let length = end.saturating_sub(start);
    let part = start..end;
    if length < LEAST_BYTES || segment.cold.first_in(&part).is_some() || !file.is_resident(start, length) {
        return Ok(None);
    }
    let next = Header::read(file, end)?.filter(|next| next.last_offset == last_offset);
    Ok(next.map(|next| (part, next.base_offset)))
}

/// Before a read of `part` brings it back: takes for cold what is not resident of it and of what the system may read with it.
fn note_missing(segment: &Segment, file: &File, part: &Range<u64>) {
    let size = segment.size_bytes();
    let is_resident =
        |part: &Range<u64>| part.start >= part.end || file.is_resident(part.start, part.end - part.start);
    let cold = segment.cold.first_in(part);
    // What is read begins in the part and may end a little behind it. If that is all there, the disk is not asked.
    if cold.is_none() && is_resident(&(part.start..part.end.saturating_add(PIECE_BYTES).min(size))) {
        return;
    }
    let from = cold
        .filter(|cold| cold.start <= part.start)
        .map_or(part.start, |cold| cold.end);
    let end = part.end.saturating_add(READ_AHEAD_BYTES).min(size);
    if is_resident(&(from..end)) {
        return;
    }
    let mut at = from - from % PIECE_BYTES;
    while at < end {
        let piece = at..at.saturating_add(PIECE_BYTES).min(size);
        at = piece.end;
        if !is_resident(&piece) {
            segment.cold.add(piece);
        }
    }
}

/// Where the batch begins that holds `offset`, which stands before `end`.
fn first_batch(file: &File, mut position: u64, end: u64, offset: i64) -> io::Result<Option<u64>> {
    for _ in 0..MOST_HEADERS {
        let Some(header) = Header::read(file, position)?.filter(|_| position < end) else {
            break;
        };
        if header.last_offset >= offset {
            // One that begins behind the offset may be right, but what stands before it was not checked.
            return Ok(Some(position).filter(|_| header.base_offset <= offset));
        }
        position = position.saturating_add(header.bytes);
    }
    Ok(None)
}

struct Header {
    base_offset: i64,
    last_offset: i64,
    bytes: u64,
}

impl Header {
    /// Of the batch at `position`; `None` if there is none, or if it would come from the disk.
    fn read(file: &File, position: u64) -> io::Result<Option<Header>> {
        if !file.is_resident(position, BATCH_HEADER_BYTES as u64) {
            return Ok(None);
        }
        let mut header = [0; BATCH_HEADER_BYTES];
        file.read_exact_at(&mut header, position)?;
        let bytes = claimed_size(&header).filter(|bytes| *bytes >= BATCH_HEADER_BYTES);
        let has_magic = header.get(MAGIC_AT) == Some(&CURRENT_MAGIC);
        let base_offset = header.first_chunk().map(|base| i64::from_be_bytes(*base));
        Ok(match (base_offset, bytes) {
            (Some(base_offset), Some(bytes)) if has_magic => Some(Header {
                base_offset,
                last_offset: last_offset_of(&header),
                bytes: bytes as u64,
            }),
            _ => None,
        })
    }
}
