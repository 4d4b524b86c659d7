//! The node: sockets, tasks, clock, configuration and wiring. The only crate that waits.

pub mod clock;
pub mod config;
pub mod metadata_cache;
pub mod metadata_publisher;
