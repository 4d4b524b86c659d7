//! `__consumer_offsets` in memory: for tests, and for simulations that are not about the disk.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use metadata::group::{CommittedOffsets, CoordinatorRecord, MemoryOffsets};
use metadata::image::TopicsImage;
use parking_lot::Mutex;
use protocol_compat::ErrorCode;
use tokio::sync::watch;

use super::offsets_topic::{OffsetsPartition, OffsetsTopic};
use crate::disk_stalls::DirectoryWatch;

/// The topic. What was committed outlives the coordinator, as on a disk.
#[derive(Clone)]
pub struct MemoryOffsetsTopic {
    partitions: Vec<Arc<MemoryPartition>>,
    topics: Arc<Mutex<Option<TopicsImage>>>,
}

struct MemoryPartition {
    log: Mutex<MemoryLog>,
    /// Everything below is committed; moves with the log's end unless commits are held back.
    committed: watch::Sender<i64>,
}

#[derive(Default)]
struct MemoryLog {
    records: Vec<CoordinatorRecord>,
    rows: MemoryOffsets,
    holds_commits: bool,
    append_error: Option<ErrorCode>,
}

impl MemoryOffsetsTopic {
    /// An empty topic.
    pub fn new(num_partitions: i32) -> MemoryOffsetsTopic {
        MemoryOffsetsTopic {
            partitions: (0..num_partitions)
                .map(|_| {
                    Arc::new(MemoryPartition {
                        log: Mutex::default(),
                        committed: watch::channel(0).0,
                    })
                })
                .collect(),
            topics: Arc::default(),
        }
    }

    /// Stops or resumes commits on all partitions.
    pub fn hold_commits(&self, hold: bool) {
        for partition in &self.partitions {
            let mut log = partition.log.lock();
            log.holds_commits = hold;
            if !hold {
                partition.committed.send_replace(end_of(&log));
            }
        }
    }

    /// Makes appends fail, or work again.
    pub fn fail_appends(&self, error: Option<ErrorCode>) {
        for partition in &self.partitions {
            partition.log.lock().append_error = error;
        }
    }

    /// Says which topics exist.
    pub fn set_topics(&self, topics: TopicsImage) {
        *self.topics.lock() = Some(topics);
    }

    /// Every record of the topic, by partition.
    pub fn records(&self) -> Vec<Vec<CoordinatorRecord>> {
        let logs = self.partitions.iter();
        logs.map(|partition| partition.log.lock().records.clone())
            .collect()
    }
}

fn end_of(log: &MemoryLog) -> i64 {
    i64::try_from(log.records.len()).unwrap_or(i64::MAX)
}

impl OffsetsTopic for MemoryOffsetsTopic {
    fn num_partitions(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    fn exists(&self) -> bool {
        true
    }

    fn ensure(&self) -> BoxFuture<'_, Result<(), ErrorCode>> {
        Box::pin(async { Ok(()) })
    }

    fn topics(&self) -> Option<TopicsImage> {
        self.topics.lock().clone()
    }

    fn open(&self, partition: i32) -> Result<Arc<dyn OffsetsPartition>, ErrorCode> {
        let index = usize::try_from(partition).ok();
        let partition = index.and_then(|index| self.partitions.get(index));
        let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let mut log = partition.log.lock();
        let committed = usize::try_from(*partition.committed.borrow()).unwrap_or(0);
        // What was never committed is lost with the node.
        log.records.truncate(committed);
        let mut rows = MemoryOffsets::default();
        log.records.iter().for_each(|record| rows.apply(record));
        log.rows = rows;
        Ok(partition.clone())
    }
}

impl OffsetsPartition for MemoryPartition {
    fn watch(&self) -> DirectoryWatch {
        DirectoryWatch::unwatched()
    }

    fn append(&self, records: &[CoordinatorRecord], _now_ms: i64) -> Result<i64, ErrorCode> {
        let mut log = self.log.lock();
        if let Some(error) = log.append_error {
            return Err(error);
        }
        let first_offset = end_of(&log);
        log.records.extend_from_slice(records);
        if !log.holds_commits {
            self.committed.send_replace(end_of(&log));
        }
        Ok(first_offset)
    }

    fn is_gone(&self) -> bool {
        false
    }

    fn committed_offset(&self) -> i64 {
        *self.committed.borrow()
    }

    fn committed(&self, end_offset: i64) -> BoxFuture<'static, Result<(), ErrorCode>> {
        let mut committed = self.committed.subscribe();
        Box::pin(async move {
            let reached = committed.wait_for(|offset| *offset >= end_offset).await;
            reached.map(|_| ()).map_err(|_| ErrorCode::NotLeaderOrFollower)
        })
    }

    fn materialise(&self, records: &[CoordinatorRecord], _end_offset: i64) -> Result<(), ErrorCode> {
        let mut log = self.log.lock();
        records.iter().for_each(|record| log.rows.apply(record));
        Ok(())
    }

    fn with_rows(&self, read: &mut dyn FnMut(&dyn CommittedOffsets)) -> Result<(), ErrorCode> {
        read(&self.log.lock().rows);
        Ok(())
    }
}
