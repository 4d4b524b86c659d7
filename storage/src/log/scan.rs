//! Walks the batches of a segment file from a position on, reading in large pieces.
//!
//! Used where every byte must be looked at: recovery, rebuilding of indexes, the search for a timestamp. Bytes that are
//! not a batch end the walk with their position; what that means is decided by who walks.

use std::io;

use protocol_compat::record_batch::batch::{
    BATCH_HEADER_BYTES, LOG_OVERHEAD_BYTES, RecordBatch, claimed_size,
};

use crate::disk::File;

const PIECE_BYTES: usize = 256 << 10;
/// Larger than any batch that a segment file can hold: positions are 32-bit signed in Kafka's indexes.
const LARGEST_BATCH_BYTES: usize = i32::MAX as usize;

/// A walk over the batches of a file.
#[derive(Debug)]
pub struct Scan<'a> {
    file: &'a File,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    /// Where the buffer's first byte stands in the file.
    buffer_start: u64,
    piece_bytes: usize,
}

/// How a walk's next step ended.
#[derive(Debug)]
pub enum Step<'b> {
    /// A batch and its position in the file.
    Batch(u64, RecordBatch<'b>),
    /// The end of what was to be walked.
    End,
    /// The bytes at this position are not a whole batch.
    Invalid(u64, String),
}

impl<'a> Scan<'a> {
    /// A walk over the bytes from `position` to `end`.
    pub fn new(file: &'a File, position: u64, end: u64) -> Scan<'a> {
        Scan {
            file,
            position,
            end,
            buffer: Vec::new(),
            buffer_start: position,
            piece_bytes: PIECE_BYTES,
        }
    }

    /// Reads so many bytes at a time; larger batches are read whole all the same.
    #[must_use]
    pub fn piece_bytes(mut self, bytes: usize) -> Scan<'a> {
        self.piece_bytes = bytes;
        self
    }

    /// The next batch. Its checksum is looked at if `verify` says so.
    ///
    /// # Errors
    /// The file system's.
    pub fn next(&mut self, verify: bool) -> io::Result<Step<'_>> {
        let at = self.position;
        let left = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(Step::End);
        }
        if left < BATCH_HEADER_BYTES {
            return Ok(Step::Invalid(
                at,
                format!("{left} bytes are left, fewer than a batch header"),
            ));
        }
        self.fill(LOG_OVERHEAD_BYTES)?;
        let size = match claimed_size(self.ahead()) {
            Some(size) if size < BATCH_HEADER_BYTES => {
                return Ok(Step::Invalid(
                    at,
                    format!("batch length {size} is below the minimum"),
                ));
            }
            Some(size) if size <= left && size <= LARGEST_BATCH_BYTES => size,
            Some(size) => {
                return Ok(Step::Invalid(
                    at,
                    format!("batch of {size} bytes, but {left} are left"),
                ));
            }
            None => return Ok(Step::Invalid(at, "batch length is negative".to_owned())),
        };
        self.fill(size)?;
        self.position = at.saturating_add(size as u64);
        let start = usize::try_from(at.saturating_sub(self.buffer_start)).unwrap_or(usize::MAX);
        let bytes = start
            .checked_add(size)
            .and_then(|end| self.buffer.get(start..end))
            .unwrap_or_default();
        match RecordBatch::split_first(bytes) {
            Ok((batch, _)) if !has_offsets(&batch) => Ok(Step::Invalid(at, NO_OFFSETS.to_owned())),
            Ok((batch, _)) => match if verify { batch.verify_checksum() } else { Ok(()) } {
                Ok(()) => Ok(Step::Batch(at, batch)),
                Err(error) => Ok(Step::Invalid(at, error.to_string())),
            },
            Err(error) => Ok(Step::Invalid(at, error.to_string())),
        }
    }

    fn ahead(&self) -> &[u8] {
        let start = usize::try_from(self.position.saturating_sub(self.buffer_start)).unwrap_or(usize::MAX);
        self.buffer.get(start..).unwrap_or_default()
    }

    /// Lets at least `count` bytes lie ahead in the buffer; the caller knows that the file has them.
    fn fill(&mut self, count: usize) -> io::Result<()> {
        let ahead = self.ahead().len();
        if ahead >= count {
            return Ok(());
        }
        let consumed = self.buffer.len() - ahead;
        self.buffer.drain(..consumed);
        self.buffer_start = self.position;
        let left = usize::try_from(self.end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = count.max(self.piece_bytes).min(left);
        self.buffer.resize(wanted, 0);
        let from = self.position.saturating_add(ahead as u64);
        let target = self.buffer.get_mut(ahead..).unwrap_or_default();
        self.file.read_exact_at(target, from)
    }
}

/// What is wrong with a batch that [`has_offsets`] refuses.
pub(super) const NO_OFFSETS: &str = "the batch ends before it begins";

/// What is wrong with a batch that ends behind the base offset of the next segment.
pub(super) const PAST_SEGMENT: &str = "the batch reaches into the next segment";

/// Whether the offsets of a batch are any: whoever reads it gets on. A checksum says nothing of who wrote the header.
pub(super) fn has_offsets(batch: &RecordBatch<'_>) -> bool {
    batch.base_offset() >= 0 && batch.next_offset() > batch.base_offset()
}
