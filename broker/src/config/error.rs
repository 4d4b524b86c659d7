//! Why a configuration does not start a node: one sentence each, for a person.

use std::path::PathBuf;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("could not read {path}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is not a properties file.
    #[error("{path} is not a properties file: {cause}")]
    NotProperties {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// An `--override` without an equals sign.
    #[error("--override {0} must have the form key=value")]
    NotAnOverride(String),
    /// A key that Kafka 4.3 and Cauce do not have.
    #[error("unknown key {key} ({origin}){}", .nearest.map(|n| format!(", did you mean {n}?")).unwrap_or_default())]
    UnknownKey {
        /// The key.
        key: String,
        /// Where it was set.
        origin: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A value that the key does not accept.
    #[error("{key} {wanted}, not {value} ({origin})")]
    InvalidValue {
        /// The key.
        key: &'static str,
        /// The end of the sentence: `must be ...`.
        wanted: String,
        /// The value, hidden where it is secret.
        value: String,
        /// Where it was set.
        origin: String,
    },
    /// A key of something that is not built.
    #[error("{key} cannot be set to {value} ({origin}): {reason}")]
    NotBuilt {
        /// The key.
        key: &'static str,
        /// The value, hidden where it is secret.
        value: String,
        /// Where it was set.
        origin: String,
        /// Why.
        reason: String,
    },
    /// Keys that contradict each other.
    #[error("{0}")]
    Contradiction(String),
}
