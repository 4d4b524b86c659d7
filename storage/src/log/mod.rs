//! The log of one partition: segments in Kafka's format, and everything that is derived from them.
//!
//! One type serves topic partitions, the internal topics and the Raft log. Appends are combined: offsets are reserved under
//! a short lock, and whoever holds the writer writes for all who wait (`append`). Readers take no lock: end offset and
//! high watermark are atomics, the segment list is swapped whole (`read`). What a stop without warning leaves behind is
//! judged by `recovery`. After an input/output error the log is offline for good (rules S1, S2); a full disk is not one.
//!
//! Knows nothing of leaders and replicas: the high watermark is told to it, and when to flush, delete or checkpoint is
//! decided by its owner.

mod aborted_finder;
#[cfg(test)]
mod adoption_tests;
mod append;
mod append_watch;
#[cfg(test)]
mod append_watch_tests;
mod batch_validator;
mod cold_ranges;
pub mod config;
#[cfg(test)]
mod damage_tests;
pub mod error;
mod extent;
pub mod file_cache;
mod file_name;
mod flush;
mod flush_together;
mod index_file;
pub mod leader_epoch_cache;
mod leftovers;
#[cfg(test)]
mod leftovers_tests;
mod partition_metadata;
pub mod producer_snapshot;
pub mod producer_state;
mod read;
mod read_warm;
mod record_validator;
mod recovery;
mod replace;
mod retention;
pub(crate) mod scan;
pub mod segment;
mod tail;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timestamps;
mod transaction_index;
mod truncate;
mod write_behind;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use protocol_compat::{TopicId, TopicPartition};

pub(crate) use aborted_finder::{AbortedFinder, TransactionPart};
pub use append::{AppendInfo, BegunAppend};
pub use append_watch::{AppendStall, AppendWatch, STALL};
pub use batch_validator::AppendOrigin;
pub use config::LogConfig;
pub use error::{AppendError, LogError, ReadError, RecordProblem};
pub use extent::{Extent, RetentionDue};
pub(crate) use file_cache::CachedFile;
pub use file_cache::FileCache;
pub(crate) use file_name::file_name as segment_file_name;
pub(crate) use flush_together::{BegunFlush, FlushStart};
pub(crate) use partition_metadata::{FILE_NAME as OWNER_FILE, read as read_topic_id};
pub use producer_state::ProducerEntry;
pub use read::ReadInfo;
pub use read_warm::WarmRecords;
pub use recovery::Crash;
pub use retention::DeletedFiles;
pub use timestamps::TimestampOffset;
pub use transaction_index::AbortedTransaction;

use append::Reservations;
use flush::FlushAge;
use flush_together::Covered;
use segment::Segment;
use writer::Writer;

use crate::flush_journal::FlushJournal;

/// What its owner learns of a log without asking. Called outside of every lock of the log but the writer's; an
/// implementation returns quickly and does not call back into the log's appends.
pub trait LogEvents: Send + Sync {
    /// Batches below `log_end_offset` can be read now.
    fn published(&self, log_end_offset: i64);
    /// Everything below `offset` was synced.
    fn flushed(&self, offset: i64);
    /// The log begins at `log_start_offset` now.
    fn started_later(&self, log_start_offset: i64);
    /// The log is offline.
    fn failed(&self);
}

/// How a log is opened.
#[derive(Clone)]
pub struct OpenParams {
    /// Open files of all logs, and the disk.
    pub files: Arc<FileCache>,
    /// The partition's directory. Created with the first append.
    pub dir: Arc<Path>,
    /// Whose log it is.
    pub topic_partition: TopicPartition,
    /// Its topic's id, written to `partition.metadata` and compared with it.
    pub topic_id: Option<TopicId>,
    /// The settings.
    pub config: Arc<LogConfig>,
    /// Everything below was synced; `i64::MAX` after a clean shutdown, which synced all.
    pub recovery_point: i64,
    /// First offset as last checkpointed; raised if the segments begin later.
    pub log_start_offset: i64,
    /// How the node that wrote the directory ended; `None` after a clean shutdown.
    pub crash: Option<Crash>,
    /// The wall clock, ms since the epoch.
    pub now_ms: i64,
    /// Who is told of progress.
    pub events: Option<Arc<dyn LogEvents>>,
}

