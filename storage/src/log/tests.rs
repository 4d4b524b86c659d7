//! A log as its owner sees it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use protocol_compat::record_batch::batch::{RecordBatch, TimestampType};
use protocol_compat::{TopicId, TopicPartition};

use super::testing::{TestBatch, batch};
use super::*;
use crate::disk::{Disk, OpenMode, SimDisk, SimFault};

mod begun_appends;
mod deleted_records;
mod faults;
mod flushing;
mod producer_snapshots;
mod warm_reads;

struct Fixture {
    sim: SimDisk,
    config: LogConfig,
    crash: Option<Crash>,
    recovery_point: i64,
    log_start_offset: i64,
}

fn fixture() -> Fixture {
    let sim = SimDisk::new(7, 64 << 20);
    let disk = Disk::simulated(&sim);
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let config = LogConfig {
        segment_bytes: 700,
        index_interval_bytes: 100,
        ..LogConfig::default()
    };
    Fixture {
        sim,
        config,
        crash: None,
        recovery_point: 0,
        log_start_offset: 0,
    }
}

impl Fixture {
    fn try_open(&self) -> Result<PartitionLog, LogError> {
        PartitionLog::open(OpenParams {
            files: FileCache::new(Disk::simulated(&self.sim), 4),
            dir: Path::new("/data/orders-0").into(),
            topic_partition: TopicPartition::new("orders", 0),
            topic_id: Some(TopicId::CLUSTER_METADATA),
            config: Arc::new(self.config.clone()),
            recovery_point: self.crash.map_or(i64::MAX, |_| self.recovery_point),
            log_start_offset: self.log_start_offset,
            crash: self.crash,
            now_ms: 1_000,
            events: None,
        })
    }

    fn open(&self) -> PartitionLog {
        self.try_open().unwrap()
    }

    fn reopen_after(&mut self, crash: Option<Crash>) -> PartitionLog {
        self.crash = crash;
        self.open()
    }
}

fn append(log: &PartitionLog, batch: &TestBatch) -> Result<AppendInfo, AppendError> {
    log.append_as_leader(Bytes::from(batch.build()), 1, AppendOrigin::Client, 2_000)
}

/// Every batch of the log as (base offset, last offset, epoch), read in pieces of `piece_bytes`.
fn read_all(log: &PartitionLog, piece_bytes: usize) -> Vec<(i64, i64, i32)> {
    let mut found = Vec::new();
    let mut next = log.log_start_offset();
    while next < log.log_end_offset() {
        let info = log.read(next, piece_bytes, i64::MAX, true).unwrap();
        let mut rest: &[u8] = &info.records;
        assert!(!rest.is_empty(), "nothing at {next} of {log:?}");
        while !rest.is_empty() {
            let (batch, after) = RecordBatch::split_first(rest).unwrap();
            batch.verify_checksum().unwrap();
            found.push((
                batch.base_offset(),
                batch.last_offset(),
                batch.partition_leader_epoch(),
            ));
            rest = after;
        }
        next = info.next_offset;
    }
    found
}

fn batches_from(start: i64, sizes: &[i32]) -> Vec<(i64, i64, i32)> {
    let mut base = start;
    let each = |count: &i32| {
        let batch = (base, base + i64::from(*count) - 1, 1);
        base += i64::from(*count);
        batch
    };
    sizes.iter().map(each).collect()
}

#[test]
fn appended_batches_read_back_in_order_across_segments_at_every_piece_size() {
    let fixture = fixture();
    let log = fixture.open();
    let sizes = [1, 3, 2, 5, 1, 1, 8, 2, 2, 2, 4, 1];
    for size in sizes {
        append(&log, &batch().records(size).value_bytes(20)).unwrap();
    }
    assert!(log.segment_count() > 2);
    for piece_bytes in [0, 1, 61, 100, 150, 333, 1_000, 100_000] {
        assert_eq!(
            read_all(&log, piece_bytes),
            batches_from(0, &sizes),
            "pieces of {piece_bytes} bytes"
        );
    }
}

