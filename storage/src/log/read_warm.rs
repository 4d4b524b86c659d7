//! Finding records that can be sent without being read: what this process appended and the page cache still holds.
//!
//! Such bytes were checked when they came and have been in memory ever since, so that nothing is gained by checking them
//! again (rule S3 is about cold data). Where a part of a segment turns out not to be resident, all that was written of the
//! segment so far counts as cold from then on: what comes back from the disk is read and checked. The ends of what is
//! found come from the offset index, a handful of headers is all that is read.

use std::io;
use std::sync::Arc;

use protocol_compat::messages::FileRecords;
use protocol_compat::record_batch::batch::{BATCH_HEADER_BYTES, claimed_size, last_offset_of};

use super::PartitionLog;
use super::index_file::read_offset_entry;
use super::segment::Segment;
use super::tail::{CURRENT_MAGIC, MAGIC_AT};
use crate::disk::File;

/// Less than this is read: the calls that find and send it would cost more than the copies.
const LEAST_BYTES: u64 = 64 << 10;
/// Headers that are read between an index entry and the first batch that was asked for; batches smaller than a few hundred
/// bytes are read.
const MOST_HEADERS: usize = 16;

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
        if segment.warm_from() >= segment.size_bytes() {
            return None;
        }
        // An error is for the read to meet and to tell.
        self.warm_part(segment, offset, max_bytes, upper).ok().flatten()
    }

    fn warm_part(
        &self,
        segment: &Arc<Segment>,
        offset: i64,
        max_bytes: u64,
        upper: i64,
    ) -> io::Result<Option<WarmRecords>> {
        let size = segment.size_bytes();
        let near = segment.position_at_or_before(&self.files, offset)?;
        if size.saturating_sub(near) < LEAST_BYTES {
            return Ok(None);
        }
        let file = segment.log.get(&self.files)?;
        let Some(to_send) = file.to_send() else {
            return Ok(None);
        };
        let Some(start) = first_batch(&file, near, size, offset)? else {
            return Ok(None);
        };
        // The batch at an entry that is far enough behind ends what is sent; it is whole, and so is all before it.
        let named = |entry: &[u8; 8]| {
            let (relative, position) = read_offset_entry(entry);
            (segment.base_offset + i64::from(relative), u64::from(position))
        };
        let is_within = |entry: &[u8; 8]| {
            let (last_offset, position) = named(entry);
            position <= start.saturating_add(max_bytes) && last_offset < upper
        };
        let last = segment.offset_index.floor(&self.files, is_within, |_| Ok(true))?;
        let Some((last_offset, end)) = last.as_ref().map(named) else {
            return Ok(None);
        };
        let length = end.saturating_sub(start);
        if length < LEAST_BYTES || start < segment.warm_from() {
            return Ok(None);
        }
        let Some(next) = Header::read(&file, end)?.filter(|next| next.last_offset == last_offset) else {
            return Ok(None);
        };
        if !file.is_resident(start, length) {
            segment.note_cold();
            return Ok(None);
        }
        Ok(usize::try_from(length).ok().map(|length| WarmRecords {
            records: FileRecords {
                file: to_send,
                position: start,
                length,
            },
            next_offset: next.base_offset,
        }))
    }
}

/// Where the batch begins that holds `offset`, which stands before `end`.
fn first_batch(file: &File, mut position: u64, end: u64, offset: i64) -> io::Result<Option<u64>> {
    for _ in 0..MOST_HEADERS {
        let Some(header) = Header::read(file, position)?.filter(|_| position < end) else {
            break;
        };
        if header.last_offset >= offset {
            return Ok(Some(position));
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
    /// Of the batch at `position`; `None` if there is none.
    fn read(file: &File, position: u64) -> io::Result<Option<Header>> {
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
