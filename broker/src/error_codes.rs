//! Every internal error to its Kafka code: exhaustive, so that a new error cannot reach a client as something else.

use protocol_compat::ErrorCode;
use storage::log::{AppendError, LogError, ReadError};

/// The code of a failed append.
pub fn of_append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::CorruptBatch(_) => ErrorCode::CorruptMessage,
        AppendError::InvalidRecord { .. } => ErrorCode::InvalidRecord,
        AppendError::InvalidTimestamp { .. } => ErrorCode::InvalidTimestamp,
        AppendError::BatchTooLarge { .. } => ErrorCode::MessageTooLarge,
        AppendError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
        AppendError::UnsupportedMagic(_) => ErrorCode::UnsupportedForMessageFormat,
        AppendError::UnsupportedCompression => ErrorCode::UnsupportedCompressionType,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        AppendError::UnexpectedOffset { .. } => ErrorCode::UnknownServerError,
        AppendError::NoSpace | AppendError::Offline(_) => ErrorCode::KafkaStorageError,
    }
}

/// The code of a failed read.
pub fn of_read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Corrupt { .. } => ErrorCode::CorruptMessage,
        ReadError::Io(_) => ErrorCode::KafkaStorageError,
    }
}

/// The code of a failed change of a log.
pub fn of_log(error: &LogError) -> ErrorCode {
    match error {
        LogError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        LogError::Corrupt { .. } | LogError::Io(_) | LogError::Offline(_) | LogError::ForeignTopic { .. } => {
            ErrorCode::KafkaStorageError
        }
    }
}
