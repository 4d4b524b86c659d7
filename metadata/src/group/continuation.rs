//! What a decision leaves behind: answers, records, and what must happen once the records are committed or lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use protocol_compat::ErrorCode;

use super::classic::member::Member;
use super::hard_state::CoordinatorRecord;
use super::request::{Reply, RequestToken};

/// The outcome of one decision, collected while it is made.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) replies: Vec<(RequestToken, Reply)>,
    pub(super) records: Vec<CoordinatorRecord>,
    /// Set whenever there are records.
    pub(super) then: Option<Continuation>,
    /// Rebalances that began and that completed.
    pub(super) rebalances_started: u64,
    pub(super) rebalances_completed: u64,
}

impl Output {
    /// Answers at once.
    pub(super) fn reply(&mut self, token: RequestToken, reply: Reply) {
        self.replies.push((token, reply));
    }

    /// Answers at once if nothing was written, and otherwise when the records are committed.
    pub(super) fn reply_when_committed(&mut self, token: RequestToken, reply: Reply) {
        if self.records.is_empty() {
            self.reply(token, reply);
        } else {
            self.then = Some(Continuation::Answer(token, reply));
        }
    }

    /// Writes a record whose outcome `then` deals with.
    pub(super) fn write(&mut self, record: CoordinatorRecord, then: Continuation) {
        self.records.push(record);
        self.then = Some(then);
    }
}

/// What waits for the commit of a decision's records.
#[derive(Debug)]
pub(super) enum Continuation {
    /// Answer; on failure with the error in the reply's own form.
    Answer(RequestToken, Reply),
    /// A group was created; on failure it goes, and everybody who waits in it learns the error.
    NewGroup { group_id: Arc<str> },
    /// A generation without members was written; nothing depends on it.
    EmptyGeneration,
    /// The leader's assignment of this generation was written; on failure the group rebalances.
    Assignment {
        group_id: Arc<str>,
        generation: i32,
        assignment: BTreeMap<Arc<str>, Bytes>,
    },
    /// A static member came back under a new id without a rebalance; on failure the old one stays.
    StaticMemberReplaced(Box<StaticReplacement>),
    /// Expired offsets and groups, offsets of deleted topics: tried again by the next pass or the next load.
    Removal,
}

/// What undoes or completes the return of a static member.
#[derive(Debug)]
pub(super) struct StaticReplacement {
    pub(super) group_id: Arc<str>,
    pub(super) token: RequestToken,
    pub(super) new_member_id: Arc<str>,
    /// As it was, for the case of failure.
    pub(super) old_member: Member,
    /// The leader before the replacement, which clients before version 9 are told.
    pub(super) old_leader: Option<Arc<str>>,
    pub(super) can_skip_assignment: bool,
}

/// What a client is told when the append or the commit failed with `error` (Kafka's `appendGroupMetadataErrorToResponseError`
/// and `CoordinatorOperationExceptionHelper`).
pub(super) fn response_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        other => other,
    }
}
