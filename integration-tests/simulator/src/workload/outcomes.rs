//! What an error code says about what was done: nothing for certain, or perhaps all of it.

use protocol_compat::error_code::ErrorCode;

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Acked,
    /// Not done by this attempt.
    Refused,
    /// Done or not.
    Unknown,
}

/// What a Produce answer says about its batch.
///
/// A partition can go away between the append and the answer, and a failing disk may have taken the bytes.
pub fn of_produce(code: ErrorCode) -> Outcome {
    match code {
        ErrorCode::None | ErrorCode::DuplicateSequenceNumber => Outcome::Acked,
        ErrorCode::CorruptMessage
        | ErrorCode::MessageTooLarge
        | ErrorCode::RecordListTooLarge
        | ErrorCode::InvalidRecord
        | ErrorCode::InvalidTimestamp
        | ErrorCode::InvalidRequiredAcks
        | ErrorCode::UnsupportedCompressionType
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::OutOfOrderSequenceNumber
        | ErrorCode::InvalidProducerEpoch
        | ErrorCode::UnknownProducerId => Outcome::Refused,
        _ => Outcome::Unknown,
    }
}

/// What an OffsetCommit or OffsetDelete answer says.
///
/// The coordinator answers "not available" and "not coordinator" also when the append failed halfway.
pub fn of_commit(code: ErrorCode) -> Outcome {
    match code {
        ErrorCode::None => Outcome::Acked,
        ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::IllegalGeneration
        | ErrorCode::UnknownMemberId
        | ErrorCode::RebalanceInProgress
        | ErrorCode::FencedInstanceId
        | ErrorCode::InvalidGroupId
        | ErrorCode::GroupIdNotFound
        | ErrorCode::NonEmptyGroup
        | ErrorCode::GroupSubscribedToTopic
        | ErrorCode::InvalidCommitOffsetSize
        | ErrorCode::OffsetMetadataTooLarge
        | ErrorCode::UnknownTopicOrPartition
        | ErrorCode::UnknownTopicId => Outcome::Refused,
        _ => Outcome::Unknown,
    }
}
