//! The node's clock: the only place of `broker` that reads time.
//!
//! Wall time goes into records and answers, monotonic time into every timeout and interval (rule C7).

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
pub struct Clock(Source);

#[derive(Clone, Copy)]
enum Source {
    Machine { origin: Instant },
    Steered(&'static dyn TimeSource),
}

impl Clock {
    /// The clock of the machine.
    pub fn real() -> Clock {
        Clock(Source::Machine {
            origin: Instant::now(),
        })
    }

    /// A clock that shows what `source` says.
    pub fn steered(source: &'static dyn TimeSource) -> Clock {
        Clock(Source::Steered(source))
    }

    /// Milliseconds since 1970, as records carry them; 0 on a machine whose clock stands before that.
    pub fn wall_ms(&self) -> i64 {
        let since = match self.0 {
            Source::Machine { .. } => SystemTime::now().duration_since(UNIX_EPOCH),
            Source::Steered(source) => return source.wall_ms(),
        };
        since.map_or(0, |elapsed| {
            i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
        })
    }

    /// Time since the clock was made; never goes back.
    pub fn monotonic(&self) -> Duration {
        match self.0 {
            Source::Machine { origin } => origin.elapsed(),
            Source::Steered(source) => source.monotonic(),
        }
    }

    /// [`Clock::monotonic`] in milliseconds.
    pub fn monotonic_ms(&self) -> i64 {
        i64::try_from(self.monotonic().as_millis()).unwrap_or(i64::MAX)
    }
}
