//! The store beside its log: intact, lost, lagging, ahead, and of another topic.

use std::ops::ControlFlow;

use bytes::Bytes;
use metadata::group::{GroupMetadata, OffsetAndMetadata};
use protocol_compat::record_batch::batch::{Compression, TimestampType};
use protocol_compat::record_batch::builder::BatchBuilder;
use protocol_compat::{TopicId, TopicPartition};
use storage::disk::{Disk, SimDisk};
use storage::log::{AppendOrigin, FileCache, LogConfig, OpenParams, PartitionLog};
use storage::offset_store::OffsetStoreOptions;
use uuid::Uuid;

use super::*;

/// A led partition whose records are committed as soon as they can be read.
struct Led {
    topic_id: TopicId,
    log: Arc<PartitionLog>,
}

impl LedPartition for Led {
    fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    fn is_gone(&self) -> bool {
        false
    }

    fn watch(&self) -> DirectoryWatch {
        DirectoryWatch::unwatched()
    }

    fn log(&self) -> &Arc<PartitionLog> {
        &self.log
    }

    fn append(&self, batches: Bytes, now_ms: i64) -> Result<i64, ErrorCode> {
        let appended = self
            .log
            .append_as_leader(batches, 0, AppendOrigin::Coordinator, now_ms);
        self.log.update_high_watermark(self.log.log_end_offset());
        appended
            .map(|info| info.first_offset)
            .map_err(|_| ErrorCode::KafkaStorageError)
    }

    fn committed(&self, _offset: i64) -> BoxFuture<'static, Result<(), ErrorCode>> {
        Box::pin(async { Ok(()) })
    }
}

fn led(name: &str, topic_id: u128) -> Arc<dyn LedPartition> {
    let disk = Disk::simulated(&SimDisk::new(7, 64 << 20));
    let topic_id = TopicId(Uuid::from_u128(topic_id));
    let log = PartitionLog::open(OpenParams {
        files: FileCache::new(disk, 8),
        dir: std::path::PathBuf::from(format!("/data/{name}")).into(),
        topic_partition: TopicPartition::new(OFFSETS_TOPIC, 3),
        topic_id: Some(topic_id),
        config: Arc::new(LogConfig::default()),
        recovery_point: 0,
        log_start_offset: 0,
        crash: None,
        now_ms: 0,
        events: None,
    });
    let log = Arc::new(log.expect("an empty log opens"));
    Arc::new(Led { topic_id, log })
}

fn offset(topic: &str, partition: i32, offset: i64) -> CoordinatorRecord {
    CoordinatorRecord::Offset {
        group_id: "g".into(),
        topic: topic.into(),
        partition,
        value: Some(OffsetAndMetadata {
            offset,
            leader_epoch: -1,
            metadata: "".into(),
            commit_timestamp_ms: 1,
            expire_timestamp_ms: None,
            topic_id: TopicId::NIL,
        }),
    }
}

fn group(generation: i32) -> CoordinatorRecord {
    CoordinatorRecord::Group {
        group_id: "g".into(),
        value: Some(GroupMetadata {
            protocol_type: "consumer".into(),
            generation,
            protocol: None,
            leader: None,
            state_timestamp_ms: 1,
            members: Vec::new(),
        }),
    }
}

fn write(partition: &LogOffsetsPartition, records: &[CoordinatorRecord]) {
    let first = partition.append(records, 1).expect("the log takes records");
    let end = first + records.len() as i64;
    assert_eq!(partition.committed_offset(), end);
    partition.materialise(records, end).expect("the store takes rows");
}

fn rows(partition: &LogOffsetsPartition) -> Vec<String> {
    let mut seen = Vec::new();
    let shown = partition.with_rows(&mut |rows| {
        rows.for_each_offset("g", &mut |topic, partition, value| {
            seen.push(format!("{topic}-{partition}={}", value.offset));
            ControlFlow::Continue(())
        });
        seen.extend(
            rows.group("g")
                .map(|group| format!("generation {}", group.generation)),
        );
    });
    shown.expect("the rows are readable");
    seen
}

fn open(led: &Arc<dyn LedPartition>, store: &Arc<OffsetStore>) -> LogOffsetsPartition {
    LogOffsetsPartition::open(3, led.clone(), store.clone()).expect("the partition opens")
}

const ALL: [&str; 3] = ["t-0=2", "t-1=5", "generation 4"];

fn filled(led: &Arc<dyn LedPartition>, store: &Arc<OffsetStore>) {
    let partition = open(led, store);
    write(&partition, &[offset("t", 0, 1), offset("t", 1, 5)]);
    write(&partition, &[group(4), offset("t", 0, 2)]);
    assert_eq!(rows(&partition), ALL);
}

