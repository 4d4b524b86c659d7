//! Offsets of topics that were deleted (Kafka's `OffsetMetadataManager.onTopicsDeleted`).
//!
//! Rule: an offset belongs to the topic id that it was committed for; a topic that is created again under the same name starts
//! without offsets. Records of old brokers have no id and belong to the name.

use std::ops::ControlFlow;
use std::sync::Arc;

use protocol_compat::TopicId;

use crate::image::TopicsImage;

use super::super::hard_state::{CoordinatorRecord, OffsetAndMetadata};
use super::super::uncommitted::Appended;
use super::delete::tombstone;

/// A topic that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// Its name, which another topic may bear by now.
    pub name: Arc<str>,
    /// Its id, which no other topic ever bears.
    pub id: TopicId,
}

/// Which topics' offsets go.
#[derive(Clone, Debug)]
pub enum DeletedTopics {
    /// Those of these topics.
    These(Arc<[DeletedTopic]>),
    /// Those of all topics that are not here: what a shard does that was not in memory when topics were deleted.
    AllExcept(TopicsImage),
}

/// The topics of one image that the next one no longer has.
pub fn deleted_topics(before: &TopicsImage, now: &TopicsImage) -> Vec<DeletedTopic> {
    let gone = before.iter().filter(|topic| now.by_id(topic.id).is_none());
    gone.map(|topic| DeletedTopic {
        name: topic.name.clone(),
        id: topic.id,
    })
    .collect()
}

/// Whether an offset was committed for a topic that is not the one of this name in `topics`.
pub fn is_of_missing_topic(topics: &TopicsImage, topic: &str, committed_for: TopicId) -> bool {
    if committed_for.is_nil() {
        topics.by_name(topic).is_none()
    } else {
        topics.by_id(committed_for).is_none()
    }
}

/// Tombstones for the offsets of a group that belong to deleted topics.
pub(in super::super) fn deleted_topic_records(
    group_id: &Arc<str>,
    deleted: &DeletedTopics,
    rows: &Appended<'_>,
) -> Vec<CoordinatorRecord> {
    let mut records = Vec::new();
    match deleted {
        DeletedTopics::These(topics) => {
            for gone in topics.iter() {
                let is_gone = |kept: &OffsetAndMetadata| kept.topic_id.is_nil() || kept.topic_id == gone.id;
                rows.for_each_offset_of_topic(group_id, &gone.name, &mut |topic, partition, kept| {
                    if is_gone(kept) {
                        records.push(tombstone(group_id, topic, partition));
                    }
                    ControlFlow::Continue(())
                });
            }
        }
        DeletedTopics::AllExcept(topics) => {
            rows.for_each_offset(group_id, &mut |topic, partition, kept| {
                if is_of_missing_topic(topics, topic, kept.topic_id) {
                    records.push(tombstone(group_id, topic, partition));
                }
                ControlFlow::Continue(())
            });
        }
    }
    records
}
