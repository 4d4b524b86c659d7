//! Cauce's own keys: what Apache Kafka does not have.

use super::row::{KeyRow, keys};

/// The keys, in the order of names.
pub(super) const ROWS: &[KeyRow] = keys! {
    "metrics.listener": String = "127.0.0.1:9644", ReadOnly, NotEmpty, Honoured, "Where /metrics, /healthz and /readyz are served over HTTP: `host:port`, or `none`.";
};
