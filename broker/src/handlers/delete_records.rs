//! DeleteRecords, API key 21, versions 0-2.
//!
//! Moves the log start offset up to an offset, or to the high watermark where the offset is -1 (KIP-107), and answers with
//! the low watermark: the smallest log start offset of the replicas, which is this one's. The new start is durable before
//! the answer: Kafka checkpoints it within a minute, and what was deleted can come back until then. Version 2 is flexible.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use metadata::controller::is_internal_topic;
use protocol_compat::ErrorCode;
use protocol_compat::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use protocol_compat::messages::{DeleteRecordsRequest, TopicName};

use crate::error_codes;
use crate::replica_manager::ReplicaManager;
use crate::request::{Handled, RequestContext};

/// The wire's "up to the high watermark".
const HIGH_WATERMARK: i64 = -1;

/// Deletes and answers.
pub fn handle(replicas: &Arc<ReplicaManager>, ctx: &RequestContext, body: Bytes) -> Handled {
    let request: DeleteRecordsRequest = match ctx.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    // Keyed as in Kafka: of a partition that is named twice the last offset counts.
    let mut wanted: BTreeMap<TopicName, BTreeMap<i32, i64>> = BTreeMap::new();
    for topic in request.topics {
        let partitions = wanted.entry(topic.name).or_default();
        partitions.extend(
            topic
                .partitions
                .iter()
                .map(|asked| (asked.partition_index, asked.offset)),
        );
    }
    let topics = wanted
        .into_iter()
        .filter(|(_, partitions)| !partitions.is_empty());
    let results = topics.map(|(name, partitions)| {
        let results = partitions
            .into_iter()
            .map(|(index, offset)| result(replicas, &name, index, offset));
        DeleteRecordsTopicResult::default()
            .with_partitions(results.collect())
            .with_name(name)
    });
    Handled::Now(ctx.respond(&DeleteRecordsResponse::default().with_topics(results.collect())))
}

fn result(replicas: &ReplicaManager, topic: &str, index: i32, offset: i64) -> DeleteRecordsPartitionResult {
    let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
    match delete(replicas, topic, index, offset) {
        Ok(low_watermark) => result.with_low_watermark(low_watermark),
        Err(error) => result.with_low_watermark(-1).with_error_code(error as i16),
    }
}

fn delete(replicas: &ReplicaManager, topic: &str, index: i32, offset: i64) -> Result<i64, ErrorCode> {
    let partition = replicas.partition(topic, index)?;
    if is_internal_topic(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let log = partition.log();
    let policy = log.config().cleanup_policy;
    if policy.compact && !policy.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let offset = if offset == HIGH_WATERMARK {
        log.high_watermark()
    } else {
        offset
    };
    if offset < 0 {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    replicas
        .logs()
        .delete_records_before(partition.topic_partition(), offset)
        .map_err(|error| error_codes::of_log(&error))
}
