//! Which compacted log is cleaned next, and what is known of cleanings (Kafka's `LogCleanerManager`).
//!
//! A log is cleaned by one thread at a time. What a cleaning did is written to `cleaner-offset-checkpoint` behind it. A log
//! with damaged records is uncleanable until the next start: it is shown, and the others go on. Threads, pauses and the
//! limit on input and output are the broker's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};
use protocol_compat::TopicPartition;

use super::LogManager;
use crate::checkpoints::OffsetCheckpoint;
use crate::cleaner::{CleanError, CleanRange, Cleaned, CleanerSettings, Pace, clean};
use crate::log::{LogError, PartitionLog};

/// What the cleaners of a manager share.
#[derive(Debug, Default)]
pub(super) struct Cleaning {
    state: Mutex<State>,
    /// Signalled when a cleaning ends.
    ended: Condvar,
    is_stopped: AtomicBool,
    cleanings: AtomicU64,
    bytes_read: AtomicU64,
    bytes_kept: AtomicU64,
    records_without_key: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    in_progress: BTreeSet<TopicPartition>,
    uncleanable: BTreeMap<TopicPartition, String>,
    /// Of the log that was the dirtiest when last looked.
    max_dirty_ratio: f64,
    max_overdue_ms: i64,
    last_run_ms: Option<i64>,
}

/// A partition that cannot be cleaned before the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UncleanablePartition {
    /// Which.
    pub topic_partition: TopicPartition,
    /// Why.
    pub reason: String,
}

/// What is known of cleanings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CleanerStatus {
    /// Logs with damaged records.
    pub uncleanable: Vec<UncleanablePartition>,
    /// Largest dirty part of a log, 0 to 1, when the cleaners last looked (Kafka's `max-dirty-percent`).
    pub max_dirty_ratio: f64,
    /// How long the oldest record has been waiting past `max.compaction.lag.ms` (`max-compaction-delay-secs`).
    pub max_overdue_ms: i64,
    /// When a cleaner last looked, ms since the epoch (`time-since-last-run-ms`).
    pub last_run_ms: Option<i64>,
    /// Cleanings that came to their end.
    pub cleanings: u64,
    /// Bytes of segments before and after all cleanings.
    pub bytes_read: u64,
    /// See `bytes_read`.
    pub bytes_kept: u64,
    /// Records without a key that compacted logs had.
    pub records_without_key: u64,
}

/// A log and what of it is to be cleaned.
struct Candidate {
    partition: TopicPartition,
    log: Arc<PartitionLog>,
    range: CleanRange,
}

/// Ends a cleaning for the books, however it ends.
struct InProgress<'a> {
    cleaning: &'a Cleaning,
    partition: TopicPartition,
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.cleaning.state.lock().in_progress.remove(&self.partition);
        self.cleaning.ended.notify_all();
    }
}

/// The caller's pace, until the manager stops.
struct UntilStopped<'a> {
    cleaning: &'a Cleaning,
    pace: &'a mut dyn Pace,
}

impl Pace for UntilStopped<'_> {
    fn moved(&mut self, bytes: u64) -> bool {
        !self.cleaning.is_stopped.load(Ordering::Relaxed) && self.pace.moved(bytes)
    }
}

impl LogManager {
    /// Cleans the open log that needs it most, if any is due. Which one; `None` also where the cleaning was called off or
    /// found no room, so that whoever goes on until nothing is due ends: it is due again later.
    pub fn clean_next(
        &self,
        settings: &CleanerSettings,
        now_ms: i64,
        pace: &mut dyn Pace,
    ) -> Option<TopicPartition> {
        let (candidate, _in_progress) = self.take_dirtiest(now_ms)?;
        let mut pace = UntilStopped {
            cleaning: &self.cleaning,
            pace,
        };
        let mut cleaned = Cleaned::default();
        let result = self.clean_candidate(&candidate, settings, now_ms, &mut pace, &mut cleaned);
        let due_ms = now_ms.saturating_add(candidate.log.config().file_delete_delay_ms);
        self.deletions
            .add(std::mem::take(&mut cleaned.deleted.paths), due_ms);
        let is_put_off = matches!(result, Err(CleanError::CalledOff | CleanError::NoSpace));
        match result {
            Ok(()) => self.note_cleaned(&candidate, &cleaned),
            Err(error) => self.note_failed(&candidate, error),
        }
        (!is_put_off).then_some(candidate.partition)
    }

