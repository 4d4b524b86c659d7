//! Which topics and partitions of a request exist, before any of it reaches a shard (Kafka's `KafkaApis`).
//!
//! A client may keep offsets only of partitions that exist; it may ask for the offsets of any name. Topic ids (KIP-848,
//! version 10) are translated to names here.

use std::sync::Arc;

use protocol_compat::{ErrorCode, TopicId};

use crate::image::{TopicImage, TopicsImage};

use super::super::request::{PartitionOffset, TopicErrors, TopicOffsets};

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
    image: &TopicsImage,
    topics: Vec<(Arc<str>, Vec<PartitionOffset>)>,
) -> ResolvedCommit {
    let mut resolved = ResolvedCommit::default();
    for (topic, partitions) in topics {
        match image.by_name(&topic) {
            Some(known) => resolved.add_partitions(known, partitions),
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
    image: &TopicsImage,
    topics: Vec<(TopicId, Vec<PartitionOffset>)>,
) -> ResolvedCommit {
    let mut resolved = ResolvedCommit::default();
    for (topic_id, partitions) in topics {
        match image.by_id(topic_id) {
            Some(known) => resolved.add_partitions(known, partitions),
            None => resolved.add_errors("".into(), topic_id, &partitions, ErrorCode::UnknownTopicId),
        }
    }
    resolved
}

impl ResolvedCommit {
    fn add_partitions(&mut self, topic: &TopicImage, partitions: Vec<PartitionOffset>) {
        let (known, unknown): (Vec<_>, Vec<_>) = partitions
            .into_iter()
            .partition(|offset| topic.partition(offset.partition).is_some());
        if !unknown.is_empty() {
            let error = ErrorCode::UnknownTopicOrPartition;
            self.add_errors(topic.name.clone(), topic.id, &unknown, error);
        }
        if !known.is_empty() {
            self.known.push(TopicOffsets {
                topic: topic.name.clone(),
                topic_id: topic.id,
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

/// An OffsetDelete split by what exists.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ResolvedDelete {
    /// Goes to the shard.
    pub known: Vec<(Arc<str>, Vec<i32>)>,
    /// Is answered at once.
    pub errors: Vec<TopicErrors>,
}

/// Splits an OffsetDelete by what exists: what goes to the shard, and what is answered at once.
pub fn resolve_delete(image: &TopicsImage, topics: Vec<(Arc<str>, Vec<i32>)>) -> ResolvedDelete {
    let mut resolved = ResolvedDelete::default();
    for (topic, partitions) in topics {
        let exists = |partition: &i32| image.partition(&topic, *partition).is_some();
        let (known, unknown): (Vec<i32>, Vec<i32>) = partitions.into_iter().partition(exists);
        if !unknown.is_empty() {
            let error = ErrorCode::UnknownTopicOrPartition;
            let outcome = TopicErrors {
                topic: topic.clone(),
                topic_id: TopicId::NIL,
                partitions: unknown.into_iter().map(|partition| (partition, error)).collect(),
            };
            merge_topic(&mut resolved.errors, outcome);
        }
        if !known.is_empty() {
            resolved.known.push((topic, known));
        }
    }
    resolved
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