#[test]
fn a_read_stops_at_its_upper_bound_and_outside_of_the_log() {
    let fixture = fixture();
    let log = fixture.open();
    for _ in 0..6 {
        append(&log, &batch().records(2)).unwrap();
    }
    assert_eq!(log.read(0, 10_000, 4, true).unwrap().next_offset, 4);
    assert!(log.read(4, 10_000, 4, true).unwrap().records.is_empty());
    assert_eq!(
        log.read(1, 10_000, 100, true).unwrap().base_offset,
        Some(0),
        "the batch that holds the offset"
    );
    assert!(log.read(12, 10_000, 100, true).unwrap().records.is_empty());
    assert!(matches!(
        log.read(13, 1, 100, true),
        Err(ReadError::OffsetOutOfRange {
            log_end_offset: 12,
            ..
        })
    ));
    let too_large = log.read(0, 10, 100, false).unwrap();
    assert!(too_large.records.is_empty() && too_large.first_batch_too_large);
}

#[test]
fn nothing_is_on_disk_before_the_first_append() {
    let fixture = fixture();
    let log = fixture.open();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, 0));
    log.begin_leader_epoch(3);
    assert_eq!(log.recovery_point().unwrap(), 0);
    log.close().unwrap();
    assert!(
        !Disk::simulated(&fixture.sim)
            .exists(Path::new("/data/orders-0"))
            .unwrap()
    );
}

#[test]
fn a_closed_log_opens_with_the_same_records_producers_and_epochs() {
    let mut fixture = fixture();
    let log = fixture.open();
    let mut sequence = 0;
    for size in [2, 3, 1, 4, 4, 2, 5] {
        append(
            &log,
            &batch().producer(9, 0, sequence).records(size).value_bytes(30),
        )
        .unwrap();
        sequence += size;
    }
    let (records, producers) = (read_all(&log, 500), log.producers());
    log.close().unwrap();
    let log = fixture.reopen_after(None);
    assert_eq!(read_all(&log, 500), records);
    assert_eq!(
        log.producers()[0].1.last_sequence(),
        producers[0].1.last_sequence()
    );
    assert_eq!(log.latest_epoch(), Some(1));
    let again = append(
        &log,
        &batch().producer(9, 0, sequence - 5).records(5).value_bytes(30),
    )
    .unwrap();
    assert!(again.is_duplicate && again.last_offset == 20);
    assert_eq!(
        append(&log, &batch().producer(9, 0, sequence))
            .unwrap()
            .first_offset,
        21
    );
}

#[test]
fn after_a_killed_process_producers_are_what_they_were() {
    let mut fixture = fixture();
    let log = fixture.open();
    for n in 0..12 {
        append(&log, &batch().producer(9, 0, n * 2).records(2).value_bytes(30)).unwrap();
    }
    let producers = log.producers();
    drop(log);
    fixture.sim.restart_process();
    let log = fixture.reopen_after(Some(Crash::Process));
    let last = |all: &[(i64, ProducerEntry)]| {
        all.iter()
            .map(|(id, e)| (*id, e.last_sequence()))
            .collect::<Vec<_>>()
    };
    assert_eq!(last(&log.producers()), last(&producers));
    assert_eq!(read_all(&log, 300).len(), 12);
}

#[test]
fn log_append_time_is_stamped_and_never_goes_back() {
    let mut fixture = fixture();
    fixture.config.message_timestamp_type = TimestampType::LogAppendTime;
    let log = fixture.open();
    let at = |now| {
        log.append_as_leader(batch().build().into(), 1, AppendOrigin::Client, now)
            .unwrap()
            .log_append_time_ms
    };
    assert_eq!([at(5_000), at(4_000), at(6_000)], [5_000, 5_000, 6_000]);
    let bytes = log.read(0, 10_000, i64::MAX, true).unwrap().records;
    let (first, _) = RecordBatch::split_first(&bytes).unwrap();
    first.verify_checksum().unwrap();
    assert_eq!(
        (first.timestamp_type(), first.max_timestamp_ms()),
        (TimestampType::LogAppendTime, 5_000)
    );
}

#[test]
fn a_leader_that_begins_is_known_before_its_first_batch_and_leaves_no_file() {
    let mut fixture = fixture();
    let log = fixture.open();
    assert_eq!(log.end_offset_for_epoch(1), (-1, -1));
    log.begin_leader_epoch(1);
    assert_eq!(log.end_offset_for_epoch(1), (1, 0));
    log.flush_all().unwrap();
    log.close().unwrap();
    assert!(!Disk::simulated(&fixture.sim).exists(&log.dir()).unwrap());
    append(&log, &batch().records(2)).unwrap();
    log.begin_leader_epoch(5);
    log.close().unwrap();
    let log = fixture.reopen_after(None);
    log.begin_leader_epoch(6);
    let ends = [1, 5, 6].map(|epoch| log.end_offset_for_epoch(epoch));
    assert_eq!(ends, [(1, 2), (1, 2), (6, 2)], "5 has led and written nothing");
}

