//! Replacements of segments that an earlier run did not finish, with a fault at every call of their completion; and the
//! aborted transactions of adopted segments.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol_compat::record_batch::batch::{Compression, RecordBatch, TimestampType};
use protocol_compat::record_batch::builder::BatchBuilder;
use protocol_compat::record_batch::control::{ControlRecordType, EndTransactionMarker};
use protocol_compat::{TopicId, TopicPartition};

use super::config::CleanupPolicy;
use super::segment::file_name;
use super::testing::batch;
use super::*;
use crate::disk::{Disk, OpenMode, SimDisk, SimFault};

const DIR: &str = "/data/orders-0";

fn try_open(sim: &SimDisk, crash: Option<Crash>) -> Result<PartitionLog, LogError> {
    PartitionLog::open(OpenParams {
        files: FileCache::new(Disk::simulated(sim), 8),
        dir: Path::new(DIR).into(),
        topic_partition: TopicPartition::new("orders", 0),
        topic_id: Some(TopicId::CLUSTER_METADATA),
        config: Arc::new(LogConfig {
            segment_bytes: 1 << 20,
            cleanup_policy: CleanupPolicy {
                delete: false,
                compact: true,
            },
            ..LogConfig::default()
        }),
        recovery_point: 0,
        log_start_offset: 0,
        crash,
        now_ms: 1_000,
        events: None,
    })
}

fn bytes_at(offsets: &[i64]) -> Vec<u8> {
    offsets.iter().flat_map(|at| batch().at(*at, 1).build()).collect()
}

fn write(sim: &SimDisk, name: &str, content: &[u8]) {
    let disk = Disk::simulated(sim);
    let path = Path::new(DIR).join(name);
    let file = disk.open(&path, OpenMode::Create).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(content, 0).unwrap();
    file.sync_all().unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
}

/// Segments at 0, 10 and 20 with three batches each, closed cleanly.
fn three_segments(seed: u64) -> SimDisk {
    let sim = SimDisk::new(seed, 1 << 24);
    let disk = Disk::simulated(&sim);
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let log = try_open(&sim, None).unwrap();
    for base in [0, 10, 20] {
        for at in [base, base + 3, base + 6] {
            log.append_as_follower(batch().at(at, 1).build().into(), 1_000)
                .unwrap();
        }
        if base < 20 {
            // Bases other than the next offset, as after a compaction.
            log.append_as_follower(batch().at(base + 9, 1).build().into(), 1_000)
                .unwrap();
            log.roll(1_000).unwrap();
        }
    }
    log.close().unwrap();
    sim
}

fn offsets(log: &PartitionLog) -> Vec<i64> {
    let mut found = Vec::new();
    let mut next = log.log_start_offset();
    while next < log.log_end_offset() {
        let info = log.read(next, 100, i64::MAX, true).unwrap();
        let mut rest: &[u8] = &info.records;
        while !rest.is_empty() {
            let (batch, after) = RecordBatch::split_first(rest).unwrap();
            found.push(batch.base_offset());
            rest = after;
        }
        next = info.next_offset;
    }
    found
}

fn names(sim: &SimDisk, extension: &str) -> Vec<String> {
    let entries = Disk::simulated(sim).read_dir(Path::new(DIR)).unwrap();
    let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
    names.retain(|name| name.ends_with(extension));
    names
}

const OLD: [i64; 11] = [0, 3, 6, 9, 10, 13, 16, 19, 20, 23, 26];

