//! OffsetFetch: what a group has committed. Reads committed rows only; a client that asks for stable offsets is answered
//! after everything that was appended before its request is committed, which the runtime sees to.

use std::ops::ControlFlow;
use std::sync::Arc;

use protocol_compat::TopicId;

use super::super::hard_state::{CommittedOffsets, OffsetAndMetadata};
use super::super::shard::Shard;

/// Partitions of one topic that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitions {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The topic's id where the client named it so, nil otherwise.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// The offsets of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedTopic {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The id of the request, nil if all offsets were asked for.
    pub topic_id: TopicId,
    /// The partitions, in the order of the request.
    pub partitions: Vec<FetchedPartition>,
}

/// The offset of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    /// The partition.
    pub partition: i32,
    /// -1 if nothing is committed.
    pub offset: i64,
    /// -1 if unknown.
    pub leader_epoch: i32,
    /// Empty if none.
    pub metadata: Arc<str>,
    /// The topic id that the offset was committed for, nil if unknown or nothing is committed.
    pub committed_for: TopicId,
}

impl FetchedPartition {
    fn new(partition: i32, value: Option<OffsetAndMetadata>) -> FetchedPartition {
        match value {
            Some(value) => FetchedPartition {
                partition,
                offset: value.offset,
                leader_epoch: value.leader_epoch,
                metadata: value.metadata,
                committed_for: value.topic_id,
            },
            None => FetchedPartition {
                partition,
                offset: -1,
                leader_epoch: -1,
                metadata: "".into(),
                committed_for: TopicId::NIL,
            },
        }
    }
}

impl Shard {
    /// The offsets of these partitions. An offset of a topic that was since recreated counts as none.
    pub fn fetch_offsets(
        &self,
        group_id: &str,
        topics: &[TopicPartitions],
        committed: &dyn CommittedOffsets,
    ) -> Vec<FetchedTopic> {
        let fetched = topics.iter().map(|topic| FetchedTopic {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partitions: topic
                .partitions
                .iter()
                .map(|partition| {
                    let value = committed.offset(group_id, &topic.topic, *partition);
                    let value = value.filter(|value| !is_of_another_topic(value.topic_id, topic.topic_id));
                    FetchedPartition::new(*partition, value)
                })
                .collect(),
        });
        fetched.collect()
    }

    /// All offsets of a group, by topic.
    pub fn fetch_all_offsets(&self, group_id: &str, committed: &dyn CommittedOffsets) -> Vec<FetchedTopic> {
        let mut topics: Vec<FetchedTopic> = Vec::new();
        committed.for_each_offset(group_id, &mut |topic, partition, value| {
            if topics.last().is_none_or(|last| &*last.topic != topic) {
                topics.push(FetchedTopic {
                    topic: topic.into(),
                    topic_id: TopicId::NIL,
                    partitions: Vec::new(),
                });
            }
            if let Some(last) = topics.last_mut() {
                last.partitions
                    .push(FetchedPartition::new(partition, Some(value.clone())));
            }
            ControlFlow::Continue(())
        });
        topics
    }
}

fn is_of_another_topic(kept: TopicId, asked: TopicId) -> bool {
    !kept.is_nil() && !asked.is_nil() && kept != asked
}
