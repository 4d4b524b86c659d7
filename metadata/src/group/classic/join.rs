//! JoinGroup: a member comes, comes back, or takes the place of its former self.
//!
//! Dynamic members get an id first and must come back with it (KIP-394); static members are known by their instance id and
//! get a new member id each time, which fences the old one (KIP-345).

use std::sync::Arc;

use protocol_compat::ErrorCode;

use super::super::config::NEW_MEMBER_JOIN_TIMEOUT_MS;
use super::super::continuation::{Continuation, StaticReplacement};
use super::super::request::{JoinReply, JoinRequest, Reply, RequestToken, SyncReply};
use super::{GroupState, Member, Turn};

impl Turn<'_> {
    /// Takes a JoinGroup in. It is answered at once, or when the join phase ends.
    pub(in super::super) fn join(&mut self, token: RequestToken, request: &JoinRequest) {
        if !self.accepts_joining_member(&request.member_id) {
            self.group.remove_member(&request.member_id);
            return self.refuse_join(token, "", ErrorCode::GroupMaxSizeReached);
        }
        if !self
            .group
            .supports_protocols(&request.protocol_type, &request.protocols)
        {
            return self.refuse_join(token, &request.member_id, ErrorCode::InconsistentGroupProtocol);
        }
        if request.member_id.is_empty() {
            self.join_new_member(token, request);
        } else if self.group.pending_join.contains(&request.member_id) && request.group_instance_id.is_none()
        {
            self.add_member(token, request, request.member_id.clone());
        } else {
            self.join_existing_member(token, request);
        }
    }

    fn refuse_join(&mut self, token: RequestToken, member_id: &str, error: ErrorCode) {
        self.output
            .reply(token, Reply::Join(JoinReply::error(member_id, error)));
    }

    /// `group.max.size`. In a rebalance those who wait are counted, so that the last to rejoin are the ones without a seat.
    fn accepts_joining_member(&self, member_id: &str) -> bool {
        let max_size = self.config.max_size;
        match self.group.state {
            GroupState::Empty => true,
            GroupState::PreparingRebalance => {
                let member = self.group.members.get(member_id);
                member.is_some_and(|member| member.awaiting_join.is_some())
                    || self.group.awaiting_join_count() < max_size
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.group.has_member(member_id) || self.group.members.len() < max_size
            }
        }
    }

    fn join_new_member(&mut self, token: RequestToken, request: &JoinRequest) {
        let prefix = request.group_instance_id.as_ref().unwrap_or(&request.client_id);
        let member_id: Arc<str> = format!("{prefix}-{}", request.fresh_id).into();
        let existing = request
            .group_instance_id
            .as_ref()
            .and_then(|instance_id| self.group.static_members.get(instance_id))
            .and_then(|member_id| self.group.members.get(member_id))
            .cloned();
        if let Some(existing) = existing {
            self.replace_static_member(token, request, existing, member_id);
        } else if request.group_instance_id.is_none() && request.member_id_required {
            self.group.pending_join.insert(member_id.clone());
            self.schedule_heartbeat(&member_id, i64::from(request.session_timeout_ms));
            self.refuse_join(token, &member_id, ErrorCode::MemberIdRequired);
        } else {
            self.add_member(token, request, member_id);
        }
    }

    fn add_member(&mut self, token: RequestToken, request: &JoinRequest, member_id: Arc<str>) {
        if self.group.is_initial_rebalance() {
            self.group.new_member_added = true;
        }
        let mut member = Member::joining(request, member_id.clone());
        member.awaiting_join = Some(token);
        self.group.add_member(&request.protocol_type, member);
        // A new member cannot heartbeat and its disconnect is not seen here: it is forgotten after a while.
        self.schedule_heartbeat(&member_id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.maybe_prepare_rebalance_or_complete_join();
    }

    fn join_existing_member(&mut self, token: RequestToken, request: &JoinRequest) {
        let member_id = &request.member_id;
        let checked = self
            .group
            .validate_member(member_id, request.group_instance_id.as_ref());
        if let Err(error) = checked {
            return self.refuse_join(token, member_id, error);
        }
        let known = self.group.members.get(member_id);
        let unchanged = known.is_some_and(|member| member.protocols == request.protocols);
        let is_leader = self.group.is_leader(member_id);
        match self.group.state {
            GroupState::PreparingRebalance => self.rejoin(token, request),
            // The first answer was lost: the same one again.
            GroupState::CompletingRebalance if unchanged => {
                let reply = self.current_generation(member_id, is_leader);
                self.output.reply(token, Reply::Join(reply));
            }
            // A follower without news only has to sync. A leader that rejoins wants a new assignment.
            GroupState::Stable if unchanged && !is_leader => {
                let reply = self.current_generation(member_id, false);
                self.output.reply(token, Reply::Join(reply));
            }
            GroupState::CompletingRebalance | GroupState::Stable => self.rejoin(token, request),
            GroupState::Empty => self.refuse_join(token, member_id, ErrorCode::UnknownMemberId),
        }
    }

    fn rejoin(&mut self, token: RequestToken, request: &JoinRequest) {
        self.update_member(token, request, &request.member_id);
        self.maybe_prepare_rebalance_or_complete_join();
    }

    fn update_member(&mut self, token: RequestToken, request: &JoinRequest, member_id: &str) {
        let Some(member) = self.group.members.get_mut(member_id) else {
            return;
        };
        member.protocols = request.protocols.clone();
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.session_timeout_ms = request.session_timeout_ms;
        // A repeated request takes the place of the first, which its client has given up.
        if let Some(abandoned) = member.awaiting_join.replace(token) {
            self.refuse_join(abandoned, member_id, ErrorCode::RebalanceInProgress);
        }
    }

    fn replace_static_member(
        &mut self,
        token: RequestToken,
        request: &JoinRequest,
        old: Member,
        new_member_id: Arc<str>,
    ) {
        let old_leader = self.group.leader.clone();
        self.fence(&old);
        let member = Member {
            member_id: new_member_id.clone(),
            ..old.clone()
        };
        self.group.replace_static_member(&old.member_id, member);
        // The old id's timer finds no member and does nothing.
        self.reschedule_heartbeat(&new_member_id);
        self.update_member(token, request, &new_member_id);
        match self.group.state {
            GroupState::Stable if self.group.select_protocol() == self.group.protocol_name => {
                self.write_replacement(StaticReplacement {
                    group_id: self.group.group_id.clone(),
                    token,
                    new_member_id,
                    old_member: old,
                    old_leader,
                    can_skip_assignment: request.can_skip_assignment,
                });
            }
            GroupState::Stable => self.maybe_prepare_rebalance_or_complete_join(),
            // The leader may be assigning to the old id right now.
            GroupState::CompletingRebalance => self.prepare_rebalance(),
            GroupState::PreparingRebalance | GroupState::Empty => self.maybe_complete_join_phase(),
        }
    }

    /// Whoever still waits under the replaced id is told so.
    fn fence(&mut self, old: &Member) {
        if let Some(token) = old.awaiting_join {
            self.refuse_join(token, &old.member_id, ErrorCode::FencedInstanceId);
        }
        if let Some(token) = old.awaiting_sync {
            let reply = SyncReply::error(ErrorCode::FencedInstanceId);
            self.output.reply(token, Reply::Sync(reply));
        }
    }

    fn write_replacement(&mut self, replacement: StaticReplacement) {
        let record = self.group.metadata_record(|member| member.assignment.clone());
        let then = Continuation::StaticMemberReplaced(Box::new(replacement));
        self.output.write(record, then);
    }

    /// The return of a static member was committed, or lost: then the old id is the member again.
    pub(in super::super) fn static_member_written(
        &mut self,
        replacement: StaticReplacement,
        outcome: Result<(), ErrorCode>,
    ) {
        let waits = self.group.members.get(&replacement.new_member_id);
        if waits.and_then(|member| member.awaiting_join) != Some(replacement.token) {
            // Replaced once more, or rejoined in a rebalance that began meanwhile: that answers.
            return;
        }
        match outcome {
            Ok(()) => self.answer_replacement(&replacement),
            Err(error) => self.revert_replacement(replacement, error),
        }
    }

    fn answer_replacement(&mut self, replacement: &StaticReplacement) {
        let member_id = &replacement.new_member_id;
        if self.group.state != GroupState::Stable {
            // A rebalance began: it answers when it ends.
            return;
        }
        let is_leader = self.group.is_leader(member_id);
        let reply = if replacement.can_skip_assignment {
            JoinReply {
                skip_assignment: is_leader,
                ..self.current_generation(member_id, is_leader)
            }
        } else {
            // Told of the old leader, a client that leads does not assign for a group that is stable.
            JoinReply {
                leader: replacement.old_leader.clone().unwrap_or_else(|| "".into()),
                ..self.current_generation(member_id, false)
            }
        };
        self.complete_join_of(member_id, reply);
    }

    fn revert_replacement(&mut self, replacement: StaticReplacement, error: ErrorCode) {
        let reply = JoinReply {
            error,
            leader: replacement.old_leader.clone().unwrap_or_else(|| "".into()),
            ..self.current_generation(&"".into(), false)
        };
        self.complete_join_of(&replacement.new_member_id, reply);
        self.cancel_heartbeat(&replacement.new_member_id);
        let old_member_id = replacement.old_member.member_id.clone();
        self.group
            .replace_static_member(&replacement.new_member_id, replacement.old_member);
        self.reschedule_heartbeat(&old_member_id);
    }
}
