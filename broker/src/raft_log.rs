//! `__cluster_metadata-0` as the quorum's log: the same `PartitionLog` as every other partition.
//!
//! One entry is one batch, index = offset, term = leader epoch; the batches come encoded from `metadata::quorum` and stay
//! as they are. What was flushed is never given up: at any time at most the last batch is not durable, so that a start
//! that reads the whole log may cut one torn batch at its end, and refuses damage anywhere else with file and offset
//! (rule O13), whether the process died or the power went. After a clean shutdown nothing is torn: there every invalid
//! byte is damage. That costs a flush for every entry, which a controller that decides one at a time pays anyway. Old segments
//! go when a purge has passed them; until then the log start offset alone hides their entries.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use metadata::quorum::{QuorumStorage, RaftLog, WriterMode};
use protocol_compat::record_batch::batch::RecordBatch;
use protocol_compat::{TopicId, TopicPartition};
use storage::disk::{DirLock, Disk, OpenMode};
use storage::log::{AppendError, Crash, FileCache, LogConfig, LogError, OpenParams, PartitionLog};

use crate::clock::Clock;
use crate::quorum_files::{DiskSnapshotFiles, DiskStateFile};

/// Kafka's name for the directory of the metadata log.
const DIRECTORY: &str = "__cluster_metadata-0";
const TOPIC: &str = "__cluster_metadata";
const SEGMENT_SUFFIX: &str = ".log";
const LOCK_FILE: &str = ".lock";
const VOTE_FILE: &str = "quorum-vote";
const PURGED_FILE: &str = "quorum-purged";
/// A purge rolls the active segment from this size on, so that the next purge can remove it.
const ROLL_AT_PURGE_BYTES: u64 = 1024 * 1024;

/// Opens the quorum's storage in `metadata_log_dir`, which exists, and creates what is missing. The storage holds the
/// directory's lock for as long as it lives. `crash` says how the node before ended, `None` for a clean shutdown.
///
/// # Errors
/// A sentence for a person: the directory is in use by another process, or damaged, or the disk fails.
pub fn open_quorum_storage(
    disk: &Disk,
    files: &Arc<FileCache>,
    metadata_log_dir: &Path,
    segment_bytes: u64,
    crash: Option<Crash>,
    clock: Clock,
    writer: WriterMode,
) -> io::Result<QuorumStorage> {
    let directory = metadata_log_dir.join(DIRECTORY);
    if !disk.exists(&directory)? {
        disk.create_dir_all(&directory)?;
        disk.sync_dir(metadata_log_dir)?;
    }
    let lock = lock(disk, &directory)?;
    let log = PartitionRaftLog::open(files, &directory, lock, segment_bytes, crash, clock)?;
    Ok(QuorumStorage {
        log: Arc::new(log),
        vote: Arc::new(DiskStateFile::new(disk, &directory, VOTE_FILE)),
        purged: Arc::new(DiskStateFile::new(disk, &directory, PURGED_FILE)),
        snapshots: Arc::new(DiskSnapshotFiles::new(disk, &directory)),
        writer,
    })
}

fn lock(disk: &Disk, directory: &Path) -> io::Result<DirLock> {
    disk.try_lock(&directory.join(LOCK_FILE))?.ok_or_else(|| {
        let sentence = format!("another process uses the metadata log in {}", directory.display());
        io::Error::new(io::ErrorKind::ResourceBusy, sentence)
    })
}

/// The Raft log on a partition's log.
struct PartitionRaftLog {
    log: PartitionLog,
    disk: Disk,
    clock: Clock,
    _lock: DirLock,
}

impl PartitionRaftLog {
    fn open(
        files: &Arc<FileCache>,
        directory: &Path,
        lock: DirLock,
        segment_bytes: u64,
        crash: Option<Crash>,
        clock: Clock,
    ) -> io::Result<PartitionRaftLog> {
        let params = OpenParams {
            files: files.clone(),
            dir: Path::new(directory).into(),
            topic_partition: TopicPartition::new(TOPIC, 0),
            topic_id: Some(TopicId::CLUSTER_METADATA),
            config: Arc::new(log_config(segment_bytes)),
            // Nothing is taken on trust: snapshots keep the log short, and a start reads it whole in any case. After a clean
            // shutdown all of it was flushed, so that nothing may be cut.
            recovery_point: if crash.is_some() { 0 } else { i64::MAX },
            log_start_offset: 0,
            // A valid batch behind an invalid one is damage, after a power cut too: a batch is written when the one before
            // it is durable, so that only the last may be torn. That is what the log does after the death of a process.
            crash: Some(Crash::Process),
            now_ms: clock.wall_ms(),
            events: None,
        };
        let log = PartitionLog::open(params).map_err(io::Error::other)?;
        let opened = PartitionRaftLog {
            log,
            disk: files.disk().clone(),
            clock,
            _lock: lock,
        };
        // What is answered for from here on is durable, also what a process wrote that died before its sync.
        opened.flush_all()?;
        Ok(opened)
    }

