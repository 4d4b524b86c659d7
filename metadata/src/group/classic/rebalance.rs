//! The course of a rebalance: it is prepared, everybody joins or is left behind, the next generation begins.
//!
//! Rule: a generation begins only here, and its number only grows.

use std::sync::Arc;

use bytes::Bytes;
use protocol_compat::ErrorCode;

use super::super::continuation::Continuation;
use super::super::request::{JoinReply, Now, Reply, SyncReply};
use super::super::timer_queue::{TimerEvent, TimerKey};
use super::{ClassicGroup, GroupState, Turn};

impl ClassicGroup {
    fn can_rebalance(&self) -> bool {
        match self.state {
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => true,
            GroupState::PreparingRebalance => false,
        }
    }

    /// Whether the group waits for its first members to gather.
    pub(super) fn is_initial_rebalance(&self) -> bool {
        self.state == GroupState::PreparingRebalance && self.previous_state == Some(GroupState::Empty)
    }

    /// Makes sure that the leader is somebody who joined. False if nobody did.
    fn maybe_elect_joined_leader(&mut self) -> bool {
        let Some(leader) = self.leader.as_ref() else {
            return false;
        };
        let joined = |member: &super::Member| member.awaiting_join.is_some();
        if self.members.get(leader).is_some_and(joined) {
            return true;
        }
        let Some(next) = self.members.values().find(|member| joined(member)) else {
            return false;
        };
        self.leader = Some(next.member_id.clone());
        true
    }

    fn init_next_generation(&mut self, now: Now) {
        // Kafka's int overflows here; after two billion generations the count starts again instead of turning negative.
        self.generation = self.generation.checked_add(1).unwrap_or(0);
        if self.members.is_empty() {
            self.protocol_name = None;
            self.update_subscribed_topics();
            self.transition_to(GroupState::Empty, now);
        } else {
            self.protocol_name = self.select_protocol();
            self.update_subscribed_topics();
            self.transition_to(GroupState::CompletingRebalance, now);
        }
        self.pending_sync.clear();
    }
}

