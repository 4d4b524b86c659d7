//! Heartbeat: a member is alive, and learns whether it must rejoin.

use std::sync::Arc;

use protocol_compat::ErrorCode;

use super::super::request::HeartbeatRequest;
use super::super::timer_queue::{TimerEvent, TimerKey};
use super::{GroupState, Turn};

impl Turn<'_> {
    /// The answer to a heartbeat.
    pub(in super::super) fn heartbeat(&mut self, request: &HeartbeatRequest) -> ErrorCode {
        let checked = self
            .group
            .validate_member(&request.member_id, request.group_instance_id.as_ref());
        if let Err(error) = checked {
            return error;
        }
        if request.generation != self.group.generation {
            return ErrorCode::IllegalGeneration;
        }
        match self.group.state {
            GroupState::Empty => ErrorCode::UnknownMemberId,
            GroupState::PreparingRebalance => {
                self.reschedule_heartbeat(&request.member_id);
                ErrorCode::RebalanceInProgress
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.reschedule_heartbeat(&request.member_id);
                ErrorCode::None
            }
        }
    }

    /// A commit of a member keeps its session alive in these two states.
    pub(in super::super) fn heartbeat_by_commit(&mut self, member_id: &Arc<str>) {
        match self.group.state {
            GroupState::Stable | GroupState::PreparingRebalance => self.reschedule_heartbeat(member_id),
            GroupState::Empty | GroupState::CompletingRebalance => {}
        }
    }

    /// Starts the session of a member anew.
    pub(super) fn reschedule_heartbeat(&mut self, member_id: &Arc<str>) {
        if let Some(member) = self.group.members.get(member_id) {
            self.schedule_heartbeat(member_id, i64::from(member.session_timeout_ms));
        }
    }

    pub(super) fn schedule_heartbeat(&mut self, member_id: &Arc<str>, timeout_ms: i64) {
        let key = TimerKey::Heartbeat(self.group.group_id.clone(), member_id.clone());
        let deadline_ms = self.now.monotonic_ms.saturating_add(timeout_ms);
        self.timers
            .schedule(key, deadline_ms, TimerEvent::HeartbeatExpired);
    }

    pub(super) fn cancel_heartbeat(&mut self, member_id: &Arc<str>) {
        let key = TimerKey::Heartbeat(self.group.group_id.clone(), member_id.clone());
        self.timers.cancel(&key);
    }
}
