//! What each record does to the image.
//!
//! The only code that changes an image, live and at load alike. It refuses what contradicts the image and decides nothing.

use std::sync::Arc;

use protocol_compat::BrokerId;
use protocol_compat::records::metadata::{
    BrokerRegistrationChangeRecord, ConfigRecord, MetadataRecord, PartitionChangeRecord, PartitionRecord,
    RegisterBrokerRecord, RemoveTopicRecord, TopicRecord,
};

use crate::configs::{ConfigResource, ConfigResourceType};
use crate::image::{
    BrokerEndpoint, BrokerImage, LeaderRecoveryState, MetadataImage, PartitionImage, TopicImage, VersionRange,
};

/// The leader of a `PartitionChangeRecord` that leaves the leader alone.
const NO_LEADER_CHANGE: BrokerId = BrokerId(-2);

/// Applies one record at `offset`.
///
/// # Errors
/// A sentence that says what the record contradicts.
pub(super) fn apply_record(
    image: &mut MetadataImage,
    offset: i64,
    record: &MetadataRecord,
) -> Result<(), String> {
    match record {
        MetadataRecord::RegisterBroker(record) => register_broker(image, offset, record),
        MetadataRecord::UnregisterBroker(record) => {
            check_epoch(image, record.broker_id, record.broker_epoch)?;
            image.brokers.remove(record.broker_id);
        }
        MetadataRecord::FenceBroker(record) => {
            change_broker(image, record.id, record.epoch, |broker| broker.fenced = true)?;
        }
        MetadataRecord::UnfenceBroker(record) => {
            change_broker(image, record.id, record.epoch, |broker| broker.fenced = false)?;
        }
        MetadataRecord::BrokerRegistrationChange(record) => change_registration(image, record)?,
        MetadataRecord::Topic(record) => create_topic(image, record)?,
        MetadataRecord::Partition(record) => set_partition(image, record)?,
        MetadataRecord::PartitionChange(record) => change_partition(image, record)?,
        MetadataRecord::RemoveTopic(record) => remove_topic(image, record)?,
        MetadataRecord::Config(record) => set_config(image, record)?,
        MetadataRecord::FeatureLevel(record) => image.features.set(&record.name, record.feature_level),
        MetadataRecord::ProducerIds(record) => image.producer_ids.next_producer_id = record.next_producer_id,
        MetadataRecord::NoOp(_) => {}
        MetadataRecord::BeginTransaction(_)
        | MetadataRecord::EndTransaction(_)
        | MetadataRecord::AbortTransaction(_) => {
            return Err("metadata transactions are not part of this log".to_owned());
        }
    }
    Ok(())
}

fn register_broker(image: &mut MetadataImage, offset: i64, record: &RegisterBrokerRecord) {
    let endpoints = record.end_points.iter().map(|endpoint| BrokerEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    });
    let features = record.features.iter().map(|feature| VersionRange {
        name: feature.name.clone(),
        min: feature.min_supported_version,
        max: feature.max_supported_version,
    });
    image.brokers.insert(BrokerImage {
        id: record.broker_id,
        // A new registration gets its own offset as epoch, which its writer could not know.
        epoch: if record.broker_epoch < 0 {
            offset
        } else {
            record.broker_epoch
        },
        incarnation_id: record.incarnation_id,
        endpoints: endpoints.collect(),
        features: features.collect(),
        rack: record.rack.clone(),
        fenced: record.fenced,
        in_controlled_shutdown: record.in_controlled_shutdown,
        directories: record.log_dirs.clone(),
        cordoned_directories: record.cordoned_log_dirs.clone().unwrap_or_default(),
    });
}

fn check_epoch(image: &MetadataImage, id: BrokerId, epoch: i64) -> Result<Arc<BrokerImage>, String> {
    match image.brokers.get(id) {
        Some(broker) if broker.epoch == epoch => Ok(broker.clone()),
        Some(broker) => Err(format!("broker {id} has epoch {}, not {epoch}", broker.epoch)),
        None => Err(format!("broker {id} is not registered")),
    }
}

fn change_broker(
    image: &mut MetadataImage,
    id: BrokerId,
    epoch: i64,
    change: impl FnOnce(&mut BrokerImage),
) -> Result<(), String> {
    let mut broker = BrokerImage::clone(&*check_epoch(image, id, epoch)?);
    change(&mut broker);
    image.brokers.insert(broker);
    Ok(())
}