#[test]
fn clients_batches_that_break_a_rule_are_refused_and_leave_nothing() {
    let mut fixture = fixture();
    fixture.config.max_message_bytes = 400;
    let log = fixture.open();
    let mut flipped = batch().build();
    flipped[70] ^= 1;
    let refused = |bytes: Vec<u8>| {
        log.append_as_leader(bytes.into(), 1, AppendOrigin::Client, 2_000)
            .unwrap_err()
    };
    assert!(matches!(refused(flipped), AppendError::CorruptBatch(_)));
    assert!(matches!(
        refused(batch().attributes(0x20).build()),
        AppendError::InvalidRecord { .. }
    ));
    assert!(matches!(
        refused(batch().at(3, -1).build()),
        AppendError::InvalidRecord { .. }
    ));
    assert!(matches!(
        refused(batch().value_bytes(500).build()),
        AppendError::BatchTooLarge { .. }
    ));
    assert!(matches!(
        refused(batch().timestamp_ms(4_000_000).build()),
        AppendError::InvalidTimestamp { .. }
    ));
    assert!(matches!(
        refused(batch().attributes(7).build()),
        AppendError::UnsupportedCompression
    ));
    let mut old = batch().build();
    old[16] = 1;
    assert!(matches!(refused(old), AppendError::UnsupportedMagic(1)));
    assert_eq!(log.log_end_offset(), 0);
}

#[test]
fn a_compacted_topic_names_each_record_without_a_key() {
    let mut fixture = fixture();
    fixture.config.cleanup_policy.compact = true;
    let log = fixture.open();
    let Err(AppendError::InvalidRecord { problems, .. }) = append(&log, &batch().records(3)) else {
        panic!("accepted")
    };
    assert_eq!(
        problems.iter().map(|p| p.batch_index).collect::<Vec<_>>(),
        [0, 1, 2]
    );
}

#[test]
fn timestamps_are_found_by_record_and_by_segment() {
    let fixture = fixture();
    let log = fixture.open();
    for n in 0..20 {
        append(
            &log,
            &batch().records(3).timestamp_ms(1_000 + n * 100).value_bytes(20),
        )
        .unwrap();
    }
    let at = |timestamp| {
        log.offset_for_timestamp(timestamp, i64::MAX)
            .unwrap()
            .map(|found| (found.offset, found.timestamp_ms))
    };
    assert_eq!(at(0), Some((0, 1_000)));
    assert_eq!(at(1_001), Some((1, 1_001)));
    assert_eq!(at(1_003), Some((3, 1_100)));
    assert_eq!(at(2_902), Some((59, 2_902)));
    assert_eq!(at(2_903), None);
    assert_eq!(
        log.max_timestamp_offset().unwrap().map(|found| found.offset),
        Some(59)
    );
}

#[test]
fn retention_takes_whole_old_segments_below_the_high_watermark() {
    let mut fixture = fixture();
    fixture.config.retention_ms = 1_000;
    let log = fixture.open();
    for n in 0..20 {
        append(&log, &batch().timestamp_ms(n * 100).value_bytes(100)).unwrap();
    }
    assert_eq!(
        log.delete_old_segments(10_000).unwrap().segments,
        0,
        "nothing is above the high watermark's bound"
    );
    log.update_high_watermark(20);
    let deleted = log.delete_old_segments(2_000).unwrap();
    assert!(deleted.segments > 0 && log.log_start_offset() > 0);
    assert_eq!(
        read_all(&log, 10_000).first().map(|b| b.0),
        Some(log.log_start_offset())
    );
    assert_eq!(
        log.delete_old_segments(1_000_000).unwrap().segments,
        log.segment_count() + 2
    );
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset(), log.segment_count()),
        (20, 20, 1)
    );
    append(&log, &batch()).unwrap();
}

