//! What a fetch reads: from one partition at once, and from many with a wait for enough bytes.
//!
//! The high watermark and the last stable offset are read once per partition and answer (rule R15). Records are parts of a file
//! where they need not be read, else slices of what one positioned read returned; they are copied nowhere else.

use std::sync::Arc;
use std::time::Duration;

use protocol_compat::ErrorCode;
use protocol_compat::messages::Records;
use storage::log::AbortedTransaction;
use tokio::sync::Notify;

use super::partition::Partition;
use super::watch::ChangedPartitions;
use crate::disk_stalls::{DirectoryIndex, DiskStalls};
use crate::error_codes;

/// How far a consumer may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the high watermark.
    ReadUncommitted,
    /// Up to the last stable offset.
    ReadCommitted,
}

/// One partition of a fetch.
#[derive(Clone)]
pub struct PartitionFetch {
    /// The partition, or why it cannot be read.
    pub partition: Result<Arc<Partition>, ErrorCode>,
    /// Where to read from.
    pub fetch_offset: i64,
    /// Most bytes from this partition, as the client says it.
    pub max_bytes: i32,
    /// The leader epoch that the client knows; -1 for none.
    pub current_leader_epoch: i32,
    /// The epoch of the last record that the client has; -1 for none.
    pub last_fetched_epoch: i32,
}

impl PartitionFetch {
    /// Whether there is less to read than when `read` was: its topic was deleted, its log failed or begins later, or its
    /// leader epoch is not the one that the client knows.
    fn has_less(&self, read: &PartitionRead) -> bool {
        self.partition.as_ref().is_ok_and(|partition| {
            partition.is_gone()
                || partition.log().is_failed()
                || partition.log().log_start_offset() > read.log_start_offset
                || partition.check_leader_epoch(self.current_leader_epoch).is_err()
        })
    }
}

/// The answer of one partition.
#[derive(Clone, Debug)]
pub struct PartitionRead {
    /// The error, [`ErrorCode::None`] for none.
    pub error: ErrorCode,
    /// The high watermark; -1 with an error.
    pub high_watermark: i64,
    /// The last stable offset; -1 with an error.
    pub last_stable_offset: i64,
    /// The log start offset; -1 with an error.
    pub log_start_offset: i64,
    /// Epoch and end offset where the client's log and this one part (KIP-595).
    pub diverging_epoch: Option<(i32, i64)>,
    /// Whole record batches.
    pub records: Records,
    /// The aborted transactions among the records, for readers of committed records.
    pub aborted: Vec<AbortedTransaction>,
}

impl PartitionRead {
    /// An answer without records.
    pub fn error(error: ErrorCode) -> PartitionRead {
        PartitionRead {
            error,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: None,
            records: Records::default(),
            aborted: Vec::new(),
        }
    }
}

/// What one fetch wants of all its partitions together.
#[derive(Clone, Copy, Debug)]
pub struct FetchLimits {
    /// Answer as soon as this many bytes are there.
    pub min_bytes: usize,
    /// Most bytes of the whole answer; the first batch may be larger.
    pub max_bytes: usize,
    /// Answer after this long with what is there.
    pub max_wait: Duration,
    /// How far to read.
    pub isolation: Isolation,
}

/// One answer per partition, in the order of the request, and whether waiting could bring more.
struct Round {
    reads: Vec<PartitionRead>,
    bytes: usize,
    must_answer: bool,
}

/// Reads once. `Err` gives the wait that a fetch without enough bytes starts with.
pub fn read_or_wait(
    partitions: Vec<PartitionFetch>,
    limits: FetchLimits,
) -> Result<Vec<PartitionRead>, FetchWait> {
    let appended_bytes = appended_bytes(&partitions);
    let round = read_all(&partitions, limits);
    if is_done(&round, limits) {
        Ok(round.reads)
    } else {
        Err(FetchWait {
            partitions,
            limits,
            round,
            appended_bytes,
        })
    }
}

fn is_done(round: &Round, limits: FetchLimits) -> bool {
    round.must_answer || round.bytes >= limits.min_bytes || limits.max_wait.is_zero()
}

