//! The members of a group: who is in it, under which instance id, and who leads.
//!
//! Rule: an instance id maps to exactly one member id, and every member of that map is a member.

use std::sync::Arc;

use protocol_compat::ErrorCode;

use super::super::request::{JoinReply, JoinedMember, Reply, RequestToken, SyncReply};
use super::ClassicGroup;
use super::member::Member;

impl ClassicGroup {
    /// Takes a member in. The first one gives the group its protocol type and becomes its leader.
    pub(super) fn add_member(&mut self, protocol_type: &Arc<str>, member: Member) {
        if let Some(instance_id) = &member.group_instance_id {
            self.static_members
                .insert(instance_id.clone(), member.member_id.clone());
        }
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.member_id.clone());
        }
        self.pending_join.remove(&member.member_id);
        self.members.insert(member.member_id.clone(), member);
    }

    /// Lets a member or pending member go; another one leads if it led.
    pub(super) fn remove_member(&mut self, member_id: &str) -> Option<Member> {
        let removed = self.members.remove(member_id);
        let instance_id = removed
            .as_ref()
            .and_then(|member| member.group_instance_id.as_ref());
        if let Some(instance_id) = instance_id {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_join.remove(member_id);
        self.pending_sync.remove(member_id);
        removed
    }

    /// Puts a static member in the place of the one under `replaced_id`; it waits for nothing yet.
    pub(super) fn replace_static_member(&mut self, replaced_id: &str, member: Member) {
        self.members.remove(replaced_id);
        if self.is_leader(replaced_id) {
            self.leader = Some(member.member_id.clone());
        }
        if let Some(instance_id) = &member.group_instance_id {
            self.static_members
                .insert(instance_id.clone(), member.member_id.clone());
        }
        let member = Member {
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
            ..member
        };
        self.members.insert(member.member_id.clone(), member);
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    pub(super) fn has_member(&self, member_id: &str) -> bool {
        self.members.contains_key(member_id)
    }

    /// Checks a member id and instance id of a request. A static member whose id was replaced is fenced.
    pub(in super::super) fn validate_member(
        &self,
        member_id: &str,
        group_instance_id: Option<&Arc<str>>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = group_instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if **current != *member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.has_member(member_id) {
            Ok(())
        } else {
            Err(ErrorCode::UnknownMemberId)
        }
    }

    pub(super) fn awaiting_join_count(&self) -> usize {
        self.members
            .values()
            .filter(|member| member.awaiting_join.is_some())
            .count()
    }

    pub(super) fn has_all_members_joined(&self) -> bool {
        self.pending_join.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some())
    }

    /// The longest rebalance timeout of the members.
    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        let timeouts = self.members.values().map(|member| member.rebalance_timeout_ms);
        i64::from(timeouts.max().unwrap_or(0).max(0))
    }

    /// The members as the leader must see them.
    pub(super) fn joined_members(&self) -> Vec<JoinedMember> {
        let members = self.members.values().map(|member| JoinedMember {
            member_id: member.member_id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            metadata: self
                .protocol_name
                .as_ref()
                .and_then(|name| member.metadata(name))
                .unwrap_or_default(),
        });
        members.collect()
    }

    /// Everybody whose silence is timed: members, and those who must come back with the id they were given.
    pub(in super::super) fn heartbeating_ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.members.keys().chain(&self.pending_join)
    }

    /// The answers to everybody who waits, all with the same error.
    pub(in super::super) fn waiting_replies(&self, error: ErrorCode) -> Vec<(RequestToken, Reply)> {
        let mut replies = Vec::new();
        for member in self.members.values() {
            if let Some(token) = member.awaiting_join {
                replies.push((
                    token,
                    Reply::Join(JoinReply::error(member.member_id.clone(), error)),
                ));
            }
            if let Some(token) = member.awaiting_sync {
                replies.push((token, Reply::Sync(SyncReply::error(error))));
            }
        }
        replies
    }
}
