//! Start, deletion, flush, checkpoints and clean shutdown on the simulated disk, faults at every call included.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use protocol_compat::record_batch::batch::{Compression, RecordBatch, TimestampType};
use protocol_compat::record_batch::builder::BatchBuilder;

use super::closed_tests::Owner;
use super::*;
use crate::checkpoints::OffsetCheckpoint;
use crate::disk::{SimDisk, SimFault};
use crate::log::{AppendError, AppendOrigin, Crash};

pub(super) const NOW_MS: i64 = 1_000_000;
pub(super) const DELAY_MS: i64 = 60_000;

pub(super) fn config() -> LogManagerConfig {
    LogManagerConfig {
        identity: NodeIdentity {
            node_id: 1,
            cluster_id: None,
        },
        boot_id: Some("boot".to_owned()),
        max_open_files: 100,
        flush_threads: 2,
        flush_journal_bytes: 1 << 18,
        reserve_bytes: 1000,
        append_watch: None,
    }
}

pub(super) fn new_id() -> NewId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Box::new(|| Uuid::from_u128(u128::from(NEXT.fetch_add(1, Ordering::Relaxed))))
}

pub(super) fn sim(seed: u64) -> SimDisk {
    SimDisk::new(seed, 1 << 24)
}

fn try_start(sim: &SimDisk, dirs: &[&str]) -> Result<LogManager, OpenError> {
    let dirs: Vec<PathBuf> = dirs.iter().map(PathBuf::from).collect();
    LogManager::open(&Disk::simulated(sim), &dirs, config(), new_id())
}

/// The machine loses its power, boots and starts the node.
pub(super) fn start_after_power_cut(sim: &SimDisk) -> LogManager {
    sim.cut_power();
    sim.restart();
    let config = LogManagerConfig {
        boot_id: Some("another boot".to_owned()),
        ..config()
    };
    LogManager::open(&Disk::simulated(sim), &[PathBuf::from("/data")], config, new_id()).unwrap()
}

pub(super) fn start(sim: &SimDisk) -> LogManager {
    try_start(sim, &["/data"]).unwrap()
}

pub(super) fn partition(topic: &str) -> TopicPartition {
    TopicPartition::new(topic, 0)
}

pub(super) fn topic_id(topic: &str) -> TopicId {
    TopicId(Uuid::from_u128(
        topic.bytes().map(u128::from).sum::<u128>() + 1000,
    ))
}

fn try_log(manager: &LogManager, topic: &str) -> Result<Arc<PartitionLog>, LogError> {
    let config = LogConfig {
        flush_ms: 0,
        ..LogConfig::default()
    };
    try_log_with(manager, topic, config)
}

pub(super) fn try_log_with(
    manager: &LogManager,
    topic: &str,
    config: LogConfig,
) -> Result<Arc<PartitionLog>, LogError> {
    manager.get_or_open(&partition(topic), topic_id(topic), Arc::new(config), None, NOW_MS)
}

pub(super) fn log(manager: &LogManager, topic: &str) -> Arc<PartitionLog> {
    try_log(manager, topic).unwrap()
}

pub(super) fn append(log: &PartitionLog, value: i64) -> Result<i64, AppendError> {
    let mut batch = BatchBuilder::new(0, Compression::None, TimestampType::CreateTime, None, -1);
    batch.append(NOW_MS, None, Some(&value.to_be_bytes()), &[]);
    let info = log.append_as_leader(batch.build(), 0, AppendOrigin::Client, NOW_MS)?;
    Ok(info.last_offset)
}

pub(super) fn offsets(log: &PartitionLog) -> Vec<i64> {
    let from = log.log_start_offset();
    let read = log.read(from, 1 << 20, log.log_end_offset(), true).unwrap();
    let mut rest = read.records.as_ref();
    let mut offsets = Vec::new();
    while let Ok((batch, after)) = RecordBatch::split_first(rest) {
        offsets.push(batch.base_offset());
        rest = after;
    }
    offsets
}

#[test]
fn a_partition_comes_back_after_a_power_cut_as_far_as_it_was_flushed() {
    for seed in 0..5 {
        let sim = sim(seed);
        let manager = start(&sim);
        let orders = log(&manager, "orders");
        for value in 0..5 {
            append(&orders, value).unwrap();
        }
        assert_eq!(manager.flush_pass(NOW_MS), 1);
        append(&orders, 5).unwrap();
        drop((manager, orders));
        let manager = start_after_power_cut(&sim);
        assert_eq!(manager.partitions(), [partition("orders")]);
        assert!(
            manager.get(&partition("orders")).is_none(),
            "a start opens nothing"
        );
        let found = offsets(&log(&manager, "orders"));
        assert!(
            found == [0, 1, 2, 3, 4] || found == [0, 1, 2, 3, 4, 5],
            "{found:?}"
        );
    }
}

