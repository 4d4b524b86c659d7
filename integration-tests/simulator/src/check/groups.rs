//! Classic groups: one owner of a partition in a generation, and nobody of an older generation gets anything done.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::violation::Violation;

/// What a leader gave a member, as it travels in the assignment's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Chosen by the leader once for each generation that it leads.
    pub nonce: u64,
    /// The generation.
    pub generation: i32,
    /// Whose it is.
    pub member: String,
    /// What is assigned.
    pub partitions: Vec<(Uuid, i32)>,
}

#[derive(Clone, Debug, Default)]
struct Group {
    /// The newest generation of which a member got its assignment.
    stable: i32,
    nonces: BTreeMap<i32, u64>,
    owners: BTreeMap<(i32, Uuid, i32), String>,
}

/// All groups.
#[derive(Clone, Debug, Default)]
pub struct Groups(BTreeMap<String, Group>);

impl Groups {
    /// The newest generation that is known to have begun.
    pub fn stable_generation(&self, group: &str) -> i32 {
        self.0.get(group).map_or(-1, |group| group.stable)
    }

    /// A member joined `generation`, having asked when `floor` was stable. A group without commits may have been
    /// forgotten in between and begin again.
    pub fn joined(
        &mut self,
        name: &str,
        generation: i32,
        floor: i32,
        may_be_forgotten: bool,
        out: &mut Vec<Violation>,
    ) {
        if generation >= floor {
            return;
        }
        if may_be_forgotten {
            self.0.remove(name);
            return;
        }
        let what = format!("group {name} is in generation {generation} after {floor}");
        out.push(Violation::new("G8", "generation-regression", what));
    }

    /// `member` got `assignment` for `generation`.
    pub fn assigned(
        &mut self,
        name: &str,
        generation: i32,
        member: &str,
        assignment: &Assignment,
        may_be_forgotten: bool,
        out: &mut Vec<Violation>,
    ) {
        if assignment.generation != generation || assignment.member != member {
            let what = format!(
                "{member} of group {name} got for generation {generation} what is of {} in {}",
                assignment.member, assignment.generation
            );
            return out.push(Violation::new("G8", "foreign-assignment", what));
        }
        let group = self.0.entry(name.to_owned()).or_default();
        let other_leader = group
            .nonces
            .get(&generation)
            .is_some_and(|nonce| *nonce != assignment.nonce);
        if other_leader && may_be_forgotten {
            *group = Group::default();
        } else if other_leader {
            let what = format!("generation {generation} of group {name} has assignments of two leaders");
            out.push(Violation::new("G8", "two-leaders", what));
        }
        group.nonces.insert(generation, assignment.nonce);
        group.stable = group.stable.max(generation);
        for (topic, partition) in &assignment.partitions {
            let owner = group.owners.entry((generation, *topic, *partition));
            let owner = owner.or_insert_with(|| member.to_owned());
            if owner != member {
                let what = format!(
                    "partition {partition} of {topic} is {owner}'s and {member}'s in generation {generation} of {name}"
                );
                out.push(Violation::new("G8", "two-owners", what));
            }
        }
    }

    /// A member got something done in `generation` by a request that was sent when `floor` was stable.
    pub fn accepted(&self, name: &str, what: &str, generation: i32, floor: i32, out: &mut Vec<Violation>) {
        if generation < floor {
            let what =
                format!("{what} in generation {generation} of group {name} was accepted after {floor} began");
            out.push(Violation::new("G8", "stale-generation", what));
        }
    }

    /// A power cut that may have taken what was not flushed: generations may come again.
    pub fn may_have_fallen_back(&mut self) {
        self.0.clear();
    }
}
