//! A flush that somebody completes for many logs at once, with one sync of the file system that holds them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::PartitionLog;
use super::error::LogError;
use crate::disk::File;

/// A flush of one log that has begun: what was published before is synced next, and no other flush of the log runs meanwhile.
pub(crate) struct BegunFlush<'a> {
    log: &'a PartitionLog,
    _alone: MutexGuard<'a, ()>,
    end: i64,
    file: Arc<File>,
}

impl PartitionLog {
    /// Begins a flush of a log of which only the content of the active segment's file is unflushed. `None` for others: a new
    /// name, a sealed segment, somebody else's flush, nothing to do.
    pub(crate) fn begin_flush(&self) -> Option<BegunFlush<'_>> {
        let alone = self.flushing.try_lock()?;
        let end = self.log_end_offset();
        if self.is_failed() || self.flushed_offset() >= end {
            return None;
        }
        // Later than the end: a segment that was rolled since holds all that is below it, and is not flushed.
        let segments = self.segments.load();
        let (active, sealed) = segments.split_last()?;
        let is_content_alone = active.size_bytes() > 0
            && sealed.iter().all(|segment| segment.is_flushed())
            && !self.writer.lock().unsynced_names;
        if !is_content_alone {
            return None;
        }
        let file = active.log.get(&self.files).ok()?;
        Some(BegunFlush {
            log: self,
            _alone: alone,
            end,
            file,
        })
    }
}

impl BegunFlush<'_> {
    /// The file that is to be synced.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Ends the flush as the sync did.
    ///
    /// # Errors
    /// [`LogError`] where the sync failed; the log is offline then.
    pub fn end(self, synced: &io::Result<()>) -> Result<(), LogError> {
        self.log.guarded(|| match synced {
            Ok(()) => {
                self.log.flushed_offset.fetch_max(self.end, Ordering::AcqRel);
                if let Some(events) = self.log.events.read().clone() {
                    events.flushed(self.end);
                }
                Ok(())
            }
            Err(error) => Err(LogError::Io(io::Error::other(error.to_string()))),
        })
    }
}
