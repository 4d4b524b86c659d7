//! OffsetDelete, API key 47, version 0. Removes offsets of topics that no member of the group consumes (KIP-496).

use std::sync::Arc;

use bytes::Bytes;
use metadata::group::offsets::topics::{ResolvedDelete, merge_outcomes, resolve_delete};
use metadata::group::request::{DeleteOffsetsReply, DeleteOffsetsRequest, TopicErrors};
use metadata::image::MetadataImage;
use protocol_compat::ErrorCode;
use protocol_compat::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use protocol_compat::messages::{OffsetDeleteRequest, OffsetDeleteResponse, TopicName};

use super::wire_text::{owned, wire};
use crate::group_coordinator::GroupCoordinator;
use crate::request::{Handled, RequestContext};

/// Answers when the removals are committed.
pub fn handle(
    coordinator: &Arc<GroupCoordinator>,
    image: &MetadataImage,
    context: &RequestContext,
    body: Bytes,
) -> Handled {
    let request: OffsetDeleteRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
        (owned(&topic.name.0), partitions.collect())
    });
    let ResolvedDelete { known, errors } = resolve_delete(&image.topics, topics.collect());
    let delete = DeleteOffsetsRequest {
        group_id: owned(&request.group_id.0),
        topics: known,
    };
    let (coordinator, context) = (coordinator.clone(), context.clone());
    Handled::Exclusive(Box::pin(async move {
        let reply = coordinator.delete_offsets(delete).await;
        context.respond(&response(errors, reply))
    }))
}

fn response(errors: Vec<TopicErrors>, reply: DeleteOffsetsReply) -> OffsetDeleteResponse {
    if reply.error != ErrorCode::None {
        return OffsetDeleteResponse::default().with_error_code(reply.error.code());
    }
    let topics = merge_outcomes(errors, reply.topics);
    OffsetDeleteResponse::default().with_topics(topics.iter().map(topic_outcome).collect())
}

fn topic_outcome(topic: &TopicErrors) -> OffsetDeleteResponseTopic {
    let partitions = topic.partitions.iter().map(|(partition, error)| {
        OffsetDeleteResponsePartition::default()
            .with_partition_index(*partition)
            .with_error_code(error.code())
    });
    OffsetDeleteResponseTopic::default()
        .with_name(TopicName(wire(&topic.topic)))
        .with_partitions(partitions.collect())
}
