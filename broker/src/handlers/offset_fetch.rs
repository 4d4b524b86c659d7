//! OffsetFetch, API key 9, versions 1-10. What groups have committed.
//!
//! - 2: all offsets of a group; an error of the whole group. 3: throttle time. 4: throttled after the answer (KIP-219).
//!   5: leader epochs (KIP-320). 6: flexible. 7: offsets that are stable only (KIP-447).
//! - 8: several groups (KIP-709). 9: member ids and epochs of consumer groups (KIP-848), which a classic group has no use for.
//!   10: topic ids (KIP-848).

use std::sync::Arc;

use bytes::Bytes;
use metadata::group::offsets::{FetchedPartition, FetchedTopic, TopicPartitions};
use metadata::image::{MetadataImage, TopicsImage};
use protocol_compat::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use protocol_compat::messages::{OffsetFetchRequest, OffsetFetchResponse, StrBytes};
use protocol_compat::{ErrorCode, TopicId};

use super::named_again::NamedAgain;
use super::wire_text::{owned, wire};
use crate::group_coordinator::GroupCoordinator;
use crate::request::{Handled, RequestContext};

/// The first version with an error of the whole group.
const FIRST_WITH_GROUP_ERROR: i16 = 2;
/// The first version with several groups.
const FIRST_WITH_GROUPS: i16 = 8;
/// The first version with topic ids.
const FIRST_WITH_TOPIC_IDS: i16 = 10;

/// Answers as soon as the groups' shards are loaded, and for stable offsets when earlier commits are committed.
pub fn handle(
    coordinator: &Arc<GroupCoordinator>,
    image: Arc<MetadataImage>,
    context: &RequestContext,
    body: Bytes,
) -> Handled {
    let request: OffsetFetchRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let require_stable = request.require_stable;
    let groups = groups(context.version, request);
    let (coordinator, context) = (coordinator.clone(), context.clone());
    Handled::Exclusive(Box::pin(async move {
        let mut fetched = Vec::with_capacity(groups.len());
        for group in groups {
            fetched.push(
                fetch_group(
                    &coordinator,
                    &image.topics,
                    context.version,
                    group,
                    require_stable,
                )
                .await,
            );
        }
        context.respond(&response(context.version, fetched))
    }))
}

/// One group in the newer shape, whatever the version.
fn groups(version: i16, request: OffsetFetchRequest) -> Vec<OffsetFetchRequestGroup> {
    if version >= FIRST_WITH_GROUPS {
        let mut named = NamedAgain::new();
        let groups = request.groups.into_iter();
        return groups
            .filter(|group| named.is_answered(group.group_id.clone()))
            .collect();
    }
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            topic_id: TopicId::NIL,
            partition_indexes: topic.partition_indexes,
        });
        topics.collect()
    });
    vec![OffsetFetchRequestGroup {
        group_id: request.group_id,
        member_id: None,
        member_epoch: -1,
        topics,
    }]
}

async fn fetch_group(
    coordinator: &GroupCoordinator,
    image: &TopicsImage,
    version: i16,
    group: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let by_id = version >= FIRST_WITH_TOPIC_IDS;
    let outcome = match &group.topics {
        None => coordinator
            .fetch_offsets(&group.group_id, None, require_stable)
            .await
            .map(|fetched| all_topics(image, by_id, fetched)),
        Some(topics) => {
            let (asked, unknown) = asked_topics(image, by_id, topics);
            let fetched = coordinator
                .fetch_offsets(&group.group_id, Some(&asked), require_stable)
                .await;
            let shown = |topic: &FetchedTopic| response_topic(image, topic);
            fetched.map(|fetched| fetched.iter().map(shown).chain(unknown).collect())
        }
    };
    match outcome {
        Ok(topics) => OffsetFetchResponseGroup {
            group_id: group.group_id,
            topics,
            error_code: ErrorCode::None.code(),
        },
        Err(error) => group_error(version, group, error),
    }
}

