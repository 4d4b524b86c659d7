//! One broker's disk: partition logs in Kafka's own format, checkpoints, and the committed-offsets store.
//!
//! Blocking code. Knows nothing of leaders, groups or the network.

pub mod checkpoints;
pub mod cleaner;
pub mod disk;
mod flush_journal;
pub mod log;
pub mod log_dirs;
pub mod log_manager;
pub mod meta_properties;
pub mod offset_store;
pub mod stages;
