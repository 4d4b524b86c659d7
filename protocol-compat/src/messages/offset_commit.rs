//! OffsetCommit, API key 8, versions 2-10: the codec crate's request stops at 9, before topic ids.

use kafka_protocol::protocol::StrBytes;

use super::declare::{default_or, flexible_from, if_given, last_version, message, request};
use crate::types::TopicId;

request!(OffsetCommitRequest => OffsetCommitResponse, OffsetCommit);

message! {
    versions 2-10, flexible 8+;

    /// Commits offsets of a group.
    pub struct OffsetCommitRequest {
        /// The group's id.
        group_id: StrBytes, v(0+);
        /// The generation of a classic group or the member epoch of a consumer group; -1 where the committer is no member.
        generation_id_or_member_epoch: i32 = -1, v(1+; ignorable);
        /// The committing member; empty where it is none.
        member_id: StrBytes, v(1+; ignorable);
        /// The static member's `group.instance.id`.
        group_instance_id: Option<StrBytes> = None, v(7+), nullable(7+);
        /// Milliseconds to keep the offsets; -1 for the broker's own retention.
        retention_time_ms: i64 = -1, v(2-4; ignorable);
        /// What to commit.
        topics: Vec<OffsetCommitRequestTopic>, v(0+);
    }

    /// The offsets of one topic.
    pub struct OffsetCommitRequestTopic {
        /// The topic's name.
        name: StrBytes, v(0-9; ignorable);
        /// The topic's id.
        topic_id: TopicId, v(10+; ignorable);
        /// One entry a partition.
        partitions: Vec<OffsetCommitRequestPartition>, v(0+);
    }

    /// The offset of one partition.
    pub struct OffsetCommitRequestPartition {
        /// The partition.
        partition_index: i32, v(0+);
        /// The next offset to read.
        committed_offset: i64, v(0+);
        /// The leader epoch of the last record read; -1 if unknown.
        committed_leader_epoch: i32 = -1, v(6+; ignorable);
        /// What the client wants kept beside it.
        committed_metadata: Option<StrBytes>, v(0+), nullable(0+);
    }
}

message! {
    versions 2-10, flexible 8+;

    /// The answer to OffsetCommit.
    pub struct OffsetCommitResponse {
        /// Milliseconds for which the client was throttled.
        throttle_time_ms: i32, v(3+; ignorable);
        /// The outcome by topic.
        topics: Vec<OffsetCommitResponseTopic>, v(0+);
    }

    /// The outcome of one topic.
    pub struct OffsetCommitResponseTopic {
        /// The topic's name.
        name: StrBytes, v(0-9; ignorable);
        /// The topic's id.
        topic_id: TopicId, v(10+; ignorable);
        /// One entry a partition.
        partitions: Vec<OffsetCommitResponsePartition>, v(0+);
    }

    /// The outcome of one partition.
    pub struct OffsetCommitResponsePartition {
        /// The partition.
        partition_index: i32, v(0+);
        /// Kafka's error code; 0 for none.
        error_code: i16, v(0+);
    }
}
