//! A watch as who fetches holds it; what it tells and when stands in `watch.rs`.

use std::sync::{Arc, Weak};

use super::partition::Partition;
use super::watch::ChangedPartitions;

/// A watch on a partition, which it does not keep alive; leaving the scope ends it.
pub struct PartitionWatch {
    partition: Weak<Partition>,
    place: u32,
}

impl PartitionWatch {
    /// An armed watch that tells `changed` of `number`.
    pub fn new(partition: &Arc<Partition>, changed: &Arc<ChangedPartitions>, number: u32) -> PartitionWatch {
        PartitionWatch {
            place: partition.purgatory().watch(changed, number),
            partition: Arc::downgrade(partition),
        }
    }

    /// Has the next change told as well.
    pub fn arm(&self) {
        if let Some(partition) = self.partition.upgrade() {
            partition.purgatory().arm(self.place);
        }
    }

    /// Whether it is this partition that is watched.
    pub fn is_of(&self, partition: &Arc<Partition>) -> bool {
        std::ptr::eq(self.partition.as_ptr(), Arc::as_ptr(partition))
    }
}

impl Drop for PartitionWatch {
    fn drop(&mut self) {
        if let Some(partition) = self.partition.upgrade() {
            partition.purgatory().remove_watch(self.place);
        }
    }
}
