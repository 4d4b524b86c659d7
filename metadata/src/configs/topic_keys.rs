//! The topic keys of Kafka 4.3, in Kafka's order of definition (`LogConfig`), with the broker keys that give defaults.
//!
//! One table feeds CreateTopics, AlterConfigs, DescribeConfigs and the logs' own settings. Kafka's private test key
//! `internal.segment.bytes` is not among them.

use super::definition::{BrokerSynonym, ConfigKey, ConfigType, Conversion, Validator};

const fn synonym(name: &'static str) -> BrokerSynonym {
    BrokerSynonym {
        name,
        conversion: Conversion::None,
    }
}

const fn in_hours(name: &'static str) -> BrokerSynonym {
    BrokerSynonym {
        name,
        conversion: Conversion::Hours,
    }
}

const fn in_minutes(name: &'static str) -> BrokerSynonym {
    BrokerSynonym {
        name,
        conversion: Conversion::Minutes,
    }
}

const MAX_LONG: &str = "9223372036854775807";

macro_rules! keys {
    ($($name:literal, $kind:ident, $default:expr, $validator:expr, [$($synonym:expr),*], $documentation:literal;)*) => {
        /// Every topic key.
        pub const TOPIC_KEYS: &[ConfigKey] = &[$(ConfigKey {
            name: $name,
            kind: ConfigType::$kind,
            default: $default,
            validator: $validator,
            synonyms: &[$($synonym),*],
            documentation: $documentation,
        },)*];
    };
}

use Validator::{Any, AtLeast, Between, BetweenOr, ListOf, OneOf, ThrottledReplicas};

