//! Directories that Apache Kafka wrote, opened as they are after its process was killed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol_compat::TopicPartition;
use protocol_compat::record_batch::batch::RecordBatch;
use protocol_compat::record_batch::record::{DecompressionLimit, records};

use super::{Crash, FileCache, LogConfig, OpenParams, PartitionLog};
use crate::disk::{Disk, OpenMode};

/// Size of the index files that Kafka preallocates for an active segment.
const PREALLOCATED_BYTES: u64 = 10 << 20;
const RECORDS: i64 = 120;

fn copied_directory(codec: &str, to: &Path) -> PathBuf {
    let name = format!("made-by-kafka-{codec}-0");
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/kafka-4.3.1-unclean")
        .join(&name);
    let (disk, dir) = (Disk::real(), to.join(name));
    disk.create_dir_all(&dir).unwrap();
    let mut bases: Vec<String> = Vec::new();
    for entry in disk.read_dir(&from).unwrap() {
        let content = disk.read(&from.join(&entry.name), 1 << 20).unwrap();
        disk.replace(&dir.join(&entry.name), &content).unwrap();
        bases.extend(entry.name.strip_suffix(".log").map(str::to_owned));
    }
    let active = bases.last().unwrap();
    for extension in ["index", "timeindex"] {
        let file = disk.open(&dir.join(format!("{active}.{extension}")), OpenMode::ReadWrite);
        file.unwrap().set_len(PREALLOCATED_BYTES).unwrap();
    }
    dir
}

fn open(codec: &str, dir: &Path, crash: Option<Crash>) -> PartitionLog {
    PartitionLog::open(OpenParams {
        files: FileCache::new(Disk::real(), 8),
        dir: dir.into(),
        topic_partition: TopicPartition::new(format!("made-by-kafka-{codec}"), 0),
        topic_id: None,
        config: Arc::new(LogConfig {
            segment_bytes: 3_000,
            index_interval_bytes: 300,
            ..LogConfig::default()
        }),
        recovery_point: 0,
        log_start_offset: 0,
        crash,
        now_ms: 1_700_000_100_000,
        events: None,
    })
    .unwrap()
}

/// Offset, timestamp and key of every record, read in small pieces.
fn all_records(log: &PartitionLog) -> Vec<(i64, i64, String)> {
    let mut found = Vec::new();
    let mut next = log.log_start_offset();
    while next < log.log_end_offset() {
        let info = log.read(next, 500, i64::MAX, true).unwrap();
        let mut rest: &[u8] = &info.records;
        assert!(!rest.is_empty(), "nothing at {next}");
        while !rest.is_empty() {
            let (batch, after) = RecordBatch::split_first(rest).unwrap();
            batch.verify_checksum().unwrap();
            let mut scratch = Vec::new();
            for record in records(&batch, &mut scratch, DecompressionLimit(1 << 20)).unwrap() {
                let record = record.unwrap();
                let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                found.push((record.offset, record.timestamp_ms, key));
            }
            next = batch.next_offset();
            rest = after;
        }
    }
    found
}

#[test]
fn a_directory_that_a_killed_kafka_left_is_served_whole_with_every_codec() {
    let expected: Vec<_> = (0..RECORDS)
        .map(|n| (n, 1_700_000_000_000 + n * 10, format!("key-{n}")))
        .collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let temporary = tempfile::tempdir().unwrap();
        let dir = copied_directory(codec, temporary.path());
        for crash in [Some(Crash::Process), None, Some(Crash::Power)] {
            let log = open(codec, &dir, crash);
            assert!(log.segment_count() > 1, "{codec}");
            assert_eq!(all_records(&log), expected, "{codec}, {crash:?}");
            assert_eq!(log.end_offset_for_epoch(0), (0, RECORDS), "{codec}");
            let [(_, producer)] = log.producers().try_into().unwrap();
            assert_eq!(i64::from(producer.last_sequence()), RECORDS - 1, "{codec}");
            let at = log
                .offset_for_timestamp(1_700_000_000_000 + 771, i64::MAX)
                .unwrap()
                .unwrap();
            assert_eq!(at.offset, 78, "{codec}");
            log.close().unwrap();
        }
    }
}

#[test]
fn indexes_that_are_built_again_are_kafkas_own_byte_for_byte() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = copied_directory("none", temporary.path());
    let disk = Disk::real();
    let entries = disk.read_dir(&dir).unwrap();
    let indexes: Vec<_> = entries
        .iter()
        .filter(|entry| entry.name.ends_with("index"))
        .collect();
    // The last two belong to the active segment, whose files Kafka had not trimmed yet.
    let (sealed, _) = indexes.split_at(indexes.len() - 2);
    let before: Vec<_> = sealed
        .iter()
        .map(|e| disk.read(&dir.join(&e.name), 1 << 20).unwrap())
        .collect();
    for entry in &indexes {
        disk.remove_file(&dir.join(&entry.name)).unwrap();
    }
    open("none", &dir, Some(Crash::Process)).close().unwrap();
    assert!(sealed.len() >= 4);
    for (entry, before) in sealed.iter().zip(before) {
        assert_eq!(
            disk.read(&dir.join(&entry.name), 1 << 20).unwrap(),
            before,
            "{}",
            entry.name
        );
    }
}