/// What is asked of the coordinator, and topics whose id no topic has.
fn asked_topics(
    image: &TopicsImage,
    by_id: bool,
    topics: &[OffsetFetchRequestTopics],
) -> (Vec<TopicPartitions>, Vec<OffsetFetchResponseTopics>) {
    let mut asked = Vec::with_capacity(topics.len());
    let mut unknown = Vec::new();
    // Metadata of an offset may be a thousand times longer than its partition's number.
    let mut named = NamedAgain::new();
    for topic in topics {
        let name = match (by_id, image.by_id(topic.topic_id)) {
            (false, _) => owned(&topic.name),
            (true, Some(known)) => known.name.clone(),
            (true, None) => {
                unknown.push(failed_topic(topic, ErrorCode::UnknownTopicId));
                continue;
            }
        };
        let mut partitions = topic.partition_indexes.clone();
        partitions.retain(|index| named.is_answered((name.clone(), *index)));
        asked.push(TopicPartitions {
            topic: name,
            topic_id: topic.topic_id,
            partitions,
        });
    }
    (asked, unknown)
}

/// All topics of a group; by id only those that still exist.
fn all_topics(
    image: &TopicsImage,
    by_id: bool,
    fetched: Vec<FetchedTopic>,
) -> Vec<OffsetFetchResponseTopics> {
    let topics = fetched.into_iter().filter_map(|mut topic| {
        topic
            .partitions
            .retain(|partition| !is_of_deleted_topic(image, partition));
        if topic.partitions.is_empty() {
            return None;
        }
        let mut shown = response_topic(image, &topic);
        if by_id {
            shown.topic_id = image.by_name(&topic.topic)?.id;
        }
        Some(shown)
    });
    topics.collect()
}

/// Whether the topic of an offset is gone, and the offset as good as gone; a topic of the same name has begun anew.
fn is_of_deleted_topic(image: &TopicsImage, partition: &FetchedPartition) -> bool {
    !partition.committed_for.is_nil() && image.by_id(partition.committed_for).is_none()
}

fn response_topic(image: &TopicsImage, topic: &FetchedTopic) -> OffsetFetchResponseTopics {
    let committed = |partition: &FetchedPartition| OffsetFetchResponsePartitions {
        partition_index: partition.partition,
        committed_offset: partition.offset,
        committed_leader_epoch: partition.leader_epoch,
        metadata: Some(wire(&partition.metadata)),
        error_code: ErrorCode::None.code(),
    };
    let shown = |partition: &FetchedPartition| {
        if is_of_deleted_topic(image, partition) {
            nothing_committed(partition.partition, ErrorCode::None)
        } else {
            committed(partition)
        }
    };
    OffsetFetchResponseTopics {
        name: wire(&topic.topic),
        topic_id: topic.topic_id,
        partitions: topic.partitions.iter().map(shown).collect(),
    }
}

fn failed_topic(topic: &OffsetFetchRequestTopics, error: ErrorCode) -> OffsetFetchResponseTopics {
    let failed = |partition: &i32| nothing_committed(*partition, error);
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.iter().map(failed).collect(),
    }
}

fn nothing_committed(partition: i32, error: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: partition,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(StrBytes::default()),
        error_code: error.code(),
    }
}

/// Before version 2 each partition carries the error of its group.
fn group_error(version: i16, group: OffsetFetchRequestGroup, error: ErrorCode) -> OffsetFetchResponseGroup {
    let has_group_error = version >= FIRST_WITH_GROUP_ERROR;
    let topics = group.topics.unwrap_or_default();
    OffsetFetchResponseGroup {
        group_id: group.group_id,
        topics: if has_group_error {
            Vec::new()
        } else {
            topics.iter().map(|topic| failed_topic(topic, error)).collect()
        },
        error_code: error.code(),
    }
}

fn response(version: i16, groups: Vec<OffsetFetchResponseGroup>) -> OffsetFetchResponse {
    let mut response = OffsetFetchResponse::default();
    if version >= FIRST_WITH_GROUPS {
        response.groups = groups;
        return response;
    }
    for group in groups {
        response.error_code = group.error_code;
        response.topics = group.topics.into_iter().map(single_group_topic).collect();
    }
    response
}

fn single_group_topic(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic
        .partitions
        .into_iter()
        .map(|partition| OffsetFetchResponsePartition {
            partition_index: partition.partition_index,
            committed_offset: partition.committed_offset,
            committed_leader_epoch: partition.committed_leader_epoch,
            metadata: partition.metadata,
            error_code: partition.error_code,
        });
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: partitions.collect(),
    }
}
