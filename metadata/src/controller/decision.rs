//! The shape of a decision: the records that make it true, and the answer that may be given once they are committed.

use protocol_compat::ErrorCode;
use protocol_compat::records::metadata::MetadataRecord;
use uuid::Uuid;

/// What the controller decided. The records change nothing until they are committed and replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<R> {
    /// To be appended to the metadata log as one atomic batch; may be empty.
    pub records: Vec<MetadataRecord>,
    /// To be given when the records are committed.
    pub response: R,
}

impl<R> Decision<R> {
    /// An answer that changes nothing.
    pub fn unchanged(response: R) -> Decision<R> {
        Decision {
            records: Vec::new(),
            response,
        }
    }
}

/// An error for the client: a code, and where Kafka gives one, a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The error code.
    pub code: ErrorCode,
    /// The sentence; `None` leaves the field null.
    pub message: Option<String>,
}

impl ApiError {
    /// A code with a sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ApiError {
        ApiError {
            code,
            message: Some(message.into()),
        }
    }
}

/// Random 128-bit ids (version 4, never one that Kafka reserves). Handed in so that decisions stay reproducible.
pub trait IdSource {
    /// The next id.
    fn next_id(&mut self) -> Uuid;
}

/// Kafka writes at most so many records for one request (`QuorumController.MAX_RECORDS_PER_USER_OP`).
pub const MAX_RECORDS_PER_REQUEST: usize = 10_000;
