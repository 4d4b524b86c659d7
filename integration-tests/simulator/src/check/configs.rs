//! Settings of topics: a key has the value of its last change. Which one was the last is not known where their answers were
//! lost or crossed; then it has one of those that may have been.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::violation::Violation;

/// A key of a topic.
pub type ConfigKey = (Uuid, &'static str);

/// A change that was sent.
#[derive(Clone, Copy, Debug)]
pub struct ConfigToken {
    key: ConfigKey,
    sent: u64,
}

#[derive(Clone, Debug)]
struct Change {
    value: String,
    sent: u64,
    acked: Option<u64>,
}

/// Every change of every key.
#[derive(Clone, Debug, Default)]
pub struct Configs {
    changes: BTreeMap<ConfigKey, Vec<Change>>,
    /// Counts events.
    now: u64,
}

impl Configs {
    /// The topic was created with this value. Later calls for the key change nothing.
    pub fn created(&mut self, key: ConfigKey, value: &str) {
        if !self.changes.contains_key(&key) {
            let token = self.sent(key, value);
            self.acked(token);
        }
    }

    /// A change is about to be sent.
    pub fn sent(&mut self, key: ConfigKey, value: &str) -> ConfigToken {
        self.now += 1;
        let sent = self.now;
        let change = Change {
            value: value.to_owned(),
            sent,
            acked: None,
        };
        self.changes.entry(key).or_default().push(change);
        ConfigToken { key, sent }
    }

    /// The change was acknowledged.
    pub fn acked(&mut self, token: ConfigToken) {
        self.now += 1;
        let mut changes = self.changes.get_mut(&token.key).into_iter().flatten();
        if let Some(change) = changes.find(|change| change.sent == token.sent) {
            change.acked = Some(self.now);
        }
    }

    /// The change was refused: nothing was changed.
    pub fn refused(&mut self, token: ConfigToken) {
        if let Some(changes) = self.changes.get_mut(&token.key) {
            changes.retain(|change| change.sent != token.sent);
        }
    }

    /// The keys of a topic whose value is known.
    pub fn keys_of(&self, topic: Uuid) -> Vec<&'static str> {
        let is_known = |changes: &Vec<Change>| changes.iter().any(|change| change.acked.is_some());
        let keys = self
            .changes
            .range((topic, "")..)
            .take_while(|((id, _), _)| *id == topic);
        keys.filter(|(_, changes)| is_known(changes))
            .map(|((_, name), _)| *name)
            .collect()
    }

    /// The node at rest says that the key has the value `found`.
    pub fn check_at_rest(&self, key: ConfigKey, found: Option<&str>, out: &mut Vec<Violation>) {
        let changes = self.changes.get(&key).map_or(&[][..], Vec::as_slice);
        let last_begun = changes.iter().filter(|change| change.acked.is_some());
        let last_begun = last_begun.map(|change| change.sent).max().unwrap_or(0);
        let may_be_last = |change: &&Change| change.acked.is_none_or(|acked| acked > last_begun);
        let allowed: Vec<&str> = changes
            .iter()
            .filter(may_be_last)
            .map(|change| change.value.as_str())
            .collect();
        if !found.is_some_and(|found| allowed.iter().any(|allowed| is_same(allowed, found))) {
            let what = format!("{} of {} is {found:?}, not one of {allowed:?}", key.1, key.0);
            out.push(Violation::new("G9", "lost-config", what));
        }
    }
}

/// Numbers are named as the node writes them.
fn is_same(sent: &str, found: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    sent == found || number(sent).is_some_and(|sent| number(found) == Some(sent))
}