/// What a waiting fetch has to read once partitions changed.
pub enum Renewal {
    /// What it read before; the changes are in partitions that it has.
    Same,
    /// Others instead.
    Others {
        /// These.
        partitions: Vec<PartitionFetch>,
        /// Whether some that it read before are not there any more, so that it waits no longer.
        must_answer: bool,
    },
    /// Nothing: its answer will not be one.
    Over,
}

/// A fetch that waits for data.
pub struct FetchWait {
    partitions: Vec<PartitionFetch>,
    limits: FetchLimits,
    round: Round,
    /// Of all partitions, before the round.
    appended_bytes: u64,
}

impl FetchWait {
    /// Resolves when enough bytes are there, when a partition has an error, or when `deadline` is over. Most fetches of many
    /// partitions meet their deadline, and nothing has happened: they are answered with what was read at first.
    ///
    /// `changed` is told of changes by watches on the partitions; `renew` takes what was told and arms these watches again.
    pub async fn finish(
        mut self,
        stalls: &Arc<DiskStalls>,
        changed: &Arc<ChangedPartitions>,
        mut renew: impl FnMut() -> Renewal + Send,
        deadline: impl Future<Output = ()> + Send,
    ) -> Vec<PartitionRead> {
        tokio::pin!(deadline);
        let wake = Arc::new(Notify::new());
        let _awaited = changed.wait(&wake);
        // What happened before there were watches was told to nobody.
        if self.appended() > 0 || self.has_news() {
            self.read(stalls).await;
        }
        let mut is_stale = false;
        while !is_done(&self.round, self.limits) {
            let is_over = tokio::select! {
                biased;
                () = wake.notified() => false,
                () = &mut deadline => true,
            };
            if is_over {
                if is_stale {
                    self.read(stalls).await;
                }
                break;
            }
            match renew() {
                Renewal::Same => {}
                Renewal::Others {
                    partitions,
                    must_answer,
                } => {
                    self.partitions = partitions;
                    self.read(stalls).await;
                    self.round.must_answer |= must_answer;
                    is_stale = false;
                    continue;
                }
                Renewal::Over => break,
            }
            if self.has_enough() {
                self.read(stalls).await;
                is_stale = false;
            } else {
                is_stale = true;
            }
        }
        self.round.reads
    }

    /// Reads where it is, or aside where a disk stalls.
    async fn read(&mut self, stalls: &Arc<DiskStalls>) {
        self.appended_bytes = appended_bytes(&self.partitions);
        let stalling = stalling_directories(stalls, &self.partitions);
        self.round = if stalling.is_empty() {
            read_all(&self.partitions, self.limits)
        } else {
            let (partitions, limits) = (self.partitions.clone(), self.limits);
            stalls
                .aside(stalling, move || read_all(&partitions, limits))
                .await
        };
    }

    /// Bytes appended since the round.
    fn appended(&self) -> u64 {
        appended_bytes(&self.partitions).wrapping_sub(self.appended_bytes)
    }

    /// Whether another round is likely to end the wait. Where any record ends it, it is the high watermark that counts: the
    /// bytes may have been appended before the round and have become readable since.
    fn has_enough(&self) -> bool {
        let missing = (self.limits.min_bytes - self.round.bytes) as u64;
        match missing {
            0 | 1 => self.has_news(),
            _ => self.appended() >= missing || self.in_round().any(|(fetch, read)| fetch.has_less(read)),
        }
    }

    /// Whether the round would be another one now, though nothing was appended.
    fn has_news(&self) -> bool {
        self.in_round().any(|(fetch, read)| {
            let rises = |partition: &Arc<Partition>| partition.log().high_watermark() > read.high_watermark;
            fetch.has_less(read) || fetch.partition.as_ref().is_ok_and(rises)
        })
    }

    fn in_round(&self) -> impl Iterator<Item = (&PartitionFetch, &PartitionRead)> {
        self.partitions.iter().zip(&self.round.reads)
    }
}