/// A partition's log. Shared by reference; see the module's head for who may do what at the same time.
pub struct PartitionLog {
    topic_partition: TopicPartition,
    files: Arc<FileCache>,
    dir: RwLock<Arc<Path>>,
    topic_id: Option<TopicId>,
    config: ArcSwap<LogConfig>,
    flush_age: Mutex<FlushAge>,
    /// Position of the damaged batch that was written of last; `u64::MAX` for none.
    told_corrupt_at: AtomicU64,
    events: RwLock<Option<Arc<dyn LogEvents>>>,
    segments: ArcSwap<Vec<Arc<Segment>>>,
    log_start_offset: AtomicI64,
    log_end_offset: AtomicI64,
    flushed_offset: AtomicI64,
    /// Everything below is in the segments' files or in the flush journal, durably.
    journaled_offset: AtomicI64,
    high_watermark: AtomicI64,
    is_failed: AtomicBool,
    /// The directory is being renamed, or was: the partition is deleted.
    is_leaving: AtomicBool,
    /// Held first if both are held.
    writer: Mutex<Writer>,
    reservations: Mutex<Reservations>,
    /// Held while the file of leader epochs is written.
    epochs_file: Mutex<()>,
    /// One flush at a time. Held before the writer if both are held.
    flushing: Mutex<Covered>,
    /// The journal that has bytes of this log, or had.
    journal: OnceLock<Weak<FlushJournal>>,
}

/// A node has as many of these as partitions, and the allocator's next size is 640 bytes. An `Arc` puts its two counts before it.
const _: () = assert!(size_of::<PartitionLog>() + 2 * size_of::<usize>() <= 512);

impl std::fmt::Debug for PartitionLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PartitionLog({}, {}..{})",
            self.topic_partition,
            self.log_start_offset(),
            self.log_end_offset()
        )
    }
}

impl PartitionLog {
    /// Whose log it is.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The topic's id, if the log was opened with one.
    pub fn topic_id(&self) -> Option<TopicId> {
        self.topic_id
    }

    /// The directory. It changes once, when the partition is deleted.
    pub fn dir(&self) -> PathBuf {
        self.dir.read().to_path_buf()
    }

    /// Whether the log's directory stands in `dir`.
    pub(crate) fn is_in(&self, dir: &Path) -> bool {
        self.dir.read().parent() == Some(dir)
    }

    /// First offset that can be read.
    pub fn log_start_offset(&self) -> i64 {
        self.log_start_offset.load(Ordering::Acquire)
    }

    /// End of what can be read, exclusive: everything below was written.
    pub fn log_end_offset(&self) -> i64 {
        self.log_end_offset.load(Ordering::Acquire)
    }

    /// End of what was synced, exclusive: the recovery point.
    pub fn flushed_offset(&self) -> i64 {
        self.flushed_offset.load(Ordering::Acquire)
    }

    /// End of what a power cut does not take, exclusive: what was synced, and what stands in the flush journal.
    pub fn durable_offset(&self) -> i64 {
        self.journaled_offset
            .load(Ordering::Acquire)
            .max(self.flushed_offset())
    }

