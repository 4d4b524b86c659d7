//! DescribeTopicPartitions, API key 75, version 0. Describes topics page by page (KIP-966).
//!
//! A page holds at most `max.request.partition.size.limit` partitions; the cursor says where the next page begins.

use std::collections::BTreeSet;

use bytes::Bytes;
use metadata::controller::{is_internal_topic, validate_topic_name};
use metadata::image::{MetadataImage, TopicImage};
use protocol_compat::ErrorCode;
use protocol_compat::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use protocol_compat::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, StrBytes};

use super::authorized_operations::TOPIC_OPERATIONS;
use super::topic_metadata::{offline_replicas, reachable_leader, wire_ids};
use crate::config::NodeConfig;
use crate::request::{Handled, RequestContext};

/// Answers from the image.
pub fn handle(image: &MetadataImage, config: &NodeConfig, context: &RequestContext, body: Bytes) -> Handled {
    let request: DescribeTopicPartitionsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let response = match names(image, &request) {
        Some(names) => page(image, config, context, &request, names),
        None => refused(&request),
    };
    Handled::Now(context.respond(&response))
}

/// The topics from the cursor on; `None` when the cursor is not one that this broker gave.
fn names(image: &MetadataImage, request: &DescribeTopicPartitionsRequest) -> Option<BTreeSet<String>> {
    let from = request
        .cursor
        .as_ref()
        .map_or("", |cursor| cursor.topic_name.0.as_str());
    let names: BTreeSet<String> = if request.topics.is_empty() {
        image
            .topics
            .iter_from(from)
            .map(|topic| topic.name.to_string())
            .collect()
    } else {
        let asked = request.topics.iter().map(|topic| topic.name.0.as_str());
        asked.filter(|name| *name >= from).map(str::to_owned).collect()
    };
    let cursor_is_known = request.topics.is_empty() || from.is_empty() || names.contains(from);
    let partition_is_valid = request
        .cursor
        .as_ref()
        .is_none_or(|cursor| cursor.partition_index >= 0);
    (cursor_is_known && partition_is_valid).then_some(names)
}

fn refused(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter().map(|topic| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_name(Some(topic.name.clone()))
    });
    DescribeTopicPartitionsResponse::default().with_topics(topics.collect())
}

fn page(
    image: &MetadataImage,
    config: &NodeConfig,
    context: &RequestContext,
    request: &DescribeTopicPartitionsRequest,
    names: BTreeSet<String>,
) -> DescribeTopicPartitionsResponse {
    let limit = config.network.max_request_partition_size_limit;
    let mut remaining = request.response_partition_limit.min(limit).max(1);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        if remaining == 0 {
            response.next_cursor = Some(cursor(&name, 0));
            break;
        }
        let Some(topic) = image.topics.by_name(&name) else {
            if !request.topics.is_empty() {
                response.topics.push(unknown(&name));
            }
            continue;
        };
        let at_cursor = request
            .cursor
            .as_ref()
            .filter(|cursor| cursor.topic_name.0.as_str() == name);
        let from = at_cursor.map_or(0, |cursor| cursor.partition_index);
        let count = i32::try_from(topic.partition_count()).unwrap_or(i32::MAX);
        let upper = count.min(from.saturating_add(remaining));
        response
            .topics
            .push(described(image, context, topic, from..upper));
        if upper < count {
            response.next_cursor = Some(cursor(&name, upper));
            break;
        }
        remaining -= upper.saturating_sub(from).max(0);
    }
    response
}

fn cursor(name: &str, partition: i32) -> Cursor {
    Cursor::default()
        .with_topic_name(StrBytes::from_string(name.to_owned()).into())
        .with_partition_index(partition)
}

fn topic_row(name: &str) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(StrBytes::from_string(name.to_owned()).into()))
        .with_is_internal(is_internal_topic(name))
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let code = match validate_topic_name(name) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    topic_row(name).with_error_code(code.code())
}

fn described(
    image: &MetadataImage,
    context: &RequestContext,
    topic: &TopicImage,
    indexes: std::ops::Range<i32>,
) -> DescribeTopicPartitionsResponseTopic {
    let rows = indexes.filter_map(|index| {
        let partition = topic.partition(index)?;
        let leader = reachable_leader(&image.brokers, partition, &context.listener);
        Some(
            DescribeTopicPartitionsResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(leader.unwrap_or((-1).into()))
                .with_leader_epoch(partition.leader_epoch.0)
                .with_replica_nodes(wire_ids(&partition.replicas))
                .with_isr_nodes(wire_ids(&partition.isr))
                .with_eligible_leader_replicas(Some(wire_ids(&partition.elr)))
                .with_last_known_elr(Some(wire_ids(&partition.last_known_elr)))
                .with_offline_replicas(offline_replicas(&image.brokers, partition, &context.listener)),
        )
    });
    topic_row(&topic.name)
        .with_topic_id(topic.id.0)
        .with_partitions(rows.collect())
}
