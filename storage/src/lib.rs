//! One broker's disk: partition logs in Kafka's own format, checkpoints, and the committed-offsets store.
//!
//! Blocking code. Knows nothing of leaders, groups or the network.

pub mod disk;
pub mod offset_store;
