//! openraft's log storage over the seams: which entries are there, the vote, and what may be purged.
//!
//! Protects that the log has no hole (rule O4): an append begins where the log ends, a purge is on record before the log
//! loses anything, and a purge that a power cut interrupted is finished at the next open. Entries that no durable
//! snapshot holds are never purged.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{LogIdOptionExt, OptionalSend, RaftLogReader};

use super::entry_codec::{decode_entries, encode_entry};
use super::log_writer::{LogWriter, Stopping};
use super::seams::{QuorumStorage, StateFile};
use super::state_codec::{decode_purged, decode_vote, encode_purged, encode_vote};
use super::types::{Entry, LogId, TypeConfig, Vote};

/// How much is read from the log at a time.
const READ_BYTES: usize = 1024 * 1024;

/// Everything below this index is in a durable snapshot. Moved by the state machine, read by the purge.
pub(super) type SnapshotBound = Arc<AtomicU64>;

/// What is known of the log without reading it.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
}

/// Reads entries and the vote; a clone reads the same log.
#[derive(Clone)]
pub(super) struct LogReader {
    storage: QuorumStorage,
    known: Arc<Mutex<Known>>,
}

/// Which cluster the log belongs to, and who says so.
#[derive(Clone, Debug, Default)]
pub(super) struct Home {
    /// Empty if nobody says.
    pub(super) cluster_id: Arc<str>,
    /// Where the id was read, for a person who has to mend it.
    pub(super) source: String,
    /// Set when the node stops.
    pub(super) stopping: Stopping,
}

impl Home {
    /// For whoever looks at a log without belonging to its cluster.
    pub(super) fn unknown() -> Home {
        Home::default()
    }
}

/// openraft's log storage.
pub(super) struct LogStore {
    reader: LogReader,
    writer: LogWriter,
    home: Home,
    snapshot_bound: SnapshotBound,
}

impl LogStore {
    /// Opens the log, finishes an interrupted purge, and refuses a log with a hole.
    ///
    /// # Errors
    /// What the disk says, or a sentence about records that cannot be read or contradict each other, or that are of
    /// another cluster than `home`.
    pub(super) fn open(
        storage: QuorumStorage,
        home: Home,
        snapshot_bound: SnapshotBound,
    ) -> io::Result<LogStore> {
        let vote = read_vote(&storage, &home)?;
        let purged = read_purged(&storage)?;
        settle_purge(&storage, purged)?;
        let reader = LogReader {
            known: Arc::new(Mutex::new(Known {
                vote,
                purged,
                last: purged,
            })),
            storage,
        };
        let (start, end) = (reader.storage.log.start(), reader.storage.log.end());
        if let Some(last) = end.checked_sub(1).filter(|&last| last >= start) {
            let last = reader.entries(last, end)?.first().map(|entry| entry.log_id);
            reader.known().last = last;
        }
        let writer = LogWriter::start(&reader.storage, home.stopping.clone())?;
        Ok(LogStore {
            reader,
            writer,
            home,
            snapshot_bound,
        })
    }

    /// Every entry that is there.
    ///
    /// # Errors
    /// What the disk says, or a sentence about the first entry that cannot be read.
    pub(super) fn all_entries(&self) -> io::Result<Vec<Entry>> {
        let log = &self.reader.storage.log;
        self.reader.entries(log.start(), log.end())
    }

    /// An append begins where the log ends; a log that never had an entry begins where the first one says.
    async fn begin_at(&self, first: u64) -> io::Result<()> {
        let end = self.reader.storage.log.end();
        if first == end {
            return Ok(());
        }
        let known = *self.reader.known();
        if known.last.is_none() && first > end {
            return self
                .writer
                .truncate_to(0)
                .await
                .and(self.reader.storage.log.purge_to(first));
        }
        Err(corrupt(format!(
            "an entry at offset {first} would not follow the log's end {end}"
        )))
    }
}

fn read_vote(storage: &QuorumStorage, home: &Home) -> io::Result<Option<Vote>> {
    let Some((vote, cluster_id)) = read_record("vote", &*storage.vote, decode_vote)? else {
        return Ok(None);
    };
    if cluster_id.is_empty() || home.cluster_id.is_empty() || cluster_id == *home.cluster_id {
        return Ok(Some(vote));
    }
    Err(corrupt(format!(
        "{} says cluster {}, but {} says cluster {cluster_id}: the former is damaged, or one of them is another node's",
        home.source,
        home.cluster_id,
        storage.vote.location()
    )))
}

