//! ListOffsets, API key 2, versions 1-11.
//!
//! Finds the offset of a timestamp or of a named place: the earliest and the latest offset, the record with the largest
//! timestamp, and the places that belong to tiered storage.
//!
//! Version 2 knows isolation levels (KIP-98), 4 leader epochs (KIP-320), 5 `OFFSET_NOT_AVAILABLE`, 6 is flexible, 7 knows
//! the maximum timestamp (KIP-734), 8 the earliest local offset (KIP-405), 9 the latest tiered one (KIP-1005), 10 a
//! timeout for tiered storage, 11 the earliest one that is not uploaded (KIP-1023).
//!
//! Where we differ: tiered storage is not built, so that its places are answered as Kafka answers for a topic without it.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use protocol_compat::ErrorCode;
use protocol_compat::messages::StrBytes;
use protocol_compat::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use storage::log::TimestampOffset;

use crate::error_codes;
use crate::replica_manager::{Partition, ReplicaManager};
use crate::request::{Handled, RequestContext};

/// The wire's "no timestamp" and "no offset".
const NONE: i64 = -1;
/// First version whose answer has leader epochs.
const FIRST_WITH_LEADER_EPOCH: i16 = 4;
/// The replica id of a tool that reads from any replica, as far as it is there.
const DEBUGGING_REPLICA: i32 = -2;
/// The replica id of a client.
const CONSUMER: i32 = -1;

/// What a timestamp of the request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Latest,
    Earliest,
    MaxTimestamp,
    EarliestLocal,
    LatestTiered,
    EarliestPendingUpload,
    Timestamp(i64),
}

impl Place {
    /// `None` where the version does not have the place (`ReplicaManager.isListOffsetsTimestampUnsupported`).
    fn of(timestamp: i64, version: i16) -> Option<Place> {
        let (place, first_version) = match timestamp {
            -1 => (Place::Latest, 1),
            -2 => (Place::Earliest, 1),
            -3 => (Place::MaxTimestamp, 7),
            -4 => (Place::EarliestLocal, 8),
            -5 => (Place::LatestTiered, 9),
            -6 => (Place::EarliestPendingUpload, 11),
            0.. => (Place::Timestamp(timestamp), 1),
            _ => return None,
        };
        (version >= first_version).then_some(place)
    }
}

/// How far the one who asks may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    HighWatermark,
    LastStableOffset,
    LogEndOffset,
}

/// Answers at once.
pub fn handle(replicas: &Arc<ReplicaManager>, ctx: &RequestContext, body: Bytes) -> Handled {
    let request: ListOffsetsRequest = match ctx.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let duplicates = duplicates(&request);
    let bound = match (request.replica_id, request.isolation_level) {
        (CONSUMER, 1) => Bound::LastStableOffset,
        (CONSUMER, _) => Bound::HighWatermark,
        (DEBUGGING_REPLICA, _) | (_, _) => Bound::LogEndOffset,
    };
    let mut refused = HashSet::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let key = (topic.name.clone(), asked.partition_index);
            if !duplicates.contains(&key) {
                let found = find(replicas, ctx.version, &topic.name, asked, bound);
                partitions.push(found.unwrap_or_else(|error| failed(asked, error)));
            } else if refused.insert(key) {
                partitions.push(failed(asked, ErrorCode::InvalidRequest));
            }
        }
        topics.push(ListOffsetsTopicResponse {
            partitions,
            name: topic.name,
        });
    }
    Handled::Now(ctx.respond(&ListOffsetsResponse {
        throttle_time_ms: 0,
        topics,
    }))
}

/// Partitions that the request names more than once: each is refused, and answered once.
fn duplicates(request: &ListOffsetsRequest) -> HashSet<(StrBytes, i32)> {
    let mut seen = HashSet::new();
    let mut duplicates = HashSet::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let key = (topic.name.clone(), partition.partition_index);
            if !seen.insert(key.clone()) {
                duplicates.insert(key);
            }
        }
    }
    duplicates
}

fn failed(asked: &ListOffsetsPartition, error: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: error as i16,
        ..ListOffsetsPartitionResponse::default()
    }
}

fn find(
    replicas: &ReplicaManager,
    version: i16,
    topic: &str,
    asked: &ListOffsetsPartition,
    bound: Bound,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    let place = Place::of(asked.timestamp, version).ok_or(ErrorCode::UnsupportedVersion)?;
    let partition = replicas.partition(topic, asked.partition_index)?;
    partition.check_leader_epoch(asked.current_leader_epoch)?;
    let mut answer = failed(asked, ErrorCode::None);
    if let Some(found) = locate(&partition, place, bound)? {
        answer.timestamp = found.timestamp_ms;
        answer.offset = found.offset;
        if version >= FIRST_WITH_LEADER_EPOCH {
            answer.leader_epoch = found.leader_epoch;
        }
    }
    Ok(answer)
}

/// An offset with what is known of its record; -1 for what is not.
struct Found {
    timestamp_ms: i64,
    offset: i64,
    leader_epoch: i32,
}

fn locate(partition: &Partition, place: Place, bound: Bound) -> Result<Option<Found>, ErrorCode> {
    let _inside = partition.enter();
    let log = partition.log();
    let end = match bound {
        Bound::HighWatermark => log.high_watermark(),
        Bound::LastStableOffset => log.last_stable_offset(),
        Bound::LogEndOffset => log.log_end_offset(),
    };
    let at = |offset, leader_epoch| Found {
        timestamp_ms: NONE,
        offset,
        leader_epoch,
    };
    let visible = |found: TimestampOffset| {
        (found.offset < end).then_some(Found {
            timestamp_ms: found.timestamp_ms,
            offset: found.offset,
            leader_epoch: found.leader_epoch,
        })
    };
    Ok(match place {
        Place::Latest => Some(at(end, partition.leader_epoch())),
        Place::Earliest | Place::EarliestLocal => {
            let start = log.log_start_offset();
            Some(at(start, log.epoch_for_offset(start).unwrap_or(-1)))
        }
        Place::LatestTiered | Place::EarliestPendingUpload => Some(at(NONE, -1)),
        Place::MaxTimestamp => {
            let found = log
                .max_timestamp_offset()
                .map_err(|error| error_codes::of_read(&error))?;
            found.and_then(visible)
        }
        Place::Timestamp(ms) => {
            let found = log
                .offset_for_timestamp(ms, end)
                .map_err(|error| error_codes::of_read(&error))?;
            found.and_then(visible)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_needs_the_version_that_brought_it() {
        assert_eq!(Place::of(-3, 6), None);
        assert_eq!(Place::of(-3, 7), Some(Place::MaxTimestamp));
        assert_eq!(
            (Place::of(-4, 7), Place::of(-5, 8), Place::of(-6, 10)),
            (None, None, None)
        );
        assert_eq!(Place::of(-6, 11), Some(Place::EarliestPendingUpload));
        assert_eq!(Place::of(-7, 11), None);
        assert_eq!(Place::of(0, 1), Some(Place::Timestamp(0)));
    }
}
