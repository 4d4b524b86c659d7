//! The rows of one partition of `__consumer_offsets` in the offset store, as decisions read them.
//!
//! Rule: a row that cannot be read is never taken for a row that is not there: a consumer would start over. The first failure is
//! kept, and whoever read learns it before it acts.

use std::cell::RefCell;
use std::ops::ControlFlow;

use bytes::Bytes;
use metadata::group::hard_state::OffsetVisitor;
use metadata::group::{CommittedOffsets, CoordinatorRecord, GroupMetadata, OffsetAndMetadata};
use protocol_compat::records::group::{GroupMetadataValue, OffsetCommitValue};
use storage::offset_store::row_key::{self, RowKind};
use storage::offset_store::{OffsetStore, OffsetStoreError};

/// The rows, for one visit.
pub(super) struct StoreRows<'a> {
    store: &'a OffsetStore,
    partition: i32,
    failure: RefCell<Option<String>>,
}

impl<'a> StoreRows<'a> {
    /// The rows of `partition`.
    pub(super) fn new(store: &'a OffsetStore, partition: i32) -> StoreRows<'a> {
        StoreRows {
            store,
            partition,
            failure: RefCell::new(None),
        }
    }

    /// The first failure, if any.
    pub(super) fn failure(self) -> Option<String> {
        self.failure.into_inner()
    }

    fn note(&self, failure: impl ToString) {
        self.failure
            .borrow_mut()
            .get_or_insert_with(|| failure.to_string());
    }

    fn checked<T>(&self, result: Result<T, impl ToString>) -> Option<T> {
        result.map_err(|failure| self.note(failure)).ok()
    }

    fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.checked(self.store.get(self.partition, key))?
            .map(Bytes::from)
    }

    fn offset_value(&self, value: Bytes) -> Option<OffsetAndMetadata> {
        let value = self.checked(OffsetCommitValue::decode(&value))?;
        Some(OffsetAndMetadata::from(value))
    }

    fn group_value(&self, value: Bytes) -> Option<GroupMetadata> {
        let value = self.checked(GroupMetadataValue::decode(&value))?;
        Some(GroupMetadata::from(value))
    }

    fn visit_offsets(&self, prefix: &[u8], visit: &mut OffsetVisitor<'_>) {
        let scanned = self.store.scan_prefix(self.partition, prefix, |key, value| {
            let offset = self.offset_value(Bytes::copy_from_slice(value));
            match (row_key::parse_offset(key), offset) {
                (Some((_, topic, partition)), Some(offset)) => visit(topic, partition, &offset),
                _ => {
                    self.note("a row of an offset cannot be read");
                    ControlFlow::Break(())
                }
            }
        });
        self.checked(scanned);
    }
}

impl CommittedOffsets for StoreRows<'_> {
    fn offset(&self, group_id: &str, topic: &str, partition: i32) -> Option<OffsetAndMetadata> {
        self.offset_value(self.get(&row_key::offset(group_id, topic, partition))?)
    }

    fn for_each_offset(&self, group_id: &str, visit: &mut OffsetVisitor<'_>) {
        self.visit_offsets(&row_key::offsets_of_group(group_id), visit);
    }

    fn for_each_offset_of_topic(&self, group_id: &str, topic: &str, visit: &mut OffsetVisitor<'_>) {
        self.visit_offsets(&row_key::offsets_of_topic(group_id, topic), visit);
    }

    fn group(&self, group_id: &str) -> Option<GroupMetadata> {
        self.group_value(self.get(&row_key::group(group_id))?)
    }

    fn for_each_group(&self, visit: &mut dyn FnMut(&str, &GroupMetadata)) {
        let prefix = [RowKind::Group.byte()];
        let scanned = self.store.scan_prefix(self.partition, &prefix, |key, value| {
            let group = self.group_value(Bytes::copy_from_slice(value));
            match (row_key::parse_group(key), group) {
                (Some(group_id), Some(group)) => {
                    visit(group_id, &group);
                    ControlFlow::Continue(())
                }
                _ => {
                    self.note("a row of a group cannot be read");
                    ControlFlow::Break(())
                }
            }
        });
        self.checked(scanned);
    }

    fn for_each_group_with_offsets(&self, visit: &mut dyn FnMut(&str)) {
        let scanned =
            self.store.for_each_group(
                self.partition,
                RowKind::Offset,
                |group_id| match std::str::from_utf8(group_id) {
                    Ok(group_id) => {
                        visit(group_id);
                        ControlFlow::Continue(())
                    }
                    Err(_) => {
                        self.note("a group's id in a row is no text");
                        ControlFlow::Break(())
                    }
                },
            );
        self.checked(scanned);
    }
}

