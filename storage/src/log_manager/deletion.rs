//! Deleting partitions: a rename that no start takes for a partition; and the removal of what was deleted, segments as well, once
//! `file.delete.delay.ms` has passed. Who calls for it decides when that is looked at.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::task::Waker;

use parking_lot::Mutex;
use protocol_compat::TopicPartition;

use super::LogManager;
use super::opening::Slot;
use crate::log::{LogError, OWNER_FILE};

/// Names of files are at most this long on every file system that matters.
const MOST_NAME_BYTES: usize = 255;

/// What is to leave the disk, and when.
#[derive(Debug, Default)]
pub(super) struct Deletions {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    by_due_ms: BTreeMap<i64, Vec<PathBuf>>,
    /// Woken once something is due before all that waited.
    waker: Option<Waker>,
}

impl Deletions {
    pub fn add(&self, paths: Vec<PathBuf>, due_ms: i64) {
        if paths.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        let is_first = waiting.first_due_ms().is_none_or(|first| due_ms < first);
        waiting.by_due_ms.entry(due_ms).or_default().extend(paths);
        let waker = waiting.waker.take_if(|_| is_first);
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn take_due(&self, now_ms: i64) -> impl Iterator<Item = PathBuf> + use<> {
        let mut waiting = self.waiting.lock();
        let later = match now_ms.checked_add(1) {
            Some(after_ms) => waiting.by_due_ms.split_off(&after_ms),
            None => BTreeMap::new(),
        };
        let due = std::mem::replace(&mut waiting.by_due_ms, later);
        due.into_values().flatten()
    }
}

impl Waiting {
    fn first_due_ms(&self) -> Option<i64> {
        self.by_due_ms.first_key_value().map(|(due_ms, _)| *due_ms)
    }
}

impl LogManager {
    /// Deletes a partition: after this call a start does not know it. Its bytes leave the disk with a later
    /// [`LogManager::removal_pass`]. A partition that is not there is deleted already.
    ///
    /// # Errors
    /// [`LogError`]; the directory is offline then. A full disk is no error: there the bytes go at once where no new name
    /// can be given.
    pub fn delete(&self, partition: &TopicPartition, now_ms: i64) -> Result<(), LogError> {
        let Some(slot) = self.slots.read().get(partition).cloned() else {
            let twins = self.twins.take(partition).into_iter();
            return twins
                .map(|twin| self.delete_place(partition, &twin, now_ms))
                .fold(Ok(()), Result::and);
        };
        let deleted = self.delete_place(partition, &slot, now_ms);
        self.slots.write().remove(partition);
        deleted
    }

    /// Deletes what one place has of a partition.
    pub(super) fn delete_place(
        &self,
        partition: &TopicPartition,
        slot: &Slot,
        now_ms: i64,
    ) -> Result<(), LogError> {
        let directory = slot.directory().clone();
        let log = slot.close_for_deletion();
        let delay_ms = log.as_ref().map_or(0, |log| log.config().file_delete_delay_ms);
        let from = directory.path().join(partition.to_string());
        let to = directory.path().join(self.deleted_name(partition));
        directory.forget_closed(partition);
        let renamed = match &log {
            Some(log) => log.rename_dir(&to),
            None => self.rename_unopened(&from, &to).map_err(LogError::from),
        };
        let renamed = match renamed {
            Err(error) if error.is_no_space() => self.remove_in_place(&from).map_err(LogError::from),
            renamed => renamed,
        };
        let forgotten = renamed.and_then(|()| {
            match directory.update_claims(|claims| claims.retain(|known| known != partition)) {
                // A deletion is what makes room; the checkpoints are written before the name is used again.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
                forgotten => forgotten.map_err(LogError::from),
            }
        });
        if let Err(error) = forgotten {
            directory.fail(error.to_string());
            return Err(error);
        }
        self.deletions.add(vec![to], now_ms.saturating_add(delay_ms));
        Ok(())
    }

    /// When the next [`LogManager::removal_pass`] has something to remove, in milliseconds since 1970; `None` while nothing waits.
    /// `waker` is woken once that is earlier; it takes the place of the one given before.
    pub fn next_removal_ms(&self, waker: &Waker) -> Option<i64> {
        let mut waiting = self.deletions.waiting.lock();
        match &mut waiting.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        waiting.first_due_ms()
    }

    /// Removes what was deleted and is due at `now_ms`.
    ///
    /// # Errors
    /// The first of the file system's; what could not be removed goes with a later start.
    pub fn removal_pass(&self, now_ms: i64) -> io::Result<()> {
        let mut result = Ok(());
        for path in self.deletions.take_due(now_ms) {
            result = result.and(self.remove(&path));
        }
        result
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if !self.disk.exists(path)? {
            return Ok(());
        }
        if path.to_string_lossy().ends_with("-delete") {
            self.disk.remove_dir_all(path)
        } else {
            self.disk.remove_file(path)
        }
    }

    fn rename_unopened(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !self.disk.exists(from)? {
            return Ok(());
        }
        self.disk.rename(from, to)?;
        to.parent().map_or(Ok(()), |parent| self.disk.sync_dir(parent))
    }

    /// Removes a partition for whose new name there is no room. The file that says whose it is goes last: what a crash
    /// leaves must not be taken for a later topic's of the same name.
    fn remove_in_place(&self, dir: &Path) -> io::Result<()> {
        for entry in self.disk.read_dir(dir)? {
            if entry.name != OWNER_FILE {
                self.disk.remove_file(&dir.join(entry.name))?;
            }
        }
        self.disk.sync_dir(dir)?;
        self.disk.remove_dir_all(dir)?;
        dir.parent().map_or(Ok(()), |parent| self.disk.sync_dir(parent))
    }

    /// `<topic>-<partition>.<id>-delete`; a long topic is cut, as in Kafka.
    fn deleted_name(&self, partition: &TopicPartition) -> String {
        let id = (self.new_id.lock())().simple().to_string();
        let suffix = format!("-{}.{id}-delete", partition.partition);
        let room = MOST_NAME_BYTES.saturating_sub(suffix.len());
        let topic: String = partition.topic.chars().take(room).collect();
        format!("{topic}{suffix}")
    }
}
