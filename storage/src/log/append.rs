//! Appending: what is decided under the short lock.
//!
//! A batch is validated outside of any lock (`batch_validator`). Under the lock its producer's sequence is checked, its
//! offsets are reserved, and it joins the queue; then its thread asks for the writer (`writer`), and finds its batch written
//! by another or writes all that wait. An append returns when its batches can be read, so that no answer ever
//! speaks of bytes that are not in the file.

use bytes::Bytes;
use protocol_compat::record_batch::batch::{
    BATCH_HEADER_BYTES, RecordBatch, TimestampType, header_with_log_append_time, header_with_offset_and_epoch,
};

use super::append_watch::Course;
use super::batch_validator::{self, AppendOrigin, Validated};
use super::config::LogConfig;
use super::error::AppendError;
use super::leader_epoch_cache::LeaderEpochCache;
use super::producer_state::{BatchMetadata, ProducerState, Verdict};
use super::segment::NO_TIMESTAMP;
use super::{PartitionLog, producer_snapshot};

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendInfo {
    /// Offset of the first record; for a duplicate that of the first time.
    pub first_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// The broker's timestamp where the topic uses it, else `-1`; for a duplicate the largest timestamp of the first time,
    /// whosever it is, as Kafka answers.
    pub log_append_time_ms: i64,
    /// First offset of the log.
    pub log_start_offset: i64,
    /// How many records were appended.
    pub record_count: i64,
    /// Whether the batches stood in the log already.
    pub is_duplicate: bool,
    /// The owner has the log flushed soon: `flush.messages` is reached, or a segment was sealed.
    pub flush_required: bool,
    /// An acknowledgement waits until everything below this offset was flushed, so that fewer than `flush.messages`
    /// acknowledged records are ever unflushed; the append that reaches that number waits for itself.
    pub flushed_before_ack: i64,
}

/// A batch in the queue, with the header that it gets in the file.
#[derive(Debug)]
pub(super) struct QueuedBatch {
    pub header: [u8; BATCH_HEADER_BYTES],
    pub records: Bytes,
    pub last_offset: i64,
    pub max_timestamp_ms: i64,
}

impl QueuedBatch {
    pub fn size_bytes(&self) -> u64 {
        (BATCH_HEADER_BYTES + self.records.len()) as u64
    }
}

/// What waits for the writer, in the order of the log.
#[derive(Debug)]
pub(super) enum Queued {
    /// A new segment begins at `base_offset`, with the producers' state at that offset.
    Roll {
        base_offset: i64,
        producer_snapshot: Vec<u8>,
        now_ms: i64,
    },
    /// A batch.
    Batch(QueuedBatch),
}

/// Everything that the short lock protects: the log as it will be when the queue is written.
#[derive(Debug)]
pub(super) struct Reservations {
    pub next_offset: i64,
    pub producers: ProducerState,
    pub epochs: LeaderEpochCache,
    /// An epoch began since the file of epochs was written; it is written before the flushed offset moves.
    pub has_unsaved_epochs: bool,
    pub queue: Vec<Queued>,
    /// Number of the last append that joined the queue.
    pub last_ticket: u64,
    pub segment: ReservedSegment,
    /// Largest broker timestamp given out: it never goes back within a log (rule C9).
    pub last_append_time_ms: i64,
    /// Up to where a flush was asked for because of `flush.messages`, exclusive.
    pub flush_asked_to: i64,
}

/// The active segment as it will be when the queue is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReservedSegment {
    pub base_offset: i64,
    pub size_bytes: u64,
    pub created_ms: i64,
    /// Largest timestamp of the first batch, from where the age of the segment counts; [`NO_TIMESTAMP`] while it is empty.
    pub first_timestamp_ms: i64,
    pub roll_jitter_ms: i64,
}

impl Reservations {
    pub fn has_transactions(&self) -> bool {
        self.producers.first_unstable_offset().is_some()
    }
}

