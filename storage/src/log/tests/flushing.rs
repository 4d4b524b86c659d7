//! When an append asks for a flush, and for how much of one an acknowledgement waits.

use super::*;

#[test]
fn fewer_records_than_flush_messages_are_ever_acknowledged_and_not_flushed() {
    let mut fixture = fixture();
    fixture.config.flush_messages = 3;
    fixture.config.segment_bytes = 1 << 20;
    let log = fixture.open();
    let mut sequence = -1;
    let mut next = || {
        sequence += 1;
        let info = append(&log, &batch().producer(7, 0, sequence)).unwrap();
        (info.flush_required, info.flushed_before_ack)
    };
    assert_eq!((next(), next()), ((false, -1), (false, 0)));
    assert_eq!(next(), (true, 3), "the third waits for itself");
    assert_eq!(next(), (false, 2), "the fourth for as much as keeps the bound");
    let repeated = append(&log, &batch().producer(7, 0, 1)).unwrap();
    assert!(repeated.is_duplicate);
    assert_eq!((repeated.flush_required, repeated.flushed_before_ack), (true, 2));
    log.flush_all().unwrap();
    assert_eq!((next(), next()), ((false, 3), (false, 4)));
    assert_eq!(next(), (true, 7), "counted from the flush");
    log.flush_all().unwrap();
    log.update_config(Arc::new(LogConfig {
        flush_messages: 1,
        ..fixture.config.clone()
    }));
    assert_eq!((next(), next()), ((true, 8), (true, 9)));
    log.update_config(Arc::default());
    assert!(next().1 <= 0, "nothing waits by default");
}

#[test]
fn a_sealed_segment_asks_for_its_flush() {
    let fixture = fixture();
    let log = fixture.open();
    let batch = batch().value_bytes(500);
    assert!(!append(&log, &batch).unwrap().flush_required);
    assert!(append(&log, &batch).unwrap().flush_required);
}

/// Both take the lock of writers and the lock of flushes.
#[test]
fn a_flush_beside_a_close_does_not_wait_for_ever() {
    let fixture = fixture();
    let log = Arc::new(fixture.open());
    let (ended, ends) = std::sync::mpsc::channel();
    let works: [fn(&PartitionLog); 2] = [|log| log.flush_all().unwrap(), |log| log.close().unwrap()];
    for work in works {
        let (log, ended) = (log.clone(), ended.clone());
        std::thread::spawn(move || {
            for _ in 0..300 {
                append(&log, &batch()).unwrap();
                work(&log);
            }
            ended.send(()).unwrap();
        });
    }
    for _ in works {
        let end = ends.recv_timeout(std::time::Duration::from_secs(30));
        assert!(end.is_ok(), "a flush and a close wait for each other");
    }
}

/// Bytes that a log's first segment takes on a real disk, and bytes that it has.
fn on_disk(dir: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(dir.join("00000000000000000000.log")).unwrap();
    (found.blocks() * 512, found.len())
}

pub(super) fn open_on_disk(dir: &Path, config: LogConfig) -> PartitionLog {
    let log = PartitionLog::open(OpenParams {
        files: FileCache::new(Disk::real(), 4),
        dir: dir.into(),
        topic_partition: TopicPartition::new("orders", 0),
        topic_id: None,
        config: Arc::new(config),
        recovery_point: 0,
        log_start_offset: 0,
        crash: None,
        now_ms: 1_000,
        events: None,
    });
    log.unwrap()
}

/// Whether the file system of this directory can.
fn sets_room_aside(dir: &Path) -> bool {
    let probe = Disk::real().open(&dir.join("probe"), crate::disk::OpenMode::Create);
    probe.unwrap().allocate_ahead(0, 4096)
}

#[test]
fn a_log_that_is_flushed_with_each_append_has_room_set_aside_until_it_is_rolled_or_closed() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("orders-0");
    let open = |flush_messages| {
        open_on_disk(
            &dir,
            LogConfig {
                flush_messages,
                ..LogConfig::default()
            },
        )
    };
    let log = open(i64::MAX);
    let first = append(&log, &batch()).unwrap();
    assert!(on_disk(&dir).0 <= 16 << 10, "nobody flushes");
    log.close().unwrap();
    drop(log);
    let log = open(1);
    let second = append(&log, &batch()).unwrap();
    let (taken, length) = on_disk(&dir);
    assert!(length < 1 << 10, "{length}");
    if !sets_room_aside(root.path()) {
        return;
    }
    assert!(taken >= 200 << 10, "{taken}");
    assert_eq!((first.first_offset, second.first_offset), (0, 1));
    log.roll(2_000).unwrap();
    let (taken, after) = on_disk(&dir);
    assert!(taken <= 16 << 10 && after == length, "{taken} {after}");
}

#[test]
fn a_segment_of_more_than_a_mib_has_room_set_aside_that_its_roll_leaves_no_gap_of() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("orders-0");
    let segment_bytes = (4 << 20) + 1_000;
    let log = open_on_disk(
        &dir,
        LogConfig {
            segment_bytes,
            ..LogConfig::default()
        },
    );
    let large = batch().records(3).value_bytes(30_000);
    let (mut appended, mut most_ahead) = (0, 0);
    while log.segment_count() == 1 {
        append(&log, &large).unwrap();
        appended += 1;
        let (taken, length) = on_disk(&dir);
        if length < 1 << 20 {
            assert!(taken <= length + (8 << 10), "{taken} {length}");
        }
        most_ahead = most_ahead.max(taken.saturating_sub(length));
    }
    let (taken, length) = on_disk(&dir);
    assert!(
        length <= segment_bytes && taken <= segment_bytes + (8 << 10),
        "{taken} {length}"
    );
    assert_eq!(read_all(&log, 1 << 20).len(), appended);
    if sets_room_aside(root.path()) {
        assert!(most_ahead > 256 << 10, "{most_ahead}");
    }
}