#[test]
fn truncation_takes_records_epochs_and_producers_with_it() {
    let mut fixture = fixture();
    let log = fixture.open();
    for n in 0..10 {
        let bytes = batch().producer(5, 0, n * 2).records(2).value_bytes(40).build();
        log.append_as_leader(
            bytes.into(),
            if n < 6 { 1 } else { 4 },
            AppendOrigin::Client,
            2_000,
        )
        .unwrap();
    }
    log.truncate_to(9).unwrap();
    assert_eq!(
        log.log_end_offset(),
        8,
        "the batch that holds the offset goes whole"
    );
    assert_eq!(read_all(&log, 10_000).last().map(|b| b.1), Some(7));
    assert_eq!(log.latest_epoch(), Some(1));
    assert_eq!(log.producers()[0].1.last_sequence(), 7);
    log.close().unwrap();
    let log = fixture.reopen_after(None);
    assert_eq!(log.log_end_offset(), 8);
}

#[test]
fn a_full_disk_refuses_appends_and_takes_them_again_when_there_is_room() {
    let fixture = fixture();
    let log = fixture.open();
    append(&log, &batch().producer(3, 0, 0).value_bytes(50)).unwrap();
    fixture.sim.set_capacity_bytes(1);
    for _ in 0..3 {
        assert!(matches!(
            append(&log, &batch().producer(3, 0, 1).value_bytes(50)),
            Err(AppendError::NoSpace)
        ));
    }
    fixture.sim.set_capacity_bytes(1 << 20);
    assert_eq!(
        append(&log, &batch().producer(3, 0, 1).value_bytes(50))
            .unwrap()
            .first_offset,
        1
    );
    assert_eq!(read_all(&log, 1_000), batches_from(0, &[1, 1]));
}

/// The retry of a batch that another connection's thread is just writing.
#[test]
fn a_copy_of_a_batch_for_which_there_was_no_room_is_not_acknowledged() {
    let fixture = fixture();
    let log = &fixture.open();
    append(log, &batch().producer(3, 0, 0)).unwrap();
    let again = || append(log, &batch().producer(3, 0, 1));
    std::thread::scope(|scope| {
        let writer = log.writer.lock();
        let first = scope.spawn(again);
        while log.reservations.lock().next_offset < 2 {
            std::thread::yield_now();
        }
        let copy = scope.spawn(again);
        fixture.sim.set_capacity_bytes(1);
        drop(writer);
        for outcome in [first.join().unwrap(), copy.join().unwrap()] {
            assert!(matches!(outcome, Err(AppendError::NoSpace)), "{outcome:?}");
        }
    });
    fixture.sim.set_capacity_bytes(1 << 20);
    assert_eq!(again().unwrap().first_offset, 1);
    let copy = again().unwrap();
    assert!(copy.is_duplicate && copy.first_offset == 1);
}

#[test]
fn an_error_takes_the_log_offline_for_good() {
    let fixture = fixture();
    let log = fixture.open();
    append(&log, &batch()).unwrap();
    fixture.sim.fail_at(fixture.sim.calls() + 1, SimFault::Error);
    assert!(matches!(append(&log, &batch()), Err(AppendError::Offline(_))));
    assert!(matches!(append(&log, &batch()), Err(AppendError::Offline(_))));
    assert!(log.flush_all().is_err() && log.is_failed());
}

#[test]
fn a_damaged_batch_below_valid_ones_is_refused_by_file_and_offset() {
    let mut fixture = fixture();
    fixture.config.segment_bytes = 1 << 20;
    let log = fixture.open();
    for _ in 0..5 {
        append(&log, &batch().value_bytes(50)).unwrap();
    }
    log.flush_all().unwrap();
    drop(log);
    fixture.sim.restart_process();
    assert!(
        fixture
            .sim
            .flip_bit(Path::new("/data/orders-0/00000000000000000000.log"), 300, 2)
    );
    fixture.crash = Some(Crash::Process);
    let refused = fixture.try_open().unwrap_err().to_string();
    assert!(
        refused.contains("00000000000000000000.log") && refused.contains("offset 2"),
        "{refused}"
    );
}

#[test]
fn a_damaged_batch_before_the_last_one_is_refused_although_zeros_follow_both() {
    let mut fixture = fixture();
    fixture.config.segment_bytes = 1 << 20;
    fixture.config.preallocate = true;
    let log = fixture.open();
    for _ in 0..2 {
        append(&log, &batch().value_bytes(50)).unwrap();
    }
    drop(log);
    fixture.sim.restart_process();
    let file = PathBuf::from("/data/orders-0/00000000000000000000.log");
    assert!(fixture.sim.flip_bit(&file, 70, 2));
    fixture.crash = Some(Crash::Process);
    let refused = fixture.try_open().unwrap_err().to_string();
    assert!(refused.contains("offset 0"), "{refused}");
}

