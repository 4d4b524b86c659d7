//! Single rules of compaction: transactions, tombstones, records without keys, damage, a full disk, readers beside.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use protocol_compat::record_batch::batch::{Compression, RecordBatch, TimestampType};
use protocol_compat::record_batch::builder::BatchBuilder;
use protocol_compat::record_batch::control::{ControlRecordType, EndTransactionMarker};

use super::histories::{Unhurried, config, manager, open, partition, read_all, settings};
use super::{CleanRange, Pace};
use crate::disk::{Disk, OpenMode, SimDisk, SimFault};
use crate::log::config::CleanableRatio;
use crate::log::{AppendOrigin, LogConfig, PartitionLog};
use crate::log_manager::LogManager;

const MANY_KEYS: u64 = 1_000;

struct Table {
    sim: SimDisk,
    manager: LogManager,
    log: Arc<PartitionLog>,
}

fn table(config: LogConfig) -> Table {
    let sim = SimDisk::new(3, 1 << 24);
    let manager = manager(&sim, 0);
    let log = open(&manager, config, 0);
    Table { sim, manager, log }
}

/// A hundred records in a sealed segment, of which 51 stay.
fn half_stale() -> Table {
    let table = table(config());
    for value in 0..50 {
        table.put("a", Some(&format!("value {value}")), 10);
        table.put(&format!("key {value}"), Some("stays"), 10);
    }
    table.roll(10);
    table
}

impl Table {
    fn put(&self, key: &str, value: Option<&str>, now_ms: i64) -> i64 {
        let mut builder = BatchBuilder::new(0, Compression::None, TimestampType::CreateTime, None, -1);
        builder.append(now_ms, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
        self.append(builder.build(), AppendOrigin::Client, now_ms)
    }

    fn append(&self, batch: Bytes, origin: AppendOrigin, now_ms: i64) -> i64 {
        let info = self.log.append_as_leader(batch, 0, origin, now_ms).unwrap();
        self.log.update_high_watermark(self.log.log_end_offset());
        info.last_offset
    }

    /// A new segment, so that everything before it can be cleaned.
    fn roll(&self, now_ms: i64) {
        self.log.roll(now_ms).unwrap();
    }

    fn clean(&self, now_ms: i64) {
        self.manager
            .clean_next(&settings(MANY_KEYS), now_ms, &mut Unhurried);
    }

    /// What a reader sees, as "offset key=value".
    fn shown(&self) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let all = read_all(&self.log).into_iter();
        all.map(|(offset, key, value)| {
            let value = value.map_or("-".to_owned(), |value| text(&value));
            format!("{offset} {}={value}", text(&key))
        })
        .collect()
    }

    /// Base offset, record count and whether it is a control batch, of every batch.
    fn batches(&self) -> Vec<(i64, i32, bool)> {
        let mut found = Vec::new();
        let mut offset = self.log.log_start_offset();
        loop {
            let read = self
                .log
                .read(offset, 1 << 20, self.log.log_end_offset(), true)
                .unwrap();
            let mut rest = read.records.as_ref();
            if rest.is_empty() {
                return found;
            }
            while !rest.is_empty() {
                let (batch, after) = RecordBatch::split_first(rest).unwrap();
                found.push((batch.base_offset(), batch.record_count(), batch.is_control()));
                rest = after;
            }
            offset = read.next_offset;
        }
    }
}

#[test]
fn the_last_value_of_each_key_stays_at_its_offset_and_the_active_segment_is_left_alone() {
    let table = table(config());
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("b", "2")] {
        table.put(key, Some(value), 10);
    }
    table.roll(10);
    table.put("a", Some("3"), 20);
    table.put("a", Some("4"), 20);
    table.clean(100);
    assert_eq!(table.shown(), ["2 a=2", "3 c=1", "4 b=2", "5 a=3", "6 a=4"]);
    assert_eq!((table.log.log_start_offset(), table.log.log_end_offset()), (0, 7));
    assert_eq!(table.log.read(0, 1 << 20, 7, true).unwrap().base_offset, Some(2));
}

