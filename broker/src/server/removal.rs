//! Takes what was deleted off the disk once `file.delete.delay.ms` has passed.
//!
//! When it is due, and not all of it now and then: where segments are deleted as fast as others are written, those would be
//! written into memory that nothing has used for long, while the pages of the deleted ones wait.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use storage::log_manager::LogManager;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::blocking;
use crate::clock::Clock;

/// A wall clock that is set changes what is due without waking anyone: after so long it is asked again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Removes what is due, again and again.
pub(super) async fn run(logs: Arc<LogManager>, clock: Clock) {
    loop {
        until_due(&logs, clock).await;
        let logs = logs.clone();
        let pass = blocking::spawn(move || logs.removal_pass(clock.deletion_ms()));
        match pass.await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => warn!(%cause, "could not remove what was deleted, a later start does"),
            Err(cause) => {
                warn!(%cause, "a removal was cut short");
                return;
            }
        }
    }
}

/// Waits until something is to be removed.
async fn until_due(logs: &LogManager, clock: Clock) {
    let mut timer = pin!(sleep_until(Instant::now()));
    poll_fn(|context| {
        while let Some(due_ms) = logs.next_removal_ms(context.waker()) {
            let left_ms = due_ms.saturating_sub(clock.deletion_ms());
            let Ok(left_ms @ 1..) = u64::try_from(left_ms) else {
                return Poll::Ready(());
            };
            let wait = Duration::from_millis(left_ms).min(LONGEST_WAIT);
            timer.as_mut().reset(Instant::now() + wait);
            ready!(timer.as_mut().poll(context));
        }
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};

    use protocol_compat::record_batch::batch::{Compression, TimestampType};
    use protocol_compat::record_batch::builder::BatchBuilder;
    use protocol_compat::{TopicId, TopicPartition};
    use storage::disk::{Disk, SimDisk};
    use storage::log::{AppendOrigin, LogConfig};
    use uuid::Uuid;

    use super::*;
    use crate::clock::TimeSource;
    use crate::replica_manager::config_tests::Node;

    const START_MS: i64 = 1_700_000_000_000;
    const MINUTE_MS: i64 = 60_000;

    /// The runtime's time, and a wall clock that can be set.
    struct RuntimeTime {
        origin: OnceLock<Instant>,
        stepped_ms: AtomicI64,
    }

    impl RuntimeTime {
        const fn new() -> RuntimeTime {
            RuntimeTime {
                origin: OnceLock::new(),
                stepped_ms: AtomicI64::new(0),
            }
        }
    }

    impl TimeSource for RuntimeTime {
        fn wall_ms(&self) -> i64 {
            let passed_ms = self.monotonic().as_millis().try_into().unwrap_or(i64::MAX);
            START_MS + self.stepped_ms.load(Ordering::Relaxed) + passed_ms
        }

        fn monotonic(&self) -> Duration {
            self.origin.get_or_init(Instant::now).elapsed()
        }
    }

    struct Table {
        disk: Disk,
        logs: Arc<LogManager>,
        clock: Clock,
    }

    impl Table {
        fn begin(clock: Clock) -> Table {
            let disk = Disk::simulated(&SimDisk::new(7, 64 << 20));
            let node = Node::on(&disk, &["/data"]).expect("an empty disk");
            let logs = node.replicas.logs().clone();
            tokio::spawn(run(logs.clone(), clock));
            Table { disk, logs, clock }
        }

        fn delete(&self, topic: &str, delay_ms: i64) {
            let config = LogConfig {
                file_delete_delay_ms: delay_ms,
                ..LogConfig::default()
            };
            let (place, id) = (TopicPartition::new(topic, 0), TopicId(Uuid::from_u128(9)));
            let now_ms = self.clock.deletion_ms();
            let log = self
                .logs
                .get_or_open(&place, id, Arc::new(config), None, now_ms)
                .expect("an empty log");
            let mut batch = BatchBuilder::new(0, Compression::None, TimestampType::CreateTime, None, -1);
            batch.append(1, None, Some(b"value"), &[]);
            log.append_as_leader(batch.build(), 0, AppendOrigin::Client, 1)
                .expect("the log takes records");
            self.logs.delete(&place, now_ms).expect("the disk works");
        }

        /// How many deleted partitions are on the disk so many milliseconds later.
        async fn left_after(&self, later_ms: u64) -> usize {
            tokio::time::sleep(Duration::from_millis(later_ms)).await;
            let entries = self.disk.read_dir(Path::new("/data")).expect("the disk works");
            entries
                .iter()
                .filter(|entry| entry.name.ends_with("-delete"))
                .count()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_deleted_leaves_the_disk_when_it_is_due() {
        static TIME: RuntimeTime = RuntimeTime::new();
        let table = Table::begin(Clock::steered(&TIME));
        assert_eq!(table.left_after(7_000).await, 0);
        table.delete("returns", MINUTE_MS);
        assert_eq!(table.left_after(1_000).await, 1);
        // Due before what is waited for.
        table.delete("claims", 900);
        assert_eq!(table.left_after(899).await, 2);
        assert_eq!(table.left_after(2).await, 1);
        assert_eq!(table.left_after(58_098).await, 1);
        assert_eq!(table.left_after(2).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_was_set_back_keeps_it_until_it_is_right_again() {
        static TIME: RuntimeTime = RuntimeTime::new();
        let table = Table::begin(Clock::steered(&TIME));
        table.delete("returns", 1_000);
        TIME.stepped_ms.store(-60 * MINUTE_MS, Ordering::Relaxed);
        assert_eq!(table.left_after(2_000).await, 1);
        TIME.stepped_ms.store(0, Ordering::Relaxed);
        assert_eq!(table.left_after(5_000).await, 0);
    }
}
