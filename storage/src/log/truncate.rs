//! Taking records off the log: its end (a leader's word, rules R1–R3), its start (DeleteRecords), or all of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::LogError;
use super::flush_together::Covered;
use super::index_file::read_offset_entry;
use super::scan::{Scan, Step};
use super::segment::{NO_TIMESTAMP, Segment};
use super::writer::Writer;
use super::{PartitionLog, producer_snapshot};

impl PartitionLog {
    /// Removes every batch that reaches to `offset` or above. The owner has lowered durable claims (recovery point, high watermark)
    /// before (rule S10).
    ///
    /// # Errors
    /// [`LogError`]; on an input/output error the log is offline.
    pub fn truncate_to(&self, offset: i64) -> Result<(), LogError> {
        self.guarded_whole(|| {
            let mut covered = self.flushing.lock();
            let mut writer = self.writer.lock();
            self.write_queue(&mut writer);
            self.require_online()?;
            if offset >= self.log_end_offset() {
                return Ok(());
            }
            *covered = Covered::NOTHING;
            self.leave_journal()?;
            if offset <= self.log_start_offset() {
                return self.restart_at(&mut writer, offset);
            }
            let kept = self.drop_segments_from(offset)?;
            // A name that came back after a power cut would end the log there, whatever is appended meanwhile.
            writer.unsynced_names = writer.is_created;
            let end = match kept.last() {
                Some(segment) => self.cut_segment(segment, offset)?,
                None => offset,
            };
            self.segments.store(Arc::new(kept));
            self.log_end_offset.store(end, Ordering::Release);
            self.lower_claims(end);
            self.remove_snapshots_above(end)?;
            self.reset_reservations(&mut writer)
        })
    }

    /// Removes every record and lets the log begin at `offset`.
    ///
    /// # Errors
    /// [`LogError`]; on an input/output error the log is offline.
    pub fn truncate_fully_and_start_at(&self, offset: i64) -> Result<(), LogError> {
        self.guarded_whole(|| {
            let mut covered = self.flushing.lock();
            let mut writer = self.writer.lock();
            self.write_queue(&mut writer);
            self.require_online()?;
            *covered = Covered::NOTHING;
            self.leave_journal()?;
            self.restart_at(&mut writer, offset)
        })
    }

    /// Raises the log's start to `offset`, which may not lie above the high watermark; whole segments below it go. The new
    /// start is durable when the owner has checkpointed it. The start in force afterwards.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] above the high watermark.
    pub fn delete_records_before(&self, offset: i64) -> Result<i64, LogError> {
        self.guarded(|| {
            let (log_start_offset, high_watermark) = (self.log_start_offset(), self.high_watermark());
            if offset > high_watermark {
                return Err(LogError::OffsetOutOfRange {
                    offset,
                    log_start_offset,
                    log_end_offset: high_watermark,
                });
            }
            let _writer = self.writer.lock();
            self.raise_start(offset)?;
            Ok(self.log_start_offset())
        })
    }

    /// Raises the start and forgets epochs below it. The writer's lock is held.
    pub(super) fn raise_start(&self, offset: i64) -> Result<(), LogError> {
        if self.log_start_offset.fetch_max(offset, Ordering::AcqRel) >= offset {
            return Ok(());
        }
        self.high_watermark.fetch_max(offset, Ordering::AcqRel);
        if let Some(events) = self.events.read().clone() {
            events.started_later(offset);
        }
        let has_changed = self.reservations.lock().epochs.truncate_from_start(offset);
        if has_changed {
            self.write_epochs_or_later()
        } else {
            Ok(())
        }
    }

    /// Cuts the files back to what was published: after a write that met a full disk.
    pub(super) fn cut_to_published(&self, writer: &mut Writer) -> Result<(), LogError> {
        if let Some(segment) = self.active_segment()
            && self.files.disk().exists(&segment.log.path())?
        {
            segment.log.get(&self.files)?.set_len(segment.size_bytes())?;
            segment.offset_index.activate(&self.files)?;
            segment.time_index.activate(&self.files)?;
        }
        self.reset_reservations(writer)
    }

    fn lower_claims(&self, offset: i64) {
        self.flushed_offset.fetch_min(offset, Ordering::AcqRel);
        self.journaled_offset.fetch_min(offset, Ordering::AcqRel);
        self.high_watermark.fetch_min(offset, Ordering::AcqRel);
    }

