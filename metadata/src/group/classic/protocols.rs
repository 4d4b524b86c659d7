//! Which protocol the members of a group agree on, and which topics they consume under it.
//!
//! Eager and cooperative assignors are alike here: both are names that every member must support.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::super::request::Protocol;
use super::{ClassicGroup, GroupState};

impl ClassicGroup {
    /// Whether a member with these protocols fits: any will do for an empty group, later ones must share one with everybody.
    pub(super) fn supports_protocols(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == GroupState::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let candidates = self.candidate_protocols();
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols
                .iter()
                // Without members (they all left during the join phase) Kafka counts nobody's support as everybody's.
                .any(|protocol| self.members.is_empty() || candidates.contains(&*protocol.name))
    }

    /// The protocols that every member supports.
    fn candidate_protocols(&self) -> BTreeSet<&str> {
        let mut members = self.members.values();
        let mut candidates: BTreeSet<&str> = match members.next() {
            Some(first) => first.protocols.iter().map(|protocol| &*protocol.name).collect(),
            None => return BTreeSet::new(),
        };
        for member in members {
            candidates.retain(|name| member.protocols.iter().any(|protocol| &*protocol.name == *name));
        }
        candidates
    }

    /// The protocol with the most votes, each member voting for the first that all support. Ties go to the leader's order.
    pub(super) fn select_protocol(&self) -> Option<Arc<str>> {
        let candidates = self.candidate_protocols();
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            let mut preferred = member.protocols.iter().map(|protocol| &protocol.name);
            if let Some(vote) = preferred.find(|name| candidates.contains(&***name)) {
                *votes.entry(vote).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader));
        let leaders_choice = leader.into_iter().flat_map(|leader| &leader.protocols);
        leaders_choice
            .map(|protocol| &protocol.name)
            .find(|name| votes.get(name) == Some(&most))
            .or_else(|| {
                votes
                    .iter()
                    .find(|(_, count)| **count == most)
                    .map(|(name, _)| *name)
            })
            .cloned()
    }

    /// Whether offsets of this topic are in use. Consumers whose subscriptions cannot be read may use any.
    pub(in super::super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// Whether the coordinator could read the subscriptions.
    pub(in super::super) fn knows_subscriptions(&self) -> bool {
        self.subscribed_topics.is_some()
    }

    /// Reads the subscriptions of the members under the group's protocol.
    pub(super) fn update_subscribed_topics(&mut self) {
        self.subscribed_topics = self.read_subscribed_topics();
    }

    fn read_subscribed_topics(&self) -> Option<BTreeSet<Arc<str>>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol_name.as_ref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscription_topics(member.metadata(protocol)?)?);
        }
        Some(topics)
    }
}

/// The topics of a `ConsumerProtocolSubscription`, read as version 0, which every version begins with. `None` if malformed.
fn subscription_topics(mut metadata: Bytes) -> Option<Vec<Arc<str>>> {
    let version = metadata.try_get_i16().ok()?;
    if version < 0 {
        return None;
    }
    let count = usize::try_from(metadata.try_get_i32().ok()?).ok()?;
    // Each name takes two bytes at least: what follows cannot ask for more memory than it carries.
    if count > metadata.remaining() / 2 {
        return None;
    }
    let mut topics = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
        if length > metadata.remaining() {
            return None;
        }
        let name = metadata.split_to(length);
        topics.push(Arc::from(std::str::from_utf8(&name).ok()?));
    }
    // The user data of version 0: a nullable byte string.
    let user_data = metadata.try_get_i32().ok()?;
    let fits =
        user_data == -1 || usize::try_from(user_data).is_ok_and(|length| length <= metadata.remaining());
    fits.then_some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_a_subscription_are_read_whatever_its_version() {
        let bytes = [
            &[0, 3, 0, 0, 0, 2, 0, 1][..],
            b"a",
            &[0, 2],
            b"bc",
            &[255, 255, 255, 255, 9, 9],
        ]
        .concat();
        assert_eq!(
            subscription_topics(bytes.into()),
            Some(vec!["a".into(), "bc".into()])
        );
    }

    #[test]
    fn a_malformed_subscription_is_not_believed() {
        for bytes in [
            &[][..],
            &[0],
            &[0, 0, 0, 0, 0, 1],
            &[0, 0, 127, 255, 255, 255, 0, 0],
            &[0, 0, 0, 0, 0, 1, 0, 5, b'a'],
            &[0, 0, 0, 0, 0, 1, 0, 1, b'a'],
            &[255, 255, 0, 0, 0, 0, 255, 255, 255, 255],
            &[0, 0, 255, 255, 255, 255],
        ] {
            assert_eq!(
                subscription_topics(Bytes::copy_from_slice(bytes)),
                None,
                "{bytes:?}"
            );
        }
    }
}
