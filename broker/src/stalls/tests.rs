//! Stalls of a log on a slow disk, and how often anybody looks.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use protocol_compat::TopicPartition;
use protocol_compat::record_batch::batch::{Compression, TimestampType};
use protocol_compat::record_batch::builder::BatchBuilder;
use storage::disk::{Disk, SimDisk};
use storage::log::{AppendOrigin, FileCache, LogConfig, OpenParams, PartitionLog};

use super::*;
use crate::clock::TimeSource;

/// Each call of this disk takes 2 ms.
struct SlowDisk(OnceLock<SimDisk>);

impl SlowDisk {
    fn disk(&self) -> &SimDisk {
        self.0.get_or_init(|| SimDisk::new(1, 1 << 20))
    }
}

impl TimeSource for SlowDisk {
    fn wall_ms(&self) -> i64 {
        0
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(2 * self.disk().calls())
    }
}

/// On a thread of which nobody knows anything yet.
fn begin(look: Look, time: &'static SlowDisk) -> Arc<Stalls> {
    BEFORE_LOOK.set(0);
    SEEN.set(None);
    Stalls::looking_with(look, &Registry::new(), Clock::steered(time)).expect("counters")
}

fn pass_two_ms(time: &SlowDisk) {
    let looked = Disk::simulated(time.disk()).exists("/".as_ref());
    looked.expect("a disk that works");
}

fn log(stalls: &Arc<Stalls>, disk: &SimDisk) -> PartitionLog {
    let opened = PartitionLog::open(OpenParams {
        files: FileCache::watched(Disk::simulated(disk), 4, Some(stalls.clone())),
        dir: std::path::Path::new("/data/orders-0").into(),
        topic_partition: TopicPartition::new("orders", 0),
        topic_id: None,
        config: Arc::new(LogConfig::default()),
        recovery_point: 0,
        log_start_offset: 0,
        crash: None,
        now_ms: 0,
        events: None,
    });
    opened.expect("an empty log opens")
}

fn append(log: &PartitionLog) {
    let mut batch = BatchBuilder::new(0, Compression::None, TimestampType::CreateTime, None, -1);
    batch.append(5, None, Some(b"value"), &[]);
    log.append_as_leader(batch.build(), 0, AppendOrigin::Client, 5)
        .expect("the log takes records");
}

fn counted(counters: &[IntCounter]) -> Vec<(&'static str, u64)> {
    let all = Cause::ALL.iter().zip(counters);
    let counted = all.filter(|(_, counter)| counter.get() > 0);
    counted
        .map(|(cause, counter)| (cause.label(), counter.get()))
        .collect()
}

#[test]
fn an_append_on_a_slow_disk_is_counted_with_its_cause() {
    static TIME: SlowDisk = SlowDisk(OnceLock::new());
    // The thread does nothing at all meanwhile: it sleeps.
    let asleep = || {
        Some(Schedule {
            ran: Duration::ZERO,
            was_ready: Duration::ZERO,
        })
    };
    let stalls = begin(asleep, &TIME);
    let log = log(&stalls, TIME.disk());
    append(&log);
    assert_eq!(counted(&stalls.appends), [("roll", 1)]);
    append(&log);
    append(&log);
    assert_eq!(counted(&stalls.appends), [("write_back", 2), ("roll", 1)]);
    assert_eq!(counted(&stalls.sends), []);
}

#[test]
fn a_send_is_counted_with_its_cause() {
    static TIME: SlowDisk = SlowDisk(OnceLock::new());
    thread_local! {
        static READY: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }
    let ready = || {
        Some(Schedule {
            ran: Duration::ZERO,
            was_ready: READY.get(),
        })
    };
    let stalls = begin(ready, &TIME);
    let peer = SocketAddr::from(([127, 0, 0, 1], 9092));
    let mut stall = SendStall {
        bytes: 1,
        took: Duration::from_millis(2),
        waited_for_peer: true,
    };
    stalls.send_stalled(peer, stall);
    stall.waited_for_peer = false;
    // Nobody has looked before.
    stalls.send_stalled(peer, stall);
    READY.set(Duration::from_millis(2));
    pass_two_ms(&TIME);
    stalls.send_stalled(peer, stall);
    let expected = [("processor", 1), ("peer", 1), ("unknown", 1)];
    assert_eq!(counted(&stalls.sends), expected);
    assert_eq!(counted(&stalls.appends), []);
}

#[test]
fn looks_are_rare_before_stalls_and_bounded_after_them() {
    static TIME: SlowDisk = SlowDisk(OnceLock::new());
    static LOOKS: AtomicU32 = AtomicU32::new(0);
    let look = || {
        LOOKS.fetch_add(1, Ordering::Relaxed);
        None
    };
    let stalls = begin(look, &TIME);
    let looks = || LOOKS.swap(0, Ordering::Relaxed);
    for _ in 0..LOOK_ONE_IN * 10 {
        stalls.expect();
    }
    assert_eq!(looks(), 10);
    let peer = SocketAddr::from(([127, 0, 0, 1], 9092));
    let stall = SendStall {
        bytes: 1,
        took: Duration::from_millis(2),
        waited_for_peer: false,
    };
    for _ in 0..2 * LOOKS_PER_SECOND {
        stalls.send_stalled(peer, stall);
    }
    assert_eq!(looks(), LOOKS_PER_SECOND);
    assert_eq!(
        counted(&stalls.sends),
        [("unknown", u64::from(2 * LOOKS_PER_SECOND))]
    );
}

#[test]
fn a_thread_is_not_looked_at_twice_in_five_milliseconds() {
    static TIME: SlowDisk = SlowDisk(OnceLock::new());
    static LOOKS: AtomicU32 = AtomicU32::new(0);
    let look = || {
        LOOKS.fetch_add(1, Ordering::Relaxed);
        Some(Schedule {
            ran: Duration::ZERO,
            was_ready: Duration::ZERO,
        })
    };
    let stalls = begin(look, &TIME);
    for calls in 0..4 {
        for _ in 0..LOOK_ONE_IN * 10 {
            stalls.expect();
        }
        // 0, 2 and 4 ms; then 6.
        assert_eq!(LOOKS.load(Ordering::Relaxed), if calls < 3 { 1 } else { 2 });
        pass_two_ms(&TIME);
    }
}
