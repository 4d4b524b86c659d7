//! Logs that nobody uses: recovered after a crash, kept by retention, measured and made durable without staying open.
//!
//! A log is opened for as long as that takes and closed again, so that memory is for partitions in use. What its closing
//! found goes to the next checkpoints. After a clean stop nothing is opened at all: the size of a closed log and the age
//! of its first segment are looked up once, and an open log forgets them. Compacted logs stay open: what there is to clean
//! in them is looked for all the time.

use std::sync::Arc;

use protocol_compat::{TopicId, TopicPartition};

use super::LogManager;
use super::directory::Directory;
use super::opening::{Opening, Slot};
use crate::checkpoints::OffsetCheckpoint;
use crate::log::{DeletedFiles, LogConfig, LogError, PartitionLog, RetentionDue};

/// Whoever the partitions belong to: asked when the manager opens a log by itself.
pub trait LogOwner {
    /// The partition's topic id and configuration; `None` to leave the log alone (its topic is gone).
    fn settings(&self, partition: &TopicPartition) -> Option<(TopicId, Arc<LogConfig>)>;

    /// A log was opened: raises its high watermark as far as the partition's replicas allow.
    fn opened(&self, log: &PartitionLog);
}

impl LogManager {
    /// The next partition that a crash left, or that has several places, and nobody has opened since. Each is given out once, so that several threads
    /// may share the work.
    pub fn next_to_recover(&self) -> Option<TopicPartition> {
        loop {
            let next = self.unrecovered.lock().pop_front()?;
            let slot = self.slots.read().get(&next).cloned();
            if slot.is_some_and(|slot| slot.needs_recovery()) || self.twins.contains(&next) {
                return Some(next);
            }
        }
    }

    /// Recovers a partition's log and closes it again. One that somebody has opened meanwhile is recovered.
    ///
    /// # Errors
    /// [`LogError`], which a later [`LogManager::get_or_open`] meets again; the others are not concerned.
    pub fn recover(
        &self,
        partition: &TopicPartition,
        owner: &dyn LogOwner,
        now_ms: i64,
    ) -> Result<(), LogError> {
        let Some(settings) = owner.settings(partition) else {
            return Ok(());
        };
        self.settle_twins(partition, Some(settings.0), now_ms)?;
        let Some(slot) = self.slots.read().get(partition).cloned() else {
            return Ok(());
        };
        if !slot.needs_recovery() {
            return Ok(());
        }
        let is_compacted = settings.1.cleanup_policy.compact;
        let opening = opening(partition, settings, now_ms);
        if is_compacted {
            owner.opened(&*slot.open_unused(self, opening)?);
        } else {
            slot.visit(self, opening, |log| {
                owner.opened(log);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Opens the compacted logs that are closed, and leaves them open. How many.
    pub fn open_compacted(&self, owner: &dyn LogOwner, now_ms: i64) -> usize {
        let mut opened = 0;
        for (partition, slot) in self.closed_slots() {
            let settings = owner.settings(&partition);
            let Some(settings) = settings.filter(|(_, config)| config.cleanup_policy.compact) else {
                continue;
            };
            if slot.needs_recovery() || slot.directory().failure().is_some() {
                continue;
            }
            match slot.open_unused(self, opening(&partition, settings, now_ms)) {
                Ok(log) => owner.opened(&log),
                Err(error) => tracing::error!(log = %partition, %error, "could not open a compacted log"),
            }
            opened += 1;
        }
        opened
    }

    /// Retention for the closed logs; how many segments went. Logs that are compacted since they were closed are opened.
    pub(super) fn closed_retention_pass(&self, owner: &dyn LogOwner, now_ms: i64) -> usize {
        self.open_compacted(owner, now_ms);
        let mut segments = 0;
        for (partition, slot) in self.closed_slots() {
            if slot.needs_recovery() || slot.directory().failure().is_some() {
                continue;
            }
            match self.retain_closed(&partition, &slot, owner, now_ms) {
                Ok(found) => segments += found,
                Err(error) => tracing::error!(log = %partition, %error, "retention failed"),
            }
        }
        segments
    }

    fn retain_closed(
        &self,
        partition: &TopicPartition,
        slot: &Slot,
        owner: &dyn LogOwner,
        now_ms: i64,
    ) -> Result<usize, LogError> {
        let Some(settings) = owner.settings(partition) else {
            return Ok(0);
        };
        let log_start = slot.directory().claim(OffsetCheckpoint::LogStart, partition);
        let log_start = log_start.unwrap_or(0);
        let extent = slot.extent(self, partition)?;
        let delay_ms = settings.1.file_delete_delay_ms;
        let due = extent.retention_due(&settings.1, log_start, now_ms);
        let opening = opening(partition, settings, now_ms);
        match due {
            RetentionDue::No => Ok(0),
            RetentionDue::AgeUnknown => {
                // It stays open: the next passes are those of an open log.
                owner.opened(&*slot.open_unused(self, opening)?);
                Ok(0)
            }
            RetentionDue::Yes => {
                let visited = slot.visit(self, opening, |log| {
                    owner.opened(log);
                    let Some(start) = log.start_after_retention(now_ms)? else {
                        return Ok(DeletedFiles::default());
                    };
                    let claimed = slot.directory().claim_starts([(partition.clone(), start)]);
                    // On a full disk the claim waits for room, for it is retention that makes some.
                    claimed.or_else(|error| slot.directory().failure().map_or(Ok(()), |_| Err(error)))?;
                    log.delete_segments_before(start)
                })?;
                let DeletedFiles { paths, segments } = visited.unwrap_or_default();
                self.deletions.add(paths, now_ms.saturating_add(delay_ms));
                Ok(segments)
            }
        }
    }

    /// Makes the closed logs of a directory durable, for the marker of a clean stop.
    pub(super) fn sync_closed(&self, dir: &Arc<Directory>) -> Result<(), LogError> {
        for (partition, slot) in self.closed_slots() {
            if !Arc::ptr_eq(slot.directory(), dir) {
                continue;
            }
            // Nothing is appended, rolled or deleted: no setting matters, nor does the time.
            let opening = Opening {
                partition: &partition,
                topic_id: None,
                config: Arc::default(),
                now_ms: 0,
            };
            slot.sync_closed(self, opening)?;
        }
        Ok(())
    }

    fn closed_slots(&self) -> Vec<(TopicPartition, Arc<Slot>)> {
        let slots = self.slots.read();
        let closed = slots.iter().filter(|(_, slot)| slot.log().is_none());
        closed
            .map(|(partition, slot)| (partition.clone(), slot.clone()))
            .collect()
    }
}

fn opening(
    partition: &TopicPartition,
    (topic_id, config): (TopicId, Arc<LogConfig>),
    now_ms: i64,
) -> Opening<'_> {
    Opening {
        partition,
        topic_id: (!topic_id.is_nil()).then_some(topic_id),
        config,
        now_ms,
    }
}
