//! Bits that flip in files of a log: what is damaged is never served, and what can be known otherwise is written anew.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use protocol_compat::record_batch::batch::RecordBatch;
use protocol_compat::{TopicId, TopicPartition};

use super::config::CleanupPolicy;
use super::testing::batch;
use super::*;
use crate::disk::{Disk, OpenMode, SimDisk};

const DIR: &str = "/data/orders-0";

fn try_open(sim: &SimDisk, topic_id: TopicId) -> Result<PartitionLog, LogError> {
    open_with(sim, topic_id, LogConfig::default())
}

fn open_with(sim: &SimDisk, topic_id: TopicId, config: LogConfig) -> Result<PartitionLog, LogError> {
    open_after(sim, topic_id, config, None)
}

fn open_after(
    sim: &SimDisk,
    topic_id: TopicId,
    config: LogConfig,
    crash: Option<Crash>,
) -> Result<PartitionLog, LogError> {
    PartitionLog::open(OpenParams {
        files: FileCache::new(Disk::simulated(sim), 8),
        dir: Path::new(DIR).into(),
        topic_partition: TopicPartition::new("orders", 0),
        topic_id: Some(topic_id),
        config: Arc::new(config),
        recovery_point: 0,
        log_start_offset: 0,
        crash,
        now_ms: 1_000,
        events: None,
    })
}

/// A log of three batches that was closed.
fn closed() -> (SimDisk, u64) {
    let sim = SimDisk::new(7, 1 << 20);
    Disk::simulated(&sim).create_dir_all(Path::new("/data")).unwrap();
    let log = try_open(&sim, TopicId::CLUSTER_METADATA).unwrap();
    let bytes = batch().value_bytes(50).build();
    for _ in 0..3 {
        log.append_as_leader(bytes.clone().into(), 0, AppendOrigin::Client, 1_000)
            .unwrap();
    }
    log.close().unwrap();
    (sim, bytes.len() as u64)
}

#[test]
fn a_damaged_batch_is_never_served_and_those_before_it_are() {
    for bit in 0..8 {
        let (sim, size) = closed();
        let log = try_open(&sim, TopicId::CLUSTER_METADATA).unwrap();
        let file = Path::new(DIR).join("00000000000000000000.log");
        assert!(sim.flip_bit(&file, size + size - 10, bit));
        let before = log.read(0, 1 << 20, 3, true).unwrap();
        assert_eq!(before.next_offset, 1);
        for max_bytes in [1, 1 << 20] {
            let refused = log.read(1, max_bytes, 3, true).unwrap_err().to_string();
            assert!(
                refused.contains("00000000000000000000.log") && refused.contains(&format!("byte {size}")),
                "{refused}"
            );
        }
        assert_eq!(log.read(2, 1 << 20, 3, true).unwrap().next_offset, 3);
    }
}

#[test]
fn a_damaged_topic_id_is_not_taken_for_that_of_an_earlier_topic() {
    let path = Path::new(DIR).join("partition.metadata");
    let length = Disk::simulated(&closed().0).read(&path, 4096).unwrap().len() as u64;
    for at in 0..length {
        let (sim, _) = closed();
        assert!(sim.flip_bit(&path, at, u32::try_from(at % 8).unwrap()));
        let log = try_open(&sim, TopicId::CLUSTER_METADATA).unwrap();
        assert_eq!(log.log_end_offset(), 3);
    }
}

#[test]
fn the_topic_id_of_an_earlier_topic_is_found_with_and_without_a_checksum() {
    let (sim, _) = closed();
    let other = TopicId(uuid::Uuid::from_u128(77));
    assert!(matches!(
        try_open(&sim, other),
        Err(LogError::ForeignTopic { .. })
    ));
    let disk = Disk::simulated(&sim);
    let path = Path::new(DIR).join("partition.metadata");
    let kafkas = format!("version: 0\ntopic_id: {}", TopicId::CLUSTER_METADATA);
    disk.remove_file(&path).unwrap();
    let file = disk.open(&path, OpenMode::CreateNew).unwrap();
    file.write_all_at(kafkas.as_bytes(), 0).unwrap();
    assert!(matches!(
        try_open(&sim, other),
        Err(LogError::ForeignTopic { .. })
    ));
    assert!(try_open(&sim, TopicId::CLUSTER_METADATA).is_ok());
}

#[test]
fn an_index_that_is_not_its_segments_is_built_anew() {
    // An entry that no batch can have, and one that points into the middle of a batch.
    for entry in [[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0x7f], [0, 0, 0, 1, 0, 0, 0, 70]] {
        let (sim, _) = closed();
        let index = Path::new(DIR).join("00000000000000000000.index");
        Disk::simulated(&sim).replace(&index, &entry).unwrap();
        let log = try_open(&sim, TopicId::CLUSTER_METADATA).unwrap();
        assert_eq!(log.log_end_offset(), 3);
        for offset in 0..3 {
            let read = log.read(offset, 1 << 20, 3, true).unwrap();
            assert_eq!((read.base_offset, read.next_offset), (Some(offset), 3));
        }
    }
}

