//! What clients are told about partitions: leaders, replicas, who is out of reach. Shared by Metadata and
//! DescribeTopicPartitions.

use metadata::image::{BrokersImage, PartitionImage};
use protocol_compat::BrokerId;
use protocol_compat::messages::BrokerId as WireBrokerId;

/// The ids as the codec wants them.
pub fn wire_ids(ids: &[BrokerId]) -> Vec<WireBrokerId> {
    ids.iter().map(|id| WireBrokerId(id.0)).collect()
}

/// Whether a client of `listener` can reach the broker.
pub fn is_reachable(brokers: &BrokersImage, id: BrokerId, listener: &str) -> bool {
    brokers
        .get(id)
        .is_some_and(|broker| !broker.fenced && broker.endpoint(listener).is_some())
}

/// The replicas that a client of `listener` cannot reach.
pub fn offline_replicas(
    brokers: &BrokersImage,
    partition: &PartitionImage,
    listener: &str,
) -> Vec<WireBrokerId> {
    let offline = partition
        .replicas
        .iter()
        .filter(|id| !is_reachable(brokers, **id, listener));
    offline.map(|id| WireBrokerId(id.0)).collect()
}

/// The leader, if a client of `listener` can reach it.
pub fn reachable_leader(
    brokers: &BrokersImage,
    partition: &PartitionImage,
    listener: &str,
) -> Option<WireBrokerId> {
    is_reachable(brokers, partition.leader, listener).then_some(WireBrokerId(partition.leader.0))
}
