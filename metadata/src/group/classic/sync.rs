//! SyncGroup: the leader hands in the assignment, everybody gets its part.
//!
//! Rule: nobody learns an assignment before it is committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use protocol_compat::ErrorCode;

use super::super::continuation::Continuation;
use super::super::request::{Reply, RequestToken, SyncReply, SyncRequest};
use super::super::timer_queue::TimerKey;
use super::{GroupState, Member, Turn};

impl Turn<'_> {
    /// Takes a SyncGroup in. It is answered at once, or when the leader's assignment is committed.
    pub(in super::super) fn sync(&mut self, token: RequestToken, request: &SyncRequest) {
        if let Err(error) = self.validate_sync(request) {
            return self.output.reply(token, Reply::Sync(SyncReply::error(error)));
        }
        match self.group.state {
            GroupState::Empty => self.refuse_sync(token, ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => self.refuse_sync(token, ErrorCode::RebalanceInProgress),
            GroupState::CompletingRebalance => self.await_assignment(token, request),
            GroupState::Stable => {
                self.remove_pending_sync_member(&request.member_id);
                let reply = self.assignment_of(&request.member_id);
                self.output.reply(token, Reply::Sync(reply));
            }
        }
    }

    fn validate_sync(&self, request: &SyncRequest) -> Result<(), ErrorCode> {
        if self.group.state == GroupState::Empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.group
            .validate_member(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation != self.group.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |given: &Option<Arc<str>>, known: &Option<Arc<str>>| matches!((given, known), (Some(given), Some(known)) if given != known);
        if differs(&request.protocol_type, &self.group.protocol_type)
            || differs(&request.protocol_name, &self.group.protocol_name)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn refuse_sync(&mut self, token: RequestToken, error: ErrorCode) {
        self.output.reply(token, Reply::Sync(SyncReply::error(error)));
    }

    fn await_assignment(&mut self, token: RequestToken, request: &SyncRequest) {
        if let Some(member) = self.group.members.get_mut(&request.member_id) {
            // A repeated request takes the place of the first, which its client has given up.
            if let Some(abandoned) = member.awaiting_sync.replace(token) {
                let error = SyncReply::error(ErrorCode::RebalanceInProgress);
                self.output.reply(abandoned, Reply::Sync(error));
            }
        }
        self.remove_pending_sync_member(&request.member_id);
        if self.group.is_leader(&request.member_id) {
            self.write_assignment(request);
        }
    }

    fn write_assignment(&mut self, request: &SyncRequest) {
        let given: BTreeMap<&str, &Bytes> = request
            .assignments
            .iter()
            .map(|(member_id, assignment)| (&**member_id, assignment))
            .collect();
        let assignment_of = |member_id: &str| {
            given
                .get(member_id)
                .map_or_else(Bytes::new, |bytes| (*bytes).clone())
        };
        let record = self
            .group
            .metadata_record(|member| assignment_of(&member.member_id));
        let members = self.group.members.keys();
        let then = Continuation::Assignment {
            group_id: self.group.group_id.clone(),
            generation: self.group.generation,
            assignment: members.map(|id| (id.clone(), assignment_of(id))).collect(),
        };
        self.output.write(record, then);
    }

    /// The leader's assignment was committed, or lost. A group that has moved on ignores it.
    pub(in super::super) fn assignment_written(
        &mut self,
        generation: i32,
        mut assignment: BTreeMap<Arc<str>, Bytes>,
        outcome: Result<(), ErrorCode>,
    ) {
        if self.group.state != GroupState::CompletingRebalance || self.group.generation != generation {
            return;
        }
        if let Err(error) = outcome {
            self.reset_and_propagate_assignment_with_error(error);
            return self.maybe_prepare_rebalance_or_complete_join();
        }
        for member in self.group.members.values_mut() {
            member.assignment = assignment.remove(&member.member_id).unwrap_or_default();
        }
        self.propagate_assignment(ErrorCode::None);
        self.group.transition_to(GroupState::Stable, self.now);
        self.output.rebalances_completed += 1;
    }

    /// Takes the assignments back and tells everybody who waits for one why.
    pub(super) fn reset_and_propagate_assignment_with_error(&mut self, error: ErrorCode) {
        for member in self.group.members.values_mut() {
            member.assignment = Bytes::new();
        }
        self.propagate_assignment(error);
    }

    fn propagate_assignment(&mut self, error: ErrorCode) {
        let member_ids: Vec<Arc<str>> = self.group.members.keys().cloned().collect();
        for member_id in &member_ids {
            let reply = match error {
                ErrorCode::None => self.assignment_of(member_id),
                error => SyncReply::error(error),
            };
            let member = self.group.members.get_mut(member_id);
            if let Some(token) = member.and_then(|member| member.awaiting_sync.take()) {
                self.output.reply(token, Reply::Sync(reply));
                // Expirations while the member waited were ignored: its session starts now.
                self.reschedule_heartbeat(member_id);
            }
        }
    }

    fn assignment_of(&self, member_id: &str) -> SyncReply {
        let member = self.group.members.get(member_id);
        SyncReply {
            error: ErrorCode::None,
            protocol_type: self.group.protocol_type.clone(),
            protocol_name: self.group.protocol_name.clone(),
            assignment: member.map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }

    fn remove_pending_sync_member(&mut self, member_id: &str) {
        self.group.pending_sync.remove(member_id);
        if self.group.pending_sync.is_empty() {
            self.timers.cancel(&TimerKey::Sync(self.group.group_id.clone()));
        }
    }

    /// Answers the waiting SyncGroup of a member that is no longer in the group.
    pub(super) fn answer_sync(&mut self, removed: &Member, reply: SyncReply) {
        if let Some(token) = removed.awaiting_sync {
            self.output.reply(token, Reply::Sync(reply));
        }
    }
}
