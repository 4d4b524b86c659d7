//! The node, the quorum and replication: the rows of these keys in the table of keys.
//!
//! Names, types, defaults and ranges are those of Apache Kafka 4.3; the last two columns say what Cauce does with the key.

use super::row::{KeyRow, keys};

/// The keys, in the order of names.
pub(super) const ROWS: &[KeyRow] = keys! {
    "alter.log.dirs.replication.quota.window.num": Int = "11", ReadOnly, AtLeast(1), NoEffect, "quotas are not built yet";
    "alter.log.dirs.replication.quota.window.size.seconds": Int = "1", ReadOnly, AtLeast(1), NoEffect, "quotas are not built yet";
    "auto.leader.rebalance.enable": Boolean = "true", ReadOnly, Any, NoEffect, "it matters only with several nodes";
    "broker.heartbeat.interval.ms": Int = "2000", ReadOnly, Any, NoEffect, "it matters only with several nodes";
    "broker.id": Int = "-1", ReadOnly, Any, Honoured, "Older name of `node.id`; where both are set they must agree.";
    "broker.rack": String, ReadOnly, Any, Honoured, "The rack of the node, reported in metadata.";
    "broker.session.timeout.ms": Int = "9000", ReadOnly, Any, NoEffect, "it matters only with several nodes";
    "controlled.shutdown.enable": Boolean = "true", ReadOnly, Any, NoEffect, "it matters only with several nodes";
    "controller.listener.names": List, ReadOnly, Any, Honoured, "The listeners of the controller quorum. A quorum of one talks to itself inside the process, so they are not opened.";
    "controller.performance.always.log.threshold.ms": Long = "2000", ReadOnly, AtLeast(0), NoEffect, "the metadata log is kept by the quorum's own snapshots";
    "controller.performance.sample.period.ms": Long = "60000", ReadOnly, AtLeast(100), NoEffect, "the metadata log is kept by the quorum's own snapshots";
    "controller.quorum.append.linger.ms": Int = "25", ReadOnly, AtLeast(0), NoEffect, "it matters only with several nodes";
    "controller.quorum.auto.join.enable": Boolean = "false", ReadOnly, Any, NoEffect, "it matters only with several nodes";
    "controller.quorum.bootstrap.servers": List = "", ReadOnly, NotEmpty, Honoured, "Where the controller quorum is found: at most this one node.";
    "controller.quorum.election.backoff.max.ms": Int = "1000", ReadOnly, AtLeast(0), NoEffect, "it matters only with several nodes";
    "controller.quorum.election.timeout.ms": Int = "1000", ReadOnly, AtLeast(0), NoEffect, "it matters only with several nodes";
    "controller.quorum.fetch.max.bytes": Int = "1048576", ReadOnly, AtLeast(1), NoEffect, "it matters only with several nodes";
    "controller.quorum.fetch.snapshot.max.bytes": Int = "1048576", ReadOnly, AtLeast(1), NoEffect, "it matters only with several nodes";
    "controller.quorum.fetch.timeout.ms": Int = "2000", ReadOnly, AtLeast(0), NoEffect, "it matters only with several nodes";
    "controller.quorum.request.timeout.ms": Int = "2000", ReadOnly, AtLeast(0), NoEffect, "it matters only with several nodes";
    "controller.quorum.retry.backoff.ms": Int = "20", ReadOnly, AtLeast(0), NoEffect, "it matters only with several nodes";
    "controller.quorum.voters": List = "", ReadOnly, NotEmpty, Honoured, "The voters of the controller quorum, `id@host:port`: at most this one node.";
    "controller.quota.window.num": Int = "11", ReadOnly, AtLeast(1), NoEffect, "quotas are not built yet";
    "controller.quota.window.size.seconds": Int = "1", ReadOnly, AtLeast(1), NoEffect, "quotas are not built yet";
    "controller.socket.timeout.ms": Int = "30000", ReadOnly, Any, NoEffect, "it matters only with several nodes";
    "default.replication.factor": Int = "1", ReadOnly, Any, Honoured, "Replicas of a topic that is created without a number. One node holds one replica.";
    "initial.broker.registration.timeout.ms": Int = "60000", ReadOnly, Any, NoEffect, "it matters only with several nodes";
    "internal.metadata.delete.delay.millis": Long = "60000", ReadOnly, Any, NoEffect, "the metadata log is kept by the quorum's own snapshots";
    "internal.metadata.log.segment.bytes": Int, ReadOnly, Any, NoEffect, "the metadata log is kept by the quorum's own snapshots";
    "internal.metadata.max.batch.size.in.bytes": Int = "8388608", ReadOnly, Any, NoEffect, "the metadata log is kept by the quorum's own snapshots";
    "leader.imbalance.check.interval.seconds": Long = "300", ReadOnly, AtLeast(1), NoEffect, "it matters only with several nodes";
    "metadata.log.max.record.bytes.between.snapshots": Long = "20971520", ReadOnly, AtLeast(1), Honoured, "Bytes of metadata records after which a snapshot is written.";
    "metadata.log.max.snapshot.interval.ms": Long = "3600000", ReadOnly, AtLeast(0), NoEffect, "the metadata log is kept by the quorum's own snapshots";
    "metadata.log.segment.bytes": Int = "1073741824", ReadOnly, AtLeast(8388608), Honoured, "Segment size of the metadata log.";
    "metadata.log.segment.ms": Long = "604800000", ReadOnly, Any, NoEffect, "the metadata log is kept by the quorum's own snapshots";
    "metadata.max.idle.interval.ms": Int = "500", ReadOnly, AtLeast(0), NoEffect, "the metadata log is kept by the quorum's own snapshots";
    "metadata.max.retention.bytes": Long = "104857600", ReadOnly, Any, NoEffect, "the metadata log is kept by the quorum's own snapshots";
    "metadata.max.retention.ms": Long = "604800000", ReadOnly, Any, NoEffect, "the metadata log is kept by the quorum's own snapshots";
    "node.id": Int, ReadOnly, AtLeast(0), Honoured, "The id of the node in the cluster.";
    "num.replica.alter.log.dirs.threads": Int, ReadOnly, Any, NoEffect, "it matters only with several nodes";
    "num.replica.fetchers": Int = "1", Cluster, AtLeast(1), NoEffect, "it matters only with several nodes";
    "process.roles": List, ReadOnly, OneOf(&["broker", "controller"]), Honoured, "The roles of the node: `broker,controller`, in one process.";
    "quota.window.num": Int = "11", ReadOnly, AtLeast(1), NoEffect, "quotas are not built yet";
    "quota.window.size.seconds": Int = "1", ReadOnly, AtLeast(1), NoEffect, "quotas are not built yet";
    "replica.fetch.backoff.ms": Int = "1000", ReadOnly, AtLeast(0), NoEffect, "it matters only with several nodes";
    "replica.fetch.max.bytes": Int = "1048576", ReadOnly, AtLeast(0), NoEffect, "it matters only with several nodes";
    "replica.fetch.min.bytes": Int = "1", ReadOnly, Any, NoEffect, "it matters only with several nodes";
    "replica.fetch.response.max.bytes": Int = "10485760", ReadOnly, AtLeast(0), NoEffect, "it matters only with several nodes";
    "replica.fetch.wait.max.ms": Int = "500", ReadOnly, Any, NoEffect, "it matters only with several nodes";
    "replica.high.watermark.checkpoint.interval.ms": Long = "5000", ReadOnly, Any, Honoured, "How often high watermarks are written.";
    "replica.lag.time.max.ms": Long = "30000", ReadOnly, Any, NoEffect, "it matters only with several nodes";
    "replica.selector.class": String, ReadOnly, Any, Refused, "Cauce cannot load Java classes";
    "replica.socket.receive.buffer.bytes": Int = "65536", ReadOnly, Any, NoEffect, "it matters only with several nodes";
    "replica.socket.timeout.ms": Int = "30000", ReadOnly, Any, NoEffect, "it matters only with several nodes";
    "replication.quota.window.num": Int = "11", ReadOnly, AtLeast(1), NoEffect, "quotas are not built yet";
    "replication.quota.window.size.seconds": Int = "1", ReadOnly, AtLeast(1), NoEffect, "quotas are not built yet";
    "server.max.startup.time.ms": Long = "9223372036854775807", ReadOnly, AtLeast(0), NoEffect, "it matters only with several nodes";
    "unclean.leader.election.enable": Boolean = "false", Cluster, Any, Honoured, "Whether a replica outside the in-sync replicas may lead (topic key `unclean.leader.election.enable`).";
    "unclean.leader.election.interval.ms": Long = "300000", ReadOnly, AtLeast(1), NoEffect, "it matters only with several nodes";
};
