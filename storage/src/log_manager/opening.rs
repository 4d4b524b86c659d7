//! Opening one log at a time per partition, with what the checkpoints say of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use protocol_compat::{TopicId, TopicPartition};

use super::LogManager;
use super::directory::Directory;
use crate::checkpoints::OffsetCheckpoint;
use crate::log::{Extent, LogConfig, LogError, LogEvents, OpenParams, PartitionLog};

/// A partition's place, and its log once it is open.
pub(super) struct Slot {
    directory: Arc<Directory>,
    log: ArcSwapOption<PartitionLog>,
    /// The log was left by a crash, and nobody has opened it since.
    needs_recovery: AtomicBool,
    /// The log was changed and closed again in this process: not all of its files are durable.
    is_unsynced: AtomicBool,
    /// Of the log while it is closed, once somebody asked.
    extent: Mutex<Option<Extent>>,
    /// Held while the log is opened or deleted.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_deleted: bool,
}

/// How a log is to be opened.
pub(super) struct Opening<'a> {
    pub partition: &'a TopicPartition,
    pub topic_id: Option<TopicId>,
    pub config: Arc<LogConfig>,
    pub now_ms: i64,
}

impl Slot {
    /// A partition that stood in the directory at start.
    pub fn found(directory: Arc<Directory>) -> Slot {
        let needs_recovery = directory.crash().is_some();
        Slot {
            needs_recovery: AtomicBool::new(needs_recovery),
            ..Slot::new(directory)
        }
    }

    /// A partition that has nothing on disk yet.
    pub fn new(directory: Arc<Directory>) -> Slot {
        Slot {
            directory,
            log: ArcSwapOption::empty(),
            needs_recovery: AtomicBool::new(false),
            is_unsynced: AtomicBool::new(false),
            extent: Mutex::default(),
            state: Mutex::default(),
        }
    }

    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    pub fn log(&self) -> Option<Arc<PartitionLog>> {
        self.log.load_full()
    }

    pub fn needs_recovery(&self) -> bool {
        self.needs_recovery.load(Ordering::Acquire)
    }

    /// The log for whoever uses the partition, who learns of `events` from now on.
    pub fn open(
        &self,
        manager: &LogManager,
        opening: Opening<'_>,
        events: Option<Arc<dyn LogEvents>>,
    ) -> Result<Arc<PartitionLog>, LogError> {
        let state = self.state.lock();
        self.require_usable(&state, opening.partition)?;
        let events = self.events(events);
        if let Some(log) = self.log() {
            log.update_config(opening.config);
            log.set_events(events);
            return Ok(log);
        }
        self.open_closed(manager, opening, events)
    }

    /// The log for the manager's own purposes; who uses it already keeps it as it is.
    pub fn open_unused(
        &self,
        manager: &LogManager,
        opening: Opening<'_>,
    ) -> Result<Arc<PartitionLog>, LogError> {
        let state = self.state.lock();
        self.require_usable(&state, opening.partition)?;
        match self.log() {
            Some(log) => Ok(log),
            None => self.open_closed(manager, opening, self.events(None)),
        }
    }

    /// The state is locked.
    fn open_closed(
        &self,
        manager: &LogManager,
        opening: Opening<'_>,
        events: Arc<dyn LogEvents>,
    ) -> Result<Arc<PartitionLog>, LogError> {
        let partition = opening.partition.clone();
        let log = Arc::new(self.load(manager, opening, Some(events))?);
        self.keep(&partition, log.clone());
        Ok(log)
    }

    /// From here on the log speaks for itself.
    fn keep(&self, partition: &TopicPartition, log: Arc<PartitionLog>) {
        self.directory.forget_closed(partition);
        *self.extent.lock() = None;
        self.directory.add_log(&log);
        self.log.store(Some(log));
    }