#[test]
fn an_intact_store_is_not_filled_again() {
    let (led, store) = (led("a", 1), Arc::new(OffsetStore::in_memory()));
    filled(&led, &store);
    // A row that no record of the log explains survives only where the log is not read again.
    store_rows::apply(&store, 3, &[offset("mark", 0, 9)], 4).unwrap();
    assert!(rows(&open(&led, &store)).contains(&"mark-0=9".to_owned()));
}

#[test]
fn a_lost_store_is_filled_again_from_the_log() {
    let led = led("a", 1);
    filled(&led, &Arc::new(OffsetStore::in_memory()));
    let store = Arc::new(OffsetStore::in_memory());
    assert_eq!(rows(&open(&led, &store)), ALL);
    assert_eq!(store.applied_offset(3), Ok(Some(4)));
}

#[test]
fn a_store_that_lags_gets_the_tail_of_the_log_only() {
    let (led, store) = (led("a", 1), Arc::new(OffsetStore::in_memory()));
    filled(&led, &store);
    let partition = open(&led, &store);
    partition.append(&[offset("u", 0, 7), group(5)], 1).unwrap();
    store_rows::apply(&store, 3, &[offset("mark", 0, 9)], 4).unwrap();
    let caught_up = rows(&open(&led, &store));
    assert_eq!(caught_up, ["t-0=2", "t-1=5", "u-0=7", "mark-0=9", "generation 5"]);
}

#[test]
fn a_store_that_lags_behind_a_compacted_log_is_filled_again() {
    let (led, store) = (led("a", 1), Arc::new(OffsetStore::in_memory()));
    filled(&led, &store);
    store_rows::apply(&store, 3, &[offset("removed", 0, 9)], 4).unwrap();
    // The tombstone at offset 4 was compacted away before the store saw it.
    let (key, value) = offset("t", 1, 8).encode().unwrap();
    let mut batch = BatchBuilder::new(5, Compression::None, TimestampType::CreateTime, None, 0);
    batch.append(1, Some(&key), value.as_deref(), &[]);
    led.log().append_as_follower(batch.build(), 1).unwrap();
    led.log().update_high_watermark(6);
    assert_eq!(rows(&open(&led, &store)), ["t-0=2", "t-1=8", "generation 4"]);
    assert_eq!(store.applied_offset(3), Ok(Some(6)));
}

#[test]
fn a_store_that_knows_more_than_the_log_is_filled_again() {
    let (led, store) = (led("a", 1), Arc::new(OffsetStore::in_memory()));
    filled(&led, &store);
    store_rows::apply(&store, 3, &[offset("lost", 0, 9)], 5).unwrap();
    assert_eq!(rows(&open(&led, &store)), ALL);
}

#[test]
fn rows_of_a_topic_that_was_deleted_are_not_those_of_its_successor() {
    let store = Arc::new(OffsetStore::in_memory());
    filled(&led("a", 1), &store);
    let successor = led("b", 2);
    let elsewhere = open(&successor, &Arc::new(OffsetStore::in_memory()));
    for round in 0..6 {
        elsewhere.append(&[offset("new", 0, round)], 1).unwrap();
    }
    assert_eq!(rows(&open(&successor, &store)), ["new-0=5"]);
}

/// What a kill leaves of a store: its files, without what was in memory only.
fn killed(store_dir: &std::path::Path, copy: &std::path::Path) -> Arc<OffsetStore> {
    std::fs::create_dir_all(copy).unwrap();
    for entry in std::fs::read_dir(store_dir).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    open_store(copy)
}

fn open_store(dir: &std::path::Path) -> Arc<OffsetStore> {
    let options = OffsetStoreOptions {
        memory_bytes: 1 << 20,
        max_open_files: 8,
    };
    Arc::new(OffsetStore::open(dir, &options).unwrap())
}

#[test]
fn rows_that_a_power_cut_took_from_the_log_do_not_come_back_when_the_log_has_grown_past_them() {
    let scratch = tempfile::tempdir().unwrap();
    let (before, after) = (scratch.path().join("before"), scratch.path().join("after"));
    let led = led("a", 1);
    let store = open_store(&before);
    filled(&led, &store);
    store_rows::apply(&store, 3, &[offset("lost", 0, 9)], 6).unwrap();
    store.flush().unwrap();
    let partition = open(&led, &store);
    assert_eq!(rows(&partition), ALL);
    for number in 0..4 {
        write(&partition, &[offset("t", 0, 3 + number)]);
    }
    let grown = rows(&partition);
    let store = killed(&before, &after);
    assert_eq!(rows(&open(&led, &store)), grown);
}
