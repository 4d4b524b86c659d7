//! What the coordinator needs of a partition that this node leads: its log, its acknowledgement, and where to find it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use protocol_compat::{ErrorCode, TopicId};
use storage::log::PartitionLog;

use crate::disk_stalls::DirectoryWatch;

/// The partitions of this node.
pub trait LedPartitions: Send + Sync + 'static {
    /// A partition of a topic, opened if it is not.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`, `NOT_LEADER_OR_FOLLOWER` or `KAFKA_STORAGE_ERROR`.
    fn led_partition(&self, topic: &str, index: i32) -> Result<Arc<dyn LedPartition>, ErrorCode>;
}

/// One of them.
pub trait LedPartition: Send + Sync + 'static {
    /// The topic's id.
    fn topic_id(&self) -> TopicId;
    /// Whether the topic was deleted, or created again under another id.
    fn is_gone(&self) -> bool;
    /// Its log directory.
    fn watch(&self) -> DirectoryWatch;
    /// The log; the high watermark in it is the partition's.
    fn log(&self) -> &Arc<PartitionLog>;
    /// Appends the coordinator's batches and returns the offset of the first record.
    ///
    /// # Errors
    /// The log's; then nothing was appended.
    fn append(&self, batches: Bytes, now_ms: i64) -> Result<i64, ErrorCode>;
    /// Resolves when the high watermark has reached `offset`, with an error if it never will.
    fn committed(&self, offset: i64) -> BoxFuture<'static, Result<(), ErrorCode>>;
}