/// Opens with a fault at every call in turn, then again without one: always the same records, and nothing left over.
fn ends_with(prepare: impl Fn(&SimDisk), expected: &[i64]) {
    for fault in [SimFault::PowerCut, SimFault::Error] {
        for crash in [None, Some(Crash::Power)] {
            for call in 1.. {
                let sim = three_segments(call);
                prepare(&sim);
                sim.fail_at(sim.calls() + call, fault);
                let opened = try_open(&sim, crash).map(drop);
                let was_met = opened.is_err();
                sim.fail_at(0, fault);
                match fault {
                    SimFault::PowerCut => {
                        sim.cut_power();
                        sim.restart();
                    }
                    SimFault::Error | SimFault::Full => sim.restart_process(),
                }
                let log = try_open(&sim, crash).unwrap_or_else(|e| panic!("{fault:?} at {call}: {e}"));
                assert_eq!(offsets(&log), expected, "{fault:?} at {call}, {crash:?}: {log:?}");
                for suffix in [".swap", ".cleaned", ".deleted"] {
                    assert_eq!(names(&sim, suffix), [""; 0], "{fault:?} at {call}");
                }
                if !was_met {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_compaction_that_was_being_swapped_in_is_completed() {
    ends_with(
        |sim| {
            write(sim, &format!("{}.swap", file_name(0, "log")), &bytes_at(&[3, 19]));
            write(sim, &format!("{}.swap", file_name(0, "index")), &[]);
            write(sim, &format!("{}.swap", file_name(0, "timeindex")), &[]);
        },
        &[3, 19, 20, 23, 26],
    );
}

#[test]
fn a_compaction_whose_old_segments_are_half_gone_is_completed() {
    ends_with(
        |sim| {
            write(sim, &format!("{}.swap", file_name(0, "log")), &bytes_at(&[6, 19]));
            let disk = Disk::simulated(sim);
            let old = Path::new(DIR).join(file_name(0, "log"));
            let mut deleted = old.clone().into_os_string();
            deleted.push(".deleted");
            disk.rename(&old, Path::new(&deleted)).unwrap();
            disk.sync_dir(Path::new(DIR)).unwrap();
        },
        &[6, 19, 20, 23, 26],
    );
}

#[test]
fn a_split_into_several_segments_is_completed() {
    ends_with(
        |sim| {
            write(sim, &format!("{}.swap", file_name(0, "log")), &bytes_at(&[0, 3]));
            write(sim, &format!("{}.swap", file_name(6, "log")), &bytes_at(&[6]));
            write(sim, &format!("{}.swap", file_name(6, "txnindex")), &[]);
            write(sim, &format!("{}.swap", file_name(9, "log")), &bytes_at(&[9]));
        },
        &OLD,
    );
}

#[test]
fn a_replacement_that_was_given_up_leaves_the_old_segments() {
    ends_with(
        |sim| {
            write(sim, &format!("{}.cleaned", file_name(0, "log")), &bytes_at(&[3]));
            write(sim, &format!("{}.swap", file_name(10, "log")), &bytes_at(&[13]));
            write(sim, &format!("{}.swap", file_name(10, "index")), &[]);
            write(sim, &format!("{}.deleted", file_name(5, "log")), b"gone");
        },
        &OLD,
    );
}

#[test]
fn an_index_without_its_segment_is_removed() {
    let sim = three_segments(1);
    write(&sim, &file_name(7, "txnindex"), &[0; 34]);
    write(&sim, &file_name(7, "index"), &[0; 8]);
    assert_eq!(offsets(&try_open(&sim, None).unwrap()), OLD);
    assert_eq!(names(&sim, "txnindex"), [""; 0]);
    assert!(!names(&sim, ".index").contains(&file_name(7, "index")));
}

/// Two producers: one commits, one aborts twice, the second time with its records in the segment before its marker.
fn with_transactions(log: &PartitionLog) {
    let mut next = 0;
    let mut append = |producer: i64, control: Option<ControlRecordType>| {
        let identity = Some((producer, 0, if control.is_some() { -1 } else { 0 }));
        let codec = Compression::None;
        let mut batch =
            BatchBuilder::new(next, codec, TimestampType::CreateTime, identity, 1).transactional();
        match control {
            Some(kind) => {
                batch = batch.control();
                let marker = EndTransactionMarker { coordinator_epoch: 3 };
                batch.append(1_000, Some(&kind.key()), Some(&marker.encode()), &[]);
            }
            None => {
                batch.append(1_000, None, Some(b"value"), &[]);
            }
        }
        log.append_as_follower(batch.build(), 1_000).unwrap();
        next += 1;
    };
    append(7, None);
    append(8, None);
    append(7, Some(ControlRecordType::Abort)); // 2
    append(7, None); // 3
    append(8, Some(ControlRecordType::Commit)); // 4
    log.roll(1_000).unwrap();
    append(9, None); // 5
    append(7, Some(ControlRecordType::Abort)); // 6
    append(9, Some(ControlRecordType::Commit)); // 7
}

fn entry(producer_id: i64, first_offset: i64, last_offset: i64, last_stable_offset: i64) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    for number in [producer_id, first_offset, last_offset, last_stable_offset] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes
}

fn transactional(seed: u64) -> SimDisk {
    let sim = SimDisk::new(seed, 1 << 24);
    let disk = Disk::simulated(&sim);
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let log = try_open(&sim, None).unwrap();
    with_transactions(&log);
    log.close().unwrap();
    sim
}

fn aborted(log: &PartitionLog, from: i64, upper: i64) -> Vec<(i64, i64)> {
    let found = log.aborted_transactions(from, upper);
    found
        .iter()
        .map(|aborted| (aborted.producer_id, aborted.first_offset))
        .collect()
}

#[test]
fn aborted_transactions_are_read_from_the_index_that_kafka_left() {
    let sim = transactional(1);
    write(&sim, &file_name(0, "txnindex"), &entry(7, 0, 2, 1));
    write(&sim, &file_name(5, "txnindex"), &entry(7, 3, 6, 5));
    let log = try_open(&sim, None).unwrap();
    assert_eq!(aborted(&log, 0, 8), [(7, 0), (7, 3)]);
    assert_eq!(aborted(&log, 0, 1), [(7, 0)]);
    assert_eq!(aborted(&log, 3, 4), [(7, 3)], "its marker is in the next segment");
    assert_eq!(aborted(&log, 7, 8), []);
    log.truncate_to(6).unwrap();
    assert_eq!(aborted(&log, 0, 8), [(7, 0)]);
    assert_eq!(names(&sim, "txnindex"), [file_name(0, "txnindex")]);
    log.truncate_fully_and_start_at(6).unwrap();
    assert_eq!(names(&sim, "txnindex"), [""; 0]);
}

#[test]
fn an_index_of_aborted_transactions_that_is_damaged_or_was_recovered_is_built_anew() {
    let expected = [entry(7, 0, 2, 1), entry(7, 3, 6, 5)];
    for crash in [None, Some(Crash::Process), Some(Crash::Power)] {
        let sim = transactional(1);
        let mut damaged = entry(7, 0, 2, 1);
        damaged[1] = 9;
        write(&sim, &file_name(0, "txnindex"), &damaged);
        write(&sim, &file_name(5, "txnindex"), &entry(7, 3, 1, 5));
        let log = try_open(&sim, crash).unwrap();
        assert_eq!(aborted(&log, 0, 8), [(7, 0), (7, 3)], "{crash:?}");
        for (base, bytes) in [0, 5].into_iter().zip(&expected) {
            let path = Path::new(DIR).join(file_name(base, "txnindex"));
            let found = Disk::simulated(&sim).read(&path, 1_000).unwrap();
            assert_eq!(found, *bytes, "{crash:?}");
        }
    }
}

#[test]
fn an_index_of_aborted_transactions_goes_with_its_segment() {
    let sim = transactional(1);
    write(&sim, &file_name(0, "txnindex"), &entry(7, 0, 2, 1));
    let log = try_open(&sim, None).unwrap();
    log.update_high_watermark(8);
    log.delete_records_before(5).unwrap();
    let deleted = log.delete_old_segments(2_000).unwrap();
    let marked = format!("{DIR}/{}.deleted", file_name(0, "txnindex"));
    assert!(deleted.paths.contains(&PathBuf::from(marked)), "{deleted:?}");
    assert_eq!(names(&sim, "txnindex"), [""; 0]);
}
