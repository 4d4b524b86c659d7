//! The settings of one partition's log: Kafka's topic keys as far as the log itself obeys them.

use protocol_compat::record_batch::batch::{Compression, TimestampType};

/// What happens to old data (`cleanup.policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Delete segments past the retention limits.
    pub delete: bool,
    /// Keep the last record of each key.
    pub compact: bool,
}

/// What the log does with the codec of appended batches (`compression.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicCompression {
    /// `producer`: kept as they come.
    Producer,
    /// Rewritten where the codec differs; the level is the codec's own scale.
    Codec(Compression, i32),
}

/// `min.cleanable.dirty.ratio`, from 0 to 1, in millionths: settings are compared as a whole, and floats are not equal to
/// themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CleanableRatio(u32);

impl CleanableRatio {
    /// A ratio between 0 and 1; what lies outside becomes the nearest of them.
    pub fn new(ratio: f64) -> CleanableRatio {
        CleanableRatio((ratio.clamp(0.0, 1.0) * 1e6).round() as u32)
    }

    /// From 0 to 1.
    pub fn get(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

/// Settings of a log. Names are Kafka's keys with dots as underscores; units stand last in the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is rolled before it would pass this size.
    pub segment_bytes: u64,
    /// `segment.ms`: age at which a segment is rolled by the next append.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: upper bound of what is taken off `segment_ms`.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: size at which an offset index is full.
    pub segment_index_bytes: u64,
    /// `index.interval.bytes`: bytes of log between two index entries.
    pub index_interval_bytes: u64,
    /// `retention.ms`; `-1` keeps everything.
    pub retention_ms: i64,
    /// `retention.bytes`; `-1` keeps everything.
    pub retention_bytes: i64,
    /// `max.message.bytes`: largest batch.
    pub max_message_bytes: u64,
    /// `flush.messages`: an append that leaves this many records unflushed is acknowledged after a flush.
    pub flush_messages: i64,
    /// `flush.ms`: longest time that an acknowledged record stays unflushed.
    pub flush_ms: i64,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a create time may lie behind the broker's clock.
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far a create time may lie before the broker's clock.
    pub message_timestamp_after_max_ms: i64,
    /// `compression.type` with the codec's level.
    pub compression: TopicCompression,
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `preallocate`: a new segment file has `segment_bytes` at once and is cut to its real size when it is rolled or closed.
    pub preallocate: bool,
    /// `min.cleanable.dirty.ratio`: a log is compacted when more of it than this part is dirty.
    pub min_cleanable_dirty_ratio: CleanableRatio,
    /// `min.compaction.lag.ms`: how long a record is left as it is.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: after how long a record is compacted, however little is dirty; `i64::MAX` for never.
    pub max_compaction_lag_ms: i64,
    /// `delete.retention.ms`: how long a tombstone stays after the first compaction that met it.
    pub delete_retention_ms: i64,
    /// `file.delete.delay.ms`: how long a removed file stays on disk under its `.deleted` name.
    pub file_delete_delay_ms: i64,
}

impl Default for LogConfig {
    /// Apache Kafka's defaults.
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: 7 * 24 * 3_600_000,
            retention_bytes: -1,
            max_message_bytes: 1_048_588,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: 3_600_000,
            compression: TopicCompression::Producer,
            cleanup_policy: CleanupPolicy {
                delete: true,
                compact: false,
            },
            preallocate: false,
            min_cleanable_dirty_ratio: CleanableRatio::new(0.5),
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: 24 * 3_600_000,
            file_delete_delay_ms: 60_000,
        }
    }
}

impl LogConfig {
    /// Whether appends ask for flushes (`flush.messages`).
    pub fn flushes_appends(&self) -> bool {
        self.flush_messages < i64::MAX
    }

    /// Whether flushes are asked for at all (`flush.messages`, `flush.ms`).
    pub(super) fn flushes(&self) -> bool {
        self.flushes_appends() || self.flush_ms < i64::MAX
    }

    /// How long a new segment file is.
    pub(super) fn initial_file_bytes(&self) -> u64 {
        if self.preallocate { self.segment_bytes } else { 0 }
    }
}
