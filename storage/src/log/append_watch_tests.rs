//! Appends on a disk whose calls take their time on the watch's clock.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use protocol_compat::TopicPartition;

use super::testing::batch;
use super::{AppendOrigin, AppendStall, AppendWatch, FileCache, LogConfig, OpenParams, PartitionLog};
use crate::disk::{Disk, SimDisk};

/// Milliseconds of an append, of these behind another thread, and of these for files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    took: u128,
    waited_for_log: u128,
    made_files: u128,
}

/// Its clock moves with every call of the disk.
#[derive(Debug)]
struct Watch {
    sim: SimDisk,
    micros_per_call: AtomicU64,
    told: Mutex<Vec<Told>>,
    asked: Sender<()>,
}

impl AppendWatch for Watch {
    fn begin(&self) -> Duration {
        Duration::from_micros(self.sim.calls() * self.micros_per_call.load(Ordering::Relaxed))
    }

    fn now(&self) -> Duration {
        let now = self.begin();
        self.asked.send(()).expect("the test listens");
        now
    }

    fn stalled(&self, stall: &AppendStall<'_>) {
        assert_eq!(stall.topic_partition.to_string(), "orders-0");
        assert!(stall.bytes > 60);
        self.told.lock().push(Told {
            took: stall.took.as_millis(),
            waited_for_log: stall.waited_for_log.as_millis(),
            made_files: stall.made_files.as_millis(),
        });
    }
}

fn slow_log() -> (Arc<PartitionLog>, Arc<Watch>, Receiver<()>) {
    let sim = SimDisk::new(1, 1 << 20);
    let (asked, asking) = channel();
    let watch = Arc::new(Watch {
        sim: sim.clone(),
        micros_per_call: AtomicU64::new(1_000),
        told: Mutex::default(),
        asked,
    });
    let config = LogConfig {
        segment_bytes: 700,
        ..LogConfig::default()
    };
    let opened = PartitionLog::open(OpenParams {
        files: FileCache::watched(Disk::simulated(&sim), 4, Some(watch.clone())),
        dir: Path::new("/data/orders-0").into(),
        topic_partition: TopicPartition::new("orders", 0),
        topic_id: None,
        config: Arc::new(config),
        recovery_point: 0,
        log_start_offset: 0,
        crash: None,
        now_ms: 1_000,
        events: None,
    });
    (Arc::new(opened.unwrap()), watch, asking)
}

fn append(log: &PartitionLog, value_bytes: usize) {
    let bytes = Bytes::from(batch().value_bytes(value_bytes).build());
    log.append_as_leader(bytes, 1, AppendOrigin::Client, 2_000)
        .unwrap();
}

#[test]
fn a_slow_append_is_told_of_with_the_time_for_its_files_and_a_fast_one_is_not() {
    let (log, watch, _asking) = slow_log();
    let told = || std::mem::take(&mut *watch.told.lock());
    append(&log, 400);
    let [first] = told()[..] else {
        panic!("one stall");
    };
    assert!(
        first.made_files >= 2 && first.took == first.made_files + 1,
        "{first:?}"
    );
    append(&log, 10);
    let written = Told {
        took: 1,
        waited_for_log: 0,
        made_files: 0,
    };
    assert_eq!(told(), [written]);
    watch.micros_per_call.store(10, Ordering::Relaxed);
    append(&log, 10);
    assert_eq!(told(), []);
    watch.micros_per_call.store(1_000, Ordering::Relaxed);
    append(&log, 400);
    assert_eq!(log.segment_count(), 2);
    let [rolled] = told()[..] else {
        panic!("one stall");
    };
    assert!(
        rolled.made_files >= 2 && rolled.took == rolled.made_files + 1,
        "{rolled:?}"
    );
}

#[test]
fn an_append_that_waits_for_another_thread_says_how_long() {
    let (log, watch, asking) = slow_log();
    append(&log, 10);
    watch.told.lock().clear();
    while asking.try_recv().is_ok() {}
    let writer = log.writer.lock();
    let waiting = std::thread::spawn({
        let log = log.clone();
        move || append(&log, 10)
    });
    // The clock is read once more where the log is not free.
    asking.recv().unwrap();
    for _ in 0..5 {
        Disk::simulated(&watch.sim).exists(&log.dir()).unwrap();
    }
    drop(writer);
    waiting.join().unwrap();
    let expected = Told {
        took: 6,
        waited_for_log: 5,
        made_files: 0,
    };
    assert_eq!(*watch.told.lock(), [expected]);
}
