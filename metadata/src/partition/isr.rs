//! The in-sync replicas of a partition: the set that the controller committed, and the one that was proposed.
//!
//! While a proposal is open both count (the maximal set): whichever the controller decides, nothing was acknowledged
//! that a member lacks.

use protocol_compat::BrokerId;

/// Committed in-sync replicas, with the proposal that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InSyncReplicas {
    committed: Box<[BrokerId]>,
    proposed: Option<Box<[BrokerId]>>,
}

impl InSyncReplicas {
    /// The set that the controller committed.
    pub fn committed(members: impl IntoIterator<Item = BrokerId>) -> InSyncReplicas {
        InSyncReplicas {
            committed: once_each(members),
            proposed: None,
        }
    }

    /// Opens a proposal in place of any other.
    pub fn propose(&mut self, members: impl IntoIterator<Item = BrokerId>) {
        self.proposed = Some(once_each(members));
    }

    /// Drops the proposal.
    pub fn withdraw(&mut self) {
        self.proposed = None;
    }

    /// Members of either set, some twice: all of them must have a record before it counts as committed (rule R5).
    pub fn maximal(&self) -> impl Iterator<Item = &BrokerId> {
        self.committed.iter().chain(self.proposed.iter().flatten())
    }

    /// How many members the controller has committed; what min.insync.replicas is compared with.
    pub fn committed_len(&self) -> usize {
        self.committed.len()
    }
}

/// In ascending order. There are few members, and as many sets as partitions: a tree would take ten times the memory.
fn once_each(members: impl IntoIterator<Item = BrokerId>) -> Box<[BrokerId]> {
    let mut members: Vec<BrokerId> = members.into_iter().collect();
    members.sort_unstable();
    members.dedup();
    members.into()
}

/// What `min.insync.replicas` demands of a partition with so many replicas: never more than there are.
pub fn effective_min_isr(min_insync_replicas: usize, replicas: usize) -> usize {
    min_insync_replicas.min(replicas)
}