fn change_registration(
    image: &mut MetadataImage,
    record: &BrokerRegistrationChangeRecord,
) -> Result<(), String> {
    change_broker(image, record.broker_id, record.broker_epoch, |broker| {
        match record.fenced {
            1 => broker.fenced = true,
            -1 => broker.fenced = false,
            _ => {}
        }
        if record.in_controlled_shutdown == 1 {
            broker.in_controlled_shutdown = true;
        }
        if !record.log_dirs.is_empty() {
            broker.directories = record.log_dirs.clone();
        }
        if let Some(cordoned) = &record.cordoned_log_dirs {
            broker.cordoned_directories = cordoned.clone();
        }
    })
}

fn create_topic(image: &mut MetadataImage, record: &TopicRecord) -> Result<(), String> {
    if let Some(existing) = image.topics.by_name(&record.name) {
        return Err(format!("topic {} exists with id {}", existing.name, existing.id));
    }
    if image.topics.by_id(record.topic_id).is_some() {
        return Err(format!("topic id {} is taken", record.topic_id));
    }
    image
        .topics
        .insert(TopicImage::new(record.name.clone(), record.topic_id));
    Ok(())
}

fn recovery_state(id: i8) -> Result<LeaderRecoveryState, String> {
    LeaderRecoveryState::from_id(id).ok_or_else(|| format!("unknown leader recovery state {id}"))
}

fn set_partition(image: &mut MetadataImage, record: &PartitionRecord) -> Result<(), String> {
    let partition = PartitionImage {
        replicas: record.replicas.clone(),
        directories: record.directories.clone(),
        isr: record.isr.clone(),
        removing_replicas: record.removing_replicas.clone(),
        adding_replicas: record.adding_replicas.clone(),
        elr: record.eligible_leader_replicas.clone().unwrap_or_default(),
        last_known_elr: record.last_known_elr.clone().unwrap_or_default(),
        leader: record.leader,
        leader_recovery_state: recovery_state(record.leader_recovery_state)?,
        leader_epoch: record.leader_epoch,
        partition_epoch: record.partition_epoch,
    };
    if image
        .topics
        .set_partition(record.topic_id, record.partition_id, partition)
    {
        return Ok(());
    }
    Err(format!("no topic has the id {}", record.topic_id))
}

fn change_partition(image: &mut MetadataImage, record: &PartitionChangeRecord) -> Result<(), String> {
    let unknown = || {
        format!(
            "no partition {} in topic id {}",
            record.partition_id, record.topic_id
        )
    };
    let topic = image.topics.by_id(record.topic_id).ok_or_else(unknown)?;
    let mut partition = topic.partition(record.partition_id).ok_or_else(unknown)?.clone();
    merge(&mut partition, record)?;
    image
        .topics
        .set_partition(record.topic_id, record.partition_id, partition);
    Ok(())
}

/// As Kafka's `PartitionRegistration.merge`: naming a leader, even the same, starts a leader epoch; every change starts
/// a partition epoch.
fn merge(partition: &mut PartitionImage, record: &PartitionChangeRecord) -> Result<(), String> {
    let take = |into: &mut Vec<BrokerId>, from: &Option<Vec<BrokerId>>| {
        if let Some(from) = from {
            *into = from.clone();
        }
    };
    take(&mut partition.isr, &record.isr);
    take(&mut partition.replicas, &record.replicas);
    take(&mut partition.removing_replicas, &record.removing_replicas);
    take(&mut partition.adding_replicas, &record.adding_replicas);
    take(&mut partition.elr, &record.eligible_leader_replicas);
    take(&mut partition.last_known_elr, &record.last_known_elr);
    if let Some(directories) = &record.directories {
        partition.directories = directories.clone();
    }
    if record.leader_recovery_state != -1 {
        partition.leader_recovery_state = recovery_state(record.leader_recovery_state)?;
    }
    if record.leader != NO_LEADER_CHANGE {
        partition.leader = record.leader;
        partition.leader_epoch.0 = partition.leader_epoch.0.saturating_add(1);
    }
    partition.partition_epoch = partition.partition_epoch.saturating_add(1);
    Ok(())
}

fn remove_topic(image: &mut MetadataImage, record: &RemoveTopicRecord) -> Result<(), String> {
    let topic = image.topics.by_id(record.topic_id);
    let name = topic.map(|topic| topic.name.clone());
    let name = name.ok_or_else(|| format!("no topic has the id {}", record.topic_id))?;
    image.topics.remove(record.topic_id);
    image.configs.remove_resource(&ConfigResource::topic(name));
    Ok(())
}

fn set_config(image: &mut MetadataImage, record: &ConfigRecord) -> Result<(), String> {
    let kind = ConfigResourceType::from_id(record.resource_type)
        .ok_or_else(|| format!("unknown resource type {}", record.resource_type))?;
    let resource = ConfigResource {
        kind,
        name: record.resource_name.clone(),
    };
    image.configs.set(&resource, &record.name, record.value.clone());
    Ok(())
}