#[test]
fn a_log_is_flushed_when_its_own_flush_ms_have_passed_since_its_last_flush() {
    let sim = sim(1);
    let manager = start(&sim);
    let with = |topic, flush_ms| {
        let config = LogConfig {
            flush_ms,
            ..LogConfig::default()
        };
        let log = try_log_with(&manager, topic, config).unwrap();
        append(&log, 0).unwrap();
        log
    };
    let (soon, late, never) = (with("soon", 10), with("late", 1000), with("never", i64::MAX));
    let flushed = || [&soon, &late, &never].map(|log| log.flushed_offset());
    assert_eq!(manager.flush_pass(NOW_MS + 9), 0);
    assert_eq!((manager.flush_pass(NOW_MS + 10), flushed()), (1, [1, 0, 0]));
    append(&soon, 1).unwrap();
    assert_eq!((manager.flush_pass(NOW_MS + 19), flushed()), (0, [1, 0, 0]));
    assert_eq!((manager.flush_pass(NOW_MS + 20), flushed()), (1, [2, 0, 0]));
    // A flush for another reason counts, from the look before it.
    late.flush_all().unwrap();
    append(&late, 1).unwrap();
    assert_eq!((manager.flush_pass(NOW_MS + 1019), flushed()), (0, [2, 1, 0]));
    assert_eq!((manager.flush_pass(NOW_MS + 1020), flushed()), (1, [2, 2, 0]));
    append(&late, 2).unwrap();
    // The clock is set back: not a day without a flush.
    assert_eq!(manager.flush_pass(5), 0);
    assert_eq!((manager.flush_pass(1005), flushed()), (1, [2, 3, 0]));
}

#[test]
fn producers_are_forgotten_by_their_own_pass_and_not_by_retention() {
    let sim = sim(1);
    let manager = start(&sim);
    let orders = log(&manager, "orders");
    let producer = Some((7, 0, 0));
    let mut batch = BatchBuilder::new(0, Compression::None, TimestampType::CreateTime, producer, -1);
    batch.append(NOW_MS, None, Some(b"x"), &[]);
    orders
        .append_as_leader(batch.build(), 0, AppendOrigin::Client, NOW_MS)
        .unwrap();
    manager.retention_pass(&Owner::default(), NOW_MS + 86_400_000);
    manager.producer_expiration_pass(NOW_MS + 86_399_999, 86_400_000);
    manager.producer_expiration_pass(NOW_MS + 999, 1000);
    assert_eq!(orders.producers().len(), 1);
    manager.producer_expiration_pass(NOW_MS + 1000, 1000);
    assert_eq!(orders.producers().len(), 0);
}

#[test]
fn each_checkpoint_is_written_by_its_own_pass() {
    let sim = sim(1);
    let manager = start(&sim);
    let orders = log(&manager, "orders");
    append(&orders, 0).unwrap();
    orders.update_high_watermark(1);
    orders.flush_all().unwrap();
    let disk = Disk::simulated(&sim);
    let written = || {
        let read = |kind| crate::checkpoints::read(&disk, Path::new("/data"), kind).unwrap();
        claims::KINDS.map(|kind| read(kind).get(&partition("orders")).copied())
    };
    manager.checkpoint_pass(&[OffsetCheckpoint::HighWatermark]);
    assert_eq!(written(), [None, Some(1), None, None]);
    manager.checkpoint_pass(&[OffsetCheckpoint::RecoveryPoint]);
    assert_eq!(written(), [Some(1), Some(1), None, None]);
}

#[test]
fn deleted_records_do_not_come_back_after_a_crash_without_a_checkpoint_pass() {
    for seed in 0..5 {
        let sim = sim(seed);
        let manager = start(&sim);
        let orders = log(&manager, "orders");
        for value in 0..5 {
            append(&orders, value).unwrap();
        }
        manager.flush_pass(NOW_MS);
        orders.update_high_watermark(5);
        assert!(manager.delete_records_before(&partition("orders"), 6).is_err());
        assert_eq!(manager.delete_records_before(&partition("orders"), 3).unwrap(), 3);
        drop((manager, orders));
        let manager = if seed == 0 {
            sim.restart_process();
            start(&sim)
        } else {
            start_after_power_cut(&sim)
        };
        assert_eq!(offsets(&log(&manager, "orders")), [3, 4]);
    }
}

