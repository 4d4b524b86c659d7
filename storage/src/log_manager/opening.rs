//! Opening one log at a time per partition, with what the checkpoints say of it.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use protocol_compat::{TopicId, TopicPartition};

use super::LogManager;
use super::directory::Directory;
use crate::checkpoints::OffsetCheckpoint;
use crate::log::{LogConfig, LogError, LogEvents, OpenParams, PartitionLog};

/// A partition's place, and its log once it is open.
pub(super) struct Slot {
    directory: Arc<Directory>,
    log: ArcSwapOption<PartitionLog>,
    /// Held while the log is opened or deleted.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_deleted: bool,
}

impl Slot {
    pub fn new(directory: Arc<Directory>) -> Slot {
        Slot {
            directory,
            log: ArcSwapOption::empty(),
            state: Mutex::default(),
        }
    }

    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    pub fn log(&self) -> Option<Arc<PartitionLog>> {
        self.log.load_full()
    }

    pub fn open(
        &self,
        manager: &LogManager,
        partition: &TopicPartition,
        topic_id: Option<TopicId>,
        config: Arc<LogConfig>,
        events: Option<Arc<dyn LogEvents>>,
        now_ms: i64,
    ) -> Result<Arc<PartitionLog>, LogError> {
        let state = self.state.lock();
        if state.is_deleted || self.directory.failure().is_some() {
            return Err(LogError::Offline(partition.to_string()));
        }
        let events = self.events(events);
        if let Some(log) = self.log() {
            log.update_config(config);
            log.set_events(events);
            return Ok(log);
        }
        let claims = self.directory.claims();
        let opened = PartitionLog::open(OpenParams {
            files: manager.files.clone(),
            dir: self.directory.path().join(partition.to_string()),
            topic_partition: partition.clone(),
            topic_id,
            config,
            recovery_point: claims.get(OffsetCheckpoint::RecoveryPoint, partition),
            log_start_offset: claims.get(OffsetCheckpoint::LogStart, partition),
            crash: self.directory.crash(),
            now_ms,
            events: Some(events),
        });
        let log = Arc::new(opened.inspect_err(|error| {
            if matches!(error, LogError::Io(_)) {
                self.directory.fail(error.to_string());
            }
        })?);
        log.update_high_watermark(claims.get(OffsetCheckpoint::HighWatermark, partition));
        self.directory.add_log(&log);
        self.log.store(Some(log.clone()));
        drop(state);
        Ok(log)
    }

    /// Keeps the log from being opened again; the log if it was open.
    pub fn close_for_deletion(&self) -> Option<Arc<PartitionLog>> {
        let mut state = self.state.lock();
        state.is_deleted = true;
        self.log.swap(None)
    }

    fn events(&self, inner: Option<Arc<dyn LogEvents>>) -> Arc<dyn LogEvents> {
        Arc::new(DirectoryEvents {
            directory: Arc::downgrade(&self.directory),
            inner,
        })
    }
}

/// Passes a log's news on; a failure is the directory's as well.
struct DirectoryEvents {
    directory: Weak<Directory>,
    inner: Option<Arc<dyn LogEvents>>,
}

impl LogEvents for DirectoryEvents {
    fn published(&self, log_end_offset: i64) {
        if let Some(inner) = &self.inner {
            inner.published(log_end_offset);
        }
    }

    fn flushed(&self, offset: i64) {
        if let Some(inner) = &self.inner {
            inner.flushed(offset);
        }
    }

    fn failed(&self) {
        if let Some(directory) = self.directory.upgrade() {
            directory.fail("a log in it failed".to_owned());
        }
        if let Some(inner) = &self.inner {
            inner.failed();
        }
    }
}
