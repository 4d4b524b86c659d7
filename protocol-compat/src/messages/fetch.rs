//! The answer to Fetch, API key 1, versions 4-18: our own, because the codec crate copies the records when it encodes.
//!
//! Written to [`Pieces`](super::output::Pieces), the records of each partition stay where they are.

use kafka_protocol::protocol::{HeaderVersion, StrBytes};

use super::base_records::Records;
use super::declare::{default_or, flexible_from, if_given, last_version, message};
use crate::api_key::ApiKey;
use crate::types::TopicId;

impl HeaderVersion for FetchResponse {
    fn header_version(version: i16) -> i16 {
        ApiKey::Fetch.response_header_version(version)
    }
}

message! {
    versions 4-18, flexible 12+;

    /// Records by topic and partition.
    pub struct FetchResponse {
        /// Milliseconds for which the client was throttled.
        throttle_time_ms: i32, v(1+; ignorable);
        /// The error that concerns the whole request.
        error_code: i16, v(7+; ignorable);
        /// The fetch session; 0 for none.
        session_id: i32, v(7+);
        /// The answer by topic.
        responses: Vec<FetchableTopicResponse>, v(0+);
        /// Where the leaders named in the answer listen (KIP-951).
        node_endpoints: Vec<NodeEndpoint>, v(16+; ignorable), tag(0);
    }

    /// The answer for one topic.
    pub struct FetchableTopicResponse {
        /// The topic's name.
        topic: StrBytes, v(0-12; ignorable);
        /// The topic's id.
        topic_id: TopicId, v(13+; ignorable);
        /// One entry a partition.
        partitions: Vec<PartitionData>, v(0+);
    }

    /// The answer for one partition.
    pub struct PartitionData {
        /// The partition.
        partition_index: i32, v(0+);
        /// Kafka's error code; 0 for none.
        error_code: i16, v(0+);
        /// The high watermark; -1 if unknown.
        high_watermark: i64, v(0+);
        /// The last stable offset; -1 if unknown.
        last_stable_offset: i64 = -1, v(4+; ignorable);
        /// The log start offset; -1 if unknown.
        log_start_offset: i64 = -1, v(5+; ignorable);
        /// Where the follower's log left the leader's.
        diverging_epoch: EpochEndOffset, v(12+; ignorable), tag(0);
        /// The leader, where the client was wrong about it.
        current_leader: LeaderIdAndEpoch, v(12+; ignorable), tag(1);
        /// The snapshot to fetch in place of records.
        snapshot_id: SnapshotId, v(12+; ignorable), tag(2);
        /// The aborted transactions in the range; null where the reader did not ask for committed records only.
        aborted_transactions: Option<Vec<AbortedTransaction>>, v(4+; ignorable), nullable(4+);
        /// The replica to read from next; -1 for the leader.
        preferred_read_replica: i32 = -1, v(11+);
        /// Whole record batches, the last of which may be cut off.
        records: Option<Records>, v(0+), nullable(0+);
    }

    /// A leader epoch and where it ended.
    pub struct EpochEndOffset {
        /// The epoch.
        epoch: i32 = -1, v(12+);
        /// Its end offset, exclusive.
        end_offset: i64 = -1, v(12+);
    }

    /// A leader.
    pub struct LeaderIdAndEpoch {
        /// The broker; -1 if unknown.
        leader_id: i32 = -1, v(12+);
        /// Its epoch; -1 if unknown.
        leader_epoch: i32 = -1, v(12+);
    }

    /// A snapshot of the metadata log.
    pub struct SnapshotId {
        /// Its end offset, exclusive.
        end_offset: i64 = -1, v(0+);
        /// Its epoch.
        epoch: i32 = -1, v(0+);
    }

    /// An aborted transaction.
    pub struct AbortedTransaction {
        /// The producer.
        producer_id: i64, v(4+);
        /// The transaction's first offset in the partition.
        first_offset: i64, v(4+);
    }

    /// Where a broker listens.
    pub struct NodeEndpoint {
        /// The broker.
        node_id: i32, v(16+);
        /// Its host.
        host: StrBytes, v(16+);
        /// Its port.
        port: i32, v(16+);
        /// Its rack.
        rack: Option<StrBytes> = None, v(16+), nullable(16+);
    }
}