impl Turn<'_> {
    /// Rebalances, or lets the one in progress go on if this was the last to wait for.
    pub(super) fn maybe_prepare_rebalance_or_complete_join(&mut self) {
        if self.group.can_rebalance() {
            self.prepare_rebalance();
        } else {
            self.maybe_complete_join_phase();
        }
    }

    /// Asks everybody to rejoin. The first members of a group get time to gather.
    pub(super) fn prepare_rebalance(&mut self) {
        if self.group.state == GroupState::CompletingRebalance {
            self.reset_and_propagate_assignment_with_error(ErrorCode::RebalanceInProgress);
        }
        self.remove_sync_expiration();
        self.output.rebalances_started += 1;
        if self.group.state == GroupState::Empty {
            self.start_initial_rebalance();
            self.group.transition_to(GroupState::PreparingRebalance, self.now);
        } else {
            self.group.transition_to(GroupState::PreparingRebalance, self.now);
            self.complete_join_or_schedule();
        }
    }

    fn start_initial_rebalance(&mut self) {
        let delay_ms = self.config.initial_rebalance_delay_ms;
        let timeout_ms = i32::try_from(self.group.rebalance_timeout_ms()).unwrap_or(i32::MAX);
        let remaining_ms = timeout_ms.saturating_sub(delay_ms).max(0);
        self.schedule_initial_rebalance(delay_ms, remaining_ms);
    }

    fn schedule_initial_rebalance(&mut self, delay_ms: i32, remaining_ms: i32) {
        let event = TimerEvent::InitialRebalance {
            delay_ms,
            remaining_ms,
        };
        let deadline_ms = self.now.monotonic_ms.saturating_add(i64::from(delay_ms));
        self.timers
            .schedule(TimerKey::Join(self.group.group_id.clone()), deadline_ms, event);
    }

    /// The initial delay is over: it is prolonged if somebody came meanwhile and time remains.
    pub(super) fn try_complete_initial_rebalance(&mut self, delay_ms: i32, remaining_ms: i32) {
        if self.group.new_member_added && remaining_ms != 0 {
            self.group.new_member_added = false;
            let next_delay_ms = self.config.initial_rebalance_delay_ms.min(remaining_ms);
            let next_remaining_ms = remaining_ms.saturating_sub(delay_ms).max(0);
            self.schedule_initial_rebalance(next_delay_ms, next_remaining_ms);
        } else {
            self.complete_join();
        }
    }

    /// Ends the join phase if everybody is there; the first gathering of a group only ends by its timer.
    pub(super) fn maybe_complete_join_phase(&mut self) {
        let in_phase =
            self.group.state == GroupState::PreparingRebalance && !self.group.is_initial_rebalance();
        if in_phase && self.group.has_all_members_joined() {
            self.complete_join();
        }
    }

    fn complete_join_or_schedule(&mut self) {
        if self.group.has_all_members_joined() {
            self.complete_join();
        } else {
            self.schedule_join_expiration();
        }
    }

    fn schedule_join_expiration(&mut self) {
        let deadline_ms = self
            .now
            .monotonic_ms
            .saturating_add(self.group.rebalance_timeout_ms());
        let key = TimerKey::Join(self.group.group_id.clone());
        self.timers.schedule(key, deadline_ms, TimerEvent::JoinExpired);
    }

    /// Ends the join phase: dynamic members that did not rejoin are out, static ones stay until their session ends.
    pub(super) fn complete_join(&mut self) {
        self.timers.cancel(&TimerKey::Join(self.group.group_id.clone()));
        self.remove_members_that_did_not_rejoin();
        if !self.group.maybe_elect_joined_leader() && !self.group.members.is_empty() {
            // Nobody joined, and static members may still come back.
            return self.schedule_join_expiration();
        }
        self.group.init_next_generation(self.now);
        if self.group.state == GroupState::Empty {
            let record = self.group.metadata_record(|_| Bytes::new());
            self.output.write(record, Continuation::EmptyGeneration);
        } else {
            self.answer_joins();
            self.schedule_pending_sync();
        }
    }

    fn remove_members_that_did_not_rejoin(&mut self) {
        let missing = self
            .group
            .members
            .values()
            .filter(|member| member.awaiting_join.is_none() && member.group_instance_id.is_none());
        let missing: Vec<Arc<str>> = missing.map(|member| member.member_id.clone()).collect();
        for member_id in missing {
            if let Some(removed) = self.group.remove_member(&member_id) {
                self.answer_sync(&removed, SyncReply::error(ErrorCode::UnknownMemberId));
            }
            self.cancel_heartbeat(&member_id);
        }
    }

    fn answer_joins(&mut self) {
        let member_ids: Vec<Arc<str>> = self.group.members.keys().cloned().collect();
        for member_id in &member_ids {
            let reply = self.current_generation(member_id, self.group.is_leader(member_id));
            self.complete_join_of(member_id, reply);
            self.reschedule_heartbeat(member_id);
            if let Some(member) = self.group.members.get_mut(member_id) {
                member.is_new = false;
            }
            self.group.pending_sync.insert(member_id.clone());
        }
    }

    /// The answer to a JoinGroup that succeeded.
    pub(super) fn current_generation(&self, member_id: &Arc<str>, with_members: bool) -> JoinReply {
        JoinReply {
            error: ErrorCode::None,
            generation: self.group.generation,
            protocol_type: self.group.protocol_type.clone(),
            protocol_name: self.group.protocol_name.clone(),
            leader: self.group.leader.clone().unwrap_or_else(|| "".into()),
            skip_assignment: false,
            member_id: member_id.clone(),
            members: if with_members {
                self.group.joined_members()
            } else {
                Vec::new()
            },
        }
    }

    /// Answers a member's waiting JoinGroup, if it has one.
    pub(super) fn complete_join_of(&mut self, member_id: &str, reply: JoinReply) {
        let member = self.group.members.get_mut(member_id);
        if let Some(token) = member.and_then(|member| member.awaiting_join.take()) {
            self.output.reply(token, Reply::Join(reply));
        }
    }

    fn schedule_pending_sync(&mut self) {
        let event = TimerEvent::SyncExpired {
            generation: self.group.generation,
        };
        let deadline_ms = self
            .now
            .monotonic_ms
            .saturating_add(self.group.rebalance_timeout_ms());
        self.timers
            .schedule(TimerKey::Sync(self.group.group_id.clone()), deadline_ms, event);
    }

    pub(super) fn remove_sync_expiration(&mut self) {
        self.group.pending_sync.clear();
        self.timers.cancel(&TimerKey::Sync(self.group.group_id.clone()));
    }
}