#[test]
fn a_clean_shutdown_is_told_from_a_crash_and_keeps_every_claim() {
    let sim = sim(1);
    let manager = start(&sim);
    assert_eq!(manager.previous_broker_epoch(), None);
    let orders = log(&manager, "orders");
    append(&orders, 1).unwrap();
    orders.update_high_watermark(1);
    log(&manager, "idle");
    manager.shutdown_cleanly(14);
    drop((manager, orders));
    let manager = start_after_power_cut(&sim);
    assert_eq!(manager.previous_broker_epoch(), Some(14));
    let orders = log(&manager, "orders");
    assert_eq!((offsets(&orders), orders.high_watermark()), (vec![0], 1));
    drop((manager, orders));
    sim.restart_process();
    assert_eq!(start(&sim).previous_broker_epoch(), None);
}

#[test]
fn claims_of_a_partition_that_nobody_opened_are_carried_over() {
    let sim = sim(1);
    let manager = start(&sim);
    let orders = log(&manager, "orders");
    append(&orders, 1).unwrap();
    orders.update_high_watermark(1);
    manager.shutdown_cleanly(1);
    drop((manager, orders));
    for _ in 0..2 {
        sim.restart_process();
        let manager = start(&sim);
        append(&log(&manager, "other"), 1).unwrap();
        manager.checkpoint_pass(&claims::KINDS);
        manager.shutdown_cleanly(2);
    }
    sim.restart_process();
    assert_eq!(log(&start(&sim), "orders").high_watermark(), 1);
}

#[test]
fn a_malformed_checkpoint_counts_as_empty_and_is_written_anew() {
    for kind in [
        OffsetCheckpoint::RecoveryPoint,
        OffsetCheckpoint::HighWatermark,
        OffsetCheckpoint::LogStart,
    ] {
        let sim = sim(1);
        let manager = start(&sim);
        let orders = log(&manager, "orders");
        for value in 0..5 {
            append(&orders, value).unwrap();
        }
        orders.update_high_watermark(5);
        manager.delete_records_before(&partition("orders"), 3).unwrap();
        manager.flush_pass(NOW_MS);
        manager.checkpoint_pass(&claims::KINDS);
        drop((manager, orders));
        sim.restart_process();
        let disk = Disk::simulated(&sim);
        let file = Path::new("/data").join(kind.file_name());
        disk.replace(&file, b"0\n1\nnot an entry\n").unwrap();
        let manager = start(&sim);
        let orders = log(&manager, "orders");
        let first = if kind == OffsetCheckpoint::LogStart { 0 } else { 3 };
        assert_eq!(offsets(&orders), (first..5).collect::<Vec<_>>(), "{kind:?}");
        append(&orders, 5).unwrap();
        orders.update_high_watermark(6);
        manager.delete_records_before(&partition("orders"), 4).unwrap();
        manager.flush_pass(NOW_MS);
        manager.checkpoint_pass(&claims::KINDS);
        assert_eq!(
            crate::checkpoints::read(&disk, Path::new("/data"), kind).unwrap()[&partition("orders")],
            if kind == OffsetCheckpoint::LogStart { 4 } else { 6 }
        );
    }
}

#[test]
fn no_marker_is_left_while_a_partition_waits_for_its_recovery() {
    let sim = sim(1);
    let manager = start(&sim);
    append(&log(&manager, "orders"), 1).unwrap();
    manager.flush_pass(NOW_MS);
    drop(manager);
    sim.restart_process();
    let manager = start(&sim);
    manager.shutdown_cleanly(3);
    drop(manager);
    sim.restart_process();
    let manager = start(&sim);
    assert_eq!(manager.previous_broker_epoch(), None);
    log(&manager, "orders");
    manager.shutdown_cleanly(4);
    drop(manager);
    sim.restart_process();
    assert_eq!(start(&sim).previous_broker_epoch(), Some(4));
}

