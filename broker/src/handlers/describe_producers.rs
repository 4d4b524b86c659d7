//! DescribeProducers, API key 61, version 0.
//!
//! Lists the idempotent producers that a partition remembers (KIP-664), with their last sequence numbers.

use std::sync::Arc;

use bytes::Bytes;
use metadata::controller::validate_topic_name;
use protocol_compat::ErrorCode;
use protocol_compat::messages::describe_producers_request::DescribeProducersRequest;
use protocol_compat::messages::describe_producers_response::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use protocol_compat::messages::{ProducerId, StrBytes};

use super::named_again::NamedAgain;
use crate::replica_manager::ReplicaManager;
use crate::request::{Handled, RequestContext};

/// Answers at once.
pub fn handle(replicas: &Arc<ReplicaManager>, ctx: &RequestContext, body: Bytes) -> Handled {
    let request: DescribeProducersRequest = match ctx.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let mut named = NamedAgain::new();
    let topics = request.topics.into_iter().map(|mut topic| {
        let name = &topic.name;
        topic
            .partition_indexes
            .retain(|index| named.is_answered((name.clone(), *index)));
        let refused = topic_refusal(replicas, &topic.name);
        let describe = |index: &i32| match &refused {
            Some((error, message)) => {
                failed(*index, *error).with_error_message(Some(StrBytes::from(message.clone())))
            }
            None => producers(replicas, &topic.name, *index).unwrap_or_else(|error| failed(*index, error)),
        };
        let partitions = topic.partition_indexes.iter().map(describe).collect();
        TopicResponse::default()
            .with_partitions(partitions)
            .with_name(topic.name)
    });
    Handled::Now(ctx.respond(&DescribeProducersResponse::default().with_topics(topics.collect())))
}

/// What is wrong with a topic as a whole; an unknown partition of a known topic has no words of its own in Kafka.
fn topic_refusal(replicas: &ReplicaManager, topic: &str) -> Option<(ErrorCode, String)> {
    if let Err(message) = validate_topic_name(topic) {
        return Some((ErrorCode::InvalidTopicException, message));
    }
    if replicas.image().topics.by_name(topic).is_some() {
        return None;
    }
    let message = format!("there is no topic {topic}");
    Some((ErrorCode::UnknownTopicOrPartition, message))
}

fn failed(index: i32, error: ErrorCode) -> PartitionResponse {
    PartitionResponse::default()
        .with_partition_index(index)
        .with_error_code(error as i16)
}

fn producers(replicas: &ReplicaManager, topic: &str, index: i32) -> Result<PartitionResponse, ErrorCode> {
    let partition = replicas.partition(topic, index)?;
    let states = partition.log().producers().into_iter().map(|(id, entry)| {
        ProducerState::default()
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(i32::from(entry.producer_epoch))
            .with_last_sequence(entry.last_sequence())
            .with_last_timestamp(entry.last_timestamp_ms)
            .with_coordinator_epoch(entry.coordinator_epoch)
            .with_current_txn_start_offset(entry.current_transaction_first_offset.unwrap_or(-1))
    });
    Ok(PartitionResponse::default()
        .with_partition_index(index)
        .with_active_producers(states.collect()))
}