/// An append whose place in the log is decided, and which whoever writes next writes. It counts as appended once it is finished
/// ([`PartitionLog::finish_append`]), which must not be left out.
#[derive(Debug)]
#[must_use = "an append that is not finished may never be written"]
pub struct BegunAppend {
    info: AppendInfo,
    bytes: usize,
    left: Left,
}

/// What an append still waits for.
#[derive(Debug)]
enum Left {
    Nothing,
    /// Until this ticket's batches can be read.
    Ticket(u64),
    /// Until the batch can be read that this one repeats.
    Duplicate,
}

impl PartitionLog {
    /// Appends batches at the end of the log with new offsets and `leader_epoch`, and returns when they can be read.
    ///
    /// # Errors
    /// [`AppendError`]; nothing of `batches` is in the log then.
    pub fn append_as_leader(
        &self,
        batches: Bytes,
        leader_epoch: i32,
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        let config = self.config.load_full();
        self.watched(batches.len(), |course| {
            let validated = batch_validator::validate(batches, &config, origin, now_ms)?;
            let offsets = Offsets::Assigned { leader_epoch };
            let begun = self.begin_validated(&validated, &config, offsets, origin, now_ms, course)?;
            self.finish_begun(begun, course)
        })
    }

    /// The first half of [`PartitionLog::append_as_leader`], for whoever has more to append: one write takes it all.
    ///
    /// # Errors
    /// [`AppendError`]; nothing of `batches` will be in the log then.
    pub fn begin_append_as_leader(
        &self,
        batches: Bytes,
        leader_epoch: i32,
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<BegunAppend, AppendError> {
        let config = self.config.load_full();
        self.watched(batches.len(), |course| {
            let validated = batch_validator::validate(batches, &config, origin, now_ms)?;
            let offsets = Offsets::Assigned { leader_epoch };
            self.begin_validated(&validated, &config, offsets, origin, now_ms, course)
        })
    }

    /// The second half: returns when the batches can be read.
    ///
    /// # Errors
    /// [`AppendError`]; nothing of the batches is in the log then.
    pub fn finish_append(&self, begun: BegunAppend) -> Result<AppendInfo, AppendError> {
        self.watched(begun.bytes, |course| self.finish_begun(begun, course))
    }

    /// Appends batches that carry their offsets and epochs already: a leader's, or Raft entries.
    ///
    /// # Errors
    /// [`AppendError`]; [`AppendError::UnexpectedOffset`] if they do not continue the log.
    pub fn append_as_follower(&self, batches: Bytes, now_ms: i64) -> Result<AppendInfo, AppendError> {
        let config = self.config.load_full();
        self.watched(batches.len(), |course| {
            let origin = AppendOrigin::Replication;
            let validated = batch_validator::validate(batches, &config, origin, now_ms)?;
            let begun = self.begin_validated(&validated, &config, Offsets::Given, origin, now_ms, course)?;
            self.finish_begun(begun, course)
        })
    }

    fn begin_validated(
        &self,
        validated: &Validated,
        config: &LogConfig,
        offsets: Offsets,
        origin: AppendOrigin,
        now_ms: i64,
        course: &mut Course<'_>,
    ) -> Result<BegunAppend, AppendError> {
        if self.is_failed() {
            return Err(AppendError::Offline(self.topic_partition.to_string()));
        }
        let (info, left) = if validated.batches().is_empty() {
            (self.empty_append(), Left::Nothing)
        } else {
            self.reserve(validated, config, offsets, origin, now_ms, course)?
        };
        let bytes = validated
            .batches()
            .iter()
            .map(|batch| batch.view().size_bytes())
            .sum();
        Ok(BegunAppend { info, bytes, left })
    }

    fn finish_begun(&self, begun: BegunAppend, course: &mut Course<'_>) -> Result<AppendInfo, AppendError> {
        match begun.left {
            Left::Nothing => {}
            Left::Ticket(ticket) => self.write_queue_until(ticket, course)?,
            Left::Duplicate => self.write_queue_past(begun.info.last_offset, course)?,
        }
        Ok(begun.info)
    }

    fn empty_append(&self) -> AppendInfo {
        AppendInfo {
            first_offset: -1,
            last_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: self.log_start_offset(),
            record_count: 0,
            is_duplicate: false,
            flush_required: false,
            flushed_before_ack: -1,
        }
    }

    /// The first time may not have been flushed yet: the answer waits for what the first one waits for.
    fn duplicate_append(&self, known: &BatchMetadata, config: &LogConfig, asked_to: i64) -> AppendInfo {
        let end = known.last_offset.saturating_add(1);
        let flushed_before_ack = end.min(asked_to).max(tolerated_from(end, config));
        AppendInfo {
            first_offset: known.first_offset(),
            last_offset: known.last_offset,
            log_append_time_ms: known.timestamp_ms,
            log_start_offset: self.log_start_offset(),
            record_count: 0,
            is_duplicate: true,
            flush_required: flushed_before_ack > self.durable_offset(),
            flushed_before_ack,
        }
    }

    fn reserve(
        &self,
        validated: &Validated,
        config: &LogConfig,
        offsets: Offsets,
        origin: AppendOrigin,
        now_ms: i64,
        course: &mut Course<'_>,
    ) -> Result<(AppendInfo, Left), AppendError> {
        let mut state = course.lock(&self.reservations);
        if origin == AppendOrigin::Client
            && let Some(duplicate) = check_producers(&state, validated)?
        {
            let info = self.duplicate_append(&duplicate, config, state.flush_asked_to);
            return Ok((info, Left::Duplicate));
        }
        if let (Offsets::Given, Some(first)) = (offsets, validated.batches().first()) {
            let (found, expected) = (first.view().base_offset(), state.next_offset);
            if found < expected {
                return Err(AppendError::UnexpectedOffset { found, expected });
            }
        }
        let append_time_ms = now_ms.max(state.last_append_time_ms);
        let is_stamped = config.message_timestamp_type == TimestampType::LogAppendTime
            && origin != AppendOrigin::Replication;
        if is_stamped {
            state.last_append_time_ms = append_time_ms;
        }
        let has_rolled = state.roll_if_needed(validated, config, now_ms);
        let first_offset = match offsets {
            Offsets::Given => validated
                .batches()
                .first()
                .map_or(-1, |batch| batch.view().base_offset()),
            Offsets::Assigned { .. } => state.next_offset,
        };
        for batch in validated.batches() {
            let view = batch.view();
            let (base_offset, epoch) = match offsets {
                Offsets::Given => (view.base_offset(), view.partition_leader_epoch()),
                Offsets::Assigned { leader_epoch } => (state.next_offset, leader_epoch),
            };
            let header = if is_stamped {
                header_with_log_append_time(&view, base_offset, epoch, append_time_ms)
            } else {
                header_with_offset_and_epoch(&view, base_offset, epoch)
            };
            let max_timestamp_ms = if is_stamped {
                append_time_ms
            } else {
                view.max_timestamp_ms()
            };
            state.take_over(&view, base_offset, epoch, is_stamped.then_some(append_time_ms));
            let last_offset = base_offset.saturating_add(i64::from(view.last_offset_delta()));
            state.push(QueuedBatch {
                header,
                records: batch.records(),
                last_offset,
                max_timestamp_ms,
            });
        }
        state.last_ticket += 1;
        let end = state.next_offset;
        let asked_or_flushed = state.flush_asked_to.max(self.durable_offset());
        let reaches_interval = end.saturating_sub(asked_or_flushed) >= config.flush_messages;
        if reaches_interval {
            state.flush_asked_to = end;
        }
        let info = AppendInfo {
            first_offset,
            last_offset: end.saturating_sub(1),
            log_append_time_ms: if is_stamped { append_time_ms } else { -1 },
            log_start_offset: self.log_start_offset(),
            record_count: validated.record_count(),
            is_duplicate: false,
            flush_required: reaches_interval || has_rolled,
            flushed_before_ack: if reaches_interval {
                end
            } else {
                tolerated_from(end, config)
            },
        };
        Ok((info, Left::Ticket(state.last_ticket)))
    }
}

#[derive(Clone, Copy)]
enum Offsets {
    Assigned { leader_epoch: i32 },
    Given,
}

/// From where on records may be unflushed when the log is acknowledged up to `end`: fewer than `flush.messages`.
fn tolerated_from(end: i64, config: &LogConfig) -> i64 {
    end.saturating_sub(config.flush_messages).saturating_add(1)
}

/// Checks every batch with a producer id before any of them changes the state. A request carries one batch per
/// partition, so that a duplicate answers for all.
fn check_producers(
    state: &Reservations,
    validated: &Validated,
) -> Result<Option<BatchMetadata>, AppendError> {
    for batch in validated.batches() {
        let view = batch.view();
        if view.producer_id() >= 0
            && let Verdict::Duplicate(known) = state.producers.check(&view)?
        {
            return Ok(Some(known));
        }
    }
    Ok(None)
}

impl Reservations {
    fn push(&mut self, batch: QueuedBatch) {
        self.next_offset = batch.last_offset.saturating_add(1);
        if self.segment.size_bytes == 0 {
            self.segment.first_timestamp_ms = batch.max_timestamp_ms;
        }
        self.segment.size_bytes = self.segment.size_bytes.saturating_add(batch.size_bytes());
        self.queue.push(Queued::Batch(batch));
    }

