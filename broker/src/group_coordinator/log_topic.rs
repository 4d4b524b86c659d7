//! `__consumer_offsets` as this node holds it: created through the controller on first use, its partitions in the node's logs,
//! their rows in the offset store.
//!
//! Rule: the log is the truth. A store that lacks records gets them from the log, unless compaction took some of them (a
//! tombstone may be among those): it is emptied and filled again then. So is a store that knows more than the log, or another
//! topic of this name, is emptied and filled again.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use metadata::group::{CommittedOffsets, CoordinatorRecord};
use metadata::image::TopicsImage;
use protocol_compat::ErrorCode;
use storage::offset_store::{OffsetStore, OffsetStoreError};
use tracing::{error, info};

use super::OFFSETS_TOPIC;
use super::led_partition::{LedPartition, LedPartitions};
use super::offsets_topic::{OffsetsPartition, OffsetsTopic};
use super::opening_store::OpeningStore;
use super::record_batches;
use super::store_rows::{self, StoreRows};
use crate::config::NodeConfig;
use crate::controller_server::ControllerHandle;
use crate::disk_stalls::DirectoryWatch;
use crate::internal_topics::creatable_topic;
use crate::metadata_cache::MetadataCache;

/// How much of a log is read at a time when its rows are brought up to date.
const READ_BYTES: usize = 1 << 20;

/// The row that names the topic whose records the other rows are; its kind is none of `row_key`.
const TOPIC_ID_ROW: &[u8] = &[0xff];

/// The topic.
pub struct LogOffsetsTopic {
    config: Arc<NodeConfig>,
    cache: MetadataCache,
    controller: ControllerHandle,
    partitions: Arc<dyn LedPartitions>,
    store: OpeningStore,
}

impl LogOffsetsTopic {
    /// The topic of this node.
    pub fn new(
        config: Arc<NodeConfig>,
        cache: MetadataCache,
        controller: ControllerHandle,
        partitions: Arc<dyn LedPartitions>,
        store: OpeningStore,
    ) -> LogOffsetsTopic {
        LogOffsetsTopic {
            config,
            cache,
            controller,
            partitions,
            store,
        }
    }

    async fn create(&self) -> Result<(), ErrorCode> {
        // In its first milliseconds a node is not registered yet, and a topic needs a broker.
        let mut changed = self.cache.changed();
        let has_active = || self.cache.image().brokers.iter().any(|broker| broker.is_active());
        let registered = changed.wait_for(|_| has_active()).await;
        registered.map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
        let topic = creatable_topic(&self.config, &self.cache.image().brokers, OFFSETS_TOPIC);
        let created = self
            .controller
            .write(move |controller, _now_ms, ids| controller.create_topics(ids, vec![topic], false))
            .await;
        let results = created.map_err(|cause| {
            error!(%cause, "could not create {OFFSETS_TOPIC}");
            ErrorCode::CoordinatorNotAvailable
        })?;
        match results.into_iter().find_map(|result| result.outcome.err()) {
            None => Ok(()),
            // Another request was faster.
            Some(refused) if refused.code == ErrorCode::TopicAlreadyExists => Ok(()),
            Some(refused) => {
                error!(code = %refused.code, message = ?refused.message, "could not create {OFFSETS_TOPIC}");
                Err(ErrorCode::CoordinatorNotAvailable)
            }
        }
    }
}

impl OffsetsTopic for LogOffsetsTopic {
    fn num_partitions(&self) -> i32 {
        let image = self.cache.image();
        match image.topics.by_name(OFFSETS_TOPIC) {
            Some(topic) => i32::try_from(topic.partition_count()).unwrap_or(i32::MAX),
            None => self.config.log.offsets_topic_num_partitions,
        }
    }

    fn exists(&self) -> bool {
        self.cache.image().topics.by_name(OFFSETS_TOPIC).is_some()
    }

    fn ensure(&self) -> BoxFuture<'_, Result<(), ErrorCode>> {
        Box::pin(async move {
            if self.exists() {
                Ok(())
            } else {
                self.create().await
            }
        })
    }

    fn topics(&self) -> Option<TopicsImage> {
        Some(self.cache.image().topics.clone())
    }

    fn open(&self, partition: i32) -> Result<Arc<dyn OffsetsPartition>, ErrorCode> {
        let led = self.partitions.led_partition(OFFSETS_TOPIC, partition)?;
        let open = || {
            let store = self.store.wait()?;
            LogOffsetsPartition::open(partition, led.clone(), store.clone())
                .map_err(|cause| load_failed(partition, &store, &cause))
        };
        // Damage of the store shows when it is read; the next one is empty.
        let opened = open().or_else(|code| if self.store.is_lost() { open() } else { Err(code) });
        Ok(Arc::new(opened?))
    }
}

fn load_failed(partition: i32, store: &OffsetStore, cause: &str) -> ErrorCode {
    // A store that was given up has said so itself.
    if !store.is_lost() {
        error!(partition, cause, "could not load a partition of {OFFSETS_TOPIC}");
    }
    ErrorCode::KafkaStorageError
}

/// One partition: a log, and its rows in the store.
pub(super) struct LogOffsetsPartition {
    partition: i32,
    led: Arc<dyn LedPartition>,
    store: Arc<OffsetStore>,
}

