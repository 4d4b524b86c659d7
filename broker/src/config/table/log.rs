//! Partition logs and data directories: the rows of these keys in the table of keys.
//!
//! Names, types, defaults and ranges are those of Apache Kafka 4.3; the last two columns say what Cauce does with the key.

use super::row::{KeyRow, keys};

/// The keys, in the order of names.
pub(super) const ROWS: &[KeyRow] = keys! {
    "compression.gzip.level": Int = "-1", Cluster, RangeOrMinusOne(1, 9), Honoured, "gzip level where the broker compresses.";
    "compression.lz4.level": Int = "9", Cluster, Between(1, 17), NoEffect, "the LZ4 encoder has one strength";
    "compression.type": String = "producer", Cluster, OneOf(&["gzip", "lz4", "producer", "snappy", "uncompressed", "zstd"]), Honoured, "Codec of stored batches; `producer` keeps what the producer chose (topic key `compression.type`).";
    "compression.zstd.level": Int = "3", Cluster, Between(-131072, 22), Honoured, "zstd level where the broker compresses.";
    "cordoned.log.dirs": List = "", PerBroker, Any, Refused, "log directories cannot be cordoned yet";
    "log.cleaner.backoff.ms": Long = "15000", Cluster, AtLeast(0), Honoured, "How long the cleaners rest when no log is due, at least 10 ms.";
    "log.cleaner.dedupe.buffer.size": Long = "134217728", Cluster, AtLeast(1_048_577), Honoured, "Most memory of the maps of keys of all cleaners together, above 1 MiB.";
    "log.cleaner.delete.retention.ms": Long = "86400000", Cluster, AtLeast(0), Honoured, "How long tombstones are kept (topic key `delete.retention.ms`).";
    "log.cleaner.enable": Boolean = "true", ReadOnly, Any, Honoured, "Whether compacted topics are compacted.";
    "log.cleaner.io.buffer.load.factor": Double = "0.9", Cluster, Any, Honoured, "How full a map of keys may be; fuller maps clean more at once and look keys up longer.";
    "log.cleaner.io.buffer.size": Int = "524288", Cluster, AtLeast(0), Honoured, "Memory for reading and writing of all cleaners together.";
    "log.cleaner.io.max.bytes.per.second": Double = "1.7976931348623157E308", Cluster, Any, Honoured, "Most bytes that all cleaners together read and write in a second.";
    "log.cleaner.max.compaction.lag.ms": Long = "9223372036854775807", Cluster, AtLeast(1), Honoured, "Longest time before a record must be looked at by compaction (topic key `max.compaction.lag.ms`).";
    "log.cleaner.min.cleanable.ratio": Double = "0.5", Cluster, Any, Honoured, "Share of a compacted log that must be dirty before it is cleaned (topic key `min.cleanable.dirty.ratio`).";
    "log.cleaner.min.compaction.lag.ms": Long = "0", Cluster, AtLeast(0), Honoured, "Shortest time before a record may be compacted (topic key `min.compaction.lag.ms`).";
    "log.cleaner.threads": Int = "1", Cluster, AtLeast(0), Honoured, "How many logs are cleaned at one time.";
    "log.cleanup.policy": List = "delete", Cluster, OneOf(&["compact", "delete"]), Honoured, "What happens to old segments: `delete`, `compact` or both (topic key `cleanup.policy`).";
    "log.dir": List, ReadOnly, Any, Honoured, "The data directory where `log.dirs` is not set.";
    "log.dir.failure.timeout.ms": Long = "30000", ReadOnly, AtLeast(1), NoEffect, "it matters only with several nodes";
    "log.dirs": List, ReadOnly, Any, Honoured, "The data directories, separated by commas. A new or empty one is formatted at start.";
    "log.flush.interval.messages": Long = "9223372036854775807", Cluster, AtLeast(1), Honoured, "Records after which a partition is flushed; with 1 a write is acknowledged only after the flush (topic key `flush.messages`).";
    "log.flush.interval.ms": Long, Cluster, Any, Honoured, "Longest time that a record stays unflushed (topic key `flush.ms`). Unset: `log.flush.scheduler.interval.ms`.";
    "log.flush.offset.checkpoint.interval.ms": Int = "60000", ReadOnly, AtLeast(0), Honoured, "How often recovery points are written.";
    "log.flush.scheduler.interval.ms": Long = "9223372036854775807", ReadOnly, Any, Honoured, "How often the flusher looks for partitions that are due.";
    "log.flush.start.offset.checkpoint.interval.ms": Int = "60000", ReadOnly, AtLeast(0), Honoured, "How often log start offsets are written.";
    "log.index.interval.bytes": Int = "4096", Cluster, AtLeast(0), Honoured, "Bytes between two index entries (topic key `index.interval.bytes`).";
    "log.index.size.max.bytes": Int = "10485760", Cluster, AtLeast(4), Honoured, "Largest index of a segment (topic key `segment.index.bytes`).";
    "log.initial.task.delay.ms": Long = "30000", ReadOnly, AtLeast(0), NoEffect, "background passes start at once";
    "log.message.timestamp.after.max.ms": Long = "3600000", Cluster, AtLeast(0), Honoured, "How far in the future a record's timestamp may lie (topic key `message.timestamp.after.max.ms`).";
    "log.message.timestamp.before.max.ms": Long = "9223372036854775807", Cluster, AtLeast(0), Honoured, "How far in the past a record's timestamp may lie (topic key `message.timestamp.before.max.ms`).";
    "log.message.timestamp.type": String = "CreateTime", Cluster, OneOf(&["CreateTime", "LogAppendTime"]), Honoured, "Whether the producer or the broker stamps records (topic key `message.timestamp.type`).";
    "log.preallocate": Boolean = "false", Cluster, Any, Honoured, "Whether a new segment file is given its full size at once (topic key `preallocate`).";
    "log.retention.bytes": Long = "-1", Cluster, Any, Honoured, "Bytes of a partition that are kept; -1 keeps all (topic key `retention.bytes`).";
    "log.retention.check.interval.ms": Long = "300000", ReadOnly, AtLeast(1), Honoured, "How often retention is looked at.";
    "log.retention.hours": Int = "168", ReadOnly, Any, Honoured, "Hours that records are kept; used where neither `log.retention.minutes` nor `log.retention.ms` is set.";
    "log.retention.minutes": Int, ReadOnly, Any, Honoured, "Minutes that records are kept; used where `log.retention.ms` is not set.";
    "log.retention.ms": Long, Cluster, Any, Honoured, "Milliseconds that records are kept; -1 keeps them for ever (topic key `retention.ms`).";
    "log.roll.hours": Int = "168", ReadOnly, AtLeast(1), Honoured, "Hours after which a segment is rolled; used where `log.roll.ms` is not set.";
    "log.roll.jitter.hours": Int = "0", ReadOnly, AtLeast(0), Honoured, "Hours taken at random off the roll time; used where `log.roll.jitter.ms` is not set.";
    "log.roll.jitter.ms": Long, Cluster, Any, Honoured, "Milliseconds taken at random off the roll time (topic key `segment.jitter.ms`).";
    "log.roll.ms": Long, Cluster, Any, Honoured, "Milliseconds after which a segment is rolled (topic key `segment.ms`).";
    "log.segment.bytes": Int = "1073741824", Cluster, AtLeast(1048576), Honoured, "Size at which a segment is rolled (topic key `segment.bytes`).";
    "log.segment.delete.delay.ms": Long = "60000", Cluster, AtLeast(0), Honoured, "How long a deleted segment's files stay (topic key `file.delete.delay.ms`).";
    "message.max.bytes": Int = "1048588", Cluster, AtLeast(0), Honoured, "Largest record batch accepted, after compression (topic key `max.message.bytes`).";
    "metadata.log.dir": String, ReadOnly, Any, Honoured, "The directory of the metadata log; unset: the first of `log.dirs`.";
    "min.insync.replicas": Int = "1", Cluster, AtLeast(1), Honoured, "In-sync replicas that a write with acks=all needs (topic key `min.insync.replicas`).";
    "num.recovery.threads.per.data.dir": Int = "2", Cluster, AtLeast(1), Honoured, "Threads per data directory that recover partitions after an unclean stop.";
};