/// Batches of one record each and of two sizes, a millisecond apart, an index entry for nearly each, two segments.
const INDEXED_BATCHES: i64 = 12;

fn indexed() -> LogConfig {
    LogConfig {
        index_interval_bytes: 0,
        segment_bytes: 900,
        ..LogConfig::default()
    }
}

fn closed_with_indexes() -> SimDisk {
    let sim = SimDisk::new(7, 1 << 20);
    Disk::simulated(&sim).create_dir_all(Path::new("/data")).unwrap();
    let log = open_with(&sim, TopicId::CLUSTER_METADATA, indexed()).unwrap();
    for number in 0..INDEXED_BATCHES {
        let value_bytes = if number % 3 == 0 { 90 } else { 30 };
        let batch = batch()
            .value_bytes(value_bytes)
            .timestamp_ms(1_000 + number)
            .build();
        log.append_as_leader(batch.into(), 0, AppendOrigin::Client, 1_000)
            .unwrap();
    }
    log.close().unwrap();
    sim
}

#[test]
fn a_damaged_index_leads_no_reader_astray() {
    let files = Disk::simulated(&closed_with_indexes()).read_dir(Path::new(DIR));
    let files = files.unwrap();
    let indexes = files.iter().filter(|file| file.name.ends_with("index"));
    assert!(indexes.clone().count() >= 4, "of two segments");
    for name in indexes.map(|file| &file.name) {
        let path = Path::new(DIR).join(name);
        let index = Disk::simulated(&closed_with_indexes()).read(&path, 4096);
        let length = index.unwrap().len() as u64;
        for (byte, bit) in (0..length).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
            for while_open in [false, true] {
                let sim = closed_with_indexes();
                let open = || open_with(&sim, TopicId::CLUSTER_METADATA, indexed()).unwrap();
                let flip = || assert!(sim.flip_bit(&path, byte, bit));
                let log = if while_open {
                    let log = open();
                    flip();
                    log
                } else {
                    flip();
                    open()
                };
                let place = format!("bit {bit} of byte {byte} of {name}, open: {while_open}");
                for offset in 0..INDEXED_BATCHES {
                    let read = log.read(offset, 1, INDEXED_BATCHES, true).expect(&place);
                    assert_eq!(
                        (read.base_offset, read.next_offset),
                        (Some(offset), offset + 1),
                        "{place}"
                    );
                    let found = log
                        .offset_for_timestamp(1_000 + offset, INDEXED_BATCHES)
                        .expect(&place);
                    assert_eq!(found.map(|found| found.offset), Some(offset), "{place}");
                }
            }
        }
    }
}

#[test]
fn a_batch_whose_offset_is_damaged_is_not_served_and_hides_no_other() {
    let first = Path::new(DIR).join("00000000000000000000.log");
    let sound = closed_with_indexes();
    let log = open_with(&sound, TopicId::CLUSTER_METADATA, indexed()).unwrap();
    let batches = read_to_the_end(&log).unwrap();
    let sealed_end = log.segments()[1].base_offset;
    assert!(sealed_end >= 4, "some batches in a sealed segment");
    let mut position = 0;
    for damaged in 0..sealed_end {
        // The checksum begins behind the base offset. The lowest bits are those of a batch's own records.
        for bit in 0..64 {
            let sim = closed_with_indexes();
            let log = open_with(&sim, TopicId::CLUSTER_METADATA, indexed()).unwrap();
            assert!(sim.flip_bit(&first, position + 7 - bit / 8, u32::try_from(bit % 8).unwrap()));
            // Whoever begins at the damaged batch itself has nothing to hold it against.
            for from in (0..sealed_end).filter(|from| *from != damaged || damaged == 0) {
                let served = read_from(&log, from);
                let place = format!("bit {bit} of batch {damaged}, from {from}");
                let sound = &batches[usize::try_from(from).unwrap()..];
                assert!(sound.starts_with(&served.batches), "{place}");
                let is_whole = served.batches.len() == sound.len();
                assert_eq!(is_whole, served.error.is_none(), "{place}: {:?}", served.error);
                assert!(from > damaged || !is_whole, "{place}");
            }
        }
        position += batches[usize::try_from(damaged).unwrap()].len() as u64;
    }
}

/// What a reader gets before an error.
struct Served {
    batches: Vec<Bytes>,
    error: Option<ReadError>,
}

fn read_to_the_end(log: &PartitionLog) -> Result<Vec<Bytes>, ReadError> {
    let served = read_from(log, 0);
    served.error.map_or(Ok(served.batches), Err)
}

fn read_from(log: &PartitionLog, mut from: i64) -> Served {
    let mut batches = Vec::new();
    while from < log.log_end_offset() {
        let read = match log.read(from, 1 << 20, i64::MAX, true) {
            Ok(read) => read,
            Err(error) => {
                return Served {
                    batches,
                    error: Some(error),
                };
            }
        };
        assert!(read.next_offset > from, "a reader at {from} would not get on");
        let mut rest = read.records;
        while !rest.is_empty() {
            let (batch, _) = RecordBatch::split_first(&rest).unwrap();
            let size = batch.size_bytes();
            batches.push(rest.split_to(size));
        }
        from = read.next_offset;
    }
    Served { batches, error: None }
}

