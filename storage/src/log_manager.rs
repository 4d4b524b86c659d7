//! All partition logs of a node: found at start, opened when first asked for, looked after, deleted, closed.
//!
//! A start reads directories and checkpoints only; after a crash each log is recovered when it is first touched or when its
//! turn comes (`recover`), so that the node listens before the last log is read. A log that nobody uses is not open
//! (`closed`). What a checkpoint says never exceeds what a
//! log holds (rule S10). A failure in a directory takes all of its logs offline (rules S1, S2). Periods and threads for
//! the passes are the broker's.

mod claims;
mod cleaning;
mod closed;
#[cfg(test)]
mod closed_tests;
mod deletion;
mod directory;
mod flusher;
#[cfg(test)]
mod flusher_tests;
#[cfg(test)]
mod full_disk_tests;
mod opening;
mod passes;
#[cfg(test)]
mod retention_tests;
mod room;
mod status;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod threads_tests;
mod twins;
#[cfg(test)]
mod twins_tests;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use protocol_compat::{TopicId, TopicPartition};
use uuid::Uuid;

use crate::disk::Disk;
use crate::log::{AppendWatch, Crash, FileCache, LogConfig, LogError, LogEvents, PartitionLog};
use crate::log_dirs::{NodeIdentity, OpenError};

pub use cleaning::{CleanerStatus, UncleanablePartition};
pub use closed::LogOwner;
pub use room::Room;
pub use status::LogDirStatus;

use cleaning::Cleaning;
use deletion::Deletions;
use directory::Directory;
use flusher::Flusher;
use opening::{Opening, Slot};
use twins::Twins;

/// Settings of the manager.
#[derive(Clone, Debug)]
pub struct LogManagerConfig {
    /// Whose directories are wanted.
    pub identity: NodeIdentity,
    /// Identifies the machine's boot. If it is the one that the directories were last used in, the machine did not stop
    /// between: what a dead process wrote is whole. `None` assumes the worst.
    pub boot_id: Option<String>,
    /// Most log files open at a time.
    pub max_open_files: usize,
    /// Threads that sync for acknowledgements (rule S16).
    pub flush_threads: usize,
    /// Length of the flush journal of each log directory, once a log of it waits for a flush.
    pub flush_journal_bytes: u64,
    /// Free bytes below which a directory takes no more appends (rule S14).
    pub reserve_bytes: u64,
    /// Who is told of appends that take long.
    pub append_watch: Option<Arc<dyn AppendWatch>>,
}

/// Gives new ids; the caller's source of randomness.
pub type NewId = Box<dyn FnMut() -> Uuid + Send>;

/// The manager. Shared by reference; every call may block on the disk but [`LogManager::get`].
pub struct LogManager {
    disk: Disk,
    cluster_id: String,
    config: LogManagerConfig,
    dirs: Vec<Arc<Directory>>,
    files: Arc<FileCache>,
    slots: RwLock<BTreeMap<TopicPartition, Arc<Slot>>>,
    twins: Twins,
    /// Left by a crash, or with several places, in the order in which they are looked after.
    unrecovered: Mutex<VecDeque<TopicPartition>>,
    deletions: Deletions,
    flusher: Flusher,
    cleaning: Cleaning,
    new_id: Mutex<NewId>,
}

impl std::fmt::Debug for LogManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogManager({} partitions)", self.slots.read().len())
    }
}

impl LogManager {
    /// Takes the log directories and looks what is in them; opens no log.
    ///
    /// # Errors
    /// [`OpenError`]: the directories cannot be taken, or a partition of one topic stands in two of them.
    pub fn open(
        disk: &Disk,
        dirs: &[PathBuf],
        config: LogManagerConfig,
        mut new_id: NewId,
    ) -> Result<LogManager, OpenError> {
        let taken = crate::log_dirs::open(disk, dirs, &config.identity, &mut new_id)?;
        let mut opened = Vec::new();
        let mut slots = BTreeMap::new();
        let mut twins = Twins::default();
        let mut unrecovered = VecDeque::new();
        let deletions = Deletions::default();
        for dir in taken.dirs {
            let (directory, content) =
                Directory::load(disk, dir, config.boot_id.as_deref(), config.flush_journal_bytes);
            let directory = Arc::new(directory);
            for topic_partition in content.partitions {
                let slot = Arc::new(Slot::found(directory.clone()));
                if slots.contains_key(&topic_partition) || twins.contains(&topic_partition) {
                    twins.add(&topic_partition, &mut slots, slot);
                } else {
                    slots.insert(topic_partition.clone(), slot);
                }
                if directory.crash().is_some() {
                    unrecovered.push_back(topic_partition);
                }
            }
            deletions.add(content.deleted, i64::MIN);
            directory.look_for_room(config.reserve_bytes);
            opened.push(directory);
        }
        twins.tell_apart(disk)?;
        unrecovered.extend(twins.partitions());
        Ok(LogManager {
            disk: disk.clone(),
            cluster_id: taken.cluster_id,
            dirs: opened,
            files: FileCache::watched(disk.clone(), config.max_open_files, config.append_watch.clone()),
            slots: RwLock::new(slots),
            twins,
            unrecovered: Mutex::new(unrecovered),
            deletions,
            flusher: Flusher::new(config.flush_threads),
            cleaning: Cleaning::default(),
            new_id: Mutex::new(new_id),
            config,
        })
    }

