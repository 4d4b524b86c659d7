//! One log directory as the manager sees it: what was found in it, what its checkpoints say, whether it works.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use protocol_compat::TopicPartition;
use uuid::Uuid;

use super::claims::{Claims, KINDS};
use super::room::Room;
use crate::checkpoints::{self, OffsetCheckpoint, Offsets};
use crate::disk::{Disk, Space};
use crate::flush_journal::{self, FlushJournal};
use crate::log::{Crash, LogError, PartitionLog};
use crate::log_dirs::{CleanShutdown, LogDir};

/// Holds the id of the boot in which every log of the directory was last known whole. Kafka does not look at it.
const BOOT_FILE: &str = ".boot_id";
const BOOT_FILE_BYTES: usize = 256;

/// What stood in a directory at start.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub partitions: BTreeSet<TopicPartition>,
    /// Directories of partitions whose deletion was not finished.
    pub deleted: Vec<PathBuf>,
}

#[derive(Debug)]
pub(super) struct Directory {
    disk: Disk,
    dir: LogDir,
    /// What is in it is known.
    was_read: bool,
    crash: Option<Crash>,
    /// The boot to note once every log was recovered.
    unnoted_boot: Mutex<Option<String>>,
    journal: Arc<FlushJournal>,
    room: Arc<Room>,
    /// Whether the room was found to be over.
    is_full: AtomicBool,
    /// Held while checkpoints are written: what they say, but for those that are unwritten.
    claims: Mutex<Claims>,
    /// Checkpoints that say something else on disk, for want of room. Locked behind the claims.
    unwritten: Mutex<Vec<OffsetCheckpoint>>,
    /// What logs said that are closed again, for the next checkpoints.
    closed: Mutex<Claims>,
    logs: Mutex<Vec<std::sync::Weak<PartitionLog>>>,
}

