//! A flush that somebody completes for many logs at once, through the flush journal of their directory.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;
use protocol_compat::{TopicId, TopicPartition};

use super::PartitionLog;
use super::error::LogError;
use super::file_cache::CachedFile;
use crate::disk::File;
use crate::flush_journal::FlushJournal;

/// More of a log than this is not copied: its file is synced instead.
const MOST_BYTES: u64 = 1 << 20;

/// How far the content of the active segment is durable, by a sync of its file or by the journal. Whoever flushes holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Covered {
    pub base_offset: i64,
    pub position: u64,
}

impl Covered {
    pub const NOTHING: Covered = Covered {
        base_offset: i64::MIN,
        position: 0,
    };
}

/// A flush of one log that has begun: what was published before becomes durable next, and no other flush of the log runs
/// meanwhile.
#[derive(Debug)]
pub(crate) struct BegunFlush<'a> {
    log: &'a Arc<PartitionLog>,
    covered: MutexGuard<'a, Covered>,
    end_offset: i64,
    file: Arc<File>,
    segment_file: Arc<CachedFile>,
    topic_id: TopicId,
    /// What is written of the active segment, and from where on it is not durable yet.
    now: Covered,
    from: u64,
}

/// How a flush of a log is to go on.
#[derive(Debug)]
pub(crate) enum FlushStart<'a> {
    /// Through the journal.
    Together(BegunFlush<'a>),
    /// For itself: new names, a sealed segment, a lot of bytes, somebody else's flush.
    Alone,
    /// Everything is durable, or the log is offline.
    Nothing,
}

impl PartitionLog {
    /// Begins a flush of a log of which only the end of the active segment's file is not durable.
    pub(crate) fn begin_flush(self: &Arc<Self>) -> FlushStart<'_> {
        let Some(covered) = self.flushing.try_lock() else {
            return FlushStart::Alone;
        };
        let end_offset = self.log_end_offset();
        if self.is_failed() || self.durable_offset() >= end_offset {
            return FlushStart::Nothing;
        }
        // Later than the end: a segment that was rolled since holds all that is below it, and is not flushed.
        let segments = self.segments.load();
        let (Some((active, sealed)), Some(topic_id)) = (segments.split_last(), self.topic_id) else {
            return FlushStart::Alone;
        };
        let now = Covered {
            base_offset: active.base_offset,
            position: active.size_bytes(),
        };
        let from = match *covered {
            Covered {
                base_offset,
                position,
            } if base_offset == now.base_offset => position,
            _ => 0,
        };
        // A log whose appends do not wait needs no journal.
        let is_content_alone = self.config.load().flushes_appends()
            && (from + 1..=from + MOST_BYTES).contains(&now.position)
            && sealed.iter().all(|segment| segment.is_flushed())
            && !self.writer.lock().unsynced_names;
        match active.log.get(&self.files) {
            Ok(file) if is_content_alone => FlushStart::Together(BegunFlush {
                log: self,
                covered,
                end_offset,
                file,
                segment_file: active.log.clone(),
                topic_id,
                now,
                from,
            }),
            _ => FlushStart::Alone,
        }
    }

    /// The log has bytes in a journal from now on.
    pub(crate) fn joined(&self, journal: &Arc<FlushJournal>) {
        self.journal.get_or_init(|| Arc::downgrade(journal));
    }

    /// Before bytes change that may stand in the journal: from here on they do not. The caller holds the lock of flushes, so that
    /// no round has begun that would bring them there.
    pub(super) fn leave_journal(&self) -> io::Result<()> {
        match self.journal.get().and_then(std::sync::Weak::upgrade) {
            Some(journal) => journal.leave(),
            None => Ok(()),
        }
    }

    /// Syncs the segment's file in which everything below `end_offset` ends; one that was deleted since needs nothing. Whether
    /// the journal is no longer needed for it. A sync that fails takes the log offline.
    pub(crate) fn sync_journaled(&self, file: &Arc<CachedFile>, end_offset: i64) -> bool {
        let synced = file.get(&self.files).and_then(|file| file.sync_data());
        match synced {
            Ok(()) => {
                self.flushed_offset.fetch_max(end_offset, Ordering::AcqRel);
                true
            }
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && (file.is_deleted() || self.is_leaving()) =>
            {
                true
            }
            Err(error) => {
                tracing::error!(log = %self.topic_partition, %error, "could not flush");
                self.fail();
                false
            }
        }
    }
}

impl<'a> BegunFlush<'a> {
    /// The log.
    pub fn log(&self) -> &'a Arc<PartitionLog> {
        self.log
    }

    /// The file of the active segment.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// The same, closed while nobody uses it.
    pub fn segment_file(&self) -> &Arc<CachedFile> {
        &self.segment_file
    }

    /// Whose log it is.
    pub fn topic_partition(&self) -> (TopicId, &TopicPartition) {
        (self.topic_id, &self.log.topic_partition)
    }

    /// Base offset of the active segment.
    pub fn base_offset(&self) -> i64 {
        self.now.base_offset
    }

    /// The bytes of the file that are not durable yet: their position and how many.
    pub fn range(&self) -> (u64, u64) {
        (self.from, self.now.position.saturating_sub(self.from))
    }

    /// Everything below becomes durable.
    pub fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// Ends the flush as the sync of the journal did.
    ///
    /// # Errors
    /// [`LogError`] where the sync failed; the log is offline then.
    pub fn end(mut self, synced: &io::Result<()>) -> Result<(), LogError> {
        let log = self.log;
        log.guarded(|| match synced {
            Ok(()) => {
                *self.covered = self.now;
                log.journaled_offset.fetch_max(self.end_offset, Ordering::AcqRel);
                if let Some(events) = log.events.read().clone() {
                    events.flushed(self.end_offset);
                }
                Ok(())
            }
            Err(error) => Err(LogError::Io(io::Error::other(error.to_string()))),
        })
    }
}
