//! DescribeLogDirs, API key 35, versions 1-5: the codec crate's stops at 4, before cordoned directories (KIP-1066).

use kafka_protocol::protocol::StrBytes;

use super::declare::{default_or, flexible_from, if_given, last_version, message, request};

request!(DescribeLogDirsRequest => DescribeLogDirsResponse, DescribeLogDirs);

message! {
    versions 1-5, flexible 2+;

    /// Asks what lies in a broker's log directories.
    pub struct DescribeLogDirsRequest {
        /// Which topics; null for all.
        topics: Option<Vec<DescribableLogDirTopic>> = Some(Vec::new()), v(0+), nullable(0+);
    }

    /// The partitions of one topic.
    pub struct DescribableLogDirTopic {
        /// The topic's name.
        topic: StrBytes, v(0+);
        /// The partitions.
        partitions: Vec<i32>, v(0+);
    }
}

message! {
    versions 1-5, flexible 2+;

    /// The log directories of a broker.
    pub struct DescribeLogDirsResponse {
        /// Milliseconds for which the client was throttled.
        throttle_time_ms: i32, v(0+);
        /// The error that concerns the whole request.
        error_code: i16, v(3+; ignorable);
        /// One entry a directory.
        results: Vec<DescribeLogDirsResult>, v(0+);
    }

    /// One log directory.
    pub struct DescribeLogDirsResult {
        /// Kafka's error code; 0 for none.
        error_code: i16, v(0+);
        /// The directory's absolute path.
        log_dir: StrBytes, v(0+);
        /// What lies in it.
        topics: Vec<DescribeLogDirsTopic>, v(0+);
        /// Bytes of the volume; -1 if unknown.
        total_bytes: i64 = -1, v(4+; ignorable);
        /// Bytes of the volume that can be used; -1 if unknown.
        usable_bytes: i64 = -1, v(4+; ignorable);
        /// Whether the directory takes no new partitions.
        is_cordoned: bool, v(5+; ignorable);
    }

    /// The replicas of one topic in a directory.
    pub struct DescribeLogDirsTopic {
        /// The topic's name.
        name: StrBytes, v(0+);
        /// One entry a partition.
        partitions: Vec<DescribeLogDirsPartition>, v(0+);
    }

    /// A replica in a directory.
    pub struct DescribeLogDirsPartition {
        /// The partition.
        partition_index: i32, v(0+);
        /// Bytes of its segments.
        partition_size: i64, v(0+);
        /// How far its end is behind the high watermark, or behind the current replica where this one is to replace it.
        offset_lag: i64, v(0+);
        /// Whether this replica is to replace the one in use.
        is_future_key: bool, v(0+);
    }
}
