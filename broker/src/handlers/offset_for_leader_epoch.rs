//! OffsetForLeaderEpoch, API key 23, versions 2-4.
//!
//! Says where a leader epoch ended, so that a consumer can tell whether what it read was cut off (KIP-320). Version 3
//! names the asking replica, 4 is flexible.

use std::sync::Arc;

use bytes::Bytes;
use protocol_compat::ErrorCode;
use protocol_compat::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition,
};
use protocol_compat::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};

use crate::replica_manager::ReplicaManager;
use crate::request::{Handled, RequestContext};

/// Answers at once.
pub fn handle(replicas: &Arc<ReplicaManager>, ctx: &RequestContext, body: Bytes) -> Handled {
    let request: OffsetForLeaderEpochRequest = match ctx.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let mut topics: Vec<OffsetForLeaderTopicResult> = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        // The answer is keyed by name: of a topic that is named twice, the first entry stays, as in Kafka.
        if topics.iter().any(|earlier| earlier.topic == topic.topic) {
            continue;
        }
        let partitions = topic
            .partitions
            .iter()
            .map(|asked| answer(replicas, &topic.topic, asked))
            .collect();
        let result = OffsetForLeaderTopicResult::default().with_partitions(partitions);
        topics.push(result.with_topic(topic.topic));
    }
    Handled::Now(ctx.respond(&OffsetForLeaderEpochResponse::default().with_topics(topics)))
}

fn answer(replicas: &ReplicaManager, topic: &str, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let answer = EpochEndOffset::default().with_partition(asked.partition);
    match end_of_epoch(replicas, topic, asked) {
        Ok((epoch, end_offset)) => answer.with_leader_epoch(epoch).with_end_offset(end_offset),
        Err(error) => answer.with_error_code(error as i16),
    }
}

fn end_of_epoch(
    replicas: &ReplicaManager,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ErrorCode> {
    let partition = replicas.partition(topic, asked.partition)?;
    partition.check_leader_epoch(asked.current_leader_epoch)?;
    Ok(partition.log().end_offset_for_epoch(asked.leader_epoch))
}
