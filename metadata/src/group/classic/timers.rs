//! What happens in a group when one of its timers fires.

use std::sync::Arc;

use protocol_compat::ErrorCode;

use super::super::request::SyncReply;
use super::super::timer_queue::{TimerEvent, TimerKey};
use super::{GroupState, Turn};

impl Turn<'_> {
    /// A timer of this group was due.
    pub(in super::super) fn timer_fired(&mut self, key: &TimerKey, event: TimerEvent) {
        match (key, event) {
            (TimerKey::Heartbeat(_, member_id), _) => self.heartbeat_expired(member_id),
            (
                _,
                TimerEvent::InitialRebalance {
                    delay_ms,
                    remaining_ms,
                },
            ) => self.try_complete_initial_rebalance(delay_ms, remaining_ms),
            (_, TimerEvent::SyncExpired { generation }) => self.pending_sync_expired(generation),
            (_, TimerEvent::JoinExpired | TimerEvent::HeartbeatExpired) => {
                if self.group.state == GroupState::PreparingRebalance {
                    self.complete_join();
                }
            }
        }
    }

    fn heartbeat_expired(&mut self, member_id: &Arc<str>) {
        if self.group.pending_join.contains(member_id) {
            self.group.remove_member(member_id);
            return self.complete_join_if_all_joined();
        }
        let Some(member) = self.group.members.get(member_id) else {
            return;
        };
        if member.has_satisfied_heartbeat() {
            return;
        }
        self.remove_and_answer(member_id);
        match self.group.state {
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.maybe_prepare_rebalance_or_complete_join()
            }
            GroupState::PreparingRebalance => self.complete_join_if_all_joined(),
            GroupState::Empty => {}
        }
    }

    /// Unlike a leaving member, an expired one also ends the first gathering of a group, as in Kafka.
    fn complete_join_if_all_joined(&mut self) {
        if self.group.state == GroupState::PreparingRebalance && self.group.has_all_members_joined() {
            self.complete_join();
        }
    }

    fn pending_sync_expired(&mut self, generation: i32) {
        let is_current = generation == self.group.generation
            && matches!(
                self.group.state,
                GroupState::CompletingRebalance | GroupState::Stable
            );
        if !is_current || self.group.pending_sync.is_empty() {
            return;
        }
        for member_id in std::mem::take(&mut self.group.pending_sync) {
            if let Some(removed) = self.group.remove_member(&member_id) {
                self.answer_sync(&removed, SyncReply::error(ErrorCode::UnknownMemberId));
            }
            self.cancel_heartbeat(&member_id);
        }
        self.prepare_rebalance();
    }
}
