//! Logs that the log manager opens by itself: what a crash left, and what retention must look into.
//!
//! A partition that a client asks for is recovered at once by being opened; the rest is recovered here, one after the other,
//! and closed again.

use std::sync::Arc;

use protocol_compat::{TopicId, TopicPartition};
use storage::log::{LogConfig, LogError, PartitionLog};
use storage::log_manager::LogOwner;
use tracing::{debug, info, warn};

use super::{ReplicaManager, leadership};

impl LogOwner for ReplicaManager {
    fn settings(&self, partition: &TopicPartition) -> Option<(TopicId, Arc<LogConfig>)> {
        let image = self.cache.image();
        let topic = image.topics.by_name(&partition.topic)?;
        let is_led = topic.partition(partition.partition)?.leader == self.node_id;
        is_led.then(|| (topic.id, self.log_config(&partition.topic)))
    }

    /// A lone replica has committed all that it holds.
    fn opened(&self, log: &PartitionLog) {
        log.update_high_watermark(leadership::durable_end_offset(log));
    }
}

impl ReplicaManager {
    /// Recovers the next partition that a crash left and that nobody has opened; false when there is none.
    pub fn recover_next(&self) -> bool {
        let Some(partition) = self.logs.next_to_recover() else {
            return false;
        };
        match self.logs.recover(&partition, self, self.clock.wall_ms()) {
            Ok(()) => {}
            Err(LogError::ForeignTopic { found, .. }) => {
                info!(%partition, topic_id = found, "removing what is left of an earlier topic");
                self.delete_log(&partition);
            }
            Err(cause) => warn!(%partition, %cause, "a partition is not available"),
        }
        true
    }

    /// Opens what must be looked at although nobody uses it.
    pub fn open_compacted(&self) {
        let opened = self.logs.open_compacted(self, self.clock.wall_ms());
        debug!(opened, "compacted logs are open");
    }
}
