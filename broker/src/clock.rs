//! The node's clock: the only place of `broker` that reads time.
//!
//! Wall time goes into records and answers, monotonic time into every timeout and interval (rule C7).

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads time. Cheap to copy; all copies share one origin.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// The clock of the machine.
    pub fn real() -> Clock {
        Clock {
            origin: Instant::now(),
        }
    }

    /// Milliseconds since 1970, as records carry them; 0 on a machine whose clock stands before that.
    pub fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |elapsed| {
            i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
        })
    }

    /// Time since the clock was made; never goes back.
    pub fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    /// [`Clock::monotonic`] in milliseconds.
    pub fn monotonic_ms(&self) -> i64 {
        i64::try_from(self.monotonic().as_millis()).unwrap_or(i64::MAX)
    }
}
