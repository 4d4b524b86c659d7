//! The log directories of a node (`log.dirs`): taken, told apart, formatted on the spot, given back cleanly.
//!
//! A directory is locked before anything in it is read (rule S17), one of another cluster or node is refused, and the
//! clean-shutdown marker is gone from the disk before anything else changes (rule S8). A directory that fails while
//! others work is offline until the next start (rule S1); with none left there is no node. What lies in the partitions'
//! directories is the log manager's matter.

mod clean_shutdown;
mod open;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use thiserror::Error;
use uuid::Uuid;

use crate::disk::{DirLock, Disk, Space};
use crate::meta_properties::MetaPropertiesError;

pub use open::{NodeIdentity, open};

/// Kafka's name of the lock file.
pub const LOCK_FILE: &str = ".lock";

/// Why a node cannot start on its log directories.
#[derive(Debug, Error)]
pub enum OpenError {
    /// No directory was named.
    #[error("no log directory is configured")]
    NoDirectory,
    /// Another process works there.
    #[error("log directory {0} is in use by another process")]
    InUse(PathBuf),
    /// The directory belongs to another cluster or node.
    #[error(
        "log directory {dir} belongs to {what} {found} by its meta.properties, but {expected_by} says {expected}"
    )]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// `cluster` or `node`.
        what: &'static str,
        /// What stands in its `meta.properties`.
        found: String,
        /// Who wants it.
        expected: String,
        /// Where that stands: another directory's `meta.properties`, or the operator's word.
        expected_by: String,
    },
    /// Two directories have the same id: one is a copy.
    #[error("log directories {first} and {second} have the same directory id")]
    SameId {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// There are partitions and no `meta.properties` that says whose.
    #[error("log directory {0} holds partitions but no meta.properties that says whose they are")]
    Unowned(PathBuf),
    /// The `meta.properties` cannot be read.
    #[error(transparent)]
    MetaProperties(#[from] MetaPropertiesError),
    /// A partition stands in two directories, and nobody can say which is right.
    #[error("partition {partition} stands in both {first} and {second}")]
    PartitionTwice {
        /// The partition.
        partition: protocol_compat::TopicPartition,
        /// One of the log directories.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Every directory failed.
    #[error("no log directory is usable; the last failure: {0}")]
    AllFailed(String),
}

/// One log directory.
#[derive(Debug)]
pub struct LogDir {
    path: PathBuf,
    id: Uuid,
    disk: Disk,
    failure: OnceLock<String>,
    clean_shutdown: Option<CleanShutdown>,
    _lock: Option<DirLock>,
}

/// What the marker of a clean shutdown says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanShutdown {
    /// The broker epoch at shutdown (KIP-966), `-1` for unknown.
    pub broker_epoch: i64,
}

/// All log directories of a node.
#[derive(Debug)]
pub struct LogDirs {
    /// The cluster that they belong to.
    pub cluster_id: String,
    /// The node that they belong to.
    pub node_id: i32,
    /// In the order of the configuration; offline ones too.
    pub dirs: Vec<LogDir>,
}

impl LogDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its id; nil if it failed before the id was known.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// How the node before left it; `None` if it did not leave cleanly.
    pub fn clean_shutdown(&self) -> Option<CleanShutdown> {
        self.clean_shutdown
    }

    /// Why the directory is offline; `None` if it works.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Takes the directory offline until the next start. The first reason stays. True if it worked before.
    pub fn fail(&self, reason: String) -> bool {
        let first = self.failure.set(reason).is_ok();
        if first {
            tracing::error!(dir = %self.path.display(), reason = self.failure(), "log directory is offline");
        }
        first
    }

    /// Total and usable bytes of its file system; `None` if that cannot be told.
    pub fn space(&self) -> Option<Space> {
        self.failure
            .get()
            .is_none()
            .then(|| self.disk.space(&self.path).ok())?
    }

    /// Leaves the marker of a clean shutdown. Everything else must be on disk before.
    ///
    /// # Errors
    /// The file system's; the next start recovers then.
    pub fn mark_clean_shutdown(&self, broker_epoch: i64) -> std::io::Result<()> {
        clean_shutdown::write(&self.disk, &self.path, CleanShutdown { broker_epoch })
    }
}