impl Directory {
    /// Looks through the directory. An input/output error takes it offline.
    pub fn load(disk: &Disk, dir: LogDir, boot_id: Option<&str>, journal_bytes: u64) -> (Directory, Content) {
        let loaded = match dir.failure() {
            Some(_) => Ok(None),
            None => read_all(disk, &dir, boot_id).map(Some),
        };
        let was_read = matches!(loaded, Ok(Some(_)));
        let (claims, crash, content) = match loaded {
            Ok(Some(loaded)) => loaded,
            Ok(None) => Default::default(),
            Err(error) => {
                dir.fail(error.to_string());
                Default::default()
            }
        };
        let directory = Directory {
            disk: disk.clone(),
            journal: Arc::new(FlushJournal::new(disk, dir.path(), journal_bytes)),
            dir,
            was_read,
            crash,
            unnoted_boot: Mutex::new(boot_id.filter(|_| crash == Some(Crash::Power)).map(str::to_owned)),
            room: Arc::new(Room::new()),
            is_full: AtomicBool::new(false),
            claims: Mutex::new(claims),
            unwritten: Mutex::default(),
            closed: Mutex::default(),
            logs: Mutex::default(),
        };
        (directory, content)
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn id(&self) -> Uuid {
        self.dir.id()
    }

    pub fn failure(&self) -> Option<&str> {
        self.dir.failure()
    }

    /// False if the directory failed before it was known what it holds.
    pub fn was_read(&self) -> bool {
        self.was_read
    }

    pub fn clean_shutdown(&self) -> Option<CleanShutdown> {
        self.dir.clean_shutdown()
    }

    /// How the node before ended; `None` for a clean shutdown.
    pub fn crash(&self) -> Option<Crash> {
        self.crash
    }

    pub fn space(&self) -> Option<Space> {
        self.dir.space()
    }

    /// What makes the ends of many logs durable together.
    pub fn journal(&self) -> &Arc<FlushJournal> {
        &self.journal
    }

    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Looks how much room there is but for the reserve.
    pub fn look_for_room(&self, reserve_bytes: u64) {
        let Some(space) = self.space() else { return };
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.room
            .found(signed(space.usable_bytes) - signed(reserve_bytes));
        let is_full = !self.room.has_some();
        if self.is_full.swap(is_full, Ordering::Relaxed) != is_full {
            let dir = self.path().display();
            if is_full {
                tracing::warn!(%dir, "log directory is nearly full, appends are refused");
            } else {
                tracing::info!(%dir, "log directory has room again, appends are taken");
            }
        }
    }

    /// What a checkpoint says of a partition, or will say of a closed log when it is written next.
    pub fn claim(&self, kind: OffsetCheckpoint, partition: &TopicPartition) -> Option<i64> {
        let waiting = self.closed.lock().offsets(kind).get(partition).copied();
        waiting.or_else(|| self.claims.lock().offsets(kind).get(partition).copied())
    }

    /// Takes down, for the next checkpoints, how a log stands that is about to be closed.
    pub fn note_closed(&self, partition: &TopicPartition, log: &PartitionLog) -> Result<(), LogError> {
        let flushed = log.flushed_offset();
        let known = self.claim(OffsetCheckpoint::RecoveryPoint, partition);
        let recovery_point = if flushed < log.log_end_offset() && flushed <= known.unwrap_or(0) {
            // It stays where it is, and the epochs below it are in their file.
            flushed
        } else {
            // Saves the epochs as well, which nobody does for a closed log.
            log.recovery_point()?
        };
        let mut closed = self.closed.lock();
        for (kind, offset) in [
            (OffsetCheckpoint::RecoveryPoint, recovery_point),
            (OffsetCheckpoint::HighWatermark, log.high_watermark()),
            (OffsetCheckpoint::LogStart, log.log_start_offset()),
        ] {
            closed.offsets_mut(kind).insert(partition.clone(), offset);
        }
        Ok(())
    }

    /// Drops what a closed log said: it is open and speaks for itself, or it is gone.
    pub fn forget_closed(&self, partition: &TopicPartition) {
        self.closed.lock().retain(|known| known != partition);
    }

    /// What closed logs said since the last time. Called while the claims change.
    pub fn take_closed(&self, kind: OffsetCheckpoint) -> Offsets {
        std::mem::take(self.closed.lock().offsets_mut(kind))
    }

    /// Remembers an open log, to take it offline with the directory.
    pub fn add_log(&self, log: &Arc<PartitionLog>) {
        let mut logs = self.logs.lock();
        // Looked through when it would have to grow, so that each log is looked at a few times in all.
        if logs.len() == logs.capacity() {
            logs.retain(|log| log.strong_count() > 0);
        }
        logs.push(Arc::downgrade(log));
    }

    /// Takes the directory and every log in it offline (rules S1, S2).
    pub fn fail(&self, reason: String) {
        if self.dir.fail(reason) {
            let logs: Vec<_> = self
                .logs
                .lock()
                .iter()
                .filter_map(std::sync::Weak::upgrade)
                .collect();
            for log in logs {
                log.fail();
            }
        }
    }

    /// Changes what the checkpoints say, and writes those that say something new. For want of room the old files stay, the
    /// change is kept, and the next call writes it (rule S15).
    ///
    /// # Errors
    /// `StorageFull`; any other takes the directory offline.
    pub fn update_claims(&self, change: impl FnOnce(&mut Claims)) -> io::Result<()> {
        if let Some(reason) = self.failure() {
            return Err(io::Error::other(reason.to_owned()));
        }
        let mut claims = self.claims.lock();
        let mut unwritten = self.unwritten.lock();
        let mut changed = claims.clone();
        change(&mut changed);
        let mut result = Ok(());
        for kind in KINDS {
            if claims.offsets(kind) == changed.offsets(kind) && !unwritten.contains(&kind) {
                continue;
            }
            unwritten.retain(|known| *known != kind);
            match checkpoints::write(&self.disk, self.path(), kind, changed.offsets(kind)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    unwritten.push(kind);
                    result = Err(error);
                }
                Err(error) => {
                    self.fail(error.to_string());
                    return Err(error);
                }
            }
        }
        *claims = changed;
        result
    }