/// The directories of these partitions whose disk stalls.
pub fn stalling_directories(stalls: &DiskStalls, partitions: &[PartitionFetch]) -> Vec<DirectoryIndex> {
    let open = partitions
        .iter()
        .filter_map(|fetch| fetch.partition.as_ref().ok());
    stalls.stalling_among(open.map(|partition| partition.directory()))
}

fn appended_bytes(partitions: &[PartitionFetch]) -> u64 {
    let open = partitions
        .iter()
        .filter_map(|fetch| fetch.partition.as_ref().ok());
    open.fold(0, |sum, partition| sum.wrapping_add(partition.appended_bytes()))
}

fn read_all(partitions: &[PartitionFetch], limits: FetchLimits) -> Round {
    let mut round = Round {
        reads: Vec::with_capacity(partitions.len()),
        bytes: 0,
        must_answer: false,
    };
    for fetch in partitions {
        let left = limits.max_bytes.saturating_sub(round.bytes);
        let read = read_partition(fetch, left, round.bytes == 0, limits.isolation)
            .unwrap_or_else(PartitionRead::error);
        round.bytes = round.bytes.saturating_add(read.records.len());
        round.must_answer |= read.error != ErrorCode::None || read.diverging_epoch.is_some();
        round.reads.push(read);
    }
    round
}

fn read_partition(
    fetch: &PartitionFetch,
    left_bytes: usize,
    at_least_one: bool,
    isolation: Isolation,
) -> Result<PartitionRead, ErrorCode> {
    let partition = fetch.partition.as_ref().map_err(|error| *error)?;
    if partition.is_gone() {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    partition.check_leader_epoch(fetch.current_leader_epoch)?;
    let log = partition.log();
    if log.is_failed() {
        return Err(ErrorCode::KafkaStorageError);
    }
    let mut read = PartitionRead {
        error: ErrorCode::None,
        last_stable_offset: log.last_stable_offset(),
        high_watermark: log.high_watermark(),
        log_start_offset: log.log_start_offset(),
        diverging_epoch: None,
        records: Records::default(),
        aborted: Vec::new(),
    };
    read.last_stable_offset = read.last_stable_offset.min(read.high_watermark);
    if fetch.last_fetched_epoch >= 0 {
        read.diverging_epoch = diverging_epoch(fetch, partition)?;
        if read.diverging_epoch.is_some() {
            return Ok(read);
        }
    }
    let upper = match isolation {
        Isolation::ReadUncommitted => read.high_watermark,
        Isolation::ReadCommitted => read.last_stable_offset,
    };
    let has_records = (read.log_start_offset..upper).contains(&fetch.fetch_offset);
    let max_bytes = match usize::try_from(fetch.max_bytes) {
        Ok(max_bytes) => max_bytes.min(left_bytes),
        // Kafka fails inside as soon as there is something to read.
        Err(_) if has_records => return Err(ErrorCode::UnknownServerError),
        Err(_) => 0,
    };
    if fetch.fetch_offset >= read.log_start_offset && max_bytes == 0 && !at_least_one {
        return Ok(read);
    }
    let _inside = partition.enter();
    let next_offset;
    if let Some(warm) = log.warm_records(fetch.fetch_offset, max_bytes, upper) {
        read.records = warm.records.into();
        next_offset = warm.next_offset;
    } else {
        let info = log
            .read(fetch.fetch_offset, max_bytes, upper, at_least_one)
            .map_err(|error| error_codes::of_read(&error))?;
        read.records = info.records.into();
        next_offset = info.next_offset;
    }
    if isolation == Isolation::ReadCommitted && !read.records.is_empty() {
        read.aborted = log.aborted_transactions(fetch.fetch_offset, next_offset);
    }
    Ok(read)
}

/// Where the client's log and this one part, if they do: this log ends an older epoch, or ends the same one earlier.
fn diverging_epoch(fetch: &PartitionFetch, partition: &Partition) -> Result<Option<(i32, i64)>, ErrorCode> {
    let (epoch, end_offset) = partition.log().end_offset_for_epoch(fetch.last_fetched_epoch);
    if epoch < 0 || end_offset < 0 {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let parts = epoch < fetch.last_fetched_epoch || end_offset < fetch.fetch_offset;
    Ok(parts.then_some((epoch, end_offset)))
}