#[test]
fn a_batch_whose_length_is_damaged_is_not_taken_for_the_end_of_its_segment() {
    for bit in 0..32 {
        let sim = closed_with_indexes();
        let log = open_with(&sim, TopicId::CLUSTER_METADATA, indexed()).unwrap();
        let first = Path::new(DIR).join("00000000000000000000.log");
        assert!(sim.flip_bit(&first, 11 - bit / 8, u32::try_from(bit % 8).unwrap()));
        for max_bytes in [1, 200, 1 << 20] {
            let read = log.read(0, max_bytes, INDEXED_BATCHES, true);
            assert!(
                matches!(read, Err(ReadError::Corrupt { .. })),
                "bit {bit}: {read:?}"
            );
        }
    }
}

#[test]
fn a_batch_that_reaches_into_the_next_segment_is_damage() {
    for (crash, compact) in [
        (Crash::Process, true),
        (Crash::Process, false),
        (Crash::Power, true),
    ] {
        let sim = closed_with_indexes();
        let config = LogConfig {
            cleanup_policy: CleanupPolicy {
                delete: !compact,
                compact,
            },
            ..indexed()
        };
        let log = open_with(&sim, TopicId::CLUSTER_METADATA, config.clone()).unwrap();
        let sealed = log.segments()[0].clone();
        let (size, end) = (sealed.size_bytes(), log.segments()[1].base_offset);
        drop(log);
        let file = Disk::simulated(&sim)
            .open(&sealed.log.path(), OpenMode::ReadWrite)
            .unwrap();
        file.write_all_at(&with_offset(batch().build(), end), size)
            .unwrap();
        let opened = open_after(&sim, TopicId::CLUSTER_METADATA, config, Some(crash));
        match crash {
            Crash::Process => {
                assert!(matches!(opened, Err(LogError::Corrupt { position, .. }) if position == size));
            }
            Crash::Power => assert_eq!(opened.unwrap().log_end_offset(), end),
        }
    }
}

#[test]
fn a_batch_that_ends_before_it_begins_is_damage_with_a_good_checksum_too() {
    for crash in [None, Some(Crash::Power)] {
        let (sim, size) = closed();
        put_end_before_begin(&sim, size);
        let opened = open_after(&sim, TopicId::CLUSTER_METADATA, LogConfig::default(), crash);
        if crash.is_none() {
            assert!(matches!(opened, Err(LogError::Corrupt { position, .. }) if position == size));
            continue;
        }
        let log = opened.unwrap();
        assert_eq!(log.log_end_offset(), 1);
        assert_eq!(log.read(0, 1 << 20, 1, true).unwrap().next_offset, 1);
    }
}

#[test]
fn a_batch_that_lost_its_end_while_the_log_was_open_is_not_served() {
    let (sim, size) = closed();
    let log = try_open(&sim, TopicId::CLUSTER_METADATA).unwrap();
    put_end_before_begin(&sim, size);
    assert_eq!(log.read(0, 1 << 20, 3, true).unwrap().next_offset, 1);
    assert!(matches!(log.read(1, 1, 3, true), Err(ReadError::Corrupt { .. })));
}

/// Changes the header of the second batch, and its checksum with it.
fn put_end_before_begin(sim: &SimDisk, size: u64) {
    let path = Path::new(DIR).join("00000000000000000000.log");
    let file = Disk::simulated(sim).open(&path, OpenMode::ReadWrite).unwrap();
    let mut second = vec![0; usize::try_from(size).unwrap()];
    file.read_exact_at(&mut second, size).unwrap();
    second[23..27].copy_from_slice(&(-6i32).to_be_bytes());
    let crc = protocol_compat::record_batch::batch::checksum(&second[21..]);
    second[17..21].copy_from_slice(&crc.to_be_bytes());
    file.write_all_at(&second, size).unwrap();
}

#[test]
fn a_log_cut_in_a_hole_ends_where_a_start_finds_its_end() {
    let sim = closed_with_indexes();
    // The last segment lost all of its batches, as no power cut and no kill does.
    let disk = Disk::simulated(&sim);
    let files = disk.read_dir(Path::new(DIR)).unwrap();
    let last = files.iter().rfind(|file| file.name.ends_with(".log")).unwrap();
    disk.replace(&Path::new(DIR).join(&last.name), &[]).unwrap();
    let open = || open_with(&sim, TopicId::CLUSTER_METADATA, indexed()).unwrap();
    let log = open();
    let batch = batch().build();
    log.append_as_follower(with_offset(batch, INDEXED_BATCHES + 5).into(), 1_000)
        .unwrap();
    log.truncate_to(INDEXED_BATCHES + 2).unwrap();
    let end = log.log_end_offset();
    log.close().unwrap();
    drop(log);
    assert_eq!(open().log_end_offset(), end);
}

fn with_offset(mut batch: Vec<u8>, offset: i64) -> Vec<u8> {
    batch[..8].copy_from_slice(&offset.to_be_bytes());
    batch
}
