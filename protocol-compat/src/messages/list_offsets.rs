//! ListOffsets, API key 2, versions 1-11: the codec crate's stops at 10, before the earliest pending upload (KIP-1023).

use kafka_protocol::protocol::StrBytes;

use super::declare::{default_or, flexible_from, if_given, last_version, message, request};

request!(ListOffsetsRequest => ListOffsetsResponse, ListOffsets);

message! {
    versions 1-11, flexible 6+;

    /// Asks for the offset of a timestamp or of a named place in each log.
    pub struct ListOffsetsRequest {
        /// The asking follower; -1 for a client.
        replica_id: i32, v(0+);
        /// 0 up to the high watermark, 1 up to the last stable offset.
        isolation_level: i8, v(2+);
        /// What is asked.
        topics: Vec<ListOffsetsTopic>, v(0+);
        /// Milliseconds to wait for tiered storage.
        timeout_ms: i32, v(10+; ignorable);
    }

    /// What is asked of one topic.
    pub struct ListOffsetsTopic {
        /// The topic's name.
        name: StrBytes, v(0+);
        /// One entry a partition.
        partitions: Vec<ListOffsetsPartition>, v(0+);
    }

    /// What is asked of one partition.
    pub struct ListOffsetsPartition {
        /// The partition.
        partition_index: i32, v(0+);
        /// The leader epoch that the client knows; -1 if none.
        current_leader_epoch: i32 = -1, v(4+; ignorable);
        /// Milliseconds since 1970, or a negative number that names a place.
        timestamp: i64, v(0+);
    }
}

message! {
    versions 1-11, flexible 6+;

    /// The answer to ListOffsets.
    pub struct ListOffsetsResponse {
        /// Milliseconds for which the client was throttled.
        throttle_time_ms: i32, v(2+; ignorable);
        /// The answer by topic.
        topics: Vec<ListOffsetsTopicResponse>, v(0+);
    }

    /// The answer for one topic.
    pub struct ListOffsetsTopicResponse {
        /// The topic's name.
        name: StrBytes, v(0+);
        /// One entry a partition.
        partitions: Vec<ListOffsetsPartitionResponse>, v(0+);
    }

    /// The answer for one partition.
    pub struct ListOffsetsPartitionResponse {
        /// The partition.
        partition_index: i32, v(0+);
        /// Kafka's error code; 0 for none.
        error_code: i16, v(0+);
        /// The timestamp of the record found; -1 where there is none.
        timestamp: i64 = -1, v(1+);
        /// Its offset; -1 where there is none.
        offset: i64 = -1, v(1+);
        /// The leader epoch it was written in; -1 if unknown.
        leader_epoch: i32 = -1, v(4+; ignorable);
    }
}
