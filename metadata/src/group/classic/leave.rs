//! LeaveGroup: members go, by their own wish or by an administrator's.

use std::sync::Arc;

use protocol_compat::ErrorCode;

use super::super::request::{
    JoinReply, LeaveReply, LeaveRequest, LeavingMember, Reply, RequestToken, SyncReply,
};
use super::{GroupState, Turn};

impl Turn<'_> {
    /// Removes members one by one; the group rebalances once for all of them.
    pub(in super::super) fn leave(&mut self, token: RequestToken, request: &LeaveRequest) {
        let leaving = request.members.iter();
        let members: Vec<_> = leaving
            .map(|member| (member.clone(), self.leave_one(member)))
            .collect();
        let anybody_left = members.iter().any(|(_, error)| *error == ErrorCode::None);
        if anybody_left {
            match self.group.state {
                GroupState::Stable | GroupState::CompletingRebalance => {
                    self.maybe_prepare_rebalance_or_complete_join();
                }
                GroupState::PreparingRebalance => self.maybe_complete_join_phase(),
                GroupState::Empty => {}
            }
        }
        let reply = LeaveReply {
            error: ErrorCode::None,
            members,
        };
        self.output.reply_when_committed(token, Reply::Leave(reply));
    }

    fn leave_one(&mut self, leaving: &LeavingMember) -> ErrorCode {
        let instance_id = leaving.group_instance_id.as_ref();
        if leaving.member_id.is_empty() {
            // Administrators name static members by their instance id alone.
            let member_id = instance_id
                .and_then(|id| self.group.static_members.get(id))
                .cloned();
            return match member_id {
                Some(member_id) => self.remove_current_member(&member_id),
                None => ErrorCode::UnknownMemberId,
            };
        }
        if self.group.pending_join.contains(&leaving.member_id) {
            self.group.remove_member(&leaving.member_id);
            self.cancel_heartbeat(&leaving.member_id);
            return ErrorCode::None;
        }
        match self.group.validate_member(&leaving.member_id, instance_id) {
            Ok(()) => self.remove_current_member(&leaving.member_id),
            Err(error) => error,
        }
    }

    fn remove_current_member(&mut self, member_id: &Arc<str>) -> ErrorCode {
        self.cancel_heartbeat(member_id);
        self.remove_and_answer(member_id);
        ErrorCode::None
    }

    /// Removes a member; whatever it waits for is answered with an unknown member id, so that it joins anew.
    pub(super) fn remove_and_answer(&mut self, member_id: &Arc<str>) {
        self.complete_join_of(member_id, JoinReply::error("", ErrorCode::UnknownMemberId));
        if let Some(removed) = self.group.remove_member(member_id) {
            self.answer_sync(&removed, SyncReply::error(ErrorCode::UnknownMemberId));
        }
    }
}