#[test]
fn a_log_torn_by_a_power_cut_counts_as_torn_until_it_is_recovered() {
    let sim = sim(1);
    let manager = start(&sim);
    append(&log(&manager, "orders"), 1).unwrap();
    manager.flush_pass(NOW_MS);
    manager.checkpoint_pass(&claims::KINDS);
    drop(manager);
    sim.restart_process();
    assert_eq!(start(&sim).dirs[0].crash(), Some(Crash::Process));
    drop(start_after_power_cut(&sim));
    let again = || {
        sim.restart_process();
        let config = LogManagerConfig {
            boot_id: Some("another boot".to_owned()),
            ..config()
        };
        LogManager::open(
            &Disk::simulated(&sim),
            &[PathBuf::from("/data")],
            config,
            new_id(),
        )
        .unwrap()
    };
    let manager = again();
    assert_eq!(
        manager.dirs[0].crash(),
        Some(Crash::Power),
        "nobody recovered the log"
    );
    log(&manager, "orders");
    manager.checkpoint_pass(&claims::KINDS);
    drop(manager);
    assert_eq!(again().dirs[0].crash(), Some(Crash::Process));
}

#[test]
fn a_process_that_dies_in_the_first_life_of_a_directory_left_what_the_page_cache_keeps() {
    let sim = sim(1);
    append(&log(&start(&sim), "orders"), 1).unwrap();
    sim.restart_process();
    assert_eq!(start(&sim).dirs[0].crash(), Some(Crash::Process));
    assert_eq!(start_after_power_cut(&sim).dirs[0].crash(), Some(Crash::Power));
}

#[test]
fn a_deleted_partition_is_gone_and_its_name_starts_anew() {
    let sim = sim(1);
    let manager = start(&sim);
    for value in 0..3 {
        append(&log(&manager, "orders"), value).unwrap();
    }
    manager.flush_pass(NOW_MS);
    manager.checkpoint_pass(&claims::KINDS);
    manager.delete(&partition("orders"), NOW_MS).unwrap();
    manager.delete(&partition("orders"), NOW_MS).unwrap();
    let disk = Disk::simulated(&sim);
    let deleted = || {
        let entries = disk.read_dir(std::path::Path::new("/data")).unwrap();
        entries
            .iter()
            .filter(|entry| entry.name.ends_with("-delete"))
            .count()
    };
    manager.removal_pass(NOW_MS + DELAY_MS - 1).unwrap();
    assert_eq!(deleted(), 1);
    let again = log(&manager, "orders");
    assert_eq!(again.log_end_offset(), 0);
    append(&again, 9).unwrap();
    manager.flush_pass(NOW_MS);
    manager.removal_pass(NOW_MS + DELAY_MS).unwrap();
    assert_eq!(deleted(), 0);
    drop((manager, again));
    assert_eq!(offsets(&log(&start_after_power_cut(&sim), "orders")), [0]);
}

#[test]
fn a_partition_that_was_never_opened_is_deleted_as_well() {
    let sim = sim(1);
    let manager = start(&sim);
    append(&log(&manager, "orders"), 1).unwrap();
    manager.flush_pass(NOW_MS);
    drop(manager);
    sim.restart_process();
    let manager = start(&sim);
    manager.delete(&partition("orders"), NOW_MS).unwrap();
    drop(manager);
    let manager = start_after_power_cut(&sim);
    assert!(manager.partitions().is_empty());
    manager.removal_pass(NOW_MS).unwrap();
    let left = Disk::simulated(&sim)
        .read_dir(std::path::Path::new("/data"))
        .unwrap();
    assert!(left.iter().all(|entry| !entry.is_dir), "{left:?}");
}

#[test]
fn a_deletion_that_meets_the_passes_takes_nothing_offline_and_leaves_no_claim() {
    let sim = SimDisk::new(5, 1 << 28);
    let manager = Arc::new(start(&sim));
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let passes: Vec<_> = [true, false]
        .map(|flushes| {
            let (manager, is_over) = (manager.clone(), is_over.clone());
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    if flushes {
                        manager.flush_pass(NOW_MS);
                    } else {
                        manager.checkpoint_pass(&claims::KINDS);
                    }
                }
            })
        })
        .into();
    for round in 0..300 {
        let orders = log(&manager, "orders");
        assert_eq!(
            orders.log_start_offset(),
            0,
            "round {round}: a claim of the topic before"
        );
        orders.begin_leader_epoch(round);
        append(&orders, 1).unwrap();
        append(&orders, 2).unwrap();
        orders.update_high_watermark(2);
        orders.delete_records_before(1).unwrap();
        manager.delete(&partition("orders"), NOW_MS).unwrap();
        manager.removal_pass(i64::MAX).unwrap();
        assert_eq!(manager.dirs()[0].failure, None, "round {round}");
    }
    is_over.store(true, Ordering::Relaxed);
    for pass in passes {
        pass.join().unwrap();
    }
}

struct Told(mpsc::Sender<i64>);

