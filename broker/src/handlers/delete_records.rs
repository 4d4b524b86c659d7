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

use crate::blocking;
use crate::error_codes;
use crate::replica_manager::ReplicaManager;
use crate::request::{Handled, RequestContext};

/// The wire's "up to the high watermark".
const HIGH_WATERMARK: i64 = -1;

/// Deletes and answers, on a thread that may block: the new start is synced.
pub fn handle(replicas: &Arc<ReplicaManager>, ctx: &RequestContext, body: Bytes) -> Handled {
    let request: DeleteRecordsRequest = match ctx.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    // Keyed as in Kafka: of a partition that is named twice the last offset counts.
    let mut wanted = Wanted::new();
    for topic in request.topics {
        let partitions = wanted.entry(topic.name).or_default();
        partitions.extend(
            topic
                .partitions
                .iter()
                .map(|asked| (asked.partition_index, asked.offset)),
        );
    }
    wanted.retain(|_, partitions| !partitions.is_empty());
    let (replicas, ctx) = (replicas.clone(), ctx.clone());
    Handled::Exclusive(Box::pin(async move {
        let asked = wanted.clone();
        let deleting = blocking::spawn(move || {
            results(&wanted, |topic, index, offset| {
                delete(&replicas, topic, index, offset)
            })
        });
        let topics = deleting.await.unwrap_or_else(|cause| {
            tracing::error!(%cause, "records were not deleted");
            results(&asked, |_, _, _| Err(ErrorCode::UnknownServerError))
        });
        ctx.respond(&DeleteRecordsResponse::default().with_topics(topics))
    }))
}

/// Offsets by partition and topic.
type Wanted = BTreeMap<TopicName, BTreeMap<i32, i64>>;

fn results(
    wanted: &Wanted,
    delete: impl Fn(&str, i32, i64) -> Result<i64, ErrorCode>,
) -> Vec<DeleteRecordsTopicResult> {
    let topics = wanted.iter().map(|(name, partitions)| {
        let results = partitions
            .iter()
            .map(|(&index, &offset)| result(index, delete(name, index, offset)));
        DeleteRecordsTopicResult::default()
            .with_partitions(results.collect())
            .with_name(name.clone())
    });
    topics.collect()
}

fn result(index: i32, deleted: Result<i64, ErrorCode>) -> DeleteRecordsPartitionResult {
    let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
    match deleted {
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

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::{Decodable, Encodable};
    use metadata::image::MetadataImage;
    use protocol_compat::messages::StrBytes;
    use protocol_compat::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    use protocol_compat::{ApiKey, BrokerId};
    use storage::disk::{Disk, SimDisk};
    use storage::log_dirs::NodeIdentity;
    use storage::log_manager::{LogManager, LogManagerConfig};
    use uuid::Uuid;

    use super::*;
    use crate::clock::Clock;
    use crate::config::Settings;
    use crate::metadata_cache::MetadataCache;

    fn replicas() -> Arc<ReplicaManager> {
        let config = LogManagerConfig {
            identity: NodeIdentity {
                node_id: 1,
                cluster_id: None,
            },
            boot_id: None,
            max_open_files: 8,
            flush_threads: 1,
            flush_journal_bytes: 1 << 20,
            reserve_bytes: 0,
            append_watch: None,
        };
        let disk = Disk::simulated(&SimDisk::new(7, 1 << 20));
        let logs = LogManager::open(
            &disk,
            &["/data".into()],
            config,
            Box::new(|| Uuid::from_u128(500)),
        );
        let cache = MetadataCache::new(Arc::new(MetadataImage::empty("cluster")));
        let logs = Arc::new(logs.expect("an empty disk"));
        Arc::new(ReplicaManager::new(
            BrokerId(1),
            cache,
            logs,
            &Settings::default(),
            Clock::real(),
            crate::disk_stalls::DiskStalls::unwatched(),
        ))
    }

    #[tokio::test]
    async fn the_disk_is_not_waited_for_on_the_thread_of_the_connection() {
        let context = RequestContext::for_test(ApiKey::DeleteRecords, 2);
        let asked = DeleteRecordsPartition::default()
            .with_partition_index(3)
            .with_offset(5);
        let topic = DeleteRecordsTopic::default()
            .with_name(TopicName::from(StrBytes::from_static_str("orders")))
            .with_partitions(vec![asked]);
        let mut body = bytes::BytesMut::new();
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]);
        request.encode(&mut body, 2).expect("a request");
        let Handled::Exclusive(answer) = handle(&replicas(), &context, body.freeze()) else {
            panic!("the answer must come from another thread");
        };
        let frame = answer.await.to_bytes();
        let read = DeleteRecordsResponse::decode(&mut frame.slice(9..), 2).expect("an answer");
        let partition = &read.topics[0].partitions[0];
        assert_eq!((partition.partition_index, partition.low_watermark), (3, -1));
        assert_eq!(partition.error_code, ErrorCode::UnknownTopicOrPartition as i16);
    }
}
