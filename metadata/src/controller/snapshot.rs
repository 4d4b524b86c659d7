//! An image written out as records (rule C11): those records and the tail of the log rebuild the image.

use protocol_compat::records::metadata::{
    BrokerEndpoint, BrokerFeature, ConfigRecord, FeatureLevelRecord, MetadataRecord, PartitionRecord,
    ProducerIdsRecord, RegisterBrokerRecord, TopicRecord,
};
use protocol_compat::{BrokerId, TopicId};

use crate::image::{BrokerImage, MetadataImage, PartitionImage};

/// The records that rebuild `image` from nothing: features, brokers, topics with their partitions, configurations,
/// producer ids. The same image always gives the same records.
pub fn snapshot_records(image: &MetadataImage) -> Vec<MetadataRecord> {
    let mut records: Vec<MetadataRecord> = Vec::new();
    for (name, level) in image.features.iter() {
        let record = FeatureLevelRecord {
            name: name.clone(),
            feature_level: level,
        };
        records.push(record.into());
    }
    records.extend(image.brokers.iter().map(|broker| broker_record(broker).into()));
    for topic in image.topics.iter() {
        let record = TopicRecord {
            name: topic.name.clone(),
            topic_id: topic.id,
        };
        records.push(record.into());
        let partitions = topic.partitions();
        records
            .extend(partitions.map(|(index, partition)| partition_record(topic.id, index, partition).into()));
    }
    records.extend(config_records(image));
    if image.producer_ids.next_producer_id > 0 {
        let record = ProducerIdsRecord {
            broker_id: BrokerId::NONE,
            broker_epoch: -1,
            next_producer_id: image.producer_ids.next_producer_id,
        };
        records.push(record.into());
    }
    records
}

fn config_records(image: &MetadataImage) -> impl Iterator<Item = MetadataRecord> {
    image.configs.resources().flat_map(|resource| {
        image.configs.entries(resource).map(|(key, value)| {
            MetadataRecord::from(ConfigRecord {
                resource_type: resource.kind.id(),
                resource_name: resource.name.clone(),
                name: key.clone(),
                value: Some(value.clone()),
            })
        })
    })
}

/// The record of a partition as it stands.
pub(super) fn partition_record(topic_id: TopicId, index: i32, partition: &PartitionImage) -> PartitionRecord {
    let unless_empty = |brokers: &[BrokerId]| (!brokers.is_empty()).then(|| brokers.to_vec());
    PartitionRecord {
        partition_id: index,
        topic_id,
        replicas: partition.replicas.clone(),
        isr: partition.isr.clone(),
        removing_replicas: partition.removing_replicas.clone(),
        adding_replicas: partition.adding_replicas.clone(),
        leader: partition.leader,
        leader_recovery_state: partition.leader_recovery_state.id(),
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        directories: partition.directories.clone(),
        eligible_leader_replicas: unless_empty(&partition.elr),
        last_known_elr: unless_empty(&partition.last_known_elr),
    }
}

/// The record of a broker as it stands.
pub(super) fn broker_record(broker: &BrokerImage) -> RegisterBrokerRecord {
    let end_points = broker.endpoints.iter().map(|endpoint| BrokerEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    });
    let features = broker.features.iter().map(|feature| BrokerFeature {
        name: feature.name.clone(),
        min_supported_version: feature.min,
        max_supported_version: feature.max,
    });
    RegisterBrokerRecord {
        broker_id: broker.id,
        is_migrating_zk_broker: false,
        incarnation_id: broker.incarnation_id,
        broker_epoch: broker.epoch,
        end_points: end_points.collect(),
        features: features.collect(),
        rack: broker.rack.clone(),
        fenced: broker.fenced,
        in_controlled_shutdown: broker.in_controlled_shutdown,
        log_dirs: broker.directories.clone(),
        cordoned_log_dirs: (!broker.cordoned_directories.is_empty())
            .then(|| broker.cordoned_directories.clone()),
    }
}
