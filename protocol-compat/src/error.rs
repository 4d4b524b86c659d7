//! Why bytes could not become a message, or a message bytes.
//!
//! A decode error is the peer's fault and ends in a closed connection, as in Kafka; an encode error is ours. Which of
//! them a handler meets, and what the client is told, is the broker's matter.

use thiserror::Error;

/// Why the bytes of a request, a header or a record were refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// A field needs more bytes than are left.
    #[error("{needed} bytes are needed where {left} are left")]
    Truncated {
        /// Bytes that the field needs.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// A length or an element count is negative, or larger than what is left can hold.
    #[error("length {0} is out of range")]
    InvalidLength(i64),
    /// A variable-length integer goes on after its fifth byte.
    #[error("a variable-length integer is too long")]
    InvalidVarint,
    /// A field that may not be null at this version is null.
    #[error("field {0} is null")]
    UnexpectedNull(&'static str),
    /// Text is not UTF-8.
    #[error("text is not UTF-8")]
    InvalidText,
    /// The message has no such version.
    #[error("version {0} is not supported")]
    UnsupportedVersion(i16),
    /// No API has this key.
    #[error("API key {0} is not known")]
    UnknownApiKey(i16),
    /// A record's type, or the frame around it, is not one that Kafka 4.3 knows.
    #[error("record type {0} is not known")]
    UnknownRecordType(i64),
    /// Bytes are left after the message.
    #[error("{0} bytes are left after the message")]
    TrailingBytes(usize),
    /// Decoded, the message would take more memory than its bytes entitle it to.
    #[error("decoded it would take more than {budget_bytes} bytes of memory")]
    TooLarge {
        /// What the bytes entitled it to.
        budget_bytes: usize,
    },
    /// The codec refused what the guard let pass.
    #[error("{0}")]
    Codec(String),
}

/// Why a message could not be written at a version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A field is set that the version does not have.
    #[error("field {0} is set and the version does not have it")]
    NotAtThisVersion(&'static str),
    /// A field is null that may not be null at the version.
    #[error("field {0} is null")]
    UnexpectedNull(&'static str),
    /// A text, byte string, array or frame is longer than its length field can say.
    #[error("length {0} does not fit its length field")]
    TooLong(usize),
    /// The message has no such version.
    #[error("version {0} is not supported")]
    UnsupportedVersion(i16),
    /// Records of a file are to be written where only bytes can be.
    #[error("{0} bytes of records are in a file, not in memory")]
    NotInMemory(usize),
    /// The codec refused the message.
    #[error("{0}")]
    Codec(String),
}
