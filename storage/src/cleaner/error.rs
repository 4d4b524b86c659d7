//! Why a log could not be cleaned.

use std::fmt::Display;
use std::io;

use protocol_compat::record_batch::batch::RecordBatch;
use protocol_compat::record_batch::record::DecompressionLimit;
use thiserror::Error;

use crate::log::LogError;
use crate::log::segment::Segment;

/// Largest batch when decompressed: what a client could have sent, and more than any of Kafka's own limits.
pub(super) const DECOMPRESSED_LIMIT: DecompressionLimit = DecompressionLimit(1 << 30);

/// Why a cleaning ended early. The log is as it was before, or partly cleaned, which is as good.
#[derive(Debug, Error)]
pub enum CleanError {
    /// [`Pace`] ended it, or the log changed underneath; a later cleaning begins anew.
    #[error("the cleaning was called off")]
    CalledOff,
    /// The disk is full; a later cleaning begins anew.
    #[error("the disk is full")]
    NoSpace,
    /// Bytes of the log are damaged, so that nothing of it can be judged: the partition is uncleanable.
    #[error("segment {segment} is damaged at byte {position}: {reason}")]
    Damaged {
        /// Base offset of the segment.
        segment: i64,
        /// Where in its file.
        position: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The log is offline.
    #[error(transparent)]
    Log(LogError),
}

impl From<LogError> for CleanError {
    fn from(error: LogError) -> CleanError {
        if error.is_no_space() {
            CleanError::NoSpace
        } else {
            CleanError::Log(error)
        }
    }
}

impl From<io::Error> for CleanError {
    fn from(error: io::Error) -> CleanError {
        if error.kind() == io::ErrorKind::StorageFull {
            CleanError::NoSpace
        } else {
            CleanError::Log(LogError::Io(error))
        }
    }
}

/// The error for a batch whose checksum is right and whose records are not.
pub(super) fn damaged(segment: &Segment, batch: &RecordBatch<'_>, error: &dyn Display) -> CleanError {
    CleanError::Damaged {
        segment: segment.base_offset,
        position: 0,
        reason: format!("batch at offset {}: {error}", batch.base_offset()),
    }
}
