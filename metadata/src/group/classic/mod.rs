//! A classic group: members that choose a leader, which assigns partitions for all of them.
//!
//! Owns the soft state of one group and its transitions. Each request has its own file; all of them work through a [`Turn`].
//!
//! | From \ to           | Empty | PreparingRebalance | CompletingRebalance | Stable |
//! | ------------------- | ----- | ------------------ | ------------------- | ------ |
//! | Empty               |       | first join         |                     |        |
//! | PreparingRebalance  | all left |                 | all joined, or time | |
//! | CompletingRebalance |       | join, leave, loss  |                     | leader's sync committed |
//! | Stable              |       | join, leave, loss  |                     |        |
//!
//! Kafka's fifth state, Dead, is the absence of the group here.

mod heartbeat;
mod join;
mod leave;
mod load;
pub(super) mod member;
mod members;
mod protocols;
mod rebalance;
mod sync;
mod timers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub use member::Member;

use super::config::GroupConfig;
use super::continuation::Output;
use super::hard_state::{CoordinatorRecord, GroupMetadata};
use super::request::Now;
use super::timer_queue::TimerQueue;

/// The protocol type of consumers, whose subscriptions the coordinator can read.
pub(super) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Where a group stands. See the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupState {
    /// No members; offsets may remain.
    Empty,
    /// Members are asked to rejoin.
    PreparingRebalance,
    /// Everybody joined, the leader assigns.
    CompletingRebalance,
    /// Everybody has an assignment.
    Stable,
}

impl GroupState {
    /// Kafka's name, as tools print it.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
        }
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The soft state of a group. Its projection on [`GroupMetadata`] equals the log's record whenever the group is stable or
/// empty and nothing is in flight.
#[derive(Debug)]
pub struct ClassicGroup {
    group_id: Arc<str>,
    state: GroupState,
    previous_state: Option<GroupState>,
    /// When the state was entered; unknown for groups of old records.
    state_timestamp_ms: Option<i64>,
    /// None for a group that never had a member: a simple group.
    protocol_type: Option<Arc<str>>,
    protocol_name: Option<Arc<str>>,
    generation: i32,
    leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, Member>,
    /// Instance id to member id.
    static_members: BTreeMap<Arc<str>, Arc<str>>,
    /// Ids that were handed out and must come back with a JoinGroup.
    pending_join: BTreeSet<Arc<str>>,
    /// Members of this generation that have not synced.
    pending_sync: BTreeSet<Arc<str>>,
    /// None if the coordinator cannot read the subscriptions.
    subscribed_topics: Option<BTreeSet<Arc<str>>>,
    /// Somebody joined during the initial rebalance, which prolongs it.
    new_member_added: bool,
}

impl ClassicGroup {
    /// A group without members that never had any.
    pub fn new(group_id: Arc<str>, wall_ms: i64) -> ClassicGroup {
        ClassicGroup {
            group_id,
            state: GroupState::Empty,
            previous_state: None,
            state_timestamp_ms: Some(wall_ms),
            protocol_type: None,
            protocol_name: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_join: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            subscribed_topics: None,
            new_member_added: false,
        }
    }

    /// The group's id.
    pub fn group_id(&self) -> &Arc<str> {
        &self.group_id
    }

    /// Where the group stands.
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// The current generation.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// The protocol type of the members, none for a simple group.
    pub fn protocol_type(&self) -> Option<&Arc<str>> {
        self.protocol_type.as_ref()
    }

    /// The protocol of this generation.
    pub fn protocol_name(&self) -> Option<&Arc<str>> {
        self.protocol_name.as_ref()
    }

    /// The members by id.
    pub fn members(&self) -> &BTreeMap<Arc<str>, Member> {
        &self.members
    }

    /// When the state was entered.
    pub(super) fn state_timestamp_ms(&self) -> Option<i64> {
        self.state_timestamp_ms
    }

    /// Whether the members are consumers.
    pub(super) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// Whether nobody is in the group or on the way into it.
    pub(super) fn is_idle(&self) -> bool {
        self.state == GroupState::Empty && self.pending_join.is_empty()
    }

    /// Whether this row brings a group without members back as it is. It does not where an empty generation could not be
    /// written.
    pub(super) fn is_described_by(&self, row: Option<&GroupMetadata>) -> bool {
        row.is_some_and(|row| row.members.is_empty() && row.generation == self.generation)
    }

    fn transition_to(&mut self, state: GroupState, now: Now) {
        self.previous_state = Some(self.state);
        self.state = state;
        self.state_timestamp_ms = Some(now.wall_ms);
    }

    /// The group as a record, with the given assignment of each member.
    fn metadata_record(&self, assignment: impl Fn(&Member) -> bytes::Bytes) -> CoordinatorRecord {
        let members = self.members.values().map(|member| {
            let subscription = self
                .protocol_name
                .as_ref()
                .and_then(|name| member.metadata(name))
                .unwrap_or_default();
            member.to_metadata(subscription, assignment(member))
        });
        let value = GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_else(|| "".into()),
            generation: self.generation,
            protocol: self.protocol_name.clone(),
            leader: self.leader.clone(),
            state_timestamp_ms: self.state_timestamp_ms.unwrap_or(-1),
            members: members.collect(),
        };
        CoordinatorRecord::Group {
            group_id: self.group_id.clone(),
            value: Some(value),
        }
    }
}

/// One decision about one group: everything that it may read and change.
pub(super) struct Turn<'a> {
    pub(super) now: Now,
    pub(super) config: &'a GroupConfig,
    pub(super) timers: &'a mut TimerQueue,
    pub(super) group: &'a mut ClassicGroup,
    pub(super) output: &'a mut Output,
}
