//! What stands behind the first bytes of a segment that are no batch: nothing, zeros, or batches that a cut would lose.

use bytes::Bytes;
use protocol_compat::record_batch::batch::{BATCH_HEADER_BYTES, RecordBatch, claimed_size};

use super::error::LogError;
use crate::disk::File;

/// How much of a file is looked at at a time for its last byte that is not zero.
const ZERO_PIECE_BYTES: usize = 1 << 20;
/// Where a batch tells its format, and the only one that is written.
pub(super) const MAGIC_AT: usize = 16;
pub(super) const CURRENT_MAGIC: u8 = 2;

/// Whether a whole batch with a good checksum and a later offset stands anywhere behind `position`.
pub(super) fn valid_batch_follows(
    file: &File,
    position: u64,
    size: u64,
    end_offset: i64,
) -> Result<bool, LogError> {
    let written = end_without_zeros(file, position, size)?;
    let length = usize::try_from(written.saturating_sub(position)).unwrap_or(usize::MAX);
    let tail = file.read_to_bytes(length, position)?;
    for (start, at) in (1..tail.len()).zip(position.saturating_add(1)..) {
        let rest = tail.get(start..).unwrap_or_default();
        let Some(claimed) = claimed_size(rest).filter(|claimed| *claimed >= BATCH_HEADER_BYTES) else {
            continue;
        };
        if rest.get(MAGIC_AT) != Some(&CURRENT_MAGIC) || at.saturating_add(claimed as u64) > size {
            continue;
        }
        // A batch may end in zeros, and so behind the last byte that is not zero.
        let beyond = match rest.len() < claimed {
            true => file.read_to_bytes(claimed, at)?,
            false => Bytes::new(),
        };
        let bytes = if beyond.is_empty() { rest } else { &beyond };
        if let Ok((batch, _)) = RecordBatch::split_first(bytes)
            && batch.base_offset() >= end_offset
            && batch.verify_checksum().is_ok()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where the last byte behind `position` ends that is not zero: what was preallocated need not be held in memory.
fn end_without_zeros(file: &File, position: u64, size: u64) -> Result<u64, LogError> {
    let mut end = size;
    let mut piece = vec![0; ZERO_PIECE_BYTES];
    while end > position {
        let start = end.saturating_sub(ZERO_PIECE_BYTES as u64).max(position);
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        let bytes = piece.get_mut(..length).unwrap_or_default();
        file.read_exact_at(bytes, start)?;
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            return Ok(start.saturating_add(last as u64).saturating_add(1));
        }
        end = start;
    }
    Ok(position)
}
