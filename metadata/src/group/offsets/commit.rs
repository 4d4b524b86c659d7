//! OffsetCommit: who may commit, and the records of what is kept.

use protocol_compat::ErrorCode;

use super::super::classic::{ClassicGroup, GroupState};
use super::super::config::GroupConfig;
use super::super::hard_state::{CoordinatorRecord, OffsetAndMetadata};
use super::super::request::{CommitRequest, PartitionOffset, TopicErrors, TopicOffsets};

/// The wire's "keep it as long as the broker does".
const NO_RETENTION_TIME: i64 = -1;

/// Whether this request may commit to the group (Kafka's `ClassicGroup.validateOffsetCommit`). Without a group, only a client
/// that does not take part in one may.
pub(in super::super) fn validate_commit(
    group: Option<&ClassicGroup>,
    request: &CommitRequest,
) -> Result<(), ErrorCode> {
    let Some(group) = group else {
        return match (request.generation < 0, request.knows_group_id_not_found) {
            (true, _) => Ok(()),
            (false, true) => Err(ErrorCode::GroupIdNotFound),
            (false, false) => Err(ErrorCode::IllegalGeneration),
        };
    };
    let is_empty = group.state() == GroupState::Empty;
    if request.generation < 0 && is_empty {
        return Ok(());
    }
    let names_a_member =
        request.generation >= 0 || !request.member_id.is_empty() || request.group_instance_id.is_some();
    if names_a_member {
        group.validate_member(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation != group.generation() {
            return Err(ErrorCode::IllegalGeneration);
        }
    } else if !is_empty {
        return Err(ErrorCode::UnknownMemberId);
    }
    if group.state() == GroupState::CompletingRebalance {
        return Err(ErrorCode::RebalanceInProgress);
    }
    Ok(())
}

/// The same error for everything that a request asked for.
pub fn refuse_commit(topics: &[TopicOffsets], error: ErrorCode) -> Vec<TopicErrors> {
    outcomes(topics, |_| error)
}

/// The records of a commit that is allowed, and the outcome of each partition.
pub(in super::super) fn commit_records(
    now_ms: i64,
    config: &GroupConfig,
    request: &CommitRequest,
) -> (Vec<CoordinatorRecord>, Vec<TopicErrors>) {
    let is_too_large = |offset: &PartitionOffset| {
        let metadata = offset.metadata.as_deref().unwrap_or_default();
        // Kafka counts UTF-16 units, and there are never more of those than bytes.
        let max = config.offset_metadata_max_bytes;
        metadata.len() > max && metadata.encode_utf16().count() > max
    };
    let expire_timestamp_ms = match request.retention_time_ms {
        NO_RETENTION_TIME => None,
        retention_ms => Some(now_ms.saturating_add(retention_ms)),
    };
    let mut records = Vec::new();
    for topic in &request.topics {
        let kept = topic.partitions.iter().filter(|offset| !is_too_large(offset));
        records.extend(kept.map(|offset| CoordinatorRecord::Offset {
            group_id: request.group_id.clone(),
            topic: topic.topic.clone(),
            partition: offset.partition,
            value: Some(OffsetAndMetadata {
                offset: offset.offset,
                leader_epoch: offset.leader_epoch,
                metadata: offset.metadata.clone().unwrap_or_else(|| "".into()),
                commit_timestamp_ms: now_ms,
                expire_timestamp_ms,
                topic_id: topic.topic_id,
            }),
        }));
    }
    let outcomes = outcomes(&request.topics, |offset| {
        if is_too_large(offset) {
            ErrorCode::OffsetMetadataTooLarge
        } else {
            ErrorCode::None
        }
    });
    (records, outcomes)
}

fn outcomes(topics: &[TopicOffsets], error: impl Fn(&PartitionOffset) -> ErrorCode) -> Vec<TopicErrors> {
    let outcomes = topics.iter().map(|topic| TopicErrors {
        topic: topic.topic.clone(),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|offset| (offset.partition, error(offset)))
            .collect(),
    });
    outcomes.collect()
}