#[test]
fn a_tombstone_stays_for_the_retention_behind_the_first_cleaning_that_met_it() {
    let table = table(config());
    table.put("a", Some("1"), 10);
    table.put("a", None, 20);
    table.put("b", Some("1"), 30);
    table.roll(30);
    table.clean(5_000);
    assert_eq!(table.shown(), ["1 a=-", "2 b=1"]);
    // Nothing new is dirty: a further cleaning needs something to do.
    for (at, now_ms, expected) in [
        (3, 5_999, vec!["1 a=-", "2 b=1", "3 c0=1"]),
        (4, 6_000, vec!["2 b=1", "3 c0=1", "4 c1=1"]),
    ] {
        table.put(&format!("c{}", at - 3), Some("1"), now_ms);
        table.roll(now_ms);
        table.clean(now_ms);
        assert_eq!(table.shown(), expected, "at {now_ms} ms");
    }
}

#[test]
fn records_without_a_key_go_and_are_counted() {
    let table = table(config());
    table.put("a", Some("1"), 10);
    let mut builder = BatchBuilder::new(1, Compression::None, TimestampType::CreateTime, None, 0);
    builder.append(10, None, Some(b"no key"), &[]);
    table.log.append_as_follower(builder.build(), 10).unwrap();
    table.put("b", Some("1"), 10);
    table.roll(10);
    table.clean(100);
    assert_eq!(table.shown(), ["0 a=1", "2 b=1"]);
    assert_eq!(table.manager.cleaner_status().records_without_key, 1);
}

#[test]
fn records_younger_than_the_lag_are_left_alone() {
    let table = table(LogConfig {
        min_compaction_lag_ms: 1_000,
        ..config()
    });
    table.put("a", Some("1"), 10);
    table.put("a", Some("2"), 20);
    table.roll(20);
    table.put("a", Some("3"), 900);
    table.roll(900);
    table.clean(1_100);
    assert_eq!(
        table.shown(),
        ["1 a=2", "2 a=3"],
        "the second segment is 200 ms old"
    );
    table.clean(2_000);
    assert_eq!(table.shown(), ["2 a=3"]);
}

#[test]
fn an_overdue_record_is_cleaned_however_little_is_dirty() {
    let lazy = LogConfig {
        min_cleanable_dirty_ratio: CleanableRatio::new(1.0),
        max_compaction_lag_ms: 500,
        ..config()
    };
    let table = table(lazy);
    table.put("a", Some("1"), 1_000);
    table.put("a", Some("2"), 1_000);
    table.roll(1_000);
    let range = |now_ms| CleanRange::of(&table.log, None, now_ms).unwrap();
    assert_eq!(range(1_500).overdue_ms, 0);
    assert_eq!(range(1_600).overdue_ms, 100);
    table.clean(1_500);
    assert_eq!(table.shown().len(), 2);
    table.clean(1_600);
    assert_eq!(table.shown(), ["1 a=2"]);
}

#[test]
fn small_segments_become_one_and_offsets_in_the_holes_are_found() {
    let table = table(config());
    for round in 0..40 {
        table.put(["a", "b", "c"][round % 3], Some("value"), 10);
    }
    table.roll(10);
    let before = table.log.segment_count();
    table.clean(100);
    assert_eq!(
        table.log.segment_count(),
        before,
        "they were too large to become one"
    );
    table.put("d", Some("value"), 10);
    table.roll(10);
    table.clean(200);
    assert!(before > 4 && table.log.segment_count() == 2, "{before}");
    assert_eq!(
        table.shown(),
        ["37 b=value", "38 c=value", "39 a=value", "40 d=value"]
    );
    for offset in 0..=37 {
        let read = table.log.read(offset, 1 << 20, 41, true).unwrap();
        assert_eq!(read.base_offset, Some(37), "from {offset}");
    }
    table.manager.removal_pass(200).unwrap();
    let names = Disk::simulated(&table.sim)
        .read_dir(&PathBuf::from("/data/table-0"))
        .unwrap();
    let logs: Vec<_> = names.iter().filter(|entry| entry.name.contains(".log")).collect();
    assert_eq!(logs.len(), 2, "{names:?}");
}

