//! Joins the group coordinator to the partitions of this node: neither knows the other.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use protocol_compat::{ErrorCode, TopicId};
use storage::log::{AppendOrigin, PartitionLog};

use crate::disk_stalls::DirectoryWatch;
use crate::error_codes;
use crate::group_coordinator::{LedPartition, LedPartitions};
use crate::replica_manager::{Partition, ReplicaManager};

/// The partitions of this node as the coordinator sees them.
pub(super) struct ReplicaPartitions(pub(super) Arc<ReplicaManager>);

impl LedPartitions for ReplicaPartitions {
    fn led_partition(&self, topic: &str, index: i32) -> Result<Arc<dyn LedPartition>, ErrorCode> {
        let partition = self.0.partition(topic, index)?;
        Ok(Arc::new(ReplicaPartition(partition)))
    }
}

struct ReplicaPartition(Arc<Partition>);

impl LedPartition for ReplicaPartition {
    fn topic_id(&self) -> TopicId {
        self.0.topic_id()
    }

    fn is_gone(&self) -> bool {
        self.0.is_gone()
    }

    fn watch(&self) -> DirectoryWatch {
        self.0.watch().clone()
    }

    fn log(&self) -> &Arc<PartitionLog> {
        self.0.log()
    }

    fn append(&self, batches: Bytes, now_ms: i64) -> Result<i64, ErrorCode> {
        let appended = self.0.append(batches, AppendOrigin::Coordinator, now_ms);
        appended
            .map(|info| info.first_offset)
            .map_err(|error| error_codes::of_append(&error))
    }

    fn committed(&self, offset: i64) -> BoxFuture<'static, Result<(), ErrorCode>> {
        let partition = self.0.clone();
        Box::pin(async move { partition.committed(offset).await })
    }
}
