//! OffsetDelete, and the offsets of deleted groups and topics.

use std::ops::ControlFlow;
use std::sync::Arc;

use protocol_compat::{ErrorCode, TopicId};

use super::super::classic::{ClassicGroup, GroupState};
use super::super::hard_state::CoordinatorRecord;
use super::super::request::{DeleteOffsetsRequest, TopicErrors};
use super::super::uncommitted::Appended;

/// The record that removes an offset.
pub(in super::super) fn tombstone(group_id: &Arc<str>, topic: &str, partition: i32) -> CoordinatorRecord {
    CoordinatorRecord::Offset {
        group_id: group_id.clone(),
        topic: topic.into(),
        partition,
        value: None,
    }
}

/// Offsets of a group with members can be deleted only where its subscriptions are known.
pub(in super::super) fn validate_delete(group: &ClassicGroup) -> Result<(), ErrorCode> {
    match group.state() {
        GroupState::Empty => Ok(()),
        _ if group.uses_consumer_protocol() => Ok(()),
        GroupState::PreparingRebalance | GroupState::CompletingRebalance | GroupState::Stable => {
            Err(ErrorCode::NonEmptyGroup)
        }
    }
}

/// Tombstones for what exists of the request, and the outcome of each partition.
pub(in super::super) fn delete_records(
    group: &ClassicGroup,
    request: &DeleteOffsetsRequest,
    rows: &Appended<'_>,
) -> (Vec<CoordinatorRecord>, Vec<TopicErrors>) {
    let mut records = Vec::new();
    let mut outcomes = Vec::new();
    for (topic, partitions) in &request.topics {
        let error = if group.is_subscribed_to(topic) {
            ErrorCode::GroupSubscribedToTopic
        } else {
            let existing = partitions
                .iter()
                .filter(|partition| rows.offset(&request.group_id, topic, **partition).is_some());
            records.extend(existing.map(|partition| tombstone(&request.group_id, topic, *partition)));
            ErrorCode::None
        };
        outcomes.push(TopicErrors {
            topic: topic.clone(),
            topic_id: TopicId::NIL,
            partitions: partitions.iter().map(|partition| (*partition, error)).collect(),
        });
    }
    (records, outcomes)
}

/// Tombstones for every offset of a group.
pub(in super::super) fn delete_all_records(
    group_id: &Arc<str>,
    rows: &Appended<'_>,
) -> Vec<CoordinatorRecord> {
    let mut records = Vec::new();
    rows.for_each_offset(group_id, &mut |topic, partition, _| {
        records.push(tombstone(group_id, topic, partition));
        ControlFlow::Continue(())
    });
    records
}
