//! What happens to all logs now and then: retention, flush, checkpoints, space; truncation; and the clean shutdown.

use std::sync::Arc;

use protocol_compat::TopicPartition;

use super::claims::KINDS;
use super::directory::Directory;
use super::{LogManager, LogOwner};
use crate::checkpoints::OffsetCheckpoint;
use crate::log::{LogError, PartitionLog};

impl LogManager {
    /// Takes away segments that the topics' retention no longer keeps. The number of segments. A log that fails is offline,
    /// the others go on. Closed logs are opened where there is something to take.
    pub fn retention_pass(&self, owner: &dyn LogOwner, now_ms: i64) -> usize {
        let mut segments = self.closed_retention_pass(owner, now_ms);
        let mut planned = Vec::new();
        for (partition, log) in self.working_logs() {
            match log.start_after_retention(now_ms) {
                Ok(Some(start)) => planned.push((partition, log, start)),
                Ok(None) => {}
                Err(error) => tracing::error!(log = %partition, %error, "retention failed"),
            }
        }
        self.claim_starts(&planned);
        for (partition, log, start) in planned {
            match log.delete_segments_before(start) {
                Ok(deleted) => {
                    segments += deleted.segments;
                    let due_ms = now_ms.saturating_add(log.config().file_delete_delay_ms);
                    self.deletions.add(deleted.paths, due_ms);
                }
                Err(error) => tracing::error!(log = %partition, %error, "retention failed"),
            }
        }
        segments
    }

    /// Writes where logs are about to begin, once for each directory. Where the disk is full the claim waits for room, for
    /// it is retention that makes some.
    fn claim_starts(&self, planned: &[(TopicPartition, Arc<PartitionLog>, i64)]) {
        for dir in &self.dirs {
            let here = planned.iter().filter(|(partition, _, _)| {
                let slots = self.slots.read();
                slots
                    .get(partition)
                    .is_some_and(|slot| Arc::ptr_eq(slot.directory(), dir))
            });
            let starts: Vec<_> = here
                .map(|(partition, _, start)| (partition.clone(), *start))
                .collect();
            if starts.is_empty() {
                continue;
            }
            if let Err(error) = dir.claim_starts(starts) {
                tracing::warn!(dir = %dir.path().display(), %error, "could not write where logs are to begin");
            }
        }
    }

    /// Forgets idempotent producers that were not seen for `expiration_ms` (`producer.id.expiration.ms`).
    pub fn producer_expiration_pass(&self, now_ms: i64, expiration_ms: i64) {
        for (_, log) in self.working_logs() {
            log.remove_expired_producers(now_ms, expiration_ms);
        }
    }

    /// Syncs every log that has something to sync and was last synced its topic's `flush.ms` ago or longer. How many.
    pub fn flush_pass(&self, now_ms: i64) -> usize {
        let mut flushed = 0;
        for (_, log) in self.working_logs() {
            match log.flush_if_due(now_ms) {
                Ok(true) => flushed += 1,
                Ok(false) => {}
                Err(error) => tracing::error!(log = %log.topic_partition(), %error, "could not flush"),
            }
        }
        flushed
    }

    /// Writes these checkpoints where they changed.
    pub fn checkpoint_pass(&self, kinds: &[OffsetCheckpoint]) {
        for dir in self.dirs.iter().filter(|dir| dir.failure().is_none()) {
            if let Err(error) = self.checkpoint(dir, kinds) {
                tracing::error!(dir = %dir.path().display(), %error, "could not write checkpoints");
            }
        }
    }

    /// Looks how much room the directories have; see [`LogManager::room`].
    pub fn space_pass(&self) {
        for dir in &self.dirs {
            dir.look_for_room(self.config.reserve_bytes);
        }
    }

    /// Cuts an open log at `offset`, after the checkpoints that claim more were lowered on disk (rule S10).
    ///
    /// # Errors
    /// [`LogError`]; an input/output error takes the directory offline.
    pub fn truncate_to(&self, partition: &TopicPartition, offset: i64) -> Result<(), LogError> {
        let slot = self.slots.read().get(partition).cloned();
        let Some((slot, log)) = slot.and_then(|slot| slot.log().map(|log| (slot, log))) else {
            return Err(LogError::Offline(partition.to_string()));
        };
        slot.directory().update_claims(|claims| {
            for kind in [
                OffsetCheckpoint::RecoveryPoint,
                OffsetCheckpoint::HighWatermark,
                OffsetCheckpoint::CleanerOffset,
            ] {
                let offsets = claims.offsets_mut(kind);
                if let Some(claim) = offsets.get_mut(partition) {
                    *claim = offset.min(*claim);
                }
            }
        })?;
        log.truncate_to(offset)
    }