impl LogOffsetsPartition {
    /// The partition with its rows brought up to the end of its log; or a sentence that says why not.
    pub(super) fn open(
        partition: i32,
        led: Arc<dyn LedPartition>,
        store: Arc<OffsetStore>,
    ) -> Result<LogOffsetsPartition, String> {
        let opened = LogOffsetsPartition {
            partition,
            led,
            store,
        };
        opened.catch_up()?;
        Ok(opened)
    }

    fn catch_up(&self) -> Result<(), String> {
        let log = self.led.log();
        // What a restart found in the log stays in it: once it is durable, it is committed.
        if log.high_watermark() < log.log_end_offset() {
            log.flush_all().map_err(|cause| cause.to_string())?;
        }
        let (start, end) = (log.log_start_offset(), log.high_watermark());
        let first = self
            .first_missing(start, end)
            .map_err(|cause| cause.to_string())?;
        if self.fill(first, end, first > start)? {
            return Ok(());
        }
        info!(
            partition = self.partition,
            "the log was compacted behind the offset store, filling it again"
        );
        self.empty(start).map_err(|cause| cause.to_string())?;
        self.fill(start, end, false).map(drop)
    }

    /// Takes the log from `next` to `end` into the rows. Where it must be `whole` and lacks a record, rows stay behind that a
    /// removed tombstone would have removed: then this ends with `false`.
    fn fill(&self, mut next: i64, end: i64, whole: bool) -> Result<bool, String> {
        let log = self.led.log();
        while next < end {
            let read = log
                .read(next, READ_BYTES, end, true)
                .map_err(|cause| cause.to_string())?;
            if whole && !record_batches::are_whole(&read.records, next)? {
                return Ok(false);
            }
            let records = record_batches::decode(&read.records, next)?;
            // Compaction may leave nothing in front of the end.
            next = if read.records.is_empty() {
                end
            } else {
                read.next_offset
            };
            store_rows::apply(&self.store, self.partition, &records, next)
                .map_err(|cause| cause.to_string())?;
        }
        Ok(true)
    }

    /// A store that was given up has said so itself.
    fn failed(&self, what: &str, cause: &dyn std::fmt::Display) -> ErrorCode {
        if !self.store.is_lost() {
            error!(partition = self.partition, %cause, "{what}");
        }
        ErrorCode::KafkaStorageError
    }

    /// The first offset of the log that is not in the rows; rows that are not of this log are gone then.
    fn first_missing(&self, start: i64, end: i64) -> Result<i64, OffsetStoreError> {
        let topic_id = self.led.topic_id().0.into_bytes();
        let is_same_topic = self.store.get(self.partition, TOPIC_ID_ROW)?.as_deref() == Some(&topic_id[..]);
        match self.store.applied_offset(self.partition)? {
            Some(applied) if is_same_topic && (start..=end).contains(&applied) => Ok(applied),
            applied => {
                if applied.is_some() {
                    info!(
                        partition = self.partition,
                        "filling the offset store again from the log"
                    );
                }
                self.empty(start)?;
                Ok(start)
            }
        }
    }

    /// Removes all rows; those of this log from `start` on may come. Rows that were there are gone from the disk before the
    /// log takes another record: a kill would bring them back, under a log that has grown past what they were made from.
    fn empty(&self, start: i64) -> Result<(), OffsetStoreError> {
        let topic_id = self.led.topic_id().0.into_bytes();
        let had_rows = self.store.applied_offset(self.partition)?.is_some();
        self.store.clear(self.partition)?;
        self.store
            .apply(self.partition, &[(TOPIC_ID_ROW, Some(&topic_id))], start)?;
        if had_rows {
            self.store.flush()?;
        }
        Ok(())
    }
}

impl OffsetsPartition for LogOffsetsPartition {
    fn watch(&self) -> DirectoryWatch {
        self.led.watch()
    }

    fn append(&self, records: &[CoordinatorRecord], now_ms: i64) -> Result<i64, ErrorCode> {
        let max_batch_bytes =
            usize::try_from(self.led.log().config().max_message_bytes).unwrap_or(usize::MAX);
        let batches = record_batches::encode(records, max_batch_bytes, now_ms)?;
        self.led.append(batches, now_ms)
    }

    fn is_gone(&self) -> bool {
        self.led.is_gone() || self.store.is_lost()
    }

    fn committed_offset(&self) -> i64 {
        self.led.log().high_watermark()
    }

    fn committed(&self, end_offset: i64) -> BoxFuture<'static, Result<(), ErrorCode>> {
        self.led.committed(end_offset)
    }

    fn materialise(&self, records: &[CoordinatorRecord], end_offset: i64) -> Result<(), ErrorCode> {
        store_rows::apply(&self.store, self.partition, records, end_offset)
            .map_err(|cause| self.failed("could not write committed offsets", &cause))
    }

    fn with_rows(&self, read: &mut dyn FnMut(&dyn CommittedOffsets)) -> Result<(), ErrorCode> {
        let rows = StoreRows::new(&self.store, self.partition);
        read(&rows);
        match rows.failure() {
            None => Ok(()),
            Some(cause) => Err(self.failed("could not read committed offsets", &cause)),
        }
    }
}

#[cfg(test)]
mod tests;