/// A batch of one record inside a transaction of producer `id`, whose sequence is `sequence`.
fn in_transaction(id: i64, sequence: i32, key: &str, value: &str) -> Bytes {
    let producer = Some((id, 0, sequence));
    let mut builder =
        BatchBuilder::new(0, Compression::None, TimestampType::CreateTime, producer, -1).transactional();
    builder.append(10, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
    builder.build()
}

fn marker(id: i64, is_aborted: bool) -> Bytes {
    let kind = if is_aborted {
        ControlRecordType::Abort
    } else {
        ControlRecordType::Commit
    };
    let value = EndTransactionMarker { coordinator_epoch: 0 }.encode();
    let producer = Some((id, 0, -1));
    let mut builder = BatchBuilder::new(0, Compression::None, TimestampType::CreateTime, producer, -1)
        .transactional()
        .control();
    builder.append(10, Some(&kind.key()), Some(&value), &[]);
    builder.build()
}

#[test]
fn records_of_aborted_transactions_go_and_do_not_make_older_ones_stale() {
    let table = table(config());
    let log = |batch| table.append(batch, AppendOrigin::Coordinator, 10);
    table.put("a", Some("committed before"), 10);
    log(in_transaction(5, 0, "a", "aborted"));
    log(in_transaction(6, 0, "b", "committed"));
    log(marker(5, true));
    log(marker(6, false));
    table.put("c", Some("1"), 10);
    table.roll(10);
    table.clean(100);
    assert_eq!(table.shown(), ["0 a=committed before", "2 b=committed", "5 c=1"]);
    let control = |table: &Table| -> Vec<i64> {
        let batches = table.batches().into_iter();
        batches
            .filter(|(_, _, is_control)| *is_control)
            .map(|(at, ..)| at)
            .collect()
    };
    assert_eq!(control(&table), [3, 4], "markers stay while their records may");
}

#[test]
fn an_open_transaction_is_never_cleaned() {
    let table = table(config());
    table.put("a", Some("1"), 10);
    table.put("a", Some("2"), 10);
    table.roll(10);
    table.append(in_transaction(5, 0, "a", "3"), AppendOrigin::Coordinator, 10);
    table.roll(10);
    table.put("a", Some("4"), 10);
    table.roll(10);
    table.clean(100);
    assert_eq!(table.shown(), ["1 a=2", "2 a=3", "3 a=4"]);
}

#[test]
fn a_damaged_segment_makes_the_partition_uncleanable_and_changes_nothing() {
    // The second of two batches of 70 bytes: its records, and its base offset, which no checksum covers.
    for (at, reason) in [(138, "crc"), (70, "offset")] {
        let table = table(config());
        table.put("a", Some("1"), 10);
        table.put("a", Some("2"), 10);
        table.roll(10);
        let path = PathBuf::from("/data/table-0/00000000000000000000.log");
        assert!(table.sim.flip_bit(&path, at, 3));
        table.clean(100);
        let status = table.manager.cleaner_status();
        assert_eq!(status.uncleanable[0].topic_partition, partition());
        assert!(status.uncleanable[0].reason.contains(reason), "{status:?}");
        assert!(!table.log.is_failed());
        table.put("b", Some("served on"), 20);
        table.roll(20);
        table.clean(200);
        assert_eq!(table.manager.cleaner_status().cleanings, 0);
    }
}

#[test]
fn a_log_is_cleaned_from_its_start_where_the_last_cleaning_is_not_known() {
    for note in ["not a checkpoint", "0\n1\ntable 0 99\n"] {
        let table = table(config());
        table.put("a", Some("1"), 10);
        table.roll(10);
        table.clean(100);
        let (disk, file) = (
            Disk::simulated(&table.sim),
            PathBuf::from("/data/cleaner-offset-checkpoint"),
        );
        assert_eq!(disk.read(&file, 100).unwrap(), b"0\n1\ntable 0 1\n");
        table.put("a", Some("2"), 20);
        table.roll(20);
        disk.replace(&file, note.as_bytes()).unwrap();
        table.sim.restart_process();
        let manager = manager(&table.sim, 0);
        let log = open(&manager, config(), 20);
        log.update_high_watermark(2);
        manager.clean_next(&settings(MANY_KEYS), 200, &mut Unhurried);
        assert_eq!(read_all(&log).len(), 1, "{note}");
        assert_eq!(disk.read(&file, 100).unwrap(), b"0\n1\ntable 0 2\n");
    }
}

#[test]
fn a_full_disk_puts_a_cleaning_off_and_nothing_else() {
    let table = half_stale();
    let dir = PathBuf::from("/data/table-0");
    let disk = Disk::simulated(&table.sim);
    let names = disk.read_dir(&dir).unwrap();
    let sizes = names.iter().map(|entry| {
        let file = disk.open(&dir.join(&entry.name), OpenMode::Read).unwrap();
        file.len().unwrap()
    });
    // Room for checkpoints, but not for what stays of the segments.
    table.sim.set_capacity_bytes(sizes.sum::<u64>() + 1_000);
    table.clean(100);
    assert!(!table.log.is_failed());
    assert_eq!(table.manager.cleaner_status().cleanings, 0);
    assert!(table.shown().len() > 51, "there was room for all of it");
    table.sim.set_capacity_bytes(1 << 24);
    table.clean(200);
    assert_eq!(table.shown().len(), 51);
}

/// Lets no cleaning take a step.
struct Stopping;

impl Pace for Stopping {
    fn moved(&mut self, _bytes: u64) -> bool {
        false
    }
}

#[test]
fn whoever_cleans_until_nothing_is_due_ends_where_nothing_can_be_cleaned_now() {
    let table = half_stale();
    let clean = |pace: &mut dyn Pace| table.manager.clean_next(&settings(MANY_KEYS), 100, pace);
    assert_eq!(clean(&mut Stopping), None, "called off");
    table.sim.set_capacity_bytes(1);
    assert_eq!(clean(&mut Unhurried), None, "no room");
    table.sim.set_capacity_bytes(1 << 24);
    assert!(clean(&mut Unhurried).is_some());
}

/// Cleaning is what may make room: where it cannot, it must leave the log as it was.
#[test]
fn a_disk_that_fills_up_at_any_call_of_a_cleaning_takes_nothing_offline() {
    let prepared = || {
        let table = table(config());
        for value in 0..8 {
            table.put("a", Some(&format!("value {value}")), 10);
            table.put(&format!("key {value}"), Some("stays"), 10);
        }
        table.roll(10);
        table
    };
    let whole = prepared();
    let before = whole.sim.calls();
    whole.clean(100);
    let (expected, calls) = (whole.shown(), whole.sim.calls() - before);
    assert!(whole.manager.cleaner_status().cleanings > 0 && calls > 20);
    for call in 1..=calls {
        let table = prepared();
        table.sim.fail_at(table.sim.calls() + call, SimFault::Full);
        table.clean(100);
        assert!(!table.log.is_failed(), "full at call {call}");
        table.sim.set_capacity_bytes(1 << 24);
        table.clean(200);
        assert_eq!(table.shown(), expected, "full at call {call}");
    }
}

/// Does something to the log while a cleaning is under way.
struct Meanwhile<F: FnMut()> {
    steps: u32,
    at: u32,
    act: F,
}

impl<F: FnMut()> Pace for Meanwhile<F> {
    fn moved(&mut self, _bytes: u64) -> bool {
        self.steps += 1;
        if self.steps == self.at {
            (self.act)();
        }
        true
    }
}

#[test]
fn segments_that_go_while_they_are_cleaned_call_the_cleaning_off() {
    for at in 1..14 {
        let table = table(config());
        for value in 0..6 {
            table.put("a", Some(&format!("{value}")), 10);
        }
        table.roll(10);
        table.put("b", Some("1"), 10);
        let log = table.log.clone();
        let mut pace = Meanwhile {
            steps: 0,
            at,
            act: || log.truncate_fully_and_start_at(100).unwrap(),
        };
        table.manager.clean_next(&settings(MANY_KEYS), 100, &mut pace);
        assert!(table.shown().is_empty(), "at step {at}");
        assert!(!table.log.is_failed());
        let names = Disk::simulated(&table.sim).read_dir(&PathBuf::from("/data/table-0"));
        let leftover = |name: &str| name.ends_with(".cleaned") || name.ends_with(".swap");
        assert!(
            !names.unwrap().iter().any(|entry| leftover(&entry.name)),
            "at step {at}"
        );
    }
}

#[test]
fn a_reader_beside_the_cleaner_sees_every_last_record_once_and_in_order() {
    let table = table(config());
    for round in 0..300 {
        table.put(&format!("key {}", round * 7 % 40), Some(&format!("{round}")), 10);
    }
    table.roll(10);
    let expected: Vec<i64> = (260..300).collect();
    let log = table.log.clone();
    let mut offset = 0;
    let mut seen = Vec::new();
    let mut read_on = || {
        let read = log.read(offset, 120, 300, true).unwrap();
        let mut rest = read.records.as_ref();
        while let Ok((batch, after)) = RecordBatch::split_first(rest) {
            seen.push(batch.base_offset());
            rest = after;
        }
        offset = read.next_offset;
    };
    struct Reading<'a>(&'a mut dyn FnMut());
    impl Pace for Reading<'_> {
        fn moved(&mut self, _bytes: u64) -> bool {
            (self.0)();
            true
        }
    }
    table
        .manager
        .clean_next(&settings(MANY_KEYS), 100, &mut Reading(&mut read_on));
    for _ in 0..300 {
        read_on();
    }
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    assert!(expected.iter().all(|offset| seen.contains(offset)), "{seen:?}");
}