    fn flush_all(&self) -> io::Result<()> {
        if self.log.flushed_offset() >= self.log.log_end_offset() {
            return Ok(());
        }
        self.log.flush_all().map_err(of_log)?;
        Ok(())
    }

    /// Makes a shorter log durable, so that what is written next never meets what stood there before.
    fn sync_truncation(&self) -> io::Result<()> {
        let directory = self.log.dir();
        let entries = self.disk.read_dir(&directory)?;
        if let Some(active) = entries.iter().rfind(|entry| entry.name.ends_with(SEGMENT_SUFFIX)) {
            self.disk
                .open(&directory.join(&active.name), OpenMode::ReadWrite)?
                .sync_all()?;
        }
        self.disk.sync_dir(&directory)
    }
}

/// Nothing of the Raft log is deleted by age or size, and no entry is too large for it.
fn log_config(segment_bytes: u64) -> LogConfig {
    LogConfig {
        segment_bytes,
        segment_ms: i64::MAX,
        retention_ms: -1,
        retention_bytes: -1,
        max_message_bytes: u64::MAX,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

/// Offsets of a log are never negative, and indices never beyond `i64`: batches carry them as `i64`.
fn index(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or(0)
}

fn offset(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// Keeps want of room apart from what is final.
fn of_log(error: LogError) -> io::Error {
    match error {
        LogError::Io(error) => error,
        error => io::Error::other(error),
    }
}

fn of_append(error: AppendError) -> io::Error {
    match error {
        AppendError::NoSpace => io::Error::new(io::ErrorKind::StorageFull, error),
        error => io::Error::other(error),
    }
}

impl RaftLog for PartitionRaftLog {
    fn start(&self) -> u64 {
        index(self.log.log_start_offset())
    }

    fn end(&self) -> u64 {
        index(self.log.log_end_offset())
    }

    fn append(&self, mut batches: Bytes) -> io::Result<()> {
        while !batches.is_empty() {
            self.flush_all()?;
            let size = RecordBatch::split_first(&batches)
                .map_err(io::Error::other)?
                .0
                .size_bytes();
            let batch = batches.split_to(size);
            self.log
                .append_as_follower(batch, self.clock.wall_ms())
                .map_err(of_append)?;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.flush_all()
    }

    fn read(&self, from: u64, max_bytes: usize) -> io::Result<Bytes> {
        let read = self
            .log
            .read(offset(from), max_bytes, self.log.log_end_offset(), true);
        read.map(|read| read.records).map_err(io::Error::other)
    }

    fn truncate_to(&self, end: u64) -> io::Result<()> {
        if end >= self.end() {
            return Ok(());
        }
        self.log.truncate_to(offset(end)).map_err(of_log)?;
        self.sync_truncation()
    }

    fn purge_to(&self, start: u64) -> io::Result<()> {
        let now_ms = self.clock.wall_ms();
        if start > self.end() {
            return self
                .log
                .truncate_fully_and_start_at(offset(start))
                .map_err(of_log);
        }
        // What is purged is committed and in a snapshot.
        self.log.update_high_watermark(offset(start));
        self.log.delete_records_before(offset(start)).map_err(of_log)?;
        if self.log.size_bytes() >= ROLL_AT_PURGE_BYTES {
            // A segment that another follows is whole: recovery takes anything else for damage.
            self.flush_all()?;
            self.log.roll(now_ms).map_err(of_log)?;
        }
        let deleted = self.log.delete_old_segments(now_ms).map_err(of_log)?;
        deleted
            .paths
            .iter()
            .try_for_each(|path| self.disk.remove_file(path))
    }
}

#[cfg(test)]
mod tests;