    /// Lets cleanings that are under way end at their next step, waits for them, and begins no other.
    pub(super) fn stop_cleaning(&self) {
        self.cleaning.is_stopped.store(true, Ordering::Relaxed);
        let mut state = self.cleaning.state.lock();
        while !state.in_progress.is_empty() {
            self.cleaning.ended.wait(&mut state);
        }
    }

    /// What is known of cleanings.
    pub fn cleaner_status(&self) -> CleanerStatus {
        let cleaning = &self.cleaning;
        let state = cleaning.state.lock();
        let uncleanable = state.uncleanable.iter();
        CleanerStatus {
            uncleanable: uncleanable
                .map(|(partition, reason)| UncleanablePartition {
                    topic_partition: partition.clone(),
                    reason: reason.clone(),
                })
                .collect(),
            max_dirty_ratio: state.max_dirty_ratio,
            max_overdue_ms: state.max_overdue_ms,
            last_run_ms: state.last_run_ms,
            cleanings: cleaning.cleanings.load(Ordering::Relaxed),
            bytes_read: cleaning.bytes_read.load(Ordering::Relaxed),
            bytes_kept: cleaning.bytes_kept.load(Ordering::Relaxed),
            records_without_key: cleaning.records_without_key.load(Ordering::Relaxed),
        }
    }

    fn take_dirtiest(&self, now_ms: i64) -> Option<(Candidate, InProgress<'_>)> {
        let mut candidates = self.candidates(now_ms);
        let mut state = self.cleaning.state.lock();
        let ratios = candidates.iter().map(|candidate| candidate.range.dirty_ratio());
        state.max_dirty_ratio = ratios.fold(0.0, f64::max);
        let overdue = candidates.iter().map(|candidate| candidate.range.overdue_ms);
        state.max_overdue_ms = overdue.max().unwrap_or(0);
        state.last_run_ms = Some(now_ms);
        if self.cleaning.is_stopped.load(Ordering::Relaxed) {
            return None;
        }
        candidates.retain(|candidate| {
            let ratio = candidate.log.config().min_cleanable_dirty_ratio.get();
            candidate.range.is_due(ratio) && !state.in_progress.contains(&candidate.partition)
        });
        let dirtiest = candidates
            .into_iter()
            .max_by(|a, b| a.range.dirty_ratio().total_cmp(&b.range.dirty_ratio()))?;
        state.in_progress.insert(dirtiest.partition.clone());
        let in_progress = InProgress {
            cleaning: &self.cleaning,
            partition: dirtiest.partition.clone(),
        };
        Some((dirtiest, in_progress))
    }

