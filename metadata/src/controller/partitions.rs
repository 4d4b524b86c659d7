//! Partitions: adding them to a topic, and who leads them when brokers come and go.
//!
//! Rule: only an in-sync replica that is active becomes leader; the last in-sync replica stays in the in-sync set even
//! when it is gone, so that nobody who lacks committed records can take over.

use std::sync::Arc;

use protocol_compat::records::metadata::{MetadataRecord, PartitionChangeRecord};
use protocol_compat::{BrokerId, ErrorCode, TopicId};
use uuid::Uuid;

use super::decision::{ApiError, Decision, IdSource, MAX_RECORDS_PER_REQUEST};
use super::placement::place;
use super::snapshot::partition_record;
use super::state::Controller;
use crate::image::{BrokersImage, PartitionImage, TopicImage};

/// The brokers that a client chose for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaAssignment {
    /// The partition's index; for new partitions of an existing topic their order counts instead.
    pub partition: i32,
    /// The brokers, preferred leader first.
    pub brokers: Vec<BrokerId>,
}

/// How many partitions a topic shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitionsTopic {
    /// The topic.
    pub name: Arc<str>,
    /// The new total.
    pub count: i32,
    /// The brokers of each new partition, when the client chooses them.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// The outcome for one topic of a CreatePartitions request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitionsResult {
    /// The topic.
    pub name: Arc<str>,
    /// Why nothing was added.
    pub error: Option<ApiError>,
}

/// A partition that is being created on these brokers; `None` when none of them is active.
pub(super) fn created_partition(brokers: &BrokersImage, replicas: Vec<BrokerId>) -> Option<PartitionImage> {
    let isr: Vec<BrokerId> = replicas
        .iter()
        .copied()
        .filter(|id| brokers.is_active(*id))
        .collect();
    if isr.is_empty() {
        return None;
    }
    let directories = replicas
        .iter()
        .map(|id| default_directory(brokers, *id))
        .collect();
    Some(PartitionImage::created(replicas, directories, isr))
}

/// The only log directory of a broker; the nil id, Kafka's "unassigned", when the broker has to choose.
fn default_directory(brokers: &BrokersImage, id: BrokerId) -> Uuid {
    match brokers.get(id).map(|broker| broker.directories.as_slice()) {
        Some([only]) => *only,
        _ => Uuid::nil(),
    }
}

impl Controller {
    /// Decides about more partitions for topics. Names that occur twice are refused; with `validate_only` nothing is
    /// written.
    pub fn create_partitions(
        &self,
        ids: &mut dyn IdSource,
        topics: Vec<CreatePartitionsTopic>,
        validate_only: bool,
    ) -> Decision<Vec<CreatePartitionsResult>> {
        let occurs = |name: &Arc<str>| topics.iter().filter(|other| other.name == *name).count();
        let mut duplicates: Vec<&Arc<str>> = topics
            .iter()
            .map(|t| &t.name)
            .filter(|name| occurs(name) > 1)
            .collect();
        duplicates.sort();
        duplicates.dedup();
        let mut results: Vec<CreatePartitionsResult> = duplicates
            .into_iter()
            .map(|name| CreatePartitionsResult {
                name: name.clone(),
                error: Some(ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic name.")),
            })
            .collect();
        let mut records = Vec::new();
        for topic in topics.iter().filter(|topic| occurs(&topic.name) == 1) {
            let added = self.added_partitions(ids, topic);
            let error = added.map(|added| records.extend(added)).err();
            let name = topic.name.clone();
            results.push(CreatePartitionsResult { name, error });
        }
        if validate_only {
            records.clear();
        }
        Decision {
            records,
            response: results,
        }
    }

    fn added_partitions(
        &self,
        ids: &mut dyn IdSource,
        wanted: &CreatePartitionsTopic,
    ) -> Result<Vec<MetadataRecord>, ApiError> {
        // Kafka gives no sentence here.
        let unknown = ApiError {
            code: ErrorCode::UnknownTopicOrPartition,
            message: None,
        };
        let topic = self.image.topics.by_name(&wanted.name).ok_or(unknown)?;
        let first = i32::try_from(topic.partition_count()).unwrap_or(i32::MAX);
        let additional = additional_partitions(topic, first, wanted)?;
        let replication_factor = topic
            .partitions()
            .next()
            .map_or(1, |(_, partition)| partition.replicas.len());
        let partitions = match &wanted.assignments {
            Some(assignments) => (first..)
                .zip(assignments)
                .map(|(index, brokers)| self.assigned_partition(index, brokers, Some(replication_factor)))
                .collect::<Result<Vec<_>, _>>()?,
            None => self.placed_additions(ids, additional, replication_factor)?,
        };
        let records = (first..).zip(&partitions);
        Ok(records
            .map(|(index, partition)| partition_record(topic.id, index, partition).into())
            .collect())
    }

    fn placed_additions(
        &self,
        ids: &mut dyn IdSource,
        additional: usize,
        replication_factor: usize,
    ) -> Result<Vec<PartitionImage>, ApiError> {
        let placed = place(&self.image.brokers, additional, replication_factor, ids)?;
        let created = placed.into_iter().map(|replicas| {
            created_partition(&self.image.brokers, replicas).ok_or_else(|| {
                let message = format!(
                    "Unable to replicate the partition {replication_factor} time(s): All brokers are currently fenced or in controlled shutdown."
                );
                ApiError::new(ErrorCode::InvalidReplicationFactor, message)
            })
        });
        created.collect()
    }

    /// The records that give every partition a leader again after `brokers` became what the cluster looks like:
    /// `restarted` is a broker whose earlier process is gone, so that what it led starts a new leader epoch.
    pub(super) fn election_records(
        &self,
        brokers: &BrokersImage,
        restarted: Option<BrokerId>,
    ) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        for topic in self.image.topics.iter() {
            for (index, partition) in topic.partitions() {
                if let Some(change) = leader_change(topic.id, index, partition, brokers, restarted) {
                    records.push(change.into());
                }
            }
        }
        records
    }
}

