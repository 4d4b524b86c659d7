//! Writing: one thread at a time writes for all whose batches wait.
//!
//! A thread that reserved its place asks for the writer's lock. When it gets it, its batches were either written by the
//! thread before it, or it writes everything that waits with one call per segment and publishes the new end. The writer
//! owns the files; every other operation that changes them holds the same lock.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::append::{Queued, QueuedBatch, Reservations, ReservedSegment};
use super::append_watch::Course;
use super::error::{AppendError, LogError};
use super::segment::Segment;
use super::{PartitionLog, leader_epoch_cache, partition_metadata, producer_snapshot, write_behind};

/// Failed ranges of tickets that are remembered for threads that still wait: more than threads can wait.
const REMEMBERED_FAILURES: usize = 1024;

/// What only the holder of the writer's lock sees.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Tickets up to this one were written or have failed.
    pub done_ticket: u64,
    /// Ranges of tickets that were given up when the disk was full.
    pub no_space: Vec<(u64, u64)>,
    /// Whether directory and first segment file exist.
    pub is_created: bool,
    /// Whether names in the directory are not durable yet.
    pub unsynced_names: bool,
    /// Bytes of the active segment since its last index entry.
    pub bytes_since_index: u64,
    /// Microseconds that making directory and segment files has taken so far, where appends are watched.
    pub made_files_us: u64,
}

impl Writer {
    /// Gives up every append that waits; its thread learns that there was no space.
    fn give_up(&mut self, state: &mut Reservations) {
        state.queue.clear();
        if self.done_ticket == state.last_ticket {
            return;
        }
        self.no_space.push((self.done_ticket + 1, state.last_ticket));
        if self.no_space.len() > REMEMBERED_FAILURES {
            self.no_space.remove(0);
        }
        self.done_ticket = state.last_ticket;
    }
}

