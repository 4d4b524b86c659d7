//! Sockets: listeners, connections, and the bounds on what clients can make the node hold.
//!
//! A connection is one task. Requests begin in the order in which they arrive, on that task; their answers may overlap
//! and leave in the order of requests. Whoever is not read from is not buffered either: bounds are kept by not reading.
//! What a request means is a [`RequestHandler`](crate::request::RequestHandler)'s matter.

mod connection;
mod environment;
#[cfg(test)]
mod fairness_tests;
mod input;
pub mod limits;
pub mod listener;
pub mod metrics;
mod output;
mod peer_log;
mod rereads;
mod sends;
pub mod settings;
pub mod stages;
pub mod transport;

pub use environment::Network;
pub use limits::{BudgetStatus, ConnectionLimitValues, ConnectionLimits, RequestBudget};
pub use listener::BoundListener;
pub use metrics::NetworkMetrics;
pub use settings::{CongestionControl, ConnectionSettings, ListenerSettings, SocketSettings};
pub use stages::StageMetrics;

#[cfg(test)]
mod tests;
