//! Tiered storage: the rows of these keys in the table of keys.
//!
//! Names, types, defaults and ranges are those of Apache Kafka 4.3; the last two columns say what Cauce does with the key.

use super::row::{KeyRow, keys};

/// The keys, in the order of names.
pub(super) const ROWS: &[KeyRow] = keys! {
    "follower.fetch.last.tiered.offset.enable": Boolean = "false", Cluster, Any, Refused, "tiered storage is not built yet";
    "log.local.retention.bytes": Long = "-2", Cluster, AtLeast(-2), Refused, "tiered storage is not built yet";
    "log.local.retention.ms": Long = "-2", Cluster, AtLeast(-2), Refused, "tiered storage is not built yet";
    "remote.fetch.max.wait.ms": Int = "500", Cluster, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.list.offsets.request.timeout.ms": Long = "30000", Cluster, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.index.file.cache.total.size.bytes": Long = "1073741824", Cluster, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.index.file.cache.ttl.ms": Long = "900000", ReadOnly, AtLeast(-1), Refused, "tiered storage is not built yet";
    "remote.log.manager.copier.thread.pool.size": Int = "10", Cluster, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.manager.copy.max.bytes.per.second": Long = "9223372036854775807", Cluster, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.manager.copy.quota.window.num": Int = "11", ReadOnly, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.manager.copy.quota.window.size.seconds": Int = "1", ReadOnly, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.manager.expiration.thread.pool.size": Int = "10", Cluster, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.manager.fetch.max.bytes.per.second": Long = "9223372036854775807", Cluster, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.manager.fetch.quota.window.num": Int = "11", ReadOnly, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.manager.fetch.quota.window.size.seconds": Int = "1", ReadOnly, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.manager.follower.thread.pool.size": Int = "2", Cluster, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.manager.task.interval.ms": Long = "30000", ReadOnly, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.manager.task.retry.backoff.max.ms": Long = "30000", ReadOnly, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.manager.task.retry.backoff.ms": Long = "500", ReadOnly, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.manager.task.retry.jitter": Double = "0.2", ReadOnly, Any, Refused, "tiered storage is not built yet";
    "remote.log.manager.thread.pool.size": Int = "2", ReadOnly, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.metadata.custom.metadata.max.bytes": Int = "128", ReadOnly, AtLeast(0), Refused, "tiered storage is not built yet";
    "remote.log.metadata.manager.class.name": String = "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager", ReadOnly, NotEmpty, Refused, "tiered storage is not built yet";
    "remote.log.metadata.manager.class.path": String, ReadOnly, Any, Refused, "tiered storage is not built yet";
    "remote.log.metadata.manager.impl.prefix": String = "rlmm.config.", ReadOnly, NotEmpty, Refused, "tiered storage is not built yet";
    "remote.log.metadata.manager.listener.name": String, ReadOnly, NotEmpty, Refused, "tiered storage is not built yet";
    "remote.log.reader.max.pending.tasks": Int = "100", ReadOnly, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.reader.threads": Int = "10", Cluster, AtLeast(1), Refused, "tiered storage is not built yet";
    "remote.log.storage.manager.class.name": String, ReadOnly, NotEmpty, Refused, "tiered storage is not built yet";
    "remote.log.storage.manager.class.path": String, ReadOnly, Any, Refused, "tiered storage is not built yet";
    "remote.log.storage.manager.impl.prefix": String = "rsm.config.", ReadOnly, NotEmpty, Refused, "tiered storage is not built yet";
    "remote.log.storage.system.enable": Boolean = "false", ReadOnly, Any, Refused, "tiered storage is not built yet";
};
