//! Why a node does not start or does not go on: one sentence each. The exit codes are the command line's.

use std::io;
use std::sync::Arc;

use metadata::quorum::QuorumError;
use storage::log_dirs::OpenError;
use storage::offset_store::OffsetStoreError;
use thiserror::Error;

use crate::broker_lifecycle::RegistrationError;
use crate::config::{Address, ConfigError};

/// Why there is no node.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port is taken.
    #[error("port {} of listener {name} is in use: {address}", address.port)]
    PortInUse {
        /// The listener.
        name: Arc<str>,
        /// Where it should bind.
        address: Address,
    },
    /// A listener cannot bind for another reason.
    #[error("listener {name} cannot bind {address}: {cause}")]
    Bind {
        /// The listener.
        name: Arc<str>,
        /// Where it should bind.
        address: Address,
        /// What the system said.
        cause: io::Error,
    },
    /// The data directories cannot be used.
    #[error(transparent)]
    LogDirs(#[from] OpenError),
    /// The metadata log cannot be opened.
    #[error("could not open the metadata log: {0}")]
    MetadataLog(io::Error),
    /// The store of committed offsets cannot be opened.
    #[error(transparent)]
    OffsetStore(#[from] OffsetStoreError),
    /// A task of the start ended before its work was done.
    #[error("the start was cut off: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The metadata quorum cannot start.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
    /// The broker cannot register.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// A metric has the name of another.
    #[error("could not register a metric: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The runtime cannot start.
    #[error("could not start the runtime: {0}")]
    Runtime(io::Error),
    /// A running node cannot go on.
    #[error("the node had to stop: {0}")]
    Stopped(String),
}