#[test]
fn every_derived_file_may_be_deleted_and_comes_back() {
    let mut fixture = fixture();
    let log = fixture.open();
    for n in 0..12 {
        append(&log, &batch().producer(5, 0, n).value_bytes(60)).unwrap();
    }
    let records = read_all(&log, 10_000);
    log.close().unwrap();
    let disk = Disk::simulated(&fixture.sim);
    let dir = PathBuf::from("/data/orders-0");
    for entry in disk
        .read_dir(&dir)
        .unwrap()
        .iter()
        .filter(|entry| !entry.name.ends_with(".log"))
    {
        disk.remove_file(&dir.join(&entry.name)).unwrap();
    }
    let log = fixture.reopen_after(None);
    assert_eq!(read_all(&log, 150), records);
    assert_eq!(log.producers()[0].1.last_sequence(), 11);
    assert_eq!(log.latest_epoch(), Some(1));
    assert_eq!(
        log.offset_for_timestamp(1_000, 100)
            .unwrap()
            .map(|found| found.offset),
        Some(0)
    );
}

#[test]
fn concurrent_appends_leave_no_gap_and_each_learns_its_own_offset() {
    let mut fixture = fixture();
    fixture.config.segment_bytes = 5_000;
    let log = Arc::new(fixture.open());
    let threads: Vec<_> = (0..4)
        .map(|id| {
            let log = log.clone();
            std::thread::spawn(move || {
                (0..100)
                    .map(|n| {
                        append(&log, &batch().producer(id, 0, n).value_bytes(10))
                            .unwrap()
                            .first_offset
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let mut offsets: Vec<i64> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    offsets.sort_unstable();
    assert_eq!(offsets, (0..400).collect::<Vec<_>>());
    assert_eq!(read_all(&log, 1_000), batches_from(0, &[1; 400]));
}

#[test]
fn a_compacted_log_with_a_gap_between_segments_is_kept_whole_after_a_crash() {
    let mut fixture = fixture();
    let log = fixture.open();
    for n in 0..12 {
        log.append_as_follower(batch().at(n * 10, 1).value_bytes(100).build().into(), 2_000)
            .unwrap();
    }
    let records = read_all(&log, 10_000);
    assert!(log.segment_count() > 2);
    drop(log);
    fixture.sim.restart_process();
    fixture.config.cleanup_policy.compact = true;
    let log = fixture.reopen_after(Some(Crash::Process));
    assert_eq!(read_all(&log, 10_000), records);
}

#[test]
fn a_preallocated_segment_has_its_full_size_until_it_is_rolled_or_closed() {
    let mut fixture = fixture();
    fixture.config.preallocate = true;
    let log = fixture.open();
    let disk = Disk::simulated(&fixture.sim);
    let lengths = || {
        let dir = PathBuf::from("/data/orders-0");
        let mut names: Vec<_> = disk.read_dir(&dir).unwrap().into_iter().map(|e| e.name).collect();
        names.retain(|name| name.ends_with(".log"));
        let length = |name| disk.open(&dir.join(name), OpenMode::Read).unwrap().len().unwrap();
        names.iter().map(length).collect::<Vec<_>>()
    };
    append(&log, &batch().value_bytes(400)).unwrap();
    let size = log.size_bytes();
    assert_eq!(lengths(), [700]);
    append(&log, &batch().value_bytes(400)).unwrap();
    assert_eq!(lengths(), [size, 700]);
    assert_eq!(read_all(&log, 10_000), batches_from(0, &[1, 1]));
    drop(log);
    fixture.sim.restart_process();
    let log = fixture.reopen_after(Some(Crash::Process));
    assert_eq!(lengths(), [size, size], "recovery cuts the zeros off");
    assert_eq!((log.log_end_offset(), log.size_bytes()), (2, 2 * size));
    append(&log, &batch().value_bytes(400)).unwrap();
    assert_eq!(lengths(), [size, size, 700]);
    log.close().unwrap();
    assert_eq!(lengths(), [size, size, size]);
    drop(log);
    let log = fixture.reopen_after(None);
    log.truncate_fully_and_start_at(9).unwrap();
    assert_eq!(lengths(), [700]);
}