/// How many partitions are to be added, at most what one request can write.
fn additional_partitions(
    topic: &TopicImage,
    first: i32,
    wanted: &CreatePartitionsTopic,
) -> Result<usize, ApiError> {
    let invalid = |message: String| Err(ApiError::new(ErrorCode::InvalidPartitions, message));
    if wanted.count == first {
        return invalid(format!("Topic already has {first} partition(s)."));
    }
    if wanted.count < first {
        return invalid(format!(
            "The topic {} currently has {first} partition(s); {} would not be an increase.",
            topic.name, wanted.count
        ));
    }
    let additional = usize::try_from(wanted.count.saturating_sub(first)).unwrap_or(0);
    if let Some(assignments) = &wanted.assignments
        && assignments.len() != additional
    {
        let message = format!(
            "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
            assignments.len()
        );
        return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    if additional > MAX_RECORDS_PER_REQUEST {
        return Err(ApiError::new(
            ErrorCode::PolicyViolation,
            "Unable to perform excessively large batch operation.",
        ));
    }
    Ok(additional)
}

/// What changes about one partition, if anything.
fn leader_change(
    topic_id: TopicId,
    index: i32,
    partition: &PartitionImage,
    brokers: &BrokersImage,
    restarted: Option<BrokerId>,
) -> Option<PartitionChangeRecord> {
    let was_led_by_restarted = restarted.is_some_and(|id| partition.leader == id);
    let lost_member = |id: &&BrokerId| !brokers.is_active(**id) || Some(**id) == restarted;
    let keep: Vec<BrokerId> = partition
        .isr
        .iter()
        .filter(|id| !lost_member(id))
        .copied()
        .collect();
    let isr = if keep.is_empty() {
        partition.isr.clone()
    } else {
        keep
    };
    let can_lead = |id: &&BrokerId| isr.contains(id) && brokers.is_active(**id);
    let leader = match partition.leader {
        current if can_lead(&&current) => current,
        _ => partition
            .replicas
            .iter()
            .find(can_lead)
            .copied()
            .unwrap_or(BrokerId::NONE),
    };
    if leader == partition.leader
        && isr == partition.isr
        && !(was_led_by_restarted && leader != BrokerId::NONE)
    {
        return None;
    }
    let mut change = PartitionChangeRecord {
        partition_id: index,
        topic_id,
        ..PartitionChangeRecord::default()
    };
    if isr != partition.isr {
        change.isr = Some(isr);
    }
    if leader != partition.leader || was_led_by_restarted {
        change.leader = leader;
    }
    Some(change)
}
