//! The node: sockets, tasks, clock, configuration and wiring. The only crate that waits.

pub mod metadata_cache;
pub mod metadata_publisher;
