//! Committed offsets: a fetch gives the last acknowledged commit, or one whose outcome is not known.
//!
//! A commit that was never answered may take effect until its connection is gone for good, that is, until the node's life
//! ends; one of an older generation only until a newer generation's was acknowledged, because it is fenced then.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use uuid::Uuid;

use super::violation::Violation;

/// What is committed for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitKey {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: Uuid,
    /// The partition.
    pub partition: i32,
}

/// A commit that was sent. `None` as a value is a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitToken(u64);

#[derive(Clone, Copy, Debug)]
struct Candidate {
    token: u64,
    value: Option<i64>,
    generation: i32,
    life: u32,
    settled_at: Option<u64>,
}

#[derive(Clone, Debug)]
struct Register {
    /// What may be committed now.
    candidates: Vec<Candidate>,
    /// Everything that was ever sent, in order.
    sent: Vec<Option<i64>>,
}

impl Default for Register {
    fn default() -> Register {
        let nothing = Candidate {
            token: 0,
            value: None,
            generation: -1,
            life: 0,
            settled_at: Some(0),
        };
        Register {
            candidates: vec![nothing],
            sent: Vec::new(),
        }
    }
}

/// What may be committed when a fetch is sent.
#[derive(Clone, Debug)]
pub struct CommitSnapshot {
    allowed: BTreeSet<Option<i64>>,
    sent: usize,
}

/// All groups' committed offsets.
#[derive(Clone, Debug, Default)]
pub struct Commits {
    now: u64,
    registers: BTreeMap<CommitKey, Register>,
}

impl Commits {
    /// A commit is sent; its token is also its moment.
    pub fn sent(&mut self, key: &CommitKey, value: Option<i64>, generation: i32, life: u32) -> CommitToken {
        self.now += 1;
        let register = self.registers.entry(key.clone()).or_default();
        register.sent.push(value);
        register.candidates.push(Candidate {
            token: self.now,
            value,
            generation,
            life,
            settled_at: None,
        });
        CommitToken(self.now)
    }

    /// It was refused: it has done nothing.
    pub fn refused(&mut self, key: &CommitKey, token: CommitToken) {
        if let Some(register) = self.registers.get_mut(key) {
            register.candidates.retain(|candidate| candidate.token != token.0);
        }
    }

    /// It was acknowledged: what was settled before it was sent, and what can no longer come, is over.
    pub fn acked(&mut self, key: &CommitKey, token: CommitToken) {
        self.now += 1;
        let now = self.now;
        let Some(register) = self.registers.get_mut(key) else {
            return;
        };
        let found = register
            .candidates
            .iter_mut()
            .find(|candidate| candidate.token == token.0);
        let Some(acked) = found else {
            return;
        };
        acked.settled_at = Some(now);
        let acked = *acked;
        register.candidates.retain(|other| match other.settled_at {
            Some(settled_at) => settled_at >= token.0,
            None => other.life >= acked.life && other.generation >= acked.generation,
        });
    }

    /// What a fetch that is sent now may give.
    pub fn snapshot(&self, key: &CommitKey) -> CommitSnapshot {
        let register = self.registers.get(key).cloned().unwrap_or_default();
        CommitSnapshot {
            allowed: register
                .candidates
                .iter()
                .map(|candidate| candidate.value)
                .collect(),
            sent: register.sent.len(),
        }
    }

    /// A fetch gave `value`.
    pub fn fetched(
        &self,
        key: &CommitKey,
        snapshot: &CommitSnapshot,
        value: Option<i64>,
        out: &mut Vec<Violation>,
    ) {
        let sent_since = self
            .registers
            .get(key)
            .and_then(|register| register.sent.get(snapshot.sent..));
        if snapshot.allowed.contains(&value) || sent_since.is_some_and(|since| since.contains(&value)) {
            return;
        }
        let what = format!(
            "group {} has {value:?} committed for partition {} of {}, not one of {:?}",
            key.group, key.partition, key.topic, snapshot.allowed
        );
        out.push(Violation::new("G7", "committed-offset-regression", what));
    }

    /// Every key that was ever committed for.
    pub fn keys(&self) -> impl Iterator<Item = &CommitKey> {
        self.registers.keys()
    }

    /// Whether anything of `group` was acknowledged, so that the group cannot vanish for being empty.
    pub fn has_acked(&self, group: &str) -> bool {
        let mut of_group = self.registers.iter().filter(|(key, _)| key.group == group);
        of_group.any(|(_, register)| {
            register
                .candidates
                .iter()
                .any(|one| one.settled_at.is_some_and(|at| at > 0))
        })
    }

    /// A power cut that may have taken what was not flushed: any earlier state may be back.
    pub fn may_have_fallen_back(&mut self) {
        self.now += 1;
        for register in self.registers.values_mut() {
            let earlier: BTreeSet<Option<i64>> = register.sent.iter().copied().chain([None]).collect();
            let candidate = |value| Candidate {
                token: 0,
                value,
                generation: -1,
                life: 0,
                settled_at: Some(0),
            };
            register.candidates = earlier.into_iter().map(candidate).collect();
        }
    }

    /// A topic was deleted: its commits may be gone or not.
    pub fn topic_deleted(&mut self, topic: Uuid) {
        self.now += 1;
        let of_topic = self.registers.iter_mut().filter(|(key, _)| key.topic == topic);
        for (_, register) in of_topic {
            register.sent.push(None);
            register.candidates.push(Candidate {
                token: 0,
                value: None,
                generation: i32::MAX,
                life: u32::MAX,
                settled_at: None,
            });
        }
    }
}
