//! Rows that are appended to the log and not yet committed, laid over the committed ones.
//!
//! Decisions (a delete that must see an offset written a moment ago) read both; what a client is told of offsets it reads
//! from the committed rows alone. Its size is bounded by the appends in flight.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::hard_state::{
    CommittedOffsets, CoordinatorRecord, GroupMetadata, OffsetAndMetadata, OffsetVisitor,
};

/// The overlay of one shard.
#[derive(Debug, Default)]
pub struct Uncommitted {
    offsets: BTreeMap<Arc<str>, OffsetRows>,
    groups: BTreeMap<Arc<str>, Row<GroupMetadata>>,
}

/// The rows of one group by topic and partition.
type OffsetRows = BTreeMap<(Arc<str>, i32), Row<OffsetAndMetadata>>;

#[derive(Clone, Debug)]
struct Row<T> {
    log_offset: i64,
    /// `None` is a tombstone.
    value: Option<T>,
}

impl Uncommitted {
    /// Lays the record at `log_offset` of the log over what is committed.
    pub fn insert(&mut self, log_offset: i64, record: &CoordinatorRecord) {
        match record {
            CoordinatorRecord::Offset {
                group_id,
                topic,
                partition,
                value,
            } => {
                let rows = self.offsets.entry(group_id.clone()).or_default();
                rows.insert(
                    (topic.clone(), *partition),
                    Row {
                        log_offset,
                        value: value.clone(),
                    },
                );
            }
            CoordinatorRecord::Group { group_id, value } => {
                self.groups.insert(
                    group_id.clone(),
                    Row {
                        log_offset,
                        value: value.clone(),
                    },
                );
            }
        }
    }

    /// Forgets the rows below `committed_offset`: they are in the store now.
    pub fn committed(&mut self, committed_offset: i64) {
        self.groups.retain(|_, row| row.log_offset >= committed_offset);
        self.offsets.retain(|_, rows| {
            rows.retain(|_, row| row.log_offset >= committed_offset);
            !rows.is_empty()
        });
    }

    /// The groups with offsets that wait for their commit.
    pub fn groups_with_offsets(&self) -> impl Iterator<Item = &Arc<str>> {
        self.offsets.keys()
    }

    /// Whether nothing waits for its commit.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty() && self.groups.is_empty()
    }

    /// The rows as they will be once everything is committed.
    pub fn over<'a>(&'a self, committed: &'a dyn CommittedOffsets) -> Appended<'a> {
        Appended {
            uncommitted: self,
            committed,
        }
    }
}

/// The committed rows with the uncommitted ones laid over them.
pub struct Appended<'a> {
    uncommitted: &'a Uncommitted,
    committed: &'a dyn CommittedOffsets,
}

impl Appended<'_> {
    /// The offset of one partition.
    pub fn offset(&self, group_id: &str, topic: &str, partition: i32) -> Option<OffsetAndMetadata> {
        let rows = self.uncommitted.offsets.get(group_id);
        match rows.and_then(|rows| rows.get(&(Arc::from(topic), partition))) {
            Some(row) => row.value.clone(),
            None => self.committed.offset(group_id, topic, partition),
        }
    }

    /// Walks the offsets of one group; not in order where uncommitted rows exist.
    pub fn for_each_offset(&self, group_id: &str, visit: &mut OffsetVisitor<'_>) {
        let Some(rows) = self.uncommitted.offsets.get(group_id) else {
            return self.committed.for_each_offset(group_id, visit);
        };
        for ((topic, partition), row) in rows {
            if let Some(value) = &row.value
                && visit(topic, *partition, value).is_break()
            {
                return;
            }
        }
        self.committed
            .for_each_offset(group_id, &mut |topic, partition, value| {
                if rows.contains_key(&(Arc::from(topic), partition)) {
                    return ControlFlow::Continue(());
                }
                visit(topic, partition, value)
            });
    }

    /// Walks the offsets of one group and topic; not in order where uncommitted rows exist.
    pub fn for_each_offset_of_topic(&self, group_id: &str, topic: &str, visit: &mut OffsetVisitor<'_>) {
        let rows = self.uncommitted.offsets.get(group_id);
        let uncommitted = rows
            .into_iter()
            .flatten()
            .filter(|((name, _), _)| &**name == topic);
        for ((_, partition), row) in uncommitted {
            if let Some(value) = &row.value
                && visit(topic, *partition, value).is_break()
            {
                return;
            }
        }
        self.committed
            .for_each_offset_of_topic(group_id, topic, &mut |name, partition, value| {
                if rows.is_some_and(|rows| rows.contains_key(&(Arc::from(name), partition))) {
                    return ControlFlow::Continue(());
                }
                visit(name, partition, value)
            });
    }

    /// Whether the group has an offset.
    pub fn has_offsets(&self, group_id: &str) -> bool {
        let mut found = false;
        self.for_each_offset(group_id, &mut |_, _, _| {
            found = true;
            ControlFlow::Break(())
        });
        found
    }

    /// The group's metadata record.
    pub fn group(&self, group_id: &str) -> Option<GroupMetadata> {
        match self.uncommitted.groups.get(group_id) {
            Some(row) => row.value.clone(),
            None => self.committed.group(group_id),
        }
    }

    /// Whether the log knows the group: a metadata record, or an offset (a simple group).
    pub fn knows(&self, group_id: &str) -> bool {
        self.group(group_id).is_some() || self.has_offsets(group_id)
    }
}