fn read_purged(storage: &QuorumStorage) -> io::Result<Option<LogId>> {
    read_record("purge record", &*storage.purged, decode_purged)
}

/// A record with a checksum: neither kind can be made again from anything else.
fn read_record<T>(
    what: &str,
    file: &dyn StateFile,
    decode: fn(&[u8]) -> Result<T, String>,
) -> io::Result<Option<T>> {
    let damaged = |error| {
        corrupt(format!(
            "the quorum's {what} in {} cannot be read: {error}",
            file.location()
        ))
    };
    let record = file.read()?;
    record.map(|record| decode(&record).map_err(damaged)).transpose()
}

/// Finishes a purge whose record is durable, and refuses a log that lost more than is on record.
fn settle_purge(storage: &QuorumStorage, purged: Option<LogId>) -> io::Result<()> {
    let expected_start = purged.next_index();
    let start = storage.log.start();
    if start < expected_start {
        storage.log.purge_to(expected_start)
    } else if start > expected_start {
        Err(corrupt(format!(
            "the Raft log begins at offset {start}, but only what lies below {expected_start} was ever purged"
        )))
    } else {
        Ok(())
    }
}

fn corrupt(sentence: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, sentence)
}

impl LogReader {
    fn known(&self) -> MutexGuard<'_, Known> {
        // The guarded value is replaced field by field and never left half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entries from `from` up to `to`, exclusive, both inside of the log.
    fn entries(&self, mut from: u64, to: u64) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        while from < to {
            let read = self.chunk(from, READ_BYTES)?;
            from = read.last().map_or(to, |last| last.log_id.index.saturating_add(1));
            entries.extend(read.into_iter().filter(|entry| entry.log_id.index < to));
        }
        Ok(entries)
    }

    fn chunk(&self, from: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let bytes = self.storage.log.read(from, max_bytes)?;
        let entries = decode_entries(bytes, from).map_err(corrupt)?;
        if entries.is_empty() {
            return Err(corrupt(format!("the Raft log has nothing at offset {from}")));
        }
        Ok(entries)
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let log = &self.storage.log;
        let from = match range.start_bound() {
            Bound::Included(&from) => from,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&to) => to,
            Bound::Unbounded => u64::MAX,
        };
        self.entries(from.max(log.start()), to.min(log.end()))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.known().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        if start >= end {
            return Ok(Vec::new());
        }
        let mut entries = self.chunk(start, READ_BYTES)?;
        entries.retain(|entry| entry.log_id.index < end);
        Ok(entries)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let known = *self.reader.known();
        Ok(LogState {
            last_purged_log_id: known.purged,
            last_log_id: known.last.max(known.purged),
        })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let record = encode_vote(vote, &self.home.cluster_id).map_err(corrupt)?;
        self.writer.save_vote(record).await?;
        self.reader.known().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut batches = Vec::new();
        let (mut first, mut last) = (None, None);
        for entry in entries {
            let expected = last.map_or(entry.log_id.index, |last: LogId| last.index.saturating_add(1));
            if entry.log_id.index != expected {
                return Err(corrupt(format!(
                    "an entry at offset {} follows {last:?}",
                    entry.log_id.index
                )));
            }
            first = first.or(Some(entry.log_id.index));
            last = Some(entry.log_id);
            batches.extend_from_slice(&encode_entry(&entry).map_err(corrupt)?);
        }
        let Some(first) = first else {
            callback.io_completed(Ok(()));
            return Ok(());
        };
        self.begin_at(first).await?;
        let flushed = Box::new(move |outcome| callback.io_completed(outcome));
        self.writer.append(batches.into(), flushed).await?;
        self.reader.known().last = last;
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        self.writer.truncate_to(last_log_id.next_index()).await?;
        let mut known = self.reader.known();
        if known.last > last_log_id {
            known.last = last_log_id.max(known.purged);
        }
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let bound = self.snapshot_bound.load(Ordering::Acquire);
        if log_id.index >= bound {
            return Err(corrupt(format!(
                "a purge up to offset {} asks for more than the snapshot up to {bound} holds",
                log_id.index
            )));
        }
        let start = log_id.index.saturating_add(1);
        self.writer.purge_to(encode_purged(&log_id), start).await?;
        let mut known = self.reader.known();
        known.purged = Some(log_id);
        known.last = known.last.max(Some(log_id));
        Ok(())
    }
}