    /// End of what consumers may see, exclusive.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark.load(Ordering::Acquire)
    }

    /// Raises the high watermark; a lower one changes nothing (rule R14).
    pub fn update_high_watermark(&self, high_watermark: i64) {
        let bounded = high_watermark.min(self.log_end_offset());
        if self.high_watermark.fetch_max(bounded, Ordering::AcqRel) < bounded {
            self.on_high_watermark(bounded);
        }
    }

    fn on_high_watermark(&self, high_watermark: i64) {
        let mut reservations = self.reservations.lock();
        if reservations.has_transactions() {
            reservations.producers.on_high_watermark(high_watermark);
        }
    }

    /// End of what a `read_committed` consumer may see, exclusive: the high watermark, or the first open transaction.
    pub fn last_stable_offset(&self) -> i64 {
        let high_watermark = self.high_watermark();
        let reservations = self.reservations.lock();
        reservations
            .producers
            .first_unstable_offset()
            .map_or(high_watermark, |first| first.min(high_watermark))
    }

    /// Whether an input/output error took the log offline.
    pub fn is_failed(&self) -> bool {
        self.is_failed.load(Ordering::Acquire)
    }

    /// Whether the partition is being deleted: its files have other names, or will have in a moment, or are gone.
    pub fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    /// Takes the log offline (rules S1, S2): for an error that its owner met in the same directory.
    pub fn fail(&self) {
        if !self.is_failed.swap(true, Ordering::AcqRel)
            && let Some(events) = self.events.read().clone()
        {
            events.failed();
        }
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<LogConfig> {
        self.config.load_full()
    }

    /// Puts other settings in force for what comes.
    pub fn update_config(&self, config: Arc<LogConfig>) {
        self.config.store(config);
    }

    /// Names who is told of progress from now on.
    pub fn set_events(&self, events: Arc<dyn LogEvents>) {
        *self.events.write() = Some(events);
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.segments
            .load()
            .iter()
            .map(|segment| segment.size_bytes())
            .sum()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments.load().len()
    }

    /// Notes that a leader with `epoch` begins at the end of the log, so that the epoch can be asked for before its first
    /// batch (KIP-101). What a leader never wrote under is forgotten with the process, as in Kafka; the next leader begins its
    /// own. A log without a file stays without one.
    pub fn begin_leader_epoch(&self, epoch: i32) {
        let mut state = self.reservations.lock();
        let start_offset = state.next_offset;
        if state.epochs.assign(epoch, start_offset) {
            state.has_unsaved_epochs = true;
        }
    }

    /// The newest leader epoch in the log.
    pub fn latest_epoch(&self) -> Option<i32> {
        self.reservations.lock().epochs.latest().map(|entry| entry.epoch)
    }

    /// The largest leader epoch not above `epoch` and its end offset, exclusive; `(-1, -1)` if unknown (KIP-279).
    pub fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        self.reservations
            .lock()
            .epochs
            .end_offset_for(epoch, self.log_end_offset())
    }

    /// The leader epoch of the batch at `offset`.
    pub fn epoch_for_offset(&self, offset: i64) -> Option<i32> {
        self.reservations.lock().epochs.epoch_for(offset)
    }

    /// The aborted transactions that have records in `from..upper`, for a reader of committed records that got these.
    pub fn aborted_transactions(&self, from: i64, upper: i64) -> Vec<AbortedTransaction> {
        let segments = self.segments.load();
        let first = segments
            .partition_point(|segment| segment.base_offset <= from)
            .saturating_sub(1);
        let mut found = Vec::new();
        // The marker of a transaction may stand in a later segment than its records.
        for segment in segments.iter().skip(first) {
            if segment.transaction_index.collect(from, upper, &mut found) {
                break;
            }
        }
        found
    }

    /// The known idempotent producers, in ascending order of their ids.
    pub fn producers(&self) -> Vec<(i64, ProducerEntry)> {
        self.reservations.lock().producers.producers()
    }

    /// Forgets producers that were not seen for `expiration_ms` (`producer.id.expiration.ms`).
    pub fn remove_expired_producers(&self, now_ms: i64, expiration_ms: i64) {
        self.reservations
            .lock()
            .producers
            .remove_expired(now_ms, expiration_ms);
    }

    fn offline(&self) -> LogError {
        LogError::Offline(self.topic_partition.to_string())
    }

    fn require_online(&self) -> Result<(), LogError> {
        if self.is_failed() {
            Err(self.offline())
        } else {
            Ok(())
        }
    }

    /// Runs an operation of the writer's side; an input/output error takes the log offline, want of room does not: the
    /// operation may be asked for again (rule S15).
    fn guarded<T>(&self, action: impl FnOnce() -> Result<T, LogError>) -> Result<T, LogError> {
        self.require_online()?;
        action().inspect_err(|error| {
            if self.is_failure(error) && !error.is_no_space() {
                self.fail();
            }
        })
    }

    /// Runs an operation that cannot be left half done: any input/output error takes the log offline.
    fn guarded_whole<T>(&self, action: impl FnOnce() -> Result<T, LogError>) -> Result<T, LogError> {
        self.require_online()?;
        action().inspect_err(|error| {
            if self.is_failure(error) {
                self.fail();
            }
        })
    }

    /// Whether a file was missing because retention or a cleaning took segments away since `segments` was the list: whoever
    /// looks again finds the log as it is now. Waits for a change that is under way.
    pub(crate) fn has_changed_since(&self, segments: &Arc<Vec<Arc<Segment>>>, error: &io::Error) -> bool {
        if error.kind() != io::ErrorKind::NotFound {
            return false;
        }
        let _settled = self.writer.lock();
        !Arc::ptr_eq(segments, &self.segments.load())
    }

    /// Looks something up in the segments, anew where some of them were taken away meanwhile.
    fn look_up<T>(&self, find: impl Fn(&[Arc<Segment>]) -> Result<T, ReadError>) -> Result<T, ReadError> {
        loop {
            let segments = self.segments.load();
            match find(&segments) {
                Err(ReadError::Io(error)) if self.has_changed_since(&segments, &error) => {}
                found => return found,
            }
        }
    }

    /// Whether an error is the disk's. A file that a deletion took from under an operation is not.
    fn is_failure(&self, error: &LogError) -> bool {
        match error {
            LogError::Io(error) => error.kind() != io::ErrorKind::NotFound || !self.is_leaving(),
            _ => false,
        }
    }
}
