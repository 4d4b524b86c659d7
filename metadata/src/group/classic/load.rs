//! A group as it comes back from the log: soft state made from hard state.

use std::sync::Arc;

use super::super::hard_state::{GroupMetadata, MemberMetadata};
use super::super::request::Protocol;
use super::{ClassicGroup, GroupState, Member, Turn};

impl ClassicGroup {
    /// The group that this record describes: stable if it has members, empty if not.
    pub fn from_metadata(group_id: Arc<str>, metadata: &GroupMetadata) -> ClassicGroup {
        let mut group = ClassicGroup::new(group_id, 0);
        group.state_timestamp_ms = (metadata.state_timestamp_ms != -1).then_some(metadata.state_timestamp_ms);
        group.generation = metadata.generation;
        group.leader = metadata.leader.clone();
        group.protocol_name = metadata.protocol.clone();
        for member in &metadata.members {
            let member = loaded_member(member, metadata.protocol.as_ref());
            group.add_member(&metadata.protocol_type, member);
        }
        group.protocol_type = Some(metadata.protocol_type.clone()).filter(|name| !name.is_empty());
        if !group.members.is_empty() {
            group.state = GroupState::Stable;
        }
        group.update_subscribed_topics();
        group
    }
}

fn loaded_member(member: &MemberMetadata, protocol: Option<&Arc<str>>) -> Member {
    // Records before version 1 have no rebalance timeout.
    let rebalance_timeout_ms = match member.rebalance_timeout_ms {
        -1 => member.session_timeout_ms,
        given => given,
    };
    let protocol = Protocol {
        name: protocol.cloned().unwrap_or_else(|| "".into()),
        metadata: member.subscription.clone(),
    };
    Member {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms,
        session_timeout_ms: member.session_timeout_ms,
        protocols: vec![protocol],
        assignment: member.assignment.clone(),
        awaiting_join: None,
        awaiting_sync: None,
        is_new: false,
    }
}

impl Turn<'_> {
    /// Starts the sessions of a loaded group; one that has become too large rebalances.
    pub(in super::super) fn on_loaded(&mut self) {
        let members: Vec<_> = self.group.members.keys().cloned().collect();
        for member_id in &members {
            self.reschedule_heartbeat(member_id);
        }
        if members.len() > self.config.max_size {
            self.prepare_rebalance();
        }
    }
}
