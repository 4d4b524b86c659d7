//! The simple benchmark: start, recovery, committed offsets, memory and compaction, the same against any Kafka. What
//! `cauce bench load` measures is not here.
//!
//! Requests are encoded once and sent again with another correlation id, so that the generator costs little beside the
//! broker. Every loop is bounded. It measures and prints; what is good enough is decided by who reads it.

pub mod beside_cleaning;
pub mod cleaning;
pub mod client;
pub mod connections;
pub mod keyed_records;
pub mod offsets;
pub mod open_loop;
pub mod partitions;
pub mod process;
pub mod recovery;
pub mod start;
