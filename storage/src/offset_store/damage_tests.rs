//! Whatever happens to the files of a store: what it answers is a state that it was in, or nothing.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::*;

/// What happens to a file.
type Damage = Box<dyn Fn(&Path)>;

/// In three tables; a fourth would begin a compaction.
const ROWS: i64 = 150;
const ROWS_OF_A_TABLE: i64 = 50;

fn key(step: i64) -> Vec<u8> {
    row_key::offset("group", "topic", (step % 70) as i32)
}

/// A store after `ROWS` writes in several tables, closed. Returns how long its manifest was after each table.
fn filled(path: &Path) -> Vec<usize> {
    let store = OffsetStore::open(path, &OffsetStoreOptions::default()).unwrap();
    let mut manifest_lengths = Vec::new();
    for step in 1..=ROWS {
        let value = step.to_be_bytes();
        store.apply(0, &[(&key(step), Some(&value))], step).unwrap();
        if step % ROWS_OF_A_TABLE == 0 {
            store.flush().unwrap();
            manifest_lengths.push(fs::read(&files(path, "MANIFEST")[0]).unwrap().len());
        }
    }
    manifest_lengths
}

/// All rows there are after so many writes.
fn state_after(steps: i64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let rows = (1..=steps).map(|step| (key(step), step.to_be_bytes().to_vec()));
    rows.collect()
}

/// How many writes the store holds; `None` where it answers nothing. Anything but a state that it was in fails the test.
fn checked(store: &OffsetStore) -> Option<i64> {
    let applied = store.applied_offset(0).ok()?.unwrap_or(0);
    let mut seen = BTreeMap::new();
    let scanned = store.scan_prefix(0, &[], |key, value| {
        seen.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    });
    let expected = state_after(applied);
    for step in 1..=ROWS {
        if let Ok(value) = store.get(0, &key(step)) {
            assert_eq!(value.as_ref(), expected.get(&key(step)), "step {step}");
        }
    }
    scanned.ok()?;
    assert_eq!(seen, expected);
    Some(applied)
}

fn files(path: &Path, part: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries
        .filter(|file| file.file_name().unwrap().to_string_lossy().contains(part))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no {part}");
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in files(from, "") {
        fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

/// Opens copies of a filled store, each after its first file whose name has `part` went through `damage`.
fn after_each(part: &str, damages: impl IntoIterator<Item = Damage>, check: impl Fn(OffsetStore)) {
    let dir = tempfile::tempdir().unwrap();
    let intact = dir.path().join("intact");
    filled(&intact);
    for (index, damage) in damages.into_iter().enumerate() {
        let path = dir.path().join(index.to_string());
        copy(&intact, &path);
        damage(&files(&path, part)[0]);
        check(OffsetStore::open(&path, &OffsetStoreOptions::default()).unwrap());
        fs::remove_dir_all(&path).unwrap();
    }
}

fn overwrite(with: impl Fn(&mut Vec<u8>) + 'static) -> Damage {
    Box::new(move |file| {
        let mut bytes = fs::read(file).unwrap();
        with(&mut bytes);
        fs::write(file, bytes).unwrap();
    })
}

fn removed() -> Damage {
    Box::new(|file| fs::remove_file(file).unwrap())
}

fn is_empty(store: &OffsetStore) {
    assert_eq!(checked(store), Some(0));
    store.apply(0, &[(&key(1), Some(b"v"))], 1).unwrap();
}

#[test]
fn a_store_whose_files_are_junk_or_gone_is_emptied_as_it_opens() {
    for part in ["CURRENT", "MANIFEST"] {
        let damages = [
            removed(),
            overwrite(|bytes| bytes.fill(0)),
            overwrite(|bytes| bytes.fill(0x5a)),
            overwrite(Vec::clear),
            overwrite(|bytes| bytes[8] ^= 0xff),
        ];
        after_each(part, damages, |store| is_empty(&store));
    }
    let damages = [
        removed(),
        overwrite(Vec::clear),
        overwrite(|bytes| bytes.truncate(100)),
    ];
    after_each(".sst", damages, |store| is_empty(&store));
}

#[test]
fn a_store_whose_manifest_lost_its_end_is_as_it_was_earlier() {
    let dir = tempfile::tempdir().unwrap();
    let intact = dir.path().join("intact");
    let lengths = filled(&intact);
    // RocksDB takes zeros for the end, and a record that is cut for damage.
    for (index, (length, steps)) in lengths.iter().copied().zip([50, 100]).enumerate() {
        for (cut, expected) in [(0, steps), (3, 0)] {
            let path = dir.path().join(format!("{index}-{cut}"));
            copy(&intact, &path);
            let manifest = &files(&path, "MANIFEST")[0];
            overwrite(move |bytes| bytes[length - cut..].fill(0))(manifest);
            let store = OffsetStore::open(&path, &OffsetStoreOptions::default()).unwrap();
            assert_eq!(checked(&store), Some(expected), "{cut} bytes before {length}");
        }
    }
}

#[test]
fn a_damaged_table_answers_rightly_or_gives_the_store_up_and_the_next_one_is_empty() {
    // A table is a little shorter.
    let flipped = (0..4500).step_by(257).map(|at| {
        overwrite(move |bytes| {
            let at = at % bytes.len();
            bytes[at] ^= 0xff;
        })
    });
    let whole = [
        overwrite(|bytes| bytes.fill(0)),
        overwrite(|bytes| bytes.fill(0x5a)),
    ];
    after_each(".sst", flipped.chain(whole), |store| {
        let answered = checked(&store);
        assert_eq!(answered.is_none(), store.is_lost());
        match answered {
            Some(steps) => assert!(steps == ROWS || steps == 0, "{steps}"),
            None => {
                assert!(store.apply(0, &[], 1).is_err() && store.flush().is_err());
                is_empty(&store.replace().unwrap());
                assert!(store.get(0, &key(1)).is_err(), "a closed store answers nothing");
            }
        }
    });
}

#[test]
fn a_killed_process_leaves_a_store_as_it_was_earlier() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copied) = (dir.path().join("running"), dir.path().join("killed"));
    let store = OffsetStore::open(&path, &OffsetStoreOptions::default()).unwrap();
    for step in 1..=ROWS {
        store
            .apply(0, &[(&key(step), Some(&step.to_be_bytes()))], step)
            .unwrap();
        if step == 120 {
            store.flush().unwrap();
        }
    }
    copy(&path, &copied);
    let killed = OffsetStore::open(&copied, &OffsetStoreOptions::default()).unwrap();
    assert_eq!((checked(&killed), checked(&store)), (Some(120), Some(ROWS)));
}
