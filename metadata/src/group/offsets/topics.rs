//! Which topics and partitions of a request exist, before any of it reaches a shard (Kafka's `KafkaApis`).
//!
//! A client may keep offsets only of partitions that exist; it may ask for the offsets of any name. Topic ids (KIP-848,
//! version 10) are translated to names here.

use std::sync::Arc;

use protocol_compat::{ErrorCode, TopicId};

use super::super::request::{PartitionOffset, TopicErrors, TopicOffsets};

/// What must be known of topics; the metadata image in the broker.
pub trait TopicDirectory {
    /// The name of the topic with this id.
    fn topic_name(&self, topic_id: TopicId) -> Option<Arc<str>>;
    /// The id of the topic with this name.
    fn topic_id(&self, topic: &str) -> Option<TopicId>;
    /// Whether the topic has this partition.
    fn has_partition(&self, topic: &str, partition: i32) -> bool;
}

/// A commit split by what exists.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ResolvedCommit {
    /// Goes to the shard.
    pub known: Vec<TopicOffsets>,
    /// Is answered at once.
    pub errors: Vec<TopicErrors>,
}

/// Resolves a commit that names topics by name (versions before 10).
pub fn resolve_commit_by_name(
    directory: &dyn TopicDirectory,
    topics: Vec<(Arc<str>, Vec<PartitionOffset>)>,
) -> ResolvedCommit {
    let mut resolved = ResolvedCommit::default();
    for (topic, partitions) in topics {
        match directory.topic_id(&topic) {
            Some(topic_id) => resolved.add_partitions(directory, topic, topic_id, partitions),
            None => {
                let error = ErrorCode::UnknownTopicOrPartition;
                resolved.add_errors(topic, TopicId::NIL, &partitions, error);
            }
        }
    }
    resolved
}

/// Resolves a commit that names topics by id (version 10).
pub fn resolve_commit_by_id(
    directory: &dyn TopicDirectory,
    topics: Vec<(TopicId, Vec<PartitionOffset>)>,
) -> ResolvedCommit {
    let mut resolved = ResolvedCommit::default();
    for (topic_id, partitions) in topics {
        match directory.topic_name(topic_id) {
            Some(topic) => resolved.add_partitions(directory, topic, topic_id, partitions),
            None => resolved.add_errors("".into(), topic_id, &partitions, ErrorCode::UnknownTopicId),
        }
    }
    resolved
}

impl ResolvedCommit {
    fn add_partitions(
        &mut self,
        directory: &dyn TopicDirectory,
        topic: Arc<str>,
        topic_id: TopicId,
        partitions: Vec<PartitionOffset>,
    ) {
        let (known, unknown): (Vec<_>, Vec<_>) = partitions
            .into_iter()
            .partition(|offset| directory.has_partition(&topic, offset.partition));
        if !unknown.is_empty() {
            let error = ErrorCode::UnknownTopicOrPartition;
            self.add_errors(topic.clone(), topic_id, &unknown, error);
        }
        if !known.is_empty() {
            self.known.push(TopicOffsets {
                topic,
                topic_id,
                partitions: known,
            });
        }
    }

    fn add_errors(
        &mut self,
        topic: Arc<str>,
        topic_id: TopicId,
        partitions: &[PartitionOffset],
        error: ErrorCode,
    ) {
        let outcomes = partitions
            .iter()
            .map(|offset| (offset.partition, error))
            .collect();
        merge_topic(
            &mut self.errors,
            TopicErrors {
                topic,
                topic_id,
                partitions: outcomes,
            },
        );
    }
}

/// Joins the shard's outcomes to those that were answered at once, one entry per topic.
pub fn merge_outcomes(mut errors: Vec<TopicErrors>, outcomes: Vec<TopicErrors>) -> Vec<TopicErrors> {
    if errors.is_empty() {
        return outcomes;
    }
    outcomes
        .into_iter()
        .for_each(|outcome| merge_topic(&mut errors, outcome));
    errors
}

fn merge_topic(topics: &mut Vec<TopicErrors>, outcome: TopicErrors) {
    let same = |known: &&mut TopicErrors| known.topic == outcome.topic && known.topic_id == outcome.topic_id;
    match topics.iter_mut().find(same) {
        Some(known) => known.partitions.extend(outcome.partitions),
        None => topics.push(outcome),
    }
}
