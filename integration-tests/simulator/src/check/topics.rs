//! Topics and their ids: a name has another id only after a deletion, an id never another name, and what was created is
//! there until somebody deletes it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::violation::Violation;

/// How far a deletion went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Nobody asked.
    None,
    /// Asked, and it may or may not have happened.
    Sent,
    /// Acknowledged.
    Acked,
}

/// One topic id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicLife {
    /// The name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How far a deletion went.
    pub deletion: Deletion,
}

/// All topics that were ever seen.
#[derive(Clone, Debug, Default)]
pub struct Topics {
    by_id: BTreeMap<Uuid, TopicLife>,
    newest: BTreeMap<String, Uuid>,
}

impl Topics {
    /// A creation's answer or a Metadata answer names a topic. Says whether it is new.
    pub fn seen(&mut self, name: &str, id: Uuid, partitions: i32, out: &mut Vec<Violation>) -> bool {
        if let Some(known) = self.by_id.get(&id) {
            if known.name != name {
                let what = format!("topic id {id} is {}'s and {name}'s", known.name);
                out.push(Violation::new("G9", "inconsistent-metadata", what));
            }
            return false;
        }
        let earlier = self.newest.insert(name.to_owned(), id);
        if let Some(earlier) = earlier.filter(|id| self.deletion(*id) == Deletion::None) {
            let what = format!("topic {name} was {earlier} and is {id}, and nobody deleted it");
            out.push(Violation::new("G9", "lost-topic", what));
        }
        let life = TopicLife {
            name: name.to_owned(),
            partitions,
            deletion: Deletion::None,
        };
        self.by_id.insert(id, life);
        true
    }

    /// A deletion is sent, or acknowledged.
    pub fn deleted(&mut self, id: Uuid, deletion: Deletion) {
        if let Some(topic) = self
            .by_id
            .get_mut(&id)
            .filter(|topic| topic.deletion != Deletion::Acked)
        {
            topic.deletion = deletion;
        }
    }

    /// How far the deletion of `id` went.
    pub fn deletion(&self, id: Uuid) -> Deletion {
        self.by_id.get(&id).map_or(Deletion::None, |topic| topic.deletion)
    }

    /// The topic of `id`.
    pub fn get(&self, id: Uuid) -> Option<&TopicLife> {
        self.by_id.get(&id)
    }

    /// Every topic that was ever seen.
    pub fn iter(&self) -> impl Iterator<Item = (&Uuid, &TopicLife)> {
        self.by_id.iter()
    }

    /// The node at rest has exactly the topics `there`.
    pub fn check_at_rest(&self, there: &[(String, Uuid)], out: &mut Vec<Violation>) {
        for (id, topic) in &self.by_id {
            let is_there = there.iter().any(|(_, there)| there == id);
            let wrong = match topic.deletion {
                Deletion::None => (!is_there).then_some(("lost-topic", "is gone")),
                Deletion::Acked => is_there.then_some(("undead-topic", "was deleted and is there")),
                Deletion::Sent => None,
            };
            if let Some((anomaly, what)) = wrong {
                let what = format!("topic {} ({id}) {what}", topic.name);
                out.push(Violation::new("G9", anomaly, what));
            }
        }
    }
}
