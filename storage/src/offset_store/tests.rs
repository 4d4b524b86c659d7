//! Both backends behave alike, survive what they must and stay within their bound.

use std::ops::ControlFlow;

use super::row_key::{self, RowKind};
use super::*;

fn on_both(test: impl Fn(&OffsetStore)) {
    let dir = tempfile::tempdir().unwrap();
    test(&OffsetStore::open(&dir.path().join("offsets"), &OffsetStoreOptions::default()).unwrap());
    test(&OffsetStore::in_memory());
}

fn all(store: &OffsetStore, partition: i32, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    store
        .scan_prefix(partition, prefix, |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    rows
}

fn groups(store: &OffsetStore, partition: i32, kind: RowKind) -> Vec<String> {
    let mut ids = Vec::new();
    store
        .for_each_group(partition, kind, |id| {
            ids.push(String::from_utf8(id.to_vec()).unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    ids
}

#[test]
fn rows_and_applied_offset_change_together() {
    on_both(|store| {
        assert_eq!(store.applied_offset(3).unwrap(), None);
        let key = row_key::offset("g", "t", 0);
        store
            .apply(3, &[(&key, Some(b"1")), (&key, Some(b"2"))], 10)
            .unwrap();
        assert_eq!(store.get(3, &key).unwrap(), Some(b"2".to_vec()));
        assert_eq!(store.get(4, &key).unwrap(), None);
        assert_eq!(store.applied_offset(3).unwrap(), Some(10));
        store.apply(3, &[(&key, None)], 11).unwrap();
        assert_eq!(store.get(3, &key).unwrap(), None);
        assert_eq!(store.applied_offset(3).unwrap(), Some(11));
    });
}

#[test]
fn a_prefix_shows_one_group_and_no_neighbour() {
    on_both(|store| {
        let keys = [
            row_key::offset("a", "t", 0),
            row_key::offset("a", "t", 256),
            row_key::offset("a", "tt", 1),
            row_key::offset("ab", "t", 2),
            row_key::group("a"),
        ];
        let rows: Vec<RowChange<'_>> = keys
            .iter()
            .map(|key| (key.as_slice(), Some(b"v".as_slice())))
            .collect();
        store.apply(0, &rows, 1).unwrap();
        store.apply(1, &rows, 1).unwrap();
        let found: Vec<_> = all(store, 0, &row_key::offsets_of_group("a"));
        let found: Vec<_> = found
            .iter()
            .map(|(key, _)| row_key::parse_offset(key).unwrap())
            .collect();
        assert_eq!(found, [("a", "t", 0), ("a", "t", 256), ("a", "tt", 1)]);
        assert_eq!(all(store, 0, &[]).len(), 5);
        assert_eq!(row_key::parse_group(&row_key::group("a")), Some("a"));
        assert_eq!(row_key::parse_group(&keys[0]), None);
    });
}

#[test]
fn each_group_is_shown_once_however_many_rows_it_has() {
    on_both(|store| {
        let mut keys = vec![row_key::group("with-metadata")];
        for partition in 0..50 {
            for group in ["b", "a", "zz", "with-metadata"] {
                keys.push(row_key::offset(group, "t", partition));
            }
        }
        let rows: Vec<RowChange<'_>> = keys
            .iter()
            .map(|key| (key.as_slice(), Some(b"v".as_slice())))
            .collect();
        store.apply(7, &rows, 1).unwrap();
        assert_eq!(
            groups(store, 7, RowKind::Offset),
            ["a", "b", "zz", "with-metadata"]
        );
        assert_eq!(groups(store, 7, RowKind::Group), ["with-metadata"]);
        assert_eq!(groups(store, 8, RowKind::Offset), Vec::<String>::new());
        let mut first = None;
        store
            .for_each_group(7, RowKind::Offset, |id| {
                first = Some(id.to_vec());
                ControlFlow::Break(())
            })
            .unwrap();
        assert_eq!(first, Some(b"a".to_vec()));
    });
}

#[test]
fn clearing_a_partition_leaves_the_others() {
    on_both(|store| {
        let key = row_key::offset("g", "t", 0);
        for partition in [0, 1, i32::MAX] {
            store.apply(partition, &[(&key, Some(b"v"))], 5).unwrap();
        }
        store.clear(1).unwrap();
        assert_eq!(
            (store.applied_offset(1).unwrap(), all(store, 1, &[]).len()),
            (None, 0)
        );
        for partition in [0, i32::MAX] {
            assert_eq!(store.applied_offset(partition).unwrap(), Some(5));
            assert_eq!(all(store, partition, &[]).len(), 1);
        }
        store.apply(1, &[(&key, Some(b"w"))], 1).unwrap();
        assert_eq!(store.get(1, &key).unwrap(), Some(b"w".to_vec()));
    });
}

#[test]
fn the_twins_agree_after_any_seeded_sequence_of_changes() {
    let dir = tempfile::tempdir().unwrap();
    let options = OffsetStoreOptions::default();
    let path = dir.path().join("offsets");
    let mut rocks = OffsetStore::open(&path, &options).unwrap();
    let memory = OffsetStore::in_memory();
    let mut random = 7u64;
    let mut next = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for step in 0..600i64 {
        let partition = next(3) as i32;
        if next(40) == 0 {
            rocks.clear(partition).unwrap();
            memory.clear(partition).unwrap();
        } else if next(40) == 0 {
            drop(rocks);
            rocks = OffsetStore::open(&path, &options).unwrap();
        } else {
            let key = row_key::offset(&format!("g{}", next(5)), &format!("t{}", next(3)), next(4) as i32);
            let value = step.to_be_bytes();
            let row = [(key.as_slice(), (next(4) > 0).then_some(value.as_slice()))];
            rocks.apply(partition, &row, step).unwrap();
            memory.apply(partition, &row, step).unwrap();
        }
        for partition in 0..3 {
            assert_eq!(
                rocks.applied_offset(partition).unwrap(),
                memory.applied_offset(partition).unwrap()
            );
        }
    }
    for partition in 0..3 {
        assert_eq!(all(&rocks, partition, &[]), all(&memory, partition, &[]));
        assert_eq!(
            groups(&rocks, partition, RowKind::Offset),
            groups(&memory, partition, RowKind::Offset)
        );
    }
}

#[test]
fn a_second_opener_is_refused_and_destroys_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("offsets");
    let store = OffsetStore::open(&path, &OffsetStoreOptions::default()).unwrap();
    store.apply(0, &[(b"k", Some(b"v"))], 1).unwrap();
    let refused = OffsetStore::open(&path, &OffsetStoreOptions::default()).unwrap_err();
    assert!(refused.reason.to_lowercase().contains("lock"), "{refused}");
    assert_eq!(store.get(0, b"k").unwrap(), Some(b"v".to_vec()));
}

#[test]
fn memory_stays_within_its_bound_while_rows_grow() {
    let dir = tempfile::tempdir().unwrap();
    let options = OffsetStoreOptions {
        memory_bytes: 1 << 20,
        ..OffsetStoreOptions::default()
    };
    let store = OffsetStore::open(&dir.path().join("offsets"), &options).unwrap();
    let value = [7; 200];
    for group in 0..200i64 {
        let id = format!("group-{group}");
        let keys: Vec<_> = (0..100)
            .map(|partition| row_key::offset(&id, "topic", partition))
            .collect();
        let rows: Vec<RowChange<'_>> = keys
            .iter()
            .map(|key| (key.as_slice(), Some(value.as_slice())))
            .collect();
        store.apply(0, &rows, group).unwrap();
    }
    assert_eq!(groups(&store, 0, RowKind::Offset).len(), 200);
    let used = store.memory_usage_bytes();
    assert!(used > 0 && used < 4 << 20, "{used} bytes");
}