    /// Writes where logs are about to begin, before anybody sees it: what a client was shown does not go back after a crash.
    ///
    /// # Errors
    /// The file system's; the directory is offline but for a full disk, where the claims wait for room.
    pub fn claim_starts(&self, starts: impl IntoIterator<Item = (TopicPartition, i64)>) -> io::Result<()> {
        self.update_claims(|claims| {
            for (partition, start) in starts {
                let known = claims.log_starts.entry(partition).or_insert(start);
                *known = start.max(*known);
            }
        })
    }

    /// Writes what a full disk kept from the checkpoints: a partition that is created must not inherit a claim of a deleted
    /// one of its name.
    ///
    /// # Errors
    /// Those of [`Directory::update_claims`].
    pub fn write_unwritten(&self) -> io::Result<()> {
        let has_unwritten = !self.unwritten.lock().is_empty();
        if has_unwritten {
            self.update_claims(|_| {})
        } else {
            Ok(())
        }
    }

    /// Notes the boot: every log that a power cut could have torn was recovered in it.
    pub fn all_recovered(&self) -> io::Result<()> {
        let mut unnoted = self.unnoted_boot.lock();
        let Some(boot) = unnoted.as_ref() else {
            return Ok(());
        };
        match self.disk.replace(&self.path().join(BOOT_FILE), boot.as_bytes()) {
            // Without the note the next start recovers more than it needs to.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Err(error),
            noted => noted.inspect_err(|error| self.fail(error.to_string()))?,
        }
        *unnoted = None;
        Ok(())
    }

    pub fn mark_clean_shutdown(&self, broker_epoch: i64) -> io::Result<()> {
        self.dir.mark_clean_shutdown(broker_epoch)
    }
}

fn read_all(
    disk: &Disk,
    dir: &LogDir,
    boot_id: Option<&str>,
) -> io::Result<(Claims, Option<Crash>, Content)> {
    let path = dir.path();
    // Before anything is read of a log.
    flush_journal::replay(disk, path)?;
    let mut content = Content::default();
    let mut topic: Arc<str> = Arc::from("");
    for entry in disk.read_dir(path)?.into_iter().filter(|entry| entry.is_dir) {
        if entry.name.ends_with("-delete") {
            content.deleted.push(path.join(entry.name));
        } else if let Some(mut partition) = partition_of(&entry.name) {
            // Sorted by name: the partitions of a topic stand together and share its name.
            if partition.topic == topic {
                partition.topic = topic.clone();
            } else {
                topic = partition.topic.clone();
            }
            content.partitions.insert(partition);
        }
    }
    let mut claims = Claims::read(disk, path)?;
    claims.keep_only(&content.partitions);
    let boot_before = read_boot(disk, path)?;
    let now = boot_id.unwrap_or_default().as_bytes();
    let is_clean = dir.clean_shutdown().is_some();
    // Where everything was synced, or nothing is there, a crash from here on is one of this boot.
    let may_note = is_clean || content.partitions.is_empty();
    let is_noted = boot_before == now || (may_note && try_note_boot(disk, path, now)?);
    let crash = if is_clean {
        None
    } else if is_noted && !now.is_empty() {
        Some(Crash::Process)
    } else {
        Some(Crash::Power)
    };
    Ok((claims, crash, content))
}

/// The boot in which all logs of the directory were last whole; empty if that is not known.
fn read_boot(disk: &Disk, dir: &Path) -> io::Result<Vec<u8>> {
    match disk.read(&dir.join(BOOT_FILE), BOOT_FILE_BYTES) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(Vec::new()),
        read => read,
    }
}

/// Whether the boot could be noted. On a full disk it cannot: a crash of this life is then taken for a power cut, and more is
/// recovered than needs to be.
fn try_note_boot(disk: &Disk, dir: &Path, now: &[u8]) -> io::Result<bool> {
    match disk.replace(&dir.join(BOOT_FILE), now) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(false),
        noted => noted.map(|()| true),
    }
}

/// `<topic>-<partition>`; the metadata log has an owner of its own.
fn partition_of(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    let partition: i32 = partition.parse().ok().filter(|&partition| partition >= 0)?;
    let is_topic = !topic.is_empty() && topic != "__cluster_metadata";
    is_topic.then(|| TopicPartition::new(topic, partition))
}
