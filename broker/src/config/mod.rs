//! The node's configuration: Kafka's keys from Kafka's places, checked against one table, typed once.
//!
//! `table` says which keys exist, `sources` reads them, `node_config` gives them types. A value is never ignored in
//! silence: it takes effect, or it is reported as being without effect, or it stops the start.

mod error;
mod listeners;
mod node_config;
mod settings;
mod sources;
pub mod table;

pub use self::error::ConfigError;
pub use self::listeners::{Address, Listener};
pub use self::node_config::{GroupKeys, LogConfigDefaults, NetworkConfig, NodeConfig, PassIntervals};
pub use self::settings::Settings;
pub use self::sources::{ConfigSources, parse_properties, read_settings};