impl LogEvents for Told {
    fn published(&self, _: i64) {}

    fn flushed(&self, offset: i64) {
        self.0.send(offset).unwrap();
    }

    fn started_later(&self, _: i64) {}

    fn failed(&self) {
        self.0.send(-1).unwrap();
    }
}

pub(super) fn told(manager: &LogManager, topic: &str) -> (Arc<PartitionLog>, mpsc::Receiver<i64>) {
    let (sender, receiver) = mpsc::channel();
    let events: Arc<dyn LogEvents> = Arc::new(Told(sender));
    let log = manager
        .get_or_open(
            &partition(topic),
            topic_id(topic),
            Arc::default(),
            Some(events),
            NOW_MS,
        )
        .unwrap();
    (log, receiver)
}

#[test]
fn a_requested_flush_is_told_to_who_waits_for_it() {
    let sim = sim(1);
    let manager = start(&sim);
    let mut logs = Vec::new();
    for topic in ["a", "b", "c", "d"] {
        let (log, flushed) = told(&manager, topic);
        append(&log, 1).unwrap();
        manager.request_flush(&log);
        logs.push((log, flushed));
    }
    for (log, flushed) in &logs {
        assert_eq!(flushed.recv_timeout(Duration::from_secs(20)), Ok(1));
        assert_eq!(log.flushed_offset(), 1);
    }
}

#[test]
fn a_failed_sync_takes_every_log_of_the_directory_offline_and_no_other() {
    let sim = sim(1);
    let manager = try_start(&sim, &["/one", "/two"]).unwrap();
    let (a, news) = told(&manager, "a");
    let b = log(&manager, "b");
    let c = log(&manager, "c");
    for log in [&a, &b, &c] {
        append(log, 1).unwrap();
    }
    let together = if c.dir().parent() == a.dir().parent() {
        &c
    } else {
        &b
    };
    let apart = if std::ptr::eq(together, &c) { &b } else { &c };
    sim.fail_at(sim.calls() + 1, SimFault::Error);
    assert!(a.flush_all().is_err());
    assert_eq!(news.try_recv(), Ok(-1));
    assert!(together.dir().parent() != a.dir().parent() || together.is_failed());
    assert!(apart.dir().parent() == a.dir().parent() || append(apart, 2).is_ok());
    assert_eq!(
        manager.dirs().iter().filter(|dir| dir.failure.is_some()).count(),
        1
    );
    assert_eq!(manager.directory_ids().len(), 1);
    assert!(matches!(try_log(&manager, "a"), Err(LogError::Offline(_))));
}

#[test]
fn a_nearly_full_directory_refuses_until_there_is_room() {
    let sim = sim(1);
    sim.set_capacity_bytes(500);
    let manager = start(&sim);
    sim.set_capacity_bytes(1 << 24);
    log(&manager, "orders");
    let room = manager.room(&partition("orders")).unwrap();
    assert!(!room.has_some(), "it was looked for at the start");
    manager.space_pass();
    assert!(room.has_some());
    sim.set_capacity_bytes(500);
    manager.space_pass();
    assert!(!room.has_some());
}

#[test]
fn checkpoints_that_find_no_room_take_nothing_offline_and_are_written_later() {
    let sim = sim(1);
    let manager = start(&sim);
    let orders = log(&manager, "orders");
    append(&orders, 0).unwrap();
    orders.update_high_watermark(1);
    orders.flush_all().unwrap();
    sim.set_capacity_bytes(1);
    manager.checkpoint_pass(&claims::KINDS);
    assert!(!orders.is_failed() && manager.dirs()[0].failure.is_none());
    assert_eq!(offsets(&orders), [0]);
    sim.set_capacity_bytes(1 << 24);
    manager.checkpoint_pass(&claims::KINDS);
    let disk = Disk::simulated(&sim);
    for kind in [OffsetCheckpoint::RecoveryPoint, OffsetCheckpoint::HighWatermark] {
        let written = crate::checkpoints::read(&disk, Path::new("/data"), kind).unwrap();
        assert_eq!(written.get(&partition("orders")), Some(&1));
    }
    append(&orders, 1).unwrap();
}

