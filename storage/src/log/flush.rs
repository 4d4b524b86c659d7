//! Flushing: what was written becomes durable, and only then the flushed offset moves.
//!
//! One flush runs at a time and takes along everything that was published when it began, so that threads that wait for
//! durability share it (group commit). A failed sync takes the log offline and is never tried again (rule S1).

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::LogError;
use super::flush_together::Covered;
use super::segment::Segment;
use super::{PartitionLog, producer_snapshot};

/// How long ago the log was flushed, for `flush.ms`, as the passes that look at it see it.
#[derive(Debug)]
pub(super) struct FlushAge {
    flushed_offset: i64,
    since_ms: i64,
    looked_ms: i64,
}

impl FlushAge {
    pub fn new(flushed_offset: i64, now_ms: i64) -> FlushAge {
        FlushAge {
            flushed_offset,
            since_ms: now_ms,
            looked_ms: now_ms,
        }
    }

    /// Milliseconds since the last flush. One that another caller made between two looks counts from the earlier look: at
    /// worst the log is flushed too early. A clock that was set back begins anew.
    fn look(&mut self, flushed_offset: i64, now_ms: i64) -> i64 {
        if flushed_offset != self.flushed_offset {
            self.flushed_offset = flushed_offset;
            self.since_ms = self.looked_ms;
        }
        self.since_ms = self.since_ms.min(now_ms);
        self.looked_ms = now_ms;
        now_ms.saturating_sub(self.since_ms)
    }
}

impl PartitionLog {
    /// Flushes the log if the last flush is `flush.ms` ago or longer and there is something to flush; whether it did.
    ///
    /// # Errors
    /// [`LogError`]; the log is offline then.
    pub fn flush_if_due(&self, now_ms: i64) -> Result<bool, LogError> {
        let flushed = self.flushed_offset();
        let age_ms = self.flush_age.lock().look(flushed, now_ms);
        if age_ms < self.config.load().flush_ms || flushed >= self.log_end_offset() {
            return Ok(false);
        }
        self.flush_all()?;
        *self.flush_age.lock() = FlushAge::new(self.flushed_offset(), now_ms);
        Ok(true)
    }

    /// Makes everything below `up_to` durable; a log that is flushed so far already is not touched.
    ///
    /// # Errors
    /// [`LogError`]; the log is offline then.
    pub fn flush(&self, up_to: i64) -> Result<(), LogError> {
        if self.flushed_offset() >= up_to {
            return Ok(());
        }
        self.guarded(|| {
            let mut covered = self.flushing.lock();
            // Another thread's flush may have covered this one while the lock was waited for.
            if self.flushed_offset() >= up_to {
                Ok(())
            } else {
                self.flush_published(&mut covered)
            }
        })
    }

    /// Makes everything that was published durable, indexes of sealed segments included.
    ///
    /// # Errors
    /// [`LogError`]; the log is offline then.
    pub fn flush_all(&self) -> Result<(), LogError> {
        self.flush(self.log_end_offset())
    }

    fn flush_published(&self, covered: &mut Covered) -> Result<(), LogError> {
        let end = self.log_end_offset();
        let active = loop {
            let segments = self.segments.load_full();
            let active = segments.last().map(|segment| Covered {
                base_offset: segment.base_offset,
                position: segment.size_bytes(),
            });
            match self.flush_segments(&segments) {
                Err(error) if self.has_changed_since(&segments, &error) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => break active,
            }
        };
        // The name of a file is looked after behind its content: a name without content would claim nothing wrong.
        let has_new_names = std::mem::take(&mut self.writer.lock().unsynced_names);
        if has_new_names && let Err(error) = self.sync_names(&self.dir.read().clone()) {
            self.writer.lock().unsynced_names = true;
            return Err(error);
        }
        *covered = active.unwrap_or(Covered::NOTHING);
        self.flushed_offset.fetch_max(end, Ordering::AcqRel);
        if let Some(events) = self.events.read().clone() {
            events.flushed(end);
        }
        Ok(())
    }

    /// The offset below which recovery need not look, for the owner's checkpoint. The epochs below it are in their file when
    /// this returns, so that no checkpoint ever stands above an epoch that the file lacks.
    ///
    /// # Errors
    /// [`LogError`]; the log is offline then, unless there was no room: the epochs are saved with a later call.
    pub fn recovery_point(&self) -> Result<i64, LogError> {
        self.require_online()?;
        let flushed = self.flushed_offset();
        match self.save_epochs() {
            Err(error) if error.is_no_space() => {
                self.reservations.lock().has_unsaved_epochs = true;
                Err(error)
            }
            saved => self.guarded(|| saved.map(|()| flushed)),
        }
    }

