//! Listeners, connections, requests, topics and metrics: the rows of these keys in the table of keys.
//!
//! Names, types, defaults and ranges are those of Apache Kafka 4.3; the last two columns say what Cauce does with the key.

use super::row::{KeyRow, keys};

/// The keys, in the order of names.
pub(super) const ROWS: &[KeyRow] = keys! {
    "advertised.listeners": List, ReadOnly, Any, Honoured, "What clients are told to connect to, per listener: `NAME://host:port,...`. Unset: the address that the client used.";
    "alter.config.policy.class.name": Class, ReadOnly, Any, Refused, "Cauce cannot load Java classes";
    "auto.create.topics.enable": Boolean = "true", ReadOnly, Any, Honoured, "Whether a metadata request or a produce to an unknown topic creates it.";
    "background.threads": Int = "10", Cluster, AtLeast(1), NoEffect, "the number of threads follows from the number of processors";
    "client.quota.callback.class": Class, ReadOnly, Any, Refused, "Cauce cannot load Java classes";
    "config.providers": List = "", Cluster, Any, Refused, "Cauce cannot load Java classes";
    "connections.max.idle.ms": Long = "600000", ReadOnly, Any, Honoured, "A connection without a request for this long is closed.";
    "create.topic.policy.class.name": Class, ReadOnly, Any, Refused, "Cauce cannot load Java classes";
    "delete.records.purgatory.purge.interval.requests": Int = "1", ReadOnly, Any, NoEffect, "waiting requests are kept without a purge";
    "delete.topic.enable": Boolean = "true", ReadOnly, Any, Honoured, "Whether topics can be deleted.";
    "fetch.max.bytes": Int = "57671680", ReadOnly, AtLeast(1024), Honoured, "Most bytes that one fetch answer carries.";
    "fetch.purgatory.purge.interval.requests": Int = "1000", ReadOnly, Any, NoEffect, "waiting requests are kept without a purge";
    "inter.broker.listener.name": String, ReadOnly, Any, Honoured, "The listener that other brokers would use; must be one of `listeners`.";
    "kafka.metrics.polling.interval.secs": Int = "10", ReadOnly, AtLeast(1), NoEffect, "it matters only with several nodes";
    "kafka.metrics.reporters": List = "", ReadOnly, Any, Refused, "Cauce cannot load Java classes";
    "listener.security.protocol.map": String = "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", PerBroker, Any, Honoured, "The security protocol of each listener name: `NAME:PROTOCOL,...`. A listener in use must map to PLAINTEXT.";
    "listeners": List = "PLAINTEXT://:9092", PerBroker, Any, Honoured, "Where the node listens: `NAME://host:port,...`. An empty host means every interface. Unset: loopback only.";
    "max.connection.creation.rate": Int = "2147483647", Cluster, AtLeast(0), Honoured, "Connections per second that are let in at most, over all listeners.";
    "max.connections": Int = "2147483647", Cluster, AtLeast(0), Honoured, "Connections at most, over all listeners.";
    "max.connections.per.ip": Int = "2147483647", Cluster, AtLeast(0), Honoured, "Connections at most from one address.";
    "max.connections.per.ip.overrides": String = "", Cluster, Any, Honoured, "Other limits for single addresses: `address:limit,...`.";
    "max.incremental.fetch.session.cache.slots": Int = "1000", ReadOnly, AtLeast(0), Honoured, "Incremental fetch sessions kept (KIP-227); 0 keeps none.";
    "max.request.partition.size.limit": Int = "2000", ReadOnly, AtLeast(1), Honoured, "Partitions that one DescribeTopicPartitions answer lists at most.";
    "metric.reporters": List = "org.apache.kafka.common.metrics.JmxReporter", Cluster, Any, Refused, "Cauce cannot load Java classes";
    "metrics.num.samples": Int = "2", ReadOnly, AtLeast(1), NoEffect, "metrics are not sampled";
    "metrics.recording.level": String = "INFO", ReadOnly, Any, NoEffect, "metrics are not sampled";
    "metrics.sample.window.ms": Long = "30000", ReadOnly, AtLeast(1), NoEffect, "metrics are not sampled";
    "num.io.threads": Int = "8", Cluster, AtLeast(1), NoEffect, "the number of threads follows from the number of processors";
    "num.network.threads": Int = "3", Cluster, AtLeast(1), NoEffect, "the number of threads follows from the number of processors";
    "num.partitions": Int = "1", ReadOnly, AtLeast(1), Honoured, "Partitions of a topic that is created without a number.";
    "producer.purgatory.purge.interval.requests": Int = "1000", ReadOnly, Any, NoEffect, "waiting requests are kept without a purge";
    "queued.max.request.bytes": Long = "-1", ReadOnly, Any, Honoured, "Bytes of requests in work over all connections; -1 leaves only the bound of each connection.";
    "queued.max.requests": Int = "500", ReadOnly, AtLeast(1), NoEffect, "requests are not queued; the bytes in flight per connection are bounded";
    "request.timeout.ms": Int = "30000", ReadOnly, Any, NoEffect, "a cluster of one node waits for no answer of another";
    "socket.connection.setup.timeout.max.ms": Long = "30000", ReadOnly, Any, NoEffect, "it matters only with several nodes";
    "socket.connection.setup.timeout.ms": Long = "10000", ReadOnly, Any, NoEffect, "it matters only with several nodes";
    "socket.listen.backlog.size": Int = "50", ReadOnly, AtLeast(1), Honoured, "Connections that the kernel may queue before they are accepted.";
    "socket.receive.buffer.bytes": Int = "102400", ReadOnly, Any, Honoured, "Receive buffer of a socket; -1 leaves it to the kernel.";
    "socket.request.max.bytes": Int = "104857600", ReadOnly, AtLeast(1), Honoured, "Largest request accepted; a larger one closes the connection.";
    "socket.send.buffer.bytes": Int = "-1", ReadOnly, Any, Honoured, "Send buffer of a socket; -1, other than Kafka's 102400, leaves it to the kernel.";
    "telemetry.max.bytes": Int = "1048576", ReadOnly, AtLeast(1), NoEffect, "client telemetry is not built yet";
    "unstable.api.versions.enable": Boolean = "false", ReadOnly, Any, Refused, "no unstable API or feature is built";
    "unstable.feature.versions.enable": Boolean = "false", ReadOnly, Any, Refused, "no unstable API or feature is built";
};
