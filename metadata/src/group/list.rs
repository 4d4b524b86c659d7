//! ListGroups: every group of a shard that passes the filters.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::classic::GroupState;
use super::hard_state::CommittedOffsets;
use super::shard::Shard;

/// One group as ListGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group_id: Arc<str>,
    /// Empty for a simple group.
    pub protocol_type: Arc<str>,
    /// Where it stands.
    pub state: GroupState,
}

/// The filters of a request; an empty list lets everything pass.
#[derive(Clone, Debug, Default)]
pub struct GroupFilter {
    /// Names of states in any case (version 4, KIP-518).
    pub states: Vec<Arc<str>>,
    /// Names of group types in any case (version 5, KIP-848).
    pub types: Vec<Arc<str>>,
}

impl GroupFilter {
    /// All groups here are of the classic type.
    fn admits_classic(&self) -> bool {
        self.types.is_empty() || self.types.iter().any(|name| name.eq_ignore_ascii_case("classic"))
    }

    fn admits(&self, state: GroupState) -> bool {
        let matches = |name: &Arc<str>| name.trim().eq_ignore_ascii_case(state.name());
        self.states.is_empty() || self.states.iter().any(matches)
    }
}

impl Shard {
    /// The groups of this shard in order of their ids. Groups that are not in memory have no members.
    pub fn list_groups(&self, filter: &GroupFilter, committed: &dyn CommittedOffsets) -> Vec<ListedGroup> {
        if !filter.admits_classic() {
            return Vec::new();
        }
        let mut found: BTreeMap<Arc<str>, (Arc<str>, GroupState)> = BTreeMap::new();
        if filter.admits(GroupState::Empty) {
            committed.for_each_group_with_offsets(&mut |group_id| {
                found.insert(group_id.into(), ("".into(), GroupState::Empty));
            });
            committed.for_each_group(&mut |group_id, group| {
                found.insert(group_id.into(), (group.protocol_type.clone(), GroupState::Empty));
            });
        }
        for group in self.groups() {
            let protocol_type = group.protocol_type().cloned().unwrap_or_else(|| "".into());
            if filter.admits(group.state()) {
                found.insert(group.group_id().clone(), (protocol_type, group.state()));
            } else {
                found.remove(group.group_id());
            }
        }
        let listed = found
            .into_iter()
            .map(|(group_id, (protocol_type, state))| ListedGroup {
                group_id,
                protocol_type,
                state,
            });
        listed.collect()
    }
}
