//! DescribeLogDirs, API key 35, versions 1-5.
//!
//! Lists the log directories with the partitions in them and their sizes (KIP-113). Version 3 has an error for the whole
//! answer, 4 the size of the volume (KIP-827), 5 cordoned directories (KIP-1066), of which Cauce has none.
//!
//! Where we differ: a partition that nobody has used since the start is listed once it has a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use protocol_compat::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use protocol_compat::messages::{DescribeLogDirsRequest, StrBytes};
use protocol_compat::{ErrorCode, TopicPartition};
use storage::log_manager::LogDirStatus;

use crate::blocking;
use crate::replica_manager::ReplicaManager;
use crate::request::{Handled, RequestContext};

/// Partitions that were asked for; `None` for all.
type Wanted = Option<BTreeSet<(StrBytes, i32)>>;

/// Looks at the directories on a thread that may block.
pub fn handle(replicas: &Arc<ReplicaManager>, ctx: &RequestContext, body: Bytes) -> Handled {
    let request: DescribeLogDirsRequest = match ctx.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let (replicas, ctx) = (replicas.clone(), ctx.clone());
    Handled::Exclusive(Box::pin(async move {
        let wanted = wanted(request);
        let described = blocking::spawn(move || {
            let dirs = replicas.logs().dirs();
            dirs.iter().map(|dir| describe(&replicas, dir, &wanted)).collect()
        });
        let response = match described.await {
            Ok(results) => DescribeLogDirsResponse {
                results,
                ..DescribeLogDirsResponse::default()
            },
            Err(_) => DescribeLogDirsResponse {
                error_code: ErrorCode::UnknownServerError as i16,
                ..DescribeLogDirsResponse::default()
            },
        };
        ctx.respond(&response)
    }))
}

fn wanted(request: DescribeLogDirsRequest) -> Wanted {
    let topics = request.topics?;
    let mut wanted = BTreeSet::new();
    for topic in topics {
        wanted.extend(topic.partitions.iter().map(|&index| (topic.topic.clone(), index)));
    }
    Some(wanted)
}

fn describe(replicas: &ReplicaManager, dir: &LogDirStatus, wanted: &Wanted) -> DescribeLogDirsResult {
    let path = std::path::absolute(&dir.path).unwrap_or_else(|_| dir.path.clone());
    let log_dir = StrBytes::from(path.display().to_string());
    if dir.failure.is_some() {
        return DescribeLogDirsResult {
            error_code: ErrorCode::KafkaStorageError as i16,
            log_dir,
            ..DescribeLogDirsResult::default()
        };
    }
    let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for (place, size) in dir
        .partitions
        .iter()
        .filter(|(place, _)| is_wanted(wanted, place))
    {
        topics
            .entry(&place.topic)
            .or_default()
            .push(DescribeLogDirsPartition {
                partition_index: place.partition,
                partition_size: bytes(*size),
                offset_lag: offset_lag(replicas, place),
                is_future_key: false,
            });
    }
    DescribeLogDirsResult {
        error_code: 0,
        log_dir,
        topics: topics
            .into_iter()
            .map(|(name, partitions)| DescribeLogDirsTopic {
                name: StrBytes::from(name.to_owned()),
                partitions,
            })
            .collect(),
        total_bytes: dir.total_bytes.map_or(-1, bytes),
        usable_bytes: dir.usable_bytes.map_or(-1, bytes),
        is_cordoned: false,
    }
}

fn is_wanted(wanted: &Wanted, place: &TopicPartition) -> bool {
    let Some(wanted) = wanted else { return true };
    wanted.contains(&(StrBytes::from(place.topic.to_string()), place.partition))
}

fn bytes(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// How far the log's end is ahead of the high watermark, as Kafka counts it for the replica in use.
fn offset_lag(replicas: &ReplicaManager, place: &TopicPartition) -> i64 {
    let open = replicas.logs().get(place);
    open.map_or(0, |log| (log.high_watermark() - log.log_end_offset()).max(0))
}
