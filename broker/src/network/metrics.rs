//! What the network counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use protocol_compat::{ApiKey, ErrorCode};

use super::stages::StageMetrics;

/// Counters of connections and requests; clones share them.
#[derive(Clone)]
pub struct NetworkMetrics {
    /// Open connections.
    pub connections: IntGauge,
    /// Connections accepted.
    pub accepted: IntCounter,
    /// Connections refused because of `max.connections.per.ip`.
    pub refused_per_ip: IntCounter,
    /// Times that accepting waited for `max.connections`.
    pub connection_waits: IntCounter,
    /// Times that accepting waited for `max.connection.creation.rate`.
    pub connection_rate_waits: IntCounter,
    /// Times that accepting failed.
    pub accept_errors: IntCounter,
    /// Connections closed, by reason.
    pub closed: IntCounterVec,
    /// Bytes received.
    pub received_bytes: IntCounter,
    /// Bytes sent.
    pub sent_bytes: IntCounter,
    /// Requests whose answer waits.
    pub requests_in_flight: IntGauge,
    /// Times that a connection was not read because of its bytes or requests in flight.
    pub back_pressure: IntCounter,
    /// Times that a request waited for `queued.max.request.bytes`.
    pub budget_waits: IntCounter,
    /// How long requests take, stage by stage.
    pub stages: StageMetrics,
    requests: Vec<(ApiKey, IntCounter)>,
    errors: IntCounterVec,
}

impl NetworkMetrics {
    /// Registers the counters.
    ///
    /// # Errors
    /// Where a name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<NetworkMetrics> {
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let family = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let requests = family(
            "kafka_network_requestmetrics_requests_total",
            "Requests, by API",
            &["request"],
        )?;
        let of_key = |&key: &ApiKey| (key, requests.with_label_values(&[key.name()]));
        Ok(NetworkMetrics {
            connections: gauge("kafka_server_socket_server_connections", "Open connections")?,
            accepted: counter(
                "kafka_server_socket_server_connections_accepted_total",
                "Connections accepted",
            )?,
            refused_per_ip: counter(
                "kafka_server_socket_server_connections_refused_total",
                "Connections refused because of max.connections.per.ip",
            )?,
            connection_waits: counter(
                "kafka_server_socket_server_connection_waits_total",
                "Times that accepting waited for max.connections",
            )?,
            connection_rate_waits: counter(
                "kafka_server_socket_server_connection_rate_waits_total",
                "Times that accepting waited for max.connection.creation.rate",
            )?,
            accept_errors: counter(
                "kafka_server_socket_server_accept_errors_total",
                "Failures to accept",
            )?,
            closed: family(
                "kafka_server_socket_server_connections_closed_total",
                "Connections closed, by reason",
                &["reason"],
            )?,
            received_bytes: counter(
                "kafka_server_socket_server_received_bytes_total",
                "Bytes received",
            )?,
            sent_bytes: counter("kafka_server_socket_server_sent_bytes_total", "Bytes sent")?,
            requests_in_flight: gauge(
                "kafka_server_socket_server_requests_in_flight",
                "Requests whose answer waits",
            )?,
            back_pressure: counter(
                "kafka_server_socket_server_back_pressure_total",
                "Times that a connection was not read because of its bytes or requests in flight",
            )?,
            budget_waits: counter(
                "kafka_server_socket_server_memory_pool_waits_total",
                "Times that a request waited for queued.max.request.bytes",
            )?,
            stages: StageMetrics::new(registry)?,
            requests: ApiKey::ALL.iter().map(of_key).collect(),
            errors: family(
                "kafka_network_requestmetrics_errors_total",
                "Error codes in answers, by API and by Kafka's name of the code; success is not counted",
                &["request", "error"],
            )?,
        })
    }

    /// Counts a request.
    pub fn request(&self, key: ApiKey) {
        if let Ok(at) = self.requests.binary_search_by_key(&key, |(key, _)| *key)
            && let Some((_, counter)) = self.requests.get(at)
        {
            counter.inc();
        }
    }

    /// Counts the error codes of an answer: once for each time that a code stands in it, as Kafka's `ErrorsPerSec`.
    pub fn errors(&self, key: ApiKey, errors: &[(ErrorCode, u64)]) {
        for (code, count) in errors {
            self.errors
                .with_label_values(&[key.name(), code.name()])
                .inc_by(*count);
        }
    }
}