    /// Every open compacted log that has something to clean.
    fn candidates(&self, now_ms: i64) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let open = self.working_logs();
        {
            // Partitions that were deleted are nobody's concern any more.
            let mut state = self.cleaning.state.lock();
            state
                .uncleanable
                .retain(|partition, _| open.iter().any(|(known, _)| known == partition));
        }
        for (partition, log) in open {
            let is_left_alone = || {
                let state = self.cleaning.state.lock();
                state.in_progress.contains(&partition) || state.uncleanable.contains_key(&partition)
            };
            if !log.config().cleanup_policy.compact || is_left_alone() {
                continue;
            }
            let segments = log.segments();
            match CleanRange::of(&log, self.last_clean_offset(&partition), now_ms) {
                Ok(range) if range.clean_bytes + range.dirty_bytes > 0 => {
                    if range.checkpoint_was_wrong {
                        tracing::warn!(log = %partition, first_dirty_offset = range.first_dirty_offset, "what was noted of the last cleaning does not fit the log, it is cleaned from its start");
                    }
                    candidates.push(Candidate {
                        partition,
                        log,
                        range,
                    });
                }
                Ok(_) => {}
                Err(error) if log.is_leaving() || log.has_changed_since(&segments, &error) => {}
                Err(error) => {
                    tracing::error!(log = %partition, %error, "could not look what there is to clean");
                    log.fail();
                }
            }
        }
        candidates
    }

    fn last_clean_offset(&self, partition: &TopicPartition) -> Option<i64> {
        let slot = self.slots.read().get(partition).cloned()?;
        slot.directory().claim(OffsetCheckpoint::CleanerOffset, partition)
    }

    fn clean_candidate(
        &self,
        candidate: &Candidate,
        settings: &CleanerSettings,
        now_ms: i64,
        pace: &mut dyn Pace,
        cleaned: &mut Cleaned,
    ) -> Result<(), CleanError> {
        let segments = candidate.log.segments();
        // Holes that compaction makes must never lie where recovery reads: it would take them for a lost end.
        candidate.log.flush(candidate.range.first_uncleanable_offset)?;
        let slot = self.slots.read().get(&candidate.partition).cloned();
        let slot = slot.ok_or(CleanError::CalledOff)?;
        self.checkpoint(slot.directory(), &[OffsetCheckpoint::RecoveryPoint])?;
        let result = clean(&candidate.log, &candidate.range, settings, now_ms, pace, cleaned);
        match result {
            // Retention took segments that were to be read.
            Err(CleanError::Log(LogError::Io(error)))
                if candidate.log.has_changed_since(&segments, &error) =>
            {
                return Err(CleanError::CalledOff);
            }
            result => result?,
        }
        let end_offset = cleaned.end_offset;
        slot.directory().update_claims(|claims| {
            claims
                .cleaner_offsets
                .insert(candidate.partition.clone(), end_offset);
        })?;
        Ok(())
    }

    fn note_cleaned(&self, candidate: &Candidate, cleaned: &Cleaned) {
        let cleaning = &self.cleaning;
        cleaning.cleanings.fetch_add(1, Ordering::Relaxed);
        cleaning
            .bytes_read
            .fetch_add(cleaned.bytes_read, Ordering::Relaxed);
        cleaning
            .bytes_kept
            .fetch_add(cleaned.bytes_kept, Ordering::Relaxed);
        cleaning
            .records_without_key
            .fetch_add(cleaned.records_without_key, Ordering::Relaxed);
        tracing::info!(
            log = %candidate.partition,
            from = candidate.range.first_dirty_offset,
            to = cleaned.end_offset,
            records_read = cleaned.records_read,
            records_kept = cleaned.records_kept,
            bytes_read = cleaned.bytes_read,
            bytes_kept = cleaned.bytes_kept,
            map_utilization = cleaned.map_utilization,
            "cleaned a log"
        );
    }

    fn note_failed(&self, candidate: &Candidate, error: CleanError) {
        let log = &candidate.partition;
        match error {
            CleanError::CalledOff => tracing::debug!(%log, "a cleaning was called off"),
            CleanError::NoSpace => {
                tracing::warn!(%log, "a cleaning found no space on the disk, it is tried again")
            }
            CleanError::Damaged { .. } => {
                tracing::error!(%log, %error, "the partition cannot be cleaned before the next start");
                let mut state = self.cleaning.state.lock();
                state.uncleanable.insert(log.clone(), error.to_string());
            }
            CleanError::Log(_) if candidate.log.is_leaving() => {}
            CleanError::Log(error) => {
                tracing::error!(%log, %error, "a cleaning failed");
                candidate.log.fail();
            }
        }
    }
}
