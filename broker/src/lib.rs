//! The node: sockets, tasks, clock, configuration and wiring. The only crate that waits.

pub mod bench;
pub mod blocking;
pub mod broker_lifecycle;
pub mod cli;
pub mod clock;
pub mod config;
pub mod controller_server;
pub mod controller_state;
pub mod dynamic_broker_keys;
pub mod error_codes;
pub mod fetch_session;
pub mod group_coordinator;
pub mod handlers;
pub mod http;
pub mod internal_topics;
pub mod metadata_cache;
pub mod metadata_publisher;
pub mod network;
pub mod producer_id_manager;
pub mod quorum_files;
pub mod raft_log;
pub mod replica_manager;
pub mod request;
pub mod server;
pub mod stalls;
pub mod step_alarm;