    /// Raises an open log's start to `offset`, durably when this returns: what was deleted does not come back after a
    /// crash. The start in force afterwards.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] above the high watermark; an input/output error takes the directory offline.
    pub fn delete_records_before(&self, partition: &TopicPartition, offset: i64) -> Result<i64, LogError> {
        let slot = self.slots.read().get(partition).cloned();
        let Some((slot, log)) = slot.and_then(|slot| slot.log().map(|log| (slot, log))) else {
            return Err(LogError::Offline(partition.to_string()));
        };
        if (log.log_start_offset() + 1..=log.high_watermark()).contains(&offset) {
            slot.directory().claim_starts([(partition.clone(), offset)])?;
        }
        log.delete_records_before(offset)
    }

    /// Closes all logs and leaves the marker in each directory where nothing is left to recover. Nobody appends any
    /// more.
    pub fn shutdown_cleanly(&self, broker_epoch: i64) {
        self.stop_cleaning();
        self.flusher.close();
        for dir in self.dirs.iter().filter(|dir| dir.failure().is_none()) {
            if let Err(error) = self.close_directory(dir, broker_epoch) {
                tracing::error!(dir = %dir.path().display(), %error, "not shut down cleanly, the next start recovers");
            }
        }
    }

    fn close_directory(&self, dir: &Arc<Directory>, broker_epoch: i64) -> Result<(), LogError> {
        for (_, log) in self.logs_in(dir) {
            log.close()?;
        }
        self.sync_closed(dir)?;
        dir.journal().remove()?;
        self.checkpoint(dir, &KINDS)?;
        if self.has_unrecovered(dir) {
            tracing::info!(dir = %dir.path().display(), "partitions are left to recover at the next start");
            return Ok(());
        }
        Ok(dir.mark_clean_shutdown(broker_epoch)?)
    }

    pub(super) fn checkpoint(&self, dir: &Arc<Directory>, kinds: &[OffsetCheckpoint]) -> std::io::Result<()> {
        if !self.has_unrecovered(dir) {
            dir.all_recovered()?;
        }
        let logs = self.logs_in(dir);
        let mut now: Vec<_> = kinds.iter().map(|kind| (*kind, Vec::new())).collect();
        for (partition, log) in &logs {
            for (kind, offsets) in &mut now {
                offsets.extend(claimed(log, *kind).map(|offset| (partition, log, offset)));
            }
        }
        dir.update_claims(|claims| {
            for (kind, offsets) in now {
                let known = claims.offsets_mut(kind);
                let closed = dir.take_closed(kind).into_iter();
                // What is deleted meanwhile is forgotten, before or after this: its name may be another topic's by then.
                let stays = offsets.into_iter().filter(|(_, log, _)| !log.is_leaving());
                let open = stays.map(|(partition, _, offset)| (partition.clone(), offset));
                for (partition, offset) in closed.chain(open) {
                    // A log that begins at 0 needs no entry, and Kafka writes none.
                    match (kind, offset) {
                        (OffsetCheckpoint::LogStart, 0) => known.remove(&partition),
                        _ => known.insert(partition, offset),
                    };
                }
            }
        })
    }

    fn has_unrecovered(&self, dir: &Arc<Directory>) -> bool {
        let slots = self.slots.read();
        slots
            .values()
            .any(|slot| Arc::ptr_eq(slot.directory(), dir) && slot.needs_recovery())
    }

    fn logs_in(&self, dir: &Arc<Directory>) -> Vec<(TopicPartition, Arc<PartitionLog>)> {
        let slots = self.slots.read();
        let here = slots
            .iter()
            .filter(|(_, slot)| Arc::ptr_eq(slot.directory(), dir));
        here.filter_map(|(partition, slot)| Some((partition.clone(), slot.log()?)))
            .collect()
    }

    pub(super) fn working_logs(&self) -> Vec<(TopicPartition, Arc<PartitionLog>)> {
        let slots = self.slots.read();
        let open = slots
            .iter()
            .filter_map(|(partition, slot)| Some((partition.clone(), slot.log()?)));
        open.filter(|(_, log)| !log.is_failed()).collect()
    }
}

/// What a checkpoint is to say of an open log; `None` for a log that is offline, which keeps the claim it had.
fn claimed(log: &PartitionLog, kind: OffsetCheckpoint) -> Option<i64> {
    match kind {
        OffsetCheckpoint::RecoveryPoint => log.recovery_point().ok(),
        _ if log.is_failed() => None,
        OffsetCheckpoint::HighWatermark => Some(log.high_watermark()),
        OffsetCheckpoint::LogStart => Some(log.log_start_offset()),
        // Written by the cleaner itself.
        OffsetCheckpoint::CleanerOffset => None,
    }
}
