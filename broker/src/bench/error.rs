//! Why a probe gave no figures.

use std::io;

use thiserror::Error;

/// What ended a probe. Its words are what a person reads.
#[derive(Debug, Error)]
pub enum BenchError {
    /// Others use the processors, and `--busy` was not given.
    #[error(
        "other processes use {percent:.1} % of this machine's processors (at most {limit_percent:.0} % is accepted), so that the \
         figures would not be the machine's limits; wait until it is quiet, or measure all the same with --busy"
    )]
    Busy {
        /// Their share of all processors.
        percent: f64,
        /// The most that is accepted.
        limit_percent: f64,
    },
    /// The system refused something.
    #[error("could not {doing}: {cause}")]
    Io {
        /// What was attempted, as in "write the probe's file".
        doing: String,
        /// The system's answer.
        cause: io::Error,
    },
    /// A frame of the sink did not match its checksum.
    #[error("frame {frame} of the sink arrived damaged")]
    Damaged {
        /// Counted from zero.
        frame: u64,
    },
    /// A thread of the probe panicked; its own message is on the standard error.
    #[error("a thread of the probe failed")]
    Thread,
}

/// Says what was attempted when the system refuses it.
pub trait Doing<T> {
    /// # Errors
    /// [`BenchError::Io`] with this description, if the system refused.
    fn doing(self, what: &str) -> Result<T, BenchError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: &str) -> Result<T, BenchError> {
        self.map_err(|cause| BenchError::Io {
            doing: what.to_owned(),
            cause: cause.into(),
        })
    }
}
