//! What the quorum needs from whoever hosts it: a log, two small files, snapshots, and a state machine.
//!
//! Each has two implementations: the broker's, on `__cluster_metadata-0` of the metadata log directory, and
//! [`super::memory`], which forgets at a crash what was not flushed. All calls block and are short; an error from any
//! of the storage calls is final, the quorum stops and does not try again (rule S1).

use std::io;
use std::sync::Arc;

use bytes::Bytes;

/// The Raft log: record batches in offset order, one entry each, without a hole.
///
/// Indices are offsets; `end` is exclusive. Only one thread writes; any thread reads.
pub trait RaftLog: Send + Sync + 'static {
    /// Index of the first entry that is there, or [`RaftLog::end`] when there is none.
    fn start(&self) -> u64;

    /// The index after the last entry.
    fn end(&self) -> u64;

    /// Appends whole batches whose first base offset is [`RaftLog::end`]. They are readable on return, and durable
    /// after the next [`RaftLog::flush`].
    ///
    /// # Errors
    /// What the disk says; how much was written is then unknown.
    fn append(&self, batches: Bytes) -> io::Result<()>;

    /// Makes everything appended so far durable.
    ///
    /// # Errors
    /// What the disk says.
    fn flush(&self) -> io::Result<()>;

    /// Whole batches from the one at index `from` on, about `max_bytes` of them but at least one.
    ///
    /// # Errors
    /// `from` is outside of the log, or the disk fails, or what it gave is not what was written.
    fn read(&self, from: u64, max_bytes: usize) -> io::Result<Bytes>;

    /// Drops the entries from index `end` on, from the last backwards. Durable on return.
    ///
    /// # Errors
    /// What the disk says.
    fn truncate_to(&self, end: u64) -> io::Result<()>;

    /// Lets go of the entries below index `start`. A `start` beyond the end leaves an empty log that begins there.
    /// The caller has made a record of it beforehand, and calls again at the next open if this did not finish.
    ///
    /// # Errors
    /// What the disk says.
    fn purge_to(&self, start: u64) -> io::Result<()>;
}

/// One small record that is replaced whole: either the old or the new one is there after a power cut.
pub trait StateFile: Send + Sync + 'static {
    /// Where the record stands, for a person who has to mend it.
    fn location(&self) -> String;

    /// The record, `None` if none was ever written.
    ///
    /// # Errors
    /// What the disk says.
    fn read(&self) -> io::Result<Option<Vec<u8>>>;

    /// Replaces the record; durable on return.
    ///
    /// # Errors
    /// What the disk says.
    fn replace(&self, record: &[u8]) -> io::Result<()>;
}

/// Names a snapshot as Kafka does: `<end offset>-<epoch>.checkpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotName {
    /// The offset after the last one that the snapshot holds.
    pub end_offset: u64,
    /// Leader epoch of the last entry that the snapshot holds.
    pub epoch: u64,
}

/// A snapshot as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// Where it stands, for a person who has to mend it.
    pub location: String,
    /// What is there; whether it is whole is for the caller to see.
    pub content: Bytes,
}

/// Where snapshots are kept.
pub trait SnapshotFiles: Send + Sync + 'static {
    /// The newest snapshot, by name.
    ///
    /// # Errors
    /// What the disk says.
    fn newest(&self) -> io::Result<Option<StoredSnapshot>>;

    /// Adds a snapshot, atomically and durably, then removes the others.
    ///
    /// # Errors
    /// What the disk says.
    fn install(&self, name: SnapshotName, content: &[u8]) -> io::Result<()>;
}

/// A view of the metadata image at one offset that turns into records when asked, off the apply path; or into a
/// sentence that says why it cannot.
pub type ImageView = Box<dyn FnOnce() -> Result<Vec<Bytes>, String> + Send + Sync>;

/// The state machine: the pure controller and whoever publishes its image.
///
/// Calls come from one task, in offset order.
pub trait ApplySink: Send + Sync + 'static {
    /// Replays the records of one committed entry. Every record of the entry has this offset.
    ///
    /// # Errors
    /// A sentence that says why the records cannot be replayed; the node stops on it, for it no longer knows the
    /// state that its peers have.
    fn replay(&self, offset: u64, records: &[Bytes]) -> Result<(), String>;

    /// Replaces the whole state by that of a snapshot whose last entry has `offset`.
    ///
    /// # Errors
    /// As [`ApplySink::replay`].
    fn install(&self, offset: u64, records: &[Bytes]) -> Result<(), String>;

    /// The state as of the last replayed entry.
    fn view(&self) -> ImageView;
}

/// On which thread the log, the vote and the purge record are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterMode {
    /// On one thread of their own, which flushes for all appends that wait.
    Thread,
    /// On the caller's: for a simulation, where every step has to happen in a given order.
    Inline,
}

/// Everything that one quorum node keeps.
#[derive(Clone)]
pub struct QuorumStorage {
    /// The Raft log.
    pub log: Arc<dyn RaftLog>,
    /// The vote.
    pub vote: Arc<dyn StateFile>,
    /// The last purged entry.
    pub purged: Arc<dyn StateFile>,
    /// Snapshots.
    pub snapshots: Arc<dyn SnapshotFiles>,
    /// Who writes them.
    pub writer: WriterMode,
}