impl PartitionLog {
    /// Returns when the append with this ticket can be read.
    pub(super) fn write_queue_until(&self, ticket: u64, course: &mut Course<'_>) -> Result<(), AppendError> {
        let mut writer = course.lock(&self.writer);
        if writer.done_ticket < ticket && !self.is_failed() {
            let made_files_us = writer.made_files_us;
            self.write_queue(&mut writer);
            let made_files_us = writer.made_files_us.saturating_sub(made_files_us);
            course.made_files = Duration::from_micros(made_files_us);
        }
        if writer
            .no_space
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&ticket))
        {
            return Err(AppendError::NoSpace);
        }
        if writer.done_ticket < ticket || self.is_failed() {
            return Err(AppendError::Offline(self.topic_partition.to_string()));
        }
        Ok(())
    }

    /// Returns when the batch that ends at `last_offset`, which another thread may just be writing, can be read: its copy
    /// must not be acknowledged before it, nor if there was no room for it.
    pub(super) fn write_queue_past(
        &self,
        last_offset: i64,
        course: &mut Course<'_>,
    ) -> Result<(), AppendError> {
        if self.log_end_offset() > last_offset {
            return Ok(());
        }
        let mut writer = course.lock(&self.writer);
        self.write_queue(&mut writer);
        if self.log_end_offset() > last_offset {
            Ok(())
        } else if self.is_failed() {
            Err(AppendError::Offline(self.topic_partition.to_string()))
        } else {
            Err(AppendError::NoSpace)
        }
    }

    /// Writes everything that waits. Afterwards every ticket given out before the call is done, or the log is offline.
    pub(super) fn write_queue(&self, writer: &mut Writer) {
        loop {
            let (queue, last_ticket) = {
                let mut state = self.reservations.lock();
                (std::mem::take(&mut state.queue), state.last_ticket)
            };
            if queue.is_empty() {
                return;
            }
            match self.write_items(writer, queue) {
                Ok(()) => writer.done_ticket = last_ticket,
                Err(error) if error.is_no_space() => {
                    if let Err(error) = self.give_up_queue(writer) {
                        tracing::error!(log = %self.topic_partition, %error, "could not undo an append on a full disk");
                        self.fail();
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(log = %self.topic_partition, %error, "append failed, the log is offline");
                    self.fail();
                    return;
                }
            }
        }
    }

    /// Undoes what was reserved but not published, after a write met a full disk: the file is cut back to its published
    /// size, and the state is built anew from what the file holds (rule S15).
    fn give_up_queue(&self, writer: &mut Writer) -> Result<(), LogError> {
        self.cut_to_published(writer)
    }

    fn write_items(&self, writer: &mut Writer, queue: Vec<Queued>) -> Result<(), LogError> {
        let mut batches = Vec::with_capacity(queue.len());
        for item in queue {
            match item {
                Queued::Batch(batch) => batches.push(batch),
                Queued::Roll {
                    base_offset,
                    producer_snapshot,
                    now_ms,
                } => {
                    self.write_batches(writer, &std::mem::take(&mut batches))?;
                    self.roll_files(writer, base_offset, &producer_snapshot, now_ms)?;
                }
            }
        }
        self.write_batches(writer, &batches)
    }

    /// Writes the epochs if they have changed since the last time. One thread at a time: an older text must not take the
    /// place of a newer one.
    pub(super) fn write_unsaved_epochs(&self) -> Result<(), LogError> {
        let _one_at_a_time = self.epochs_file.lock();
        let text = {
            let mut state = self.reservations.lock();
            std::mem::take(&mut state.has_unsaved_epochs).then(|| state.epochs.encode())
        };
        let Some(text) = text else { return Ok(()) };
        let path = self.dir.read().join(leader_epoch_cache::FILE_NAME);
        Ok(self.files.disk().replace(&path, text.as_bytes())?)
    }

    /// Writes the epochs of a log that changes all the same when there is no room: the file is written with the next recovery
    /// point then, and until then recovery takes back what it claims too much.
    pub(super) fn write_epochs_or_later(&self) -> Result<(), LogError> {
        self.reservations.lock().has_unsaved_epochs = true;
        match self.write_unsaved_epochs() {
            Err(error) if error.is_no_space() => {
                self.reservations.lock().has_unsaved_epochs = true;
                Ok(())
            }
            written => written,
        }
    }

    fn write_batches(&self, writer: &mut Writer, batches: &[QueuedBatch]) -> Result<(), LogError> {
        let (Some(last), Some(segment)) = (batches.last(), self.active_segment()) else {
            return Ok(());
        };
        self.create_files(writer)?;
        let file = segment.log.create(&self.files)?;
        let start = segment.size_bytes();
        let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(batches.len() * 2);
        for batch in batches {
            slices.push(IoSlice::new(&batch.header));
            slices.push(IoSlice::new(&batch.records));
        }
        let config = self.config.load();
        let end = start + batches.iter().map(QueuedBatch::size_bytes).sum::<u64>();
        // A sync, or a write-back beside the appends, then finds blocks and need not look for them.
        if config.flushes_appends() || end >= write_behind::PIECE_BYTES {
            segment.allocate_ahead(&file, end, config.segment_bytes);
        }
        file.write_all_vectored_at(&mut slices, start)?;
        let mut position = start;
        let index_interval = config.index_interval_bytes;
        for batch in batches {
            segment.note_timestamp(batch.max_timestamp_ms, batch.last_offset);
            if writer.bytes_since_index > index_interval {
                segment.append_index_entries(&self.files, batch.last_offset, position)?;
                writer.bytes_since_index = 0;
            }
            writer.bytes_since_index += batch.size_bytes();
            position += batch.size_bytes();
        }
        segment.set_size_bytes(position);
        self.publish(last.last_offset.saturating_add(1));
        if !config.flushes_appends()
            && let Some(piece) = write_behind::due(start, position)
        {
            self.files.write_behind().request(&file, piece);
        }
        Ok(())
    }

    fn publish(&self, log_end_offset: i64) {
        self.log_end_offset.store(log_end_offset, Ordering::Release);
        if let Some(events) = &*self.events.read() {
            events.published(log_end_offset);
        }
    }

    pub(super) fn active_segment(&self) -> Option<Arc<Segment>> {
        self.segments.load().last().cloned()
    }

    /// Creates the directory with `partition.metadata` and the first segment's file, once.
    pub(super) fn create_files(&self, writer: &mut Writer) -> Result<(), LogError> {
        if writer.is_created {
            return Ok(());
        }
        let began = self.watch_now();
        let (disk, dir) = (self.files.disk(), self.dir.read().clone());
        disk.create_dir_all(&dir)?;
        if let Some(topic_id) = self.topic_id {
            partition_metadata::write_unsynced(disk, &dir, topic_id)?;
        }
        if let Some(segment) = self.active_segment() {
            segment.create_log(&self.files, self.config.load().initial_file_bytes())?;
        }
        writer.is_created = true;
        writer.unsynced_names = true;
        writer.made_files_us = writer.made_files_us.saturating_add(self.watched_us_since(began));
        Ok(())
    }

    fn roll_files(
        &self,
        writer: &mut Writer,
        base_offset: i64,
        snapshot: &[u8],
        now_ms: i64,
    ) -> Result<(), LogError> {
        self.create_files(writer)?;
        let began = self.watch_now();
        let dir = self.dir.read().clone();
        if let Some(segment) = self.active_segment() {
            segment.seal(&self.files)?;
            segment.trim(&self.files)?;
            if self.config.load().cleanup_policy.compact {
                // A gap behind it must be compaction's, never a lost end: recovery cannot tell the two apart.
                segment.log.get(&self.files)?.sync_data()?;
            }
        }
        producer_snapshot::write_unsynced(self.files.disk(), &dir, base_offset, snapshot)?;
        let segment = Arc::new(Segment::new(&dir, base_offset, now_ms));
        segment.begin_warm();
        segment.create_log(&self.files, self.config.load().initial_file_bytes())?;
        writer.unsynced_names = true;
        writer.bytes_since_index = 0;
        let mut segments = self.segments.load().as_ref().clone();
        segments.push(segment);
        self.segments.store(Arc::new(segments));
        writer.made_files_us = writer.made_files_us.saturating_add(self.watched_us_since(began));
        Ok(())
    }

    /// Begins a new segment if the active one has any batch.
    ///
    /// # Errors
    /// [`LogError::Io`], after which the log is offline.
    pub fn roll(&self, now_ms: i64) -> Result<(), LogError> {
        self.guarded(|| {
            let mut writer = self.writer.lock();
            self.write_queue(&mut writer);
            let config = self.config.load_full();
            {
                let mut state = self.reservations.lock();
                if state.segment.size_bytes == 0 {
                    return Ok(());
                }
                state.roll(&config, now_ms);
            }
            self.write_queue(&mut writer);
            self.require_online()
        })
    }

    /// Puts the state behind the short lock back to what the files hold.
    pub(super) fn reset_reservations(&self, writer: &mut Writer) -> Result<(), LogError> {
        let end = self.log_end_offset();
        let producers = self.rebuild_producers(end)?;
        let config = self.config.load();
        let mut state = self.reservations.lock();
        writer.give_up(&mut state);
        state.next_offset = end;
        state.flush_asked_to = self.durable_offset();
        state.producers = producers;
        let epochs_changed = state.epochs.truncate_from_end(end);
        if let Some(segment) = self.active_segment() {
            let mut reserved = ReservedSegment::new(segment.base_offset, segment.created_ms, &config);
            reserved.size_bytes = segment.size_bytes();
            (reserved.first_timestamp_ms, _) = segment.max_timestamp();
            state.segment = reserved;
        }
        drop(state);
        writer.bytes_since_index = 0;
        if epochs_changed && writer.is_created {
            self.write_epochs_or_later()
        } else {
            Ok(())
        }
    }

    /// Makes the names in the partition's directory, and its own, durable, and with them the file that says whose it is.
    pub(super) fn sync_names(&self, dir: &Path) -> Result<(), LogError> {
        if let Some(topic_id) = self.topic_id {
            partition_metadata::sync(self.files.disk(), dir, topic_id)?;
        }
        self.files.disk().sync_dir(dir)?;
        match dir.parent() {
            Some(parent) => Ok(self.files.disk().sync_dir(parent)?),
            None => Ok(()),
        }
    }
}
