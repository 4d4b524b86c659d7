//! What all listeners and connections of a node share: the handler, the bounds, the counters, the clock.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::IntCounter;
use storage::stages::{Now, Record, Stage};

use super::limits::{ConnectionLimits, RequestBudget};
use super::metrics::NetworkMetrics;
use super::peer_log::PeerLog;
use super::settings::ConnectionSettings;
use crate::clock::Clock;
use crate::request::RequestHandler;
use crate::stalls::Stalls;

/// What all listeners and connections of a node share.
pub struct Network {
    pub(super) handler: Arc<dyn RequestHandler>,
    pub(super) settings: ConnectionSettings,
    pub(super) limits: Arc<ConnectionLimits>,
    pub(super) budget: RequestBudget,
    pub(super) metrics: NetworkMetrics,
    pub(super) stalls: Arc<Stalls>,
    pub(super) clock: Clock,
    stage_clock: Now,
    peer_log: PeerLog,
    next_connection_id: AtomicU64,
}

impl Network {
    /// Puts the parts together.
    pub fn new(
        handler: Arc<dyn RequestHandler>,
        settings: ConnectionSettings,
        limits: Arc<ConnectionLimits>,
        budget: RequestBudget,
        metrics: NetworkMetrics,
        stalls: Arc<Stalls>,
        clock: Clock,
    ) -> Arc<Network> {
        Arc::new(Network {
            handler,
            settings,
            limits,
            budget,
            metrics,
            stalls,
            clock,
            stage_clock: Arc::new(move || clock.monotonic()),
            peer_log: PeerLog::default(),
            next_connection_id: AtomicU64::new(1),
        })
    }

    /// What all clients together have sent, in bytes.
    pub fn received_bytes(&self) -> IntCounter {
        self.metrics.received_bytes.clone()
    }

    /// The record of a request that begins to be decoded, after it has been there for `queued`.
    pub(super) fn record(&self, queued: Duration) -> Box<Record> {
        let mut record = Record::begin(self.stage_clock.clone(), Stage::Decode);
        record.add(Stage::Queue, queued);
        record
    }

    /// A number that no other connection of the process has.
    pub(super) fn next_connection_id(&self) -> u64 {
        self.next_connection_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a line about `peer` is due in the log.
    pub(super) fn is_line_due(&self, peer: IpAddr) -> bool {
        self.peer_log.is_due(peer, self.clock.monotonic())
    }
}
