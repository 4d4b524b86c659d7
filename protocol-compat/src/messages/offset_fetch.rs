//! OffsetFetch, API key 9, versions 1-10: the codec crate's request stops at 9, before topic ids.

use kafka_protocol::protocol::StrBytes;

use super::declare::{default_or, flexible_from, if_given, last_version, message, request};
use crate::types::TopicId;

request!(OffsetFetchRequest => OffsetFetchResponse, OffsetFetch);

message! {
    versions 1-10, flexible 6+;

    /// Asks for committed offsets: of one group up to version 7, of several from 8.
    pub struct OffsetFetchRequest {
        /// The group's id.
        group_id: StrBytes, v(0-7);
        /// What to fetch; null for every partition with a committed offset.
        topics: Option<Vec<OffsetFetchRequestTopic>> = Some(Vec::new()), v(0-7), nullable(2-7);
        /// One entry a group.
        groups: Vec<OffsetFetchRequestGroup>, v(8+);
        /// Whether offsets of open transactions are withheld.
        require_stable: bool, v(7+);
    }

    /// The partitions of one topic.
    pub struct OffsetFetchRequestTopic {
        /// The topic's name.
        name: StrBytes, v(0-7);
        /// The partitions.
        partition_indexes: Vec<i32>, v(0-7);
    }

    /// What is asked of one group.
    pub struct OffsetFetchRequestGroup {
        /// The group's id.
        group_id: StrBytes, v(8+);
        /// The asking member; null where it is none.
        member_id: Option<StrBytes> = None, v(9+; ignorable), nullable(9+);
        /// Its epoch in a consumer group; -1 where it is none.
        member_epoch: i32 = -1, v(9+; ignorable);
        /// What to fetch; null for every partition with a committed offset.
        topics: Option<Vec<OffsetFetchRequestTopics>> = Some(Vec::new()), v(8+), nullable(8+);
    }

    /// The partitions of one topic.
    pub struct OffsetFetchRequestTopics {
        /// The topic's name.
        name: StrBytes, v(8-9; ignorable);
        /// The topic's id.
        topic_id: TopicId, v(10+; ignorable);
        /// The partitions.
        partition_indexes: Vec<i32>, v(8+);
    }
}

message! {
    versions 1-10, flexible 6+;

    /// The answer to OffsetFetch.
    pub struct OffsetFetchResponse {
        /// Milliseconds for which the client was throttled.
        throttle_time_ms: i32, v(3+; ignorable);
        /// The offsets by topic.
        topics: Vec<OffsetFetchResponseTopic>, v(0-7);
        /// The error that concerns the whole group.
        error_code: i16, v(2-7; ignorable);
        /// The offsets by group.
        groups: Vec<OffsetFetchResponseGroup>, v(8+);
    }

    /// The offsets of one topic.
    pub struct OffsetFetchResponseTopic {
        /// The topic's name.
        name: StrBytes, v(0-7);
        /// One entry a partition.
        partitions: Vec<OffsetFetchResponsePartition>, v(0-7);
    }

    /// The offset of one partition.
    pub struct OffsetFetchResponsePartition {
        /// The partition.
        partition_index: i32, v(0-7);
        /// The committed offset; -1 where there is none.
        committed_offset: i64, v(0-7);
        /// The leader epoch it was committed with; -1 if unknown.
        committed_leader_epoch: i32 = -1, v(5-7; ignorable);
        /// What the client had kept beside it.
        metadata: Option<StrBytes>, v(0-7), nullable(0-7);
        /// Kafka's error code; 0 for none.
        error_code: i16, v(0-7);
    }

    /// The offsets of one group.
    pub struct OffsetFetchResponseGroup {
        /// The group's id.
        group_id: StrBytes, v(8+);
        /// The offsets by topic.
        topics: Vec<OffsetFetchResponseTopics>, v(8+);
        /// The error that concerns the whole group.
        error_code: i16, v(8+);
    }

    /// The offsets of one topic.
    pub struct OffsetFetchResponseTopics {
        /// The topic's name.
        name: StrBytes, v(8-9; ignorable);
        /// The topic's id.
        topic_id: TopicId, v(10+; ignorable);
        /// One entry a partition.
        partitions: Vec<OffsetFetchResponsePartitions>, v(8+);
    }

    /// The offset of one partition.
    pub struct OffsetFetchResponsePartitions {
        /// The partition.
        partition_index: i32, v(8+);
        /// The committed offset; -1 where there is none.
        committed_offset: i64, v(8+);
        /// The leader epoch it was committed with; -1 if unknown.
        committed_leader_epoch: i32 = -1, v(8+; ignorable);
        /// What the client had kept beside it.
        metadata: Option<StrBytes>, v(8+), nullable(8+);
        /// Kafka's error code; 0 for none.
        error_code: i16, v(8+);
    }
}
