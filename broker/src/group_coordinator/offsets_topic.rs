//! What the coordinator asks of `__consumer_offsets`: that it exists, and of each partition a log with its rows.
//!
//! Two implementations: the node's logs with the offset store, and a twin in memory for tests and simulations.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use metadata::group::{CommittedOffsets, CoordinatorRecord};
use metadata::image::TopicsImage;
use protocol_compat::ErrorCode;

use crate::disk_stalls::DirectoryWatch;

/// The topic.
pub trait OffsetsTopic: Send + Sync + 'static {
    /// How many partitions it has, or will have once it is created.
    fn num_partitions(&self) -> i32;
    /// Whether it exists.
    fn exists(&self) -> bool;
    /// Creates it if it does not exist, and waits until it does.
    fn ensure(&self) -> BoxFuture<'_, Result<(), ErrorCode>>;
    /// All topics that exist now, for offsets whose topic was deleted; `None` where nobody knows.
    fn topics(&self) -> Option<TopicsImage>;
    /// Opens a partition with its rows brought up to the end of its log. Blocks; may read the whole log.
    ///
    /// # Errors
    /// Why this node cannot be the coordinator of these groups.
    fn open(&self, partition: i32) -> Result<Arc<dyn OffsetsPartition>, ErrorCode>;
}

/// One partition.
pub trait OffsetsPartition: Send + Sync + 'static {
    /// The log directory that it lies in.
    fn watch(&self) -> DirectoryWatch;
    /// Appends the records together and returns the offset of the first.
    ///
    /// # Errors
    /// As an append to the log; then nothing was appended.
    fn append(&self, records: &[CoordinatorRecord], now_ms: i64) -> Result<i64, ErrorCode>;
    /// Whether the topic was deleted, whose successor has other groups, or the rows were lost: it must be opened again.
    fn is_gone(&self) -> bool;
    /// Everything below this offset is committed.
    fn committed_offset(&self) -> i64;
    /// Waits until everything below `end_offset` is committed.
    fn committed(&self, end_offset: i64) -> BoxFuture<'static, Result<(), ErrorCode>>;
    /// Takes committed records into the rows; the rows then hold everything below `end_offset`.
    ///
    /// # Errors
    /// Where the rows cannot be written.
    fn materialise(&self, records: &[CoordinatorRecord], end_offset: i64) -> Result<(), ErrorCode>;
    /// Shows the rows to `read`. Called under the shard's lock.
    ///
    /// # Errors
    /// Where a row could not be read; then what `read` saw must not be acted on.
    fn with_rows(&self, read: &mut dyn FnMut(&dyn CommittedOffsets)) -> Result<(), ErrorCode>;
}
