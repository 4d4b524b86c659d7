//! What DescribeLogDirs tells of each directory (KIP-113, KIP-827).

use std::path::PathBuf;
use std::sync::Arc;

use protocol_compat::TopicPartition;
use uuid::Uuid;

use super::LogManager;
use super::directory::Directory;
use super::opening::Slot;

/// A log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirStatus {
    /// Where it is.
    pub path: PathBuf,
    /// Its id.
    pub id: Uuid,
    /// Why it is offline; `None` if it works. The rest is empty then.
    pub failure: Option<String>,
    /// Size of its file system.
    pub total_bytes: Option<u64>,
    /// What may still be written there.
    pub usable_bytes: Option<u64>,
    /// Its partitions and the bytes of their segments.
    pub partitions: Vec<(TopicPartition, u64)>,
}

impl LogManager {
    /// All directories, in the order of the configuration.
    pub fn dirs(&self) -> Vec<LogDirStatus> {
        self.dirs.iter().map(|dir| self.status(dir)).collect()
    }

    fn status(&self, dir: &Arc<Directory>) -> LogDirStatus {
        let failure = dir.failure().map(str::to_owned);
        let space = dir.space();
        let slots: Vec<(TopicPartition, Arc<Slot>)> = {
            let slots = self.slots.read();
            let here = slots
                .iter()
                .filter(|(_, slot)| Arc::ptr_eq(slot.directory(), dir));
            here.map(|(partition, slot)| (partition.clone(), slot.clone()))
                .collect()
        };
        // What cannot be read counts nothing, its opening will tell.
        let sizes = slots.into_iter().map(|(partition, slot)| {
            let size = slot
                .extent(self, &partition)
                .map_or(0, |extent| extent.size_bytes);
            (partition, size)
        });
        LogDirStatus {
            path: dir.path().to_owned(),
            id: dir.id(),
            partitions: if failure.is_some() {
                Vec::new()
            } else {
                sizes.collect()
            },
            failure,
            total_bytes: space.map(|space| space.total_bytes),
            usable_bytes: space.map(|space| space.usable_bytes),
        }
    }
}
