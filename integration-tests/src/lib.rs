//! What tests of the whole share: a raw client with a codec of its own, a running node, and the differential suite.
//!
//! Nothing here leans on the broker's codec: a mistake there must not hide itself in the test that looks for it.

pub mod bad_input;
pub mod bench;
pub mod codec;
pub mod compaction;
pub mod connection;
pub mod differential;
pub mod flood;
pub mod metrics;
pub mod node;
pub mod ports;
pub mod ratchet;
pub mod record_bytes;
pub mod schema;
pub mod steady_client;