keys! {
    "segment.bytes", Int, "1073741824", AtLeast(1_048_576), [synonym("log.segment.bytes")],
        "Size at which a segment file is closed and a new one started; retention works on whole segments.";
    "segment.ms", Long, "604800000", AtLeast(1), [synonym("log.roll.ms"), in_hours("log.roll.hours")],
        "Age at which a segment is closed even if it is not full, so that retention can reach it.";
    "segment.jitter.ms", Long, "0", AtLeast(0), [synonym("log.roll.jitter.ms"), in_hours("log.roll.jitter.hours")],
        "The most that is taken at random from the age at which a segment is closed, to spread the work.";
    "segment.index.bytes", Int, "10485760", AtLeast(4), [synonym("log.index.size.max.bytes")],
        "Largest size of the index from offsets to file positions; a full index closes its segment.";
    "flush.messages", Long, MAX_LONG, AtLeast(1), [synonym("log.flush.interval.messages")],
        "Records after which a partition is flushed to disk; with 1, a record is acknowledged only once it is on disk.";
    "flush.ms", Long, MAX_LONG, AtLeast(0),
        [synonym("log.flush.interval.ms"), synonym("log.flush.scheduler.interval.ms")],
        "Time since its last flush after which a partition is flushed, looked at every log.flush.scheduler.interval.ms.";
    "retention.bytes", Long, "-1", Any, [synonym("log.retention.bytes")],
        "Size of a partition beyond which old segments are deleted; -1 means no limit.";
    "retention.ms", Long, "604800000", AtLeast(-1),
        [synonym("log.retention.ms"), in_minutes("log.retention.minutes"), in_hours("log.retention.hours")],
        "Age beyond which old segments are deleted; -1 means no limit.";
    "max.message.bytes", Int, "1048588", AtLeast(0), [synonym("message.max.bytes")],
        "Largest record batch that is accepted, measured after compression.";
    "index.interval.bytes", Int, "4096", AtLeast(0), [synonym("log.index.interval.bytes")],
        "Bytes of records between two entries of the offset index.";
    "delete.retention.ms", Long, "86400000", AtLeast(0), [synonym("log.cleaner.delete.retention.ms")],
        "How long tombstones stay in a compacted topic.";
    "min.compaction.lag.ms", Long, "0", AtLeast(0), [synonym("log.cleaner.min.compaction.lag.ms")],
        "How long a record stays uncompacted at least.";
    "max.compaction.lag.ms", Long, MAX_LONG, AtLeast(1), [synonym("log.cleaner.max.compaction.lag.ms")],
        "How long a record can stay ineligible for compaction at most.";
    "file.delete.delay.ms", Long, "60000", AtLeast(0), [synonym("log.segment.delete.delay.ms")],
        "How long a deleted segment's files stay on disk.";
    "min.cleanable.dirty.ratio", Double, "0.5", Between(0, 1), [synonym("log.cleaner.min.cleanable.ratio")],
        "Share of uncompacted bytes from which a log is compacted.";
    "cleanup.policy", List, "delete", ListOf(&["compact", "delete"]), [synonym("log.cleanup.policy")],
        "What happens to old segments: deleted by age and size, compacted by key, both, or nothing if empty.";
    "unclean.leader.election.enable", Boolean, "false", Any, [synonym("unclean.leader.election.enable")],
        "Whether a replica that may lack committed records can become leader when no other is left.";
    "min.insync.replicas", Int, "1", AtLeast(1), [synonym("min.insync.replicas")],
        "In-sync replicas that an acks=all write needs, the leader included.";
    "compression.type", String, "producer",
        OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), [synonym("compression.type")],
        "How batches are stored: as the producer compressed them, uncompressed, or recompressed with one codec.";
    "compression.gzip.level", Int, "-1", BetweenOr(1, 9, -1), [synonym("compression.gzip.level")],
        "Level when compression.type is gzip.";
    "compression.lz4.level", Int, "9", Between(1, 17), [synonym("compression.lz4.level")],
        "Level when compression.type is lz4; the encoder here has one strength, so that every level gives the same bytes.";
    "compression.zstd.level", Int, "3", Between(-131_072, 22), [synonym("compression.zstd.level")],
        "Level when compression.type is zstd.";
    "preallocate", Boolean, "false", Any, [synonym("log.preallocate")],
        "Whether a new segment file is given its full size at once.";
    "message.timestamp.type", String, "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]),
        [synonym("log.message.timestamp.type")],
        "Whether a record keeps its producer's timestamp or is given the time of the append.";
    "message.timestamp.before.max.ms", Long, MAX_LONG, AtLeast(0), [synonym("log.message.timestamp.before.max.ms")],
        "How far a producer's timestamp can lie before the broker's clock.";
    "message.timestamp.after.max.ms", Long, "3600000", AtLeast(0), [synonym("log.message.timestamp.after.max.ms")],
        "How far a producer's timestamp can lie after the broker's clock.";
    "leader.replication.throttled.replicas", List, "", ThrottledReplicas, [],
        "Replicas whose replication is throttled at the leader: partition:broker pairs, or * for all.";
    "follower.replication.throttled.replicas", List, "", ThrottledReplicas, [],
        "Replicas whose replication is throttled at the follower: partition:broker pairs, or * for all.";
    "remote.storage.enable", Boolean, "false", Any, [],
        "Whether the topic uses tiered storage, which this broker does not have.";
    "local.retention.ms", Long, "-2", AtLeast(-2), [synonym("log.local.retention.ms")],
        "With tiered storage, the age to which segments are kept locally; -2 stands for retention.ms.";
    "local.retention.bytes", Long, "-2", AtLeast(-2), [synonym("log.local.retention.bytes")],
        "With tiered storage, the size to which segments are kept locally; -2 stands for retention.bytes.";
    "remote.log.copy.disable", Boolean, "false", Any, [],
        "With tiered storage, whether no more segments are copied to it.";
    "remote.log.delete.on.disable", Boolean, "false", Any, [],
        "With tiered storage, whether its copy goes when it is switched off for the topic.";
}

/// The topic key `name`.
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    TOPIC_KEYS.iter().find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_accepted_by_its_own_key_and_reads_back() {
        for key in TOPIC_KEYS {
            let value = key.parse(key.default);
            assert_eq!(
                value.map(|v| v.to_text()),
                Ok(key.default.to_owned()),
                "{}",
                key.name
            );
        }
    }

    #[test]
    fn no_key_is_listed_twice() {
        let names: std::collections::BTreeSet<&str> = TOPIC_KEYS.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), TOPIC_KEYS.len());
        assert_eq!(names.len(), 33);
    }
}
