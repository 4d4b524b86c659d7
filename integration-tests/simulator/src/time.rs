//! Virtual time: the runtime's paused clock, continued from one life of the node to the next, and a wall clock that may jump.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use broker::clock::TimeSource;
use tokio::time::Instant;

/// When every seed begins, in milliseconds since 1970.
const EPOCH_MS: i64 = 1_790_000_000_000;

/// The time of one seed.
#[derive(Debug)]
pub struct SimTime {
    /// What passed in earlier lives, and when this one began.
    lives: Mutex<(Duration, Option<Instant>)>,
    wall_offset_ms: AtomicI64,
}

impl SimTime {
    /// The time of this process. It lives as long as the process: the node's clock has no other owner.
    pub fn of_this_process() -> &'static SimTime {
        static TIME: SimTime = SimTime {
            lives: Mutex::new((Duration::ZERO, None)),
            wall_offset_ms: AtomicI64::new(0),
        };
        &TIME
    }

    /// Begins a life. Called inside of its runtime.
    pub fn begin_life(&self) {
        self.locked().1 = Some(Instant::now());
    }

    /// Ends a life. Called inside of its runtime.
    pub fn end_life(&self) {
        let elapsed = self.elapsed();
        *self.locked() = (elapsed, None);
    }

    /// Virtual time since the seed began; never goes back.
    pub fn elapsed(&self) -> Duration {
        let (before, since) = *self.locked();
        before + since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Moves the wall clock.
    pub fn jump_ms(&self, by_ms: i64) {
        self.wall_offset_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, (Duration, Option<Instant>)> {
        self.lives
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl TimeSource for SimTime {
    fn wall_ms(&self) -> i64 {
        let elapsed_ms = i64::try_from(self.elapsed().as_millis()).unwrap_or(i64::MAX);
        EPOCH_MS + elapsed_ms + self.wall_offset_ms.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        self.elapsed()
    }
}