    fn take_over(&mut self, view: &RecordBatch<'_>, base_offset: i64, epoch: i32, stamped_ms: Option<i64>) {
        if self.epochs.assign(epoch, base_offset) {
            self.has_unsaved_epochs = true;
        }
        if view.producer_id() < 0 {
            return;
        }
        match batch_validator::transaction_marker(view) {
            Some(marker) => {
                self.producers
                    .append_marker(view, base_offset, marker.coordinator_epoch, marker.is_aborted);
            }
            None => self.producers.append(view, base_offset, stamped_ms),
        }
    }

    /// Kafka's rules for a new segment: size, age, a full offset index, or offsets that no longer fit into 32 bits.
    /// Whether one begins.
    fn roll_if_needed(&mut self, validated: &Validated, config: &LogConfig, now_ms: i64) -> bool {
        let segment = &self.segment;
        if segment.size_bytes == 0 {
            return false;
        }
        let full = segment.size_bytes.saturating_add(validated.size_bytes()) > config.segment_bytes;
        let age_ms = match segment.first_timestamp_ms {
            first if first >= 0 => validated.max_timestamp_ms().saturating_sub(first),
            _ => now_ms.saturating_sub(segment.created_ms),
        };
        let old = age_ms > config.segment_ms.saturating_sub(segment.roll_jitter_ms);
        // One entry of 8 bytes per interval: the index is full when the log has this many bytes.
        let index_full =
            segment.size_bytes / config.index_interval_bytes.max(1) >= config.segment_index_bytes / 8;
        let last_offset = self.next_offset.saturating_add(validated.offset_span());
        let overflow = last_offset.saturating_sub(segment.base_offset) > i64::from(i32::MAX);
        let is_due = full || old || index_full || overflow;
        if is_due {
            self.roll(config, now_ms);
        }
        is_due
    }

    /// Lets a new segment begin at the next offset.
    pub fn roll(&mut self, config: &LogConfig, now_ms: i64) {
        let base_offset = self.next_offset;
        let producer_snapshot = producer_snapshot::encode(&self.producers);
        self.segment = ReservedSegment::new(base_offset, now_ms, config);
        self.queue.push(Queued::Roll {
            base_offset,
            producer_snapshot,
            now_ms,
        });
    }
}

impl ReservedSegment {
    pub fn new(base_offset: i64, created_ms: i64, config: &LogConfig) -> ReservedSegment {
        // Spread by the base offset: no randomness is needed to keep partitions from rolling at the same moment.
        let roll_jitter_ms = match config.segment_jitter_ms.min(config.segment_ms) {
            jitter if jitter > 0 => base_offset.wrapping_add(created_ms).rem_euclid(jitter),
            _ => 0,
        };
        ReservedSegment {
            base_offset,
            size_bytes: 0,
            created_ms,
            first_timestamp_ms: NO_TIMESTAMP,
            roll_jitter_ms,
        }
    }
}
