//! What the log says of groups: records, the rows they leave, and the view of the committed rows.
//!
//! Rule: a row exists only because a record was replayed. The committed rows live outside (RocksDB in the broker,
//! [`MemoryOffsets`] in tests and simulations); this file names what a shard must be able to ask of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use protocol_compat::TopicId;

/// A committed offset (Kafka's `OffsetCommitValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The next offset to consume.
    pub offset: i64,
    /// The epoch of the last consumed record, -1 if unknown.
    pub leader_epoch: i32,
    /// The client's text, empty if none.
    pub metadata: Arc<str>,
    /// When it was committed.
    pub commit_timestamp_ms: i64,
    /// When it expires, where the client said so (OffsetCommit versions 2 to 4).
    pub expire_timestamp_ms: Option<i64>,
    /// The topic's id at the commit, nil if unknown.
    pub topic_id: TopicId,
}

/// A member as it is kept in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberMetadata {
    /// The member's id.
    pub member_id: Arc<str>,
    /// Set for a static member.
    pub group_instance_id: Option<Arc<str>>,
    /// The client's id.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
    /// How long the others wait for it.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// Its metadata under the group's protocol.
    pub subscription: Bytes,
    /// What it owns.
    pub assignment: Bytes,
}

/// A classic group as it is kept in the log (Kafka's `GroupMetadataValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// Empty for a group that never had a member.
    pub protocol_type: Arc<str>,
    /// The generation of the members below.
    pub generation: i32,
    /// The chosen protocol, none for a group without members.
    pub protocol: Option<Arc<str>>,
    /// The leader's member id.
    pub leader: Option<Arc<str>>,
    /// When the group entered its state, -1 if unknown (records of old versions).
    pub state_timestamp_ms: i64,
    /// In no order that means anything.
    pub members: Vec<MemberMetadata>,
}

/// One record of `__consumer_offsets`; `None` as a value is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoordinatorRecord {
    /// An offset, or its removal.
    Offset {
        /// The group.
        group_id: Arc<str>,
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// What is kept.
        value: Option<OffsetAndMetadata>,
    },
    /// A group, or its removal.
    Group {
        /// The group.
        group_id: Arc<str>,
        /// What is kept.
        value: Option<GroupMetadata>,
    },
}

impl CoordinatorRecord {
    /// The group that the record speaks of.
    pub fn group_id(&self) -> &Arc<str> {
        match self {
            CoordinatorRecord::Offset { group_id, .. } | CoordinatorRecord::Group { group_id, .. } => {
                group_id
            }
        }
    }
}

/// What a walk over offsets calls: topic, partition, value.
pub type OffsetVisitor<'a> = dyn FnMut(&str, i32, &OffsetAndMetadata) -> ControlFlow<()> + 'a;

/// The committed rows of one shard, as its decisions need them.
pub trait CommittedOffsets {
    /// The offset of one partition.
    fn offset(&self, group_id: &str, topic: &str, partition: i32) -> Option<OffsetAndMetadata>;
    /// Walks the offsets of one group by topic and partition, until told to stop.
    fn for_each_offset(&self, group_id: &str, visit: &mut OffsetVisitor<'_>);
    /// Walks the offsets of one group and topic by partition, until told to stop.
    fn for_each_offset_of_topic(&self, group_id: &str, topic: &str, visit: &mut OffsetVisitor<'_>);
    /// The group's metadata record.
    fn group(&self, group_id: &str) -> Option<GroupMetadata>;
    /// Walks every group that has a metadata record, in order of its id.
    fn for_each_group(&self, visit: &mut dyn FnMut(&str, &GroupMetadata));
    /// Walks every group that has an offset, in order of its id.
    fn for_each_group_with_offsets(&self, visit: &mut dyn FnMut(&str));

    /// Whether the group has an offset.
    fn has_offsets(&self, group_id: &str) -> bool {
        let mut found = false;
        self.for_each_offset(group_id, &mut |_, _, _| {
            found = true;
            ControlFlow::Break(())
        });
        found
    }
}

/// The offsets of one group by topic and partition.
type GroupOffsets = BTreeMap<(Arc<str>, i32), OffsetAndMetadata>;

/// The twin of the offset store in memory, for tests and simulations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryOffsets {
    offsets: BTreeMap<Arc<str>, GroupOffsets>,
    groups: BTreeMap<Arc<str>, GroupMetadata>,
}

impl MemoryOffsets {
    /// Takes over a committed record.
    pub fn apply(&mut self, record: &CoordinatorRecord) {
        match record {
            CoordinatorRecord::Offset {
                group_id,
                topic,
                partition,
                value,
            } => self.apply_offset(group_id, (topic.clone(), *partition), value.as_ref()),
            CoordinatorRecord::Group {
                group_id,
                value: Some(value),
            } => {
                self.groups.insert(group_id.clone(), value.clone());
            }
            CoordinatorRecord::Group {
                group_id,
                value: None,
            } => {
                self.groups.remove(group_id);
            }
        }
    }

    fn apply_offset(&mut self, group_id: &Arc<str>, key: (Arc<str>, i32), value: Option<&OffsetAndMetadata>) {
        let rows = self.offsets.entry(group_id.clone()).or_default();
        match value {
            Some(value) => {
                rows.insert(key, value.clone());
            }
            None => {
                rows.remove(&key);
            }
        }
        if rows.is_empty() {
            self.offsets.remove(group_id);
        }
    }
}

impl CommittedOffsets for MemoryOffsets {
    fn offset(&self, group_id: &str, topic: &str, partition: i32) -> Option<OffsetAndMetadata> {
        self.offsets
            .get(group_id)?
            .get(&(Arc::from(topic), partition))
            .cloned()
    }

    fn for_each_offset(&self, group_id: &str, visit: &mut OffsetVisitor<'_>) {
        for ((topic, partition), value) in self.offsets.get(group_id).into_iter().flatten() {
            if visit(topic, *partition, value).is_break() {
                return;
            }
        }
    }

    fn for_each_offset_of_topic(&self, group_id: &str, topic: &str, visit: &mut OffsetVisitor<'_>) {
        self.for_each_offset(group_id, &mut |name, partition, value| {
            if name == topic {
                return visit(name, partition, value);
            }
            ControlFlow::Continue(())
        });
    }

    fn group(&self, group_id: &str) -> Option<GroupMetadata> {
        self.groups.get(group_id).cloned()
    }

    fn for_each_group(&self, visit: &mut dyn FnMut(&str, &GroupMetadata)) {
        self.groups.iter().for_each(|(id, group)| visit(id, group));
    }

    fn for_each_group_with_offsets(&self, visit: &mut dyn FnMut(&str)) {
        self.offsets.keys().for_each(|id| visit(id));
    }
}