/// Takes records into the rows of a partition, in one write with the offset up to which its log is in them.
pub(super) fn apply(
    store: &OffsetStore,
    partition: i32,
    records: &[CoordinatorRecord],
    end_offset: i64,
) -> Result<(), OffsetStoreError> {
    let rows: Vec<(Vec<u8>, Option<Bytes>)> = records.iter().map(row).collect();
    let changes: Vec<_> = rows
        .iter()
        .map(|(key, value)| (key.as_slice(), value.as_deref()))
        .collect();
    store.apply(partition, &changes, end_offset)
}

fn row(record: &CoordinatorRecord) -> (Vec<u8>, Option<Bytes>) {
    let key = match record {
        CoordinatorRecord::Offset {
            group_id,
            topic,
            partition,
            ..
        } => row_key::offset(group_id, topic, *partition),
        CoordinatorRecord::Group { group_id, .. } => row_key::group(group_id),
    };
    let (_, value) = record
        .encode()
        .expect("a record was encoded before it was appended or was read from a log");
    (key, value)
}

#[cfg(test)]
mod tests {
    use metadata::group::MemoryOffsets;

    use super::*;

    fn offset(group_id: &str, topic: &str, partition: i32, offset: Option<i64>) -> CoordinatorRecord {
        CoordinatorRecord::Offset {
            group_id: group_id.into(),
            topic: topic.into(),
            partition,
            value: offset.map(|offset| OffsetAndMetadata {
                offset,
                leader_epoch: 3,
                metadata: "text".into(),
                commit_timestamp_ms: 5,
                expire_timestamp_ms: None,
                topic_id: protocol_compat::TopicId::NIL,
            }),
        }
    }

    fn group(group_id: &str, generation: Option<i32>) -> CoordinatorRecord {
        CoordinatorRecord::Group {
            group_id: group_id.into(),
            value: generation.map(|generation| GroupMetadata {
                protocol_type: "consumer".into(),
                generation,
                protocol: None,
                leader: None,
                state_timestamp_ms: 9,
                members: Vec::new(),
            }),
        }
    }

    #[test]
    fn the_store_shows_what_its_twin_in_memory_shows() {
        let store = OffsetStore::in_memory();
        let mut twin = MemoryOffsets::default();
        let records = [
            offset("g", "t", 0, Some(1)),
            offset("g", "t", 1, Some(2)),
            offset("g", "u", 0, Some(3)),
            offset("gg", "t", 0, Some(4)),
            group("g", Some(1)),
            group("h", Some(2)),
            offset("g", "t", 1, None),
            group("h", None),
            offset("", "t", 0, Some(5)),
        ];
        for (index, record) in records.iter().enumerate() {
            apply(&store, 7, std::slice::from_ref(record), index as i64 + 1).unwrap();
            twin.apply(record);
        }
        let rows = StoreRows::new(&store, 7);
        assert_eq!(view(&rows), view(&twin));
        assert_eq!(rows.failure(), None);
        assert_eq!(store.applied_offset(7), Ok(Some(9)));
    }

    fn view(rows: &dyn CommittedOffsets) -> Vec<String> {
        let mut seen = Vec::new();
        for group_id in ["", "g", "gg", "h"] {
            rows.for_each_offset(group_id, &mut |topic, partition, value| {
                seen.push(format!("{group_id} {topic} {partition} {value:?}"));
                ControlFlow::Continue(())
            });
            seen.push(format!(
                "{:?} {:?}",
                rows.offset(group_id, "t", 0),
                rows.group(group_id)
            ));
        }
        rows.for_each_group(&mut |group_id, group| seen.push(format!("{group_id} {group:?}")));
        rows.for_each_group_with_offsets(&mut |group_id| seen.push(group_id.to_owned()));
        seen
    }

    #[test]
    fn a_row_that_cannot_be_read_is_a_failure_and_not_an_absence() {
        let store = OffsetStore::in_memory();
        store
            .apply(0, &[(&row_key::offset("g", "t", 0), Some(b"junk"))], 1)
            .unwrap();
        let rows = StoreRows::new(&store, 0);
        assert_eq!(rows.offset("g", "t", 0), None);
        assert!(rows.failure().is_some());
    }
}