    /// The cluster that the directories belong to.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The node that the directories belong to.
    pub fn node_id(&self) -> i32 {
        self.config.identity.node_id
    }

    /// The ids of all log directories that work.
    pub fn directory_ids(&self) -> Vec<Uuid> {
        self.dirs
            .iter()
            .filter(|dir| dir.failure().is_none())
            .map(|dir| dir.id())
            .collect()
    }

    /// The id of a log directory.
    pub fn directory_id(&self, path: &Path) -> Option<Uuid> {
        self.dirs
            .iter()
            .find(|dir| dir.path() == path)
            .map(|dir| dir.id())
    }

    /// The log directory that holds `__cluster_metadata-0`: the first one configured.
    pub fn metadata_dir(&self) -> Option<PathBuf> {
        self.dirs.first().map(|dir| dir.path().to_owned())
    }

    /// How the node before left a log directory: `None` for a clean shutdown. A directory that is not the manager's counts
    /// as left by a power cut.
    pub fn crash_of(&self, path: &Path) -> Option<Crash> {
        let dir = self.dirs.iter().find(|dir| dir.path() == path);
        dir.map_or(Some(Crash::Power), |dir| dir.crash())
    }

    /// The broker epoch of the last clean shutdown, if all directories were left cleanly (KIP-966).
    pub fn previous_broker_epoch(&self) -> Option<i64> {
        let mut epochs = self.dirs.iter().map(|dir| dir.clean_shutdown());
        let first = epochs.next()??;
        epochs
            .all(|epoch| epoch == Some(first))
            .then_some(first.broker_epoch)
    }

    /// Whether a log directory failed before it was known what it holds: a partition without a place may have one there.
    pub fn has_unread_directory(&self) -> bool {
        self.dirs.iter().any(|dir| !dir.was_read())
    }

    /// Whether the partition has a place in a directory that was read.
    pub fn has_place(&self, partition: &TopicPartition) -> bool {
        self.slots.read().contains_key(partition) || self.twins.contains(partition)
    }

    /// The open files of all logs.
    pub fn files(&self) -> &Arc<FileCache> {
        &self.files
    }

    /// The partitions that have a place here: those found at start, and those opened since.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        self.slots.read().keys().cloned().collect()
    }

    /// A partition's log if it is open.
    pub fn get(&self, partition: &TopicPartition) -> Option<Arc<PartitionLog>> {
        self.slots.read().get(partition)?.log()
    }

    /// A partition's log, opened or recovered now if it was not yet. A new one goes to the working directory with the
    /// fewest partitions, and leaves nothing on disk before its first append. `events` replace those given before.
    ///
    /// # Errors
    /// [`LogError`]; an input/output error takes the directory offline.
    pub fn get_or_open(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
        config: Arc<LogConfig>,
        events: Option<Arc<dyn LogEvents>>,
        now_ms: i64,
    ) -> Result<Arc<PartitionLog>, LogError> {
        let opening = Opening {
            partition,
            topic_id: (!topic_id.is_nil()).then_some(topic_id),
            config,
            now_ms,
        };
        self.slot(&opening)?.open(self, opening, events)
    }

    /// Puts the configurations that `change` gives in force in the open logs.
    pub fn update_configs(&self, change: impl Fn(&TopicPartition) -> Option<Arc<LogConfig>>) {
        for (partition, slot) in self.slots.read().iter() {
            if let Some(log) = slot.log()
                && let Some(config) = change(partition)
            {
                log.update_config(config);
            }
        }
    }

    /// Syncs the log by one of the flush threads, which tells the log's events; for acknowledgements that wait for it
    /// (`flush.messages`). Requests that come while one waits are one, and many logs that wait share the sync of their directory's flush journal.
    pub fn request_flush(&self, log: &Arc<PartitionLog>) {
        let directory = self.dirs.iter().find(|dir| log.is_in(dir.path()));
        self.flusher.request(log, directory);
    }

    /// The room for appends of the directory that a partition has its place in; `None` without a place.
    pub fn room(&self, partition: &TopicPartition) -> Option<Arc<Room>> {
        let slots = self.slots.read();
        slots.get(partition).map(|slot| slot.directory().room().clone())
    }

    fn slot(&self, opening: &Opening<'_>) -> Result<Arc<Slot>, LogError> {
        let partition = opening.partition;
        if let Some(slot) = self.slots.read().get(partition) {
            return Ok(slot.clone());
        }
        self.settle_twins(partition, opening.topic_id, opening.now_ms)?;
        let mut slots = self.slots.write();
        if let Some(slot) = slots.get(partition) {
            return Ok(slot.clone());
        }
        let load = |dir: &Arc<Directory>| {
            slots
                .values()
                .filter(|slot| Arc::ptr_eq(slot.directory(), dir))
                .count()
        };
        let directory = match self.dirs.as_slice() {
            [only] => Some(only),
            many => many
                .iter()
                .filter(|dir| dir.failure().is_none())
                .min_by_key(|dir| load(dir)),
        };
        let directory = directory.ok_or_else(|| LogError::Offline(partition.to_string()))?;
        directory.write_unwritten()?;
        let slot = Arc::new(Slot::new(directory.clone()));
        slots.insert(partition.clone(), slot.clone());
        Ok(slot)
    }
}
