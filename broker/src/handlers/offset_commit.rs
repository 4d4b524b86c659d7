//! OffsetCommit, API key 8, versions 2-10. Keeps offsets for a group, or for a consumer without one.
//!
//! - 2-4: retention time of the commit. 3: throttle time. 4: throttled after the answer (KIP-219). 5: no retention time
//!   (KIP-211). 6: leader epochs (KIP-320). 7: static members (KIP-345). 8: flexible.
//! - 9: a missing group is GROUP_ID_NOT_FOUND instead of ILLEGAL_GENERATION (KIP-848). 10: topic ids (KIP-848).
//!
//! The commit takes effect before the next request of the connection begins; its answer does not hold that request up.

use std::sync::Arc;

use bytes::Bytes;
use metadata::group::offsets::topics::{
    ResolvedCommit, merge_outcomes, resolve_commit_by_id, resolve_commit_by_name,
};
use metadata::group::request::{CommitRequest, PartitionOffset, TopicErrors};
use metadata::image::MetadataImage;
use protocol_compat::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use protocol_compat::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::wire_text::{owned, owned_option, wire};
use crate::group_coordinator::GroupCoordinator;
use crate::request::{Handled, RequestContext};

/// The last version with a retention time.
const LAST_WITH_RETENTION_TIME: i16 = 4;
/// The first version that knows GROUP_ID_NOT_FOUND.
const FIRST_WITH_NOT_FOUND: i16 = 9;
/// The first version with topic ids.
const FIRST_WITH_TOPIC_IDS: i16 = 10;

/// Answers when the offsets are committed.
pub fn handle(
    coordinator: &Arc<GroupCoordinator>,
    image: &MetadataImage,
    context: &RequestContext,
    body: Bytes,
) -> Handled {
    let request: OffsetCommitRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let ResolvedCommit { known, errors } = resolve(context.version, image, &request);
    if known.is_empty() {
        return Handled::Now(context.respond(&response(&errors)));
    }
    let commit = CommitRequest {
        group_id: owned(&request.group_id),
        generation: request.generation_id_or_member_epoch,
        member_id: owned(&request.member_id),
        group_instance_id: owned_option(request.group_instance_id.as_ref()),
        retention_time_ms: if context.version <= LAST_WITH_RETENTION_TIME {
            request.retention_time_ms
        } else {
            -1
        },
        knows_group_id_not_found: context.version >= FIRST_WITH_NOT_FOUND,
        topics: known,
    };
    let (coordinator, context) = (coordinator.clone(), context.clone());
    let answer = move |outcomes| context.respond(&response(&merge_outcomes(errors, outcomes)));
    match coordinator.begin_commit(commit) {
        Ok(begun) => Handled::Later(Box::pin(async move { answer(begun.await) })),
        // The shard has to be loaded first, and the order of commits must hold.
        Err(commit) => Handled::Exclusive(Box::pin(async move {
            answer(coordinator.commit_offsets(*commit).await)
        })),
    }
}

fn resolve(version: i16, image: &MetadataImage, request: &OffsetCommitRequest) -> ResolvedCommit {
    let topics = request.topics.iter();
    if version >= FIRST_WITH_TOPIC_IDS {
        let topics = topics.map(|topic| (topic.topic_id, offsets(&topic.partitions)));
        resolve_commit_by_id(&image.topics, topics.collect())
    } else {
        let topics = topics.map(|topic| (owned(&topic.name), offsets(&topic.partitions)));
        resolve_commit_by_name(&image.topics, topics.collect())
    }
}

fn offsets(partitions: &[OffsetCommitRequestPartition]) -> Vec<PartitionOffset> {
    let offsets = partitions.iter().map(|partition| PartitionOffset {
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: owned_option(partition.committed_metadata.as_ref()),
    });
    offsets.collect()
}

fn response(topics: &[TopicErrors]) -> OffsetCommitResponse {
    let topics = topics.iter().map(|topic| OffsetCommitResponseTopic {
        name: wire(&topic.topic),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|(partition, error)| OffsetCommitResponsePartition {
                partition_index: *partition,
                error_code: error.code(),
            })
            .collect(),
    });
    OffsetCommitResponse {
        throttle_time_ms: 0,
        topics: topics.collect(),
    }
}