    /// Opens the log for `act` alone and closes it again, recovered if it was torn. `None` if somebody has it open, who
    /// looks after it. One that finds no room for what its closing writes stays open.
    pub fn visit<T>(
        &self,
        manager: &LogManager,
        opening: Opening<'_>,
        act: impl FnOnce(&PartitionLog) -> Result<T, LogError>,
    ) -> Result<Option<T>, LogError> {
        let state = self.state.lock();
        self.require_usable(&state, opening.partition)?;
        if self.log().is_some() {
            return Ok(None);
        }
        let partition = opening.partition.clone();
        let log = self.load(manager, opening, None)?;
        self.is_unsynced.store(true, Ordering::Release);
        let done = act(&log);
        if let Err(error) = &done
            && !error.is_no_space()
        {
            self.fail_on_io(error);
            return done.map(Some);
        }
        let parked = log
            .park()
            .and_then(|()| self.directory.note_closed(&partition, &log));
        match parked {
            Ok(()) => *self.extent.lock() = Some(log.extent()),
            Err(error) if error.is_no_space() => {
                log.set_events(self.events(None));
                self.keep(&partition, Arc::new(log));
            }
            Err(error) => {
                self.fail_on_io(&error);
                return Err(error);
            }
        }
        done.map(Some)
    }

    /// Makes a closed log durable that was changed in this process, as its own closing would have.
    pub fn sync_closed(&self, manager: &LogManager, opening: Opening<'_>) -> Result<(), LogError> {
        let state = self.state.lock();
        if state.is_deleted || self.log().is_some() || !self.is_unsynced.load(Ordering::Acquire) {
            return Ok(());
        }
        let log = self.load(manager, opening, None)?;
        let closed = log.close();
        closed.inspect_err(|error| self.fail_on_io(error))?;
        self.is_unsynced.store(false, Ordering::Release);
        Ok(())
    }

    /// How far the log reaches, without opening it.
    pub fn extent(&self, manager: &LogManager, partition: &TopicPartition) -> Result<Extent, LogError> {
        if let Some(log) = self.log() {
            return Ok(log.extent());
        }
        // Whoever opens the log forgets it; a closed one does not change.
        if let Some(known) = *self.extent.lock() {
            return Ok(known);
        }
        let dir = self.directory.path().join(partition.to_string());
        let extent = Extent::of_directory(&manager.disk, &dir)?;
        if !self.needs_recovery() {
            *self.extent.lock() = Some(extent);
        }
        Ok(extent)
    }

    fn require_usable(&self, state: &State, partition: &TopicPartition) -> Result<(), LogError> {
        if state.is_deleted || self.directory.failure().is_some() {
            return Err(LogError::Offline(partition.to_string()));
        }
        Ok(())
    }

    fn load(
        &self,
        manager: &LogManager,
        opening: Opening<'_>,
        events: Option<Arc<dyn LogEvents>>,
    ) -> Result<PartitionLog, LogError> {
        let partition = opening.partition;
        let claim = |kind| self.directory.claim(kind, partition).unwrap_or(0);
        let crash = self.directory.crash().filter(|_| self.needs_recovery());
        let is_synced = crash.is_none() && !self.is_unsynced.load(Ordering::Acquire);
        let opened = PartitionLog::open(OpenParams {
            files: manager.files.clone(),
            dir: self.directory.path().join(partition.to_string()).into(),
            topic_partition: partition.clone(),
            topic_id: opening.topic_id,
            config: opening.config,
            recovery_point: if is_synced {
                i64::MAX
            } else {
                claim(OffsetCheckpoint::RecoveryPoint)
            },
            log_start_offset: claim(OffsetCheckpoint::LogStart),
            crash,
            now_ms: opening.now_ms,
            events,
        });
        let log = opened.inspect_err(|error| self.fail_on_io(error))?;
        self.needs_recovery.store(false, Ordering::Release);
        log.update_high_watermark(claim(OffsetCheckpoint::HighWatermark));
        Ok(log)
    }

    fn fail_on_io(&self, error: &LogError) {
        if matches!(error, LogError::Io(_)) && !error.is_no_space() {
            self.directory.fail(error.to_string());
        }
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

    fn started_later(&self, log_start_offset: i64) {
        if let Some(inner) = &self.inner {
            inner.started_later(log_start_offset);
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
