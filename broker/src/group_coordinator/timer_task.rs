//! The one task that drives the timers of all groups: it sleeps until the earliest deadline, or until an earlier one is set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::GroupCoordinator;

/// No timer is set.
pub(super) const NO_DEADLINE: i64 = i64::MAX;

/// Wakes the timer task when a deadline is set before the one it sleeps for.
pub(super) struct TimerWake {
    sleeps_until_ms: AtomicI64,
    wake: Notify,
}

impl Default for TimerWake {
    fn default() -> TimerWake {
        TimerWake {
            sleeps_until_ms: AtomicI64::new(NO_DEADLINE),
            wake: Notify::new(),
        }
    }
}

impl TimerWake {
    /// A shard's earliest deadline is now this one.
    pub(super) fn deadline_set(&self, deadline_ms: i64) {
        if deadline_ms < self.sleeps_until_ms.load(Ordering::Acquire) {
            self.wake.notify_one();
        }
    }
}

/// Fires timers until the task is aborted.
pub(super) async fn run(coordinator: Arc<GroupCoordinator>) {
    loop {
        // While deadlines are read, any that is set wakes the task again.
        coordinator
            .timers
            .sleeps_until_ms
            .store(NO_DEADLINE, Ordering::Release);
        let next = coordinator
            .running()
            .iter()
            .map(|shard| shard.fire_due_timers())
            .min();
        let next = next.unwrap_or(NO_DEADLINE);
        coordinator.timers.sleeps_until_ms.store(next, Ordering::Release);
        let woken = coordinator.timers.wake.notified();
        if next == NO_DEADLINE {
            woken.await;
            continue;
        }
        let pause_ms = next.saturating_sub(coordinator.clock.monotonic_ms()).max(0);
        let pause = Duration::from_millis(u64::try_from(pause_ms).unwrap_or(0));
        // Whichever comes first; both lead to another round.
        tokio::time::timeout(pause, woken).await.ok();
    }
}
