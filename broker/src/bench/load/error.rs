//! Why a load was not run, or ended without a report.
//!
//! Errors that the broker answers are no such thing: they are counted and reported.

use std::io;

use thiserror::Error;

use crate::bench::error::BenchError;

/// What ended a load. Its words are what a person reads.
#[derive(Debug, Error)]
pub enum LoadError {
    /// What was typed makes no sense, or not for this workload.
    #[error("{0}")]
    Refused(String),
    /// The broker cannot be reached, or not any more.
    #[error("could not {doing}: {cause}")]
    Connection {
        /// What was attempted, as in "connect to 127.0.0.1:9092".
        doing: String,
        /// The system's answer.
        cause: io::Error,
    },
    /// The broker's bytes are no answer to what was asked.
    #[error("the broker's answer to {request} is not one: {cause}")]
    Malformed {
        /// Kafka's name of the request.
        request: &'static str,
        /// What is wrong with it.
        cause: Malformed,
    },
    /// The broker does not speak a version that is needed.
    #[error(
        "the broker does not serve {request} version {version}, which this load is made of (it serves {served})"
    )]
    Version {
        /// Kafka's name of the request.
        request: &'static str,
        /// The version that is needed.
        version: i16,
        /// What the broker says it serves.
        served: String,
    },
    /// A request that prepares the load was answered with an error.
    #[error("the broker refused to {doing}: {error}")]
    Answered {
        /// As in "create the topic load-1".
        doing: String,
        /// Kafka's name of the error, and what the broker says about it.
        error: String,
    },
    /// The system refused something on this side.
    #[error(transparent)]
    Probe(#[from] BenchError),
}

/// Bytes that are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// They end in the middle of a field, or a length reaches beyond them.
    #[error("it ends in the middle of a field")]
    Truncated,
    /// A varint of more than five bytes.
    #[error("a length has too many bytes")]
    Varint,
    /// It answers another request.
    #[error("it has correlation id {found}, and {expected} is next")]
    CorrelationId {
        /// What was sent.
        expected: i32,
        /// What came back.
        found: i32,
    },
    /// It claims to be larger than any answer may be.
    #[error("it claims to have {claimed} bytes, and {limit} are accepted at most")]
    TooLarge {
        /// What its length says.
        claimed: i64,
        /// The limit.
        limit: usize,
    },
    /// It brings records from another place.
    #[error("it begins at offset {found}, and {expected} is next")]
    Offset {
        /// What was asked for.
        expected: i64,
        /// What came back.
        found: i64,
    },
    /// Nothing was asked.
    #[error("nothing was asked")]
    Unasked,
}

/// Why a connection can not be used any more.
#[derive(Debug, Error)]
pub enum Broken {
    /// The broker closed it.
    #[error("the broker closed a connection")]
    Closed,
    /// The system's error.
    #[error("a connection failed: {0}")]
    Io(io::Error),
    /// Bytes that are no answer.
    #[error("the broker's answer is not one: {0}")]
    Malformed(#[from] Malformed),
}