#[test]
fn a_partition_is_deleted_on_a_full_disk_and_its_name_inherits_no_claim() {
    let sim = sim(1);
    let manager = start(&sim);
    for topic in ["orders", "others"] {
        append(&log(&manager, topic), 0).unwrap();
    }
    manager.flush_pass(NOW_MS);
    manager.checkpoint_pass(&claims::KINDS);
    sim.set_capacity_bytes(1);
    manager.delete(&partition("orders"), NOW_MS).unwrap();
    assert_eq!(offsets(&log(&manager, "others")), [0]);
    assert!(
        try_log(&manager, "orders").is_err(),
        "its claims still stand on disk"
    );
    manager.removal_pass(NOW_MS + DELAY_MS).unwrap();
    sim.set_capacity_bytes(1 << 24);
    log(&manager, "orders");
    let disk = Disk::simulated(&sim);
    for kind in claims::KINDS {
        let written = crate::checkpoints::read(&disk, Path::new("/data"), kind).unwrap();
        assert_eq!(written.get(&partition("orders")), None);
    }
    append(&log(&manager, "orders"), 7).unwrap();
    append(&log(&manager, "others"), 1).unwrap();
}

#[test]
fn directories_tell_their_sizes_before_and_after_a_partition_is_opened() {
    let sim = sim(1);
    let manager = start(&sim);
    let orders = log(&manager, "orders");
    append(&orders, 1).unwrap();
    manager.flush_pass(NOW_MS);
    let expected = vec![(partition("orders"), orders.size_bytes())];
    assert_eq!(manager.dirs()[0].partitions, expected);
    drop((manager, orders));
    sim.restart_process();
    let status = start(&sim).dirs();
    assert_eq!(status[0].partitions, expected);
    assert!(status[0].usable_bytes.unwrap() < status[0].total_bytes.unwrap());
}

#[test]
fn a_partition_in_two_directories_stops_the_node() {
    let sim = sim(1);
    drop(try_start(&sim, &["/one", "/two"]).unwrap());
    let disk = Disk::simulated(&sim);
    for dir in ["/one/orders-0", "/two/orders-0"] {
        disk.create_dir_all(std::path::Path::new(dir)).unwrap();
    }
    sim.restart_process();
    assert!(matches!(
        try_start(&sim, &["/one", "/two"]),
        Err(OpenError::PartitionTwice { .. })
    ));
}

/// What the script below was told: offsets that were flushed, and whether the other topic's deletion was confirmed.
#[derive(Debug, Default)]
struct Promised {
    kept: i64,
    is_deleted: bool,
}

/// Start, appends, flush, checkpoint, truncation, deletion, clean shutdown, up to the first error.
fn script(sim: &SimDisk, promised: &mut Promised) -> Option<()> {
    let manager = try_start(sim, &["/data"]).ok()?;
    let kept = try_log(&manager, "kept").ok()?;
    let gone = try_log(&manager, "gone").ok()?;
    for value in 0..3 {
        append(&kept, value).ok()?;
        append(&gone, value).ok()?;
    }
    kept.update_high_watermark(2);
    kept.flush_all().ok()?;
    promised.kept = 2;
    gone.flush_all().ok()?;
    manager.checkpoint_pass(&claims::KINDS);
    manager.truncate_to(&partition("kept"), 2).ok()?;
    manager.delete(&partition("gone"), NOW_MS).ok()?;
    promised.is_deleted = true;
    manager.removal_pass(NOW_MS + DELAY_MS).ok()?;
    manager.shutdown_cleanly(7);
    Some(())
}

#[test]
fn a_fault_at_any_call_of_the_script_keeps_what_was_promised() {
    for fault in [SimFault::Error, SimFault::PowerCut] {
        for seed in 0..2 {
            for call in 1.. {
                let sim = sim(seed);
                sim.fail_at(call, fault);
                let mut promised = Promised::default();
                script(&sim, &mut promised);
                let was_met = sim.calls() >= call;
                sim.fail_at(0, fault);
                check(&sim, &promised, &format!("{fault:?} at call {call}, seed {seed}"));
                if !was_met {
                    break;
                }
            }
        }
    }
}

fn check(sim: &SimDisk, promised: &Promised, place: &str) {
    let manager = start_after_power_cut(sim);
    let kept = log(&manager, "kept");
    let found = offsets(&kept);
    assert!(found.len() as i64 >= promised.kept, "{place}: {found:?}");
    assert_eq!(found, (0..found.len() as i64).collect::<Vec<_>>(), "{place}");
    assert!(kept.high_watermark() <= kept.log_end_offset(), "{place}");
    let is_found = manager.partitions().contains(&partition("gone"));
    assert!(!(promised.is_deleted && is_found), "{place}");
    manager.shutdown_cleanly(8);
    drop((manager, kept));
    sim.restart_process();
    start(sim);
}
