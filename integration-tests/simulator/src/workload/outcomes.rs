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

/// Whether a Produce answer says something about the batch that is not so: all of them are sound and small.
pub fn slanders_the_batch(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CorruptMessage
            | ErrorCode::MessageTooLarge
            | ErrorCode::RecordListTooLarge
            | ErrorCode::InvalidTimestamp
            | ErrorCode::InvalidRequiredAcks
            | ErrorCode::UnsupportedCompressionType
            | ErrorCode::UnknownServerError
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_appended_is_not_refused() {
        assert_eq!(of_produce(ErrorCode::KafkaStorageError), Outcome::Unknown);
        assert_eq!(of_produce(ErrorCode::RequestTimedOut), Outcome::Unknown);
        assert_eq!(of_produce(ErrorCode::NotEnoughReplicas), Outcome::Refused);
        assert_eq!(of_commit(ErrorCode::NotCoordinator), Outcome::Unknown);
        assert_eq!(of_commit(ErrorCode::CoordinatorLoadInProgress), Outcome::Refused);
    }
}
