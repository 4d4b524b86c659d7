//! DescribeGroups: one group with its members.

use std::sync::Arc;

use bytes::Bytes;

use super::classic::{ClassicGroup, GroupState, Member};
use super::hard_state::CommittedOffsets;
use super::shard::Shard;

/// One group as DescribeGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Where it stands.
    pub state: GroupState,
    /// Empty for a simple group.
    pub protocol_type: Arc<str>,
    /// The protocol of a stable group, empty otherwise.
    pub protocol: Arc<str>,
    /// The members by id.
    pub members: Vec<DescribedMember>,
}

/// One member of a described group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// The member's id.
    pub member_id: Arc<str>,
    /// Set for a static member.
    pub group_instance_id: Option<Arc<str>>,
    /// The client's id.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
    /// Its subscription, shown for a stable group only.
    pub metadata: Bytes,
    /// What it owns.
    pub assignment: Bytes,
}

impl Shard {
    /// The group, or `None` if there is no such group.
    pub fn describe_group(&self, group_id: &str, committed: &dyn CommittedOffsets) -> Option<DescribedGroup> {
        if let Some(group) = self.group(group_id) {
            return Some(describe(group));
        }
        if let Some(metadata) = committed.group(group_id) {
            return Some(describe(&ClassicGroup::from_metadata(group_id.into(), &metadata)));
        }
        let is_simple = committed.has_offsets(group_id);
        is_simple.then(|| describe(&ClassicGroup::new(group_id.into(), 0)))
    }
}

fn describe(group: &ClassicGroup) -> DescribedGroup {
    let protocol = match group.state() {
        GroupState::Stable => group.protocol_name().cloned(),
        GroupState::Empty | GroupState::PreparingRebalance | GroupState::CompletingRebalance => None,
    };
    let members = group.members().values();
    DescribedGroup {
        state: group.state(),
        protocol_type: group.protocol_type().cloned().unwrap_or_else(|| "".into()),
        members: members
            .map(|member| describe_member(member, protocol.as_deref()))
            .collect(),
        protocol: protocol.unwrap_or_else(|| "".into()),
    }
}

fn describe_member(member: &Member, protocol: Option<&str>) -> DescribedMember {
    DescribedMember {
        member_id: member.member_id().clone(),
        group_instance_id: member.group_instance_id().cloned(),
        client_id: member.client_id().clone(),
        client_host: member.client_host().clone(),
        metadata: protocol
            .and_then(|name| member.metadata(name))
            .unwrap_or_default(),
        assignment: member.assignment().clone(),
    }
}
