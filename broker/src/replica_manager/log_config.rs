//! From the values of topic keys to the configuration of a log.

use std::collections::BTreeMap;

use metadata::configs::ConfigValue;
use protocol_compat::record_batch::batch::{Compression, TimestampType};
use protocol_compat::record_batch::compression::default_level;
use storage::log::LogConfig;
use storage::log::config::{CleanableRatio, CleanupPolicy, TopicCompression};

/// Values by topic key.
struct Values<'a>(&'a BTreeMap<&'static str, ConfigValue>);

impl Values<'_> {
    fn integer(&self, key: &str, otherwise: i64) -> i64 {
        match self.0.get(key) {
            Some(ConfigValue::Integer(value)) => *value,
            _ => otherwise,
        }
    }

    fn size(&self, key: &str, otherwise: u64) -> u64 {
        u64::try_from(self.integer(key, -1)).unwrap_or(otherwise)
    }

    fn flag(&self, key: &str, otherwise: bool) -> bool {
        match self.0.get(key) {
            Some(ConfigValue::Boolean(value)) => *value,
            _ => otherwise,
        }
    }

    fn text(&self, key: &str) -> &str {
        match self.0.get(key) {
            Some(ConfigValue::Text(value)) => value,
            _ => "",
        }
    }

    fn has(&self, key: &str, word: &str) -> bool {
        matches!(self.0.get(key), Some(ConfigValue::List(words)) if words.iter().any(|w| w == word))
    }
}

/// The configuration of a log whose topic keys have these values. A key without a value has Kafka's default.
pub(super) fn from_values(values: &BTreeMap<&'static str, ConfigValue>) -> LogConfig {
    let values = Values(values);
    let kafka = LogConfig::default();
    LogConfig {
        segment_bytes: values.size("segment.bytes", kafka.segment_bytes),
        segment_ms: values.integer("segment.ms", kafka.segment_ms),
        segment_jitter_ms: values.integer("segment.jitter.ms", kafka.segment_jitter_ms),
        segment_index_bytes: values.size("segment.index.bytes", kafka.segment_index_bytes),
        index_interval_bytes: values.size("index.interval.bytes", kafka.index_interval_bytes),
        retention_ms: values.integer("retention.ms", kafka.retention_ms),
        retention_bytes: values.integer("retention.bytes", kafka.retention_bytes),
        max_message_bytes: values.size("max.message.bytes", kafka.max_message_bytes),
        flush_messages: values.integer("flush.messages", kafka.flush_messages),
        flush_ms: values.integer("flush.ms", kafka.flush_ms),
        message_timestamp_type: timestamp_type(&values),
        message_timestamp_before_max_ms: values.integer(
            "message.timestamp.before.max.ms",
            kafka.message_timestamp_before_max_ms,
        ),
        message_timestamp_after_max_ms: values.integer(
            "message.timestamp.after.max.ms",
            kafka.message_timestamp_after_max_ms,
        ),
        compression: compression(&values),
        cleanup_policy: CleanupPolicy {
            delete: values.has("cleanup.policy", "delete"),
            compact: values.has("cleanup.policy", "compact"),
        },
        preallocate: values.flag("preallocate", kafka.preallocate),
        min_cleanable_dirty_ratio: match values.0.get("min.cleanable.dirty.ratio") {
            Some(ConfigValue::Double(ratio)) => CleanableRatio::new(*ratio),
            _ => kafka.min_cleanable_dirty_ratio,
        },
        min_compaction_lag_ms: values.integer("min.compaction.lag.ms", kafka.min_compaction_lag_ms),
        max_compaction_lag_ms: values.integer("max.compaction.lag.ms", kafka.max_compaction_lag_ms),
        delete_retention_ms: values.integer("delete.retention.ms", kafka.delete_retention_ms),
        file_delete_delay_ms: values.integer("file.delete.delay.ms", kafka.file_delete_delay_ms),
    }
}

fn timestamp_type(values: &Values<'_>) -> TimestampType {
    match values.text("message.timestamp.type") {
        "LogAppendTime" => TimestampType::LogAppendTime,
        _ => TimestampType::CreateTime,
    }
}

fn compression(values: &Values<'_>) -> TopicCompression {
    let (codec, level_key) = match values.text("compression.type") {
        "uncompressed" => (Compression::None, None),
        "gzip" => (Compression::Gzip, Some("compression.gzip.level")),
        "snappy" => (Compression::Snappy, None),
        "lz4" => (Compression::Lz4, Some("compression.lz4.level")),
        "zstd" => (Compression::Zstd, Some("compression.zstd.level")),
        _ => return TopicCompression::Producer,
    };
    let default = default_level(codec);
    let level = level_key.map_or(i64::from(default), |key| values.integer(key, i64::from(default)));
    TopicCompression::Codec(codec, i32::try_from(level).unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use protocol_compat::record_batch::compression::compress;

    use super::*;

    #[test]
    fn a_topics_codec_has_a_level_that_the_codec_takes() {
        for name in ["uncompressed", "gzip", "snappy", "lz4", "zstd"] {
            let values = BTreeMap::from([("compression.type", ConfigValue::Text(name.to_owned()))]);
            let TopicCompression::Codec(codec, level) = from_values(&values).compression else {
                panic!("{name} is a codec");
            };
            assert!(
                compress(codec, level, b"records").is_ok(),
                "{name} at level {level}"
            );
        }
    }

    #[test]
    fn topic_keys_reach_the_log() {
        let values = BTreeMap::from([
            ("segment.bytes", ConfigValue::Integer(1 << 20)),
            ("cleanup.policy", ConfigValue::List(vec!["compact".to_owned()])),
            ("compression.type", ConfigValue::Text("zstd".to_owned())),
            ("compression.zstd.level", ConfigValue::Integer(7)),
            (
                "message.timestamp.type",
                ConfigValue::Text("LogAppendTime".to_owned()),
            ),
            ("retention.ms", ConfigValue::Integer(-1)),
            ("preallocate", ConfigValue::Boolean(true)),
        ]);
        let config = from_values(&values);
        assert!(config.preallocate);
        assert_eq!((config.segment_bytes, config.retention_ms), (1 << 20, -1));
        assert_eq!(
            config.cleanup_policy,
            CleanupPolicy {
                delete: false,
                compact: true
            }
        );
        assert_eq!(config.compression, TopicCompression::Codec(Compression::Zstd, 7));
        assert_eq!(config.message_timestamp_type, TimestampType::LogAppendTime);
        assert_eq!(
            config.index_interval_bytes,
            LogConfig::default().index_interval_bytes
        );
    }
}
