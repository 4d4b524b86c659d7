//! The node's clock: the only place of `broker` that reads time.
//!
//! Wall time goes into records and answers, monotonic time into every timeout and interval (rule C7). A step of the wall
//! clock, in either direction, makes nothing due that was not due without it (rule C8): what deletes by age asks
//! [`Clock::deletion_ms`], what notes a moment from which an age will count asks [`Clock::stamp_ms`]. A start believes
//! the wall clock, for nobody knows how long the node was down.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where time comes from when it is not the machine's: a simulation's.
pub trait TimeSource: Sync {
    /// Milliseconds since 1970; may jump either way.
    fn wall_ms(&self) -> i64;

    /// Time since any moment before the node began; never goes back.
    fn monotonic(&self) -> Duration;
}

/// Reads time. Cheap to copy; all copies share one origin.
#[derive(Clone, Copy)]
pub struct Clock {
    source: Source,
    /// Both clocks at the same moment, when the clock was made.
    wall_origin_ms: i64,
    monotonic_origin_ms: i64,
}

#[derive(Clone, Copy)]
enum Source {
    Machine { origin: Instant },
    Steered(&'static dyn TimeSource),
}

impl Source {
    fn wall_ms(&self) -> i64 {
        let since = match self {
            Source::Machine { .. } => SystemTime::now().duration_since(UNIX_EPOCH),
            Source::Steered(source) => return source.wall_ms(),
        };
        since.map_or(0, |elapsed| {
            i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
        })
    }

    fn monotonic(&self) -> Duration {
        match self {
            Source::Machine { origin } => origin.elapsed(),
            Source::Steered(source) => source.monotonic(),
        }
    }

    fn monotonic_ms(&self) -> i64 {
        i64::try_from(self.monotonic().as_millis()).unwrap_or(i64::MAX)
    }
}

impl Clock {
    /// The clock of the machine.
    pub fn real() -> Clock {
        Clock::of(Source::Machine {
            origin: Instant::now(),
        })
    }

    /// A clock that shows what `source` says.
    pub fn steered(source: &'static dyn TimeSource) -> Clock {
        Clock::of(Source::Steered(source))
    }

    fn of(source: Source) -> Clock {
        Clock {
            source,
            wall_origin_ms: source.wall_ms(),
            monotonic_origin_ms: source.monotonic_ms(),
        }
    }

    /// Milliseconds since 1970, as records carry them; 0 on a machine whose clock stands before that.
    pub fn wall_ms(&self) -> i64 {
        self.source.wall_ms()
    }

    /// Time since the clock was made; never goes back.
    pub fn monotonic(&self) -> Duration {
        self.source.monotonic()
    }

    /// [`Clock::monotonic`] in milliseconds.
    pub fn monotonic_ms(&self) -> i64 {
        self.source.monotonic_ms()
    }

    /// What the wall clock would show had nobody set it since the clock was made.
    fn step_free_ms(&self) -> i64 {
        let passed_ms = self.monotonic_ms().saturating_sub(self.monotonic_origin_ms);
        self.wall_origin_ms.saturating_add(passed_ms)
    }

    /// Milliseconds since 1970 by which something is old enough to be deleted: neither a wall clock that was set forward
    /// nor one that was set back makes it early.
    pub fn deletion_ms(&self) -> i64 {
        self.wall_ms().min(self.step_free_ms())
    }

    /// Milliseconds since 1970 from which an age will count: not early either after the wall clock was set.
    pub fn stamp_ms(&self) -> i64 {
        self.wall_ms().max(self.step_free_ms())
    }

    /// By how much the wall clock was set since the clock was made, negative if it was set back.
    pub fn wall_step_ms(&self) -> i64 {
        self.wall_ms().saturating_sub(self.step_free_ms())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    const DAY_MS: i64 = 86_400_000;
    const START_MS: i64 = 1_700_000_000_000;

    /// Time passes on both clocks, steps on one.
    struct Steered {
        passed_ms: AtomicI64,
        stepped_ms: AtomicI64,
    }

    impl TimeSource for Steered {
        fn wall_ms(&self) -> i64 {
            START_MS + self.passed_ms.load(Ordering::Relaxed) + self.stepped_ms.load(Ordering::Relaxed)
        }

        fn monotonic(&self) -> Duration {
            // It began before the clock was made.
            Duration::from_millis(5_000 + self.passed_ms.load(Ordering::Relaxed).cast_unsigned())
        }
    }

    #[test]
    fn a_wall_clock_that_is_set_makes_nothing_due_early() {
        static TIME: Steered = Steered {
            passed_ms: AtomicI64::new(0),
            stepped_ms: AtomicI64::new(0),
        };
        let clock = Clock::steered(&TIME);
        let mut passed_ms = 0;
        for stepped_ms in [0, DAY_MS, -DAY_MS, 30 * DAY_MS, 1, 0] {
            TIME.stepped_ms.store(stepped_ms, Ordering::Relaxed);
            passed_ms += 10_000;
            TIME.passed_ms.store(passed_ms, Ordering::Relaxed);
            let truth_ms = START_MS + passed_ms;
            assert_eq!(clock.wall_ms(), truth_ms + stepped_ms);
            assert_eq!(clock.wall_step_ms(), stepped_ms);
            assert_eq!(clock.deletion_ms(), truth_ms + stepped_ms.min(0));
            assert_eq!(clock.stamp_ms(), truth_ms + stepped_ms.max(0));
        }
    }

    #[test]
    fn a_clock_that_nobody_sets_deletes_by_the_wall_clock() {
        let clock = Clock::real();
        let (before, deletion, after) = (clock.wall_ms(), clock.deletion_ms(), clock.stamp_ms());
        // The two clocks are read one after the other.
        assert!(
            deletion + 1_000 > before && deletion <= after,
            "{before} {deletion} {after}"
        );
    }
}