    fn restart_at(&self, writer: &mut Writer, offset: i64) -> Result<(), LogError> {
        for segment in self.segments.load().iter() {
            self.remove_files(segment)?;
        }
        let dir = self.dir.read().clone();
        let created_ms = self.active_segment().map_or(0, |segment| segment.created_ms);
        let segment = Arc::new(Segment::new(&dir, offset, created_ms));
        if writer.is_created {
            segment.create_log(&self.files, self.config.load().initial_file_bytes())?;
            writer.unsynced_names = true;
            producer_snapshot::remove_where(self.files.disk(), &dir, |_| true)?;
        }
        self.segments.store(Arc::new(vec![segment]));
        self.log_end_offset.store(offset, Ordering::Release);
        self.log_start_offset.store(offset, Ordering::Release);
        self.high_watermark.store(offset, Ordering::Release);
        self.flushed_offset.store(offset, Ordering::Release);
        self.journaled_offset.store(offset, Ordering::Release);
        self.reservations.lock().epochs = super::leader_epoch_cache::LeaderEpochCache::default();
        if writer.is_created {
            self.write_epochs_or_later()?;
        }
        self.reset_reservations(writer)
    }

    /// Removes the segments that begin at or above `offset`; those that stay.
    fn drop_segments_from(&self, offset: i64) -> Result<Vec<Arc<Segment>>, LogError> {
        let mut kept = self.segments.load().as_ref().clone();
        while kept.len() > 1 && kept.last().is_some_and(|segment| segment.base_offset >= offset) {
            if let Some(segment) = kept.pop() {
                self.remove_files(&segment)?;
            }
        }
        Ok(kept)
    }

    fn remove_files(&self, segment: &Segment) -> Result<(), LogError> {
        let disk = self.files.disk();
        for file in segment.files() {
            file.close();
            let path = file.path();
            if disk.exists(&path)? {
                disk.remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Cuts a segment before the batch that holds `offset` and makes it the active one; the log's new end.
    fn cut_segment(&self, segment: &Arc<Segment>, offset: i64) -> Result<i64, LogError> {
        segment.offset_index.activate(&self.files)?;
        segment.time_index.activate(&self.files)?;
        let file = segment.log.get(&self.files)?;
        // The log ends behind the last batch that stays, as a later start finds it: there may be a hole before the cut.
        let from = segment.position_at_or_before(&self.files, offset.saturating_sub(1))?;
        let (mut cut, mut end) = (segment.size_bytes(), segment.base_offset);
        let mut scan = Scan::new(&file, from, segment.size_bytes());
        while let Step::Batch(position, batch) = scan.next(false)? {
            if batch.last_offset() >= offset {
                cut = position;
                break;
            }
            end = batch.next_offset();
        }
        // First what readers are told, then the bytes.
        segment.set_size_bytes(cut);
        file.set_len(cut)?;
        self.cut_indexes(segment, cut)?;
        segment.transaction_index.truncate_to(&self.files, end)?;
        Ok(end)
    }

    fn cut_indexes(&self, segment: &Segment, size: u64) -> Result<(), LogError> {
        let mut offset_entries = Vec::new();
        for position in 0..segment.offset_index.len() {
            offset_entries.extend(segment.offset_index.get(&self.files, position)?);
        }
        offset_entries.retain(|entry| u64::from(read_offset_entry(entry).1) < size);
        segment.offset_index.replace(&self.files, offset_entries)?;
        self.rebuild_time_index(segment, size)
    }

    fn rebuild_time_index(&self, segment: &Segment, size: u64) -> Result<(), LogError> {
        segment.reset_timestamp(NO_TIMESTAMP, -1);
        segment.time_index.replace(&self.files, Vec::new())?;
        let file = segment.log.get(&self.files)?;
        let mut scan = Scan::new(&file, 0, size);
        while let Step::Batch(_, batch) = scan.next(false)? {
            segment.note_timestamp(batch.max_timestamp_ms(), batch.last_offset());
        }
        Ok(segment.append_time_entry(&self.files)?)
    }

    fn remove_snapshots_above(&self, offset: i64) -> Result<(), LogError> {
        let dir = self.dir.read().clone();
        Ok(producer_snapshot::remove_where(self.files.disk(), &dir, |at| {
            at > offset
        })?)
    }
}