    /// Writes the file of leader epochs if one began since the last time. What it claims above the flushed offset is
    /// taken back by recovery (rule S10); what it lacks there is found in the batches.
    fn save_epochs(&self) -> Result<(), LogError> {
        // A log without files has no epoch that anybody could have written under.
        if !self.writer.lock().is_created {
            return Ok(());
        }
        self.write_unsaved_epochs()
    }

    fn flush_segments(&self, segments: &[Arc<Segment>]) -> io::Result<()> {
        let next = segments.iter().skip(1).map(|next| Some(next.base_offset));
        let each = segments.iter().zip(next.chain([None]));
        for (segment, next_base) in each.filter(|(segment, _)| !segment.is_flushed()) {
            self.flush_segment(segment, next_base)?;
        }
        Ok(())
    }

    /// Flushes a segment and, where it is sealed, what was written as the next one began.
    fn flush_segment(&self, segment: &Arc<Segment>, next_base: Option<i64>) -> io::Result<()> {
        let size = segment.size_bytes();
        if size > 0 {
            segment.log.get(&self.files)?.sync_data()?;
        }
        if let Some(next_base) = next_base {
            producer_snapshot::sync(self.files.disk(), &self.dir.read().clone(), next_base)?;
            // The active segment's indexes are rebuilt after a crash; a sealed one's are trusted below the recovery point.
            segment.offset_index.sync(&self.files)?;
            segment.time_index.sync(&self.files)?;
            segment.set_flushed(size);
        }
        Ok(())
    }

    /// Leaves the files so that this process can open the log again without recovery, with the recovery point as it is now.
    /// Of new files the names become durable where the next opening would not know of them: it does where the log reaches
    /// past its recovery point.
    ///
    /// # Errors
    /// [`LogError`]; the log is offline then, unless there only was no room: then it must stay open.
    pub fn park(&self) -> Result<(), LogError> {
        self.guarded(|| {
            let mut writer = self.writer.lock();
            self.write_queue(&mut writer);
            self.require_online()?;
            if let Some(segment) = self.active_segment()
                && writer.is_created
            {
                segment.append_time_entry(&self.files)?;
                segment.trim(&self.files)?;
                // Without an entry by offset the next opening walks as few bytes without indexes as with them.
                if !segment.offset_index.is_empty()
                    || segment.offset_index.has_file(&self.files)?
                    || segment.time_index.has_file(&self.files)?
                {
                    segment.offset_index.write_out(&self.files)?;
                    segment.time_index.write_out(&self.files)?;
                }
            }
            if writer.unsynced_names && self.flushed_offset() >= self.log_end_offset() {
                self.sync_names(&self.dir.read().clone())?;
                writer.unsynced_names = false;
            }
            Ok(())
        })
    }

    /// Ends the log's life in this process: indexes written, everything durable, and a producer snapshot at the end, so that
    /// the next open reads nothing of the log. A log without a file stays without one.
    ///
    /// # Errors
    /// [`LogError`]; the directory must not be taken for cleanly closed then.
    pub fn close(&self) -> Result<(), LogError> {
        self.guarded(|| {
            // As in a flush, before the lock of the writers.
            let mut covered = self.flushing.lock();
            let mut writer = self.writer.lock();
            self.write_queue(&mut writer);
            self.require_online()?;
            if !writer.is_created {
                return Ok(());
            }
            if let Some(segment) = self.active_segment() {
                segment.append_time_entry(&self.files)?;
                segment.trim(&self.files)?;
                segment.offset_index.sync(&self.files)?;
                segment.time_index.sync(&self.files)?;
                segment.log.create(&self.files)?.sync_all()?;
            }
            drop(writer);
            self.flush_published(&mut covered)?;
            self.save_epochs()?;
            // A roll beside this writes a snapshot of the same name.
            let _writer = self.writer.lock();
            let dir = self.dir.read().clone();
            let (end, snapshot) = {
                let state = self.reservations.lock();
                (state.next_offset, producer_snapshot::encode(&state.producers))
            };
            producer_snapshot::write(self.files.disk(), &dir, end, &snapshot)?;
            Ok(())
        })
    }
}
