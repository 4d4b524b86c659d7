//! The cleaner threads: how many, how fast, and how often they look (`log.cleaner.*`).
//!
//! The keys are read anew before each round, so that a change takes effect without a restart. Which log is cleaned, and what
//! cleaning means, is storage's.

use std::sync::Arc;
use std::time::Duration;

use metadata::configs::ConfigValue;
use prometheus::IntCounter;
use storage::cleaner::{CleanerSettings, MapSecret, Pace};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::blocking;
use crate::clock::Clock;
use crate::replica_manager::ReplicaManager;

/// A cleaner that found nothing to do never looks again sooner, so that `log.cleaner.backoff.ms=0` keeps no core busy.
const LEAST_BACKOFF: Duration = Duration::from_millis(10);

/// After so many bytes a cleaner lets others have its processor: Linux lets a thread that has begun its slice end it, which is
/// longer than most requests take.
const BYTES_OF_A_TURN: u64 = 64 << 10;

/// A cleaner works so long at a stretch. While clients are served it then rests: what the disk and the kernel do for it takes
/// processors as well, and no priority of its own thread keeps that from those who serve.
const SPELL: Duration = Duration::from_millis(5);

/// How many times as long as it worked a cleaner rests.
const REST: u32 = 3;

/// No rest is longer, whatever kept the cleaner: a disk that stalled, or a process that was stopped.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// A throttled cleaner rests this long at least: a pause after every batch would cost more than the batch.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// Keys of the cleaner, as they are in force.
#[derive(Clone, Copy, Debug)]
struct CleanerKeys {
    enable: bool,
    threads: u32,
    dedupe_buffer_bytes: u64,
    load_factor: f64,
    io_buffer_bytes: usize,
    max_bytes_per_second: f64,
    backoff: Duration,
}

impl CleanerKeys {
    fn in_force(replicas: &ReplicaManager) -> CleanerKeys {
        let whole = |key| match replicas.broker_key(key) {
            Some(ConfigValue::Integer(value)) => u64::try_from(value).unwrap_or(0),
            _ => 0,
        };
        let real = |key| match replicas.broker_key(key) {
            Some(ConfigValue::Double(value)) => value,
            _ => f64::MAX,
        };
        CleanerKeys {
            enable: !matches!(
                replicas.broker_key("log.cleaner.enable"),
                Some(ConfigValue::Boolean(false))
            ),
            threads: u32::try_from(whole("log.cleaner.threads")).unwrap_or(u32::MAX),
            dedupe_buffer_bytes: whole("log.cleaner.dedupe.buffer.size"),
            load_factor: real("log.cleaner.io.buffer.load.factor"),
            io_buffer_bytes: usize::try_from(whole("log.cleaner.io.buffer.size")).unwrap_or(usize::MAX),
            max_bytes_per_second: real("log.cleaner.io.max.bytes.per.second"),
            backoff: backoff(whole("log.cleaner.backoff.ms")),
        }
    }

    /// The share of one thread.
    fn settings(&self, secret: MapSecret) -> CleanerSettings {
        let threads = self.threads.max(1);
        CleanerSettings {
            map_bytes: self.dedupe_buffer_bytes / u64::from(threads),
            load_factor: self.load_factor,
            // One to read and one to write.
            io_buffer_bytes: self.io_buffer_bytes / usize::try_from(threads).unwrap_or(1) / 2,
            secret,
        }
    }
}

fn backoff(ms: u64) -> Duration {
    Duration::from_millis(ms).max(LEAST_BACKOFF)
}

/// Starts the cleaners. They end with `stopping`, and rest while `received_bytes`, what clients send, grows.
pub(super) fn start(
    replicas: &Arc<ReplicaManager>,
    secret: MapSecret,
    stopping: watch::Receiver<bool>,
    clock: Clock,
    received_bytes: IntCounter,
) -> JoinHandle<()> {
    let replicas = replicas.clone();
    tokio::spawn(async move {
        loop {
            let keys = CleanerKeys::in_force(&replicas);
            tokio::time::sleep(keys.backoff).await;
            let keys = CleanerKeys::in_force(&replicas);
            if keys.enable && !round(&replicas, keys, secret, &stopping, clock, &received_bytes).await {
                return;
            }
        }
    })
}

/// Cleans until nothing is due. `false` where it cannot go on.
async fn round(
    replicas: &Arc<ReplicaManager>,
    keys: CleanerKeys,
    secret: MapSecret,
    stopping: &watch::Receiver<bool>,
    clock: Clock,
    received_bytes: &IntCounter,
) -> bool {
    let one = |_| {
        let (logs, stopping) = (replicas.logs().clone(), stopping.clone());
        let received_bytes = received_bytes.clone();
        blocking::spawn_aside("log-cleaner", move || {
            let mut pace = Throttle {
                bytes_per_second: keys.max_bytes_per_second / f64::from(keys.threads),
                clock,
                begun: clock.monotonic(),
                moved_bytes: 0.0,
                moved_in_turn: 0,
                spell: Spell {
                    begun: clock.monotonic(),
                    received_bytes: received_bytes.get(),
                },
                received_bytes,
                stopping,
                runtime: Handle::current(),
            };
            while logs
                .clean_next(&keys.settings(secret), clock.deletion_ms(), &mut pace)
                .is_some()
            {}
        })
    };
    let threads: Vec<_> = (0..keys.threads).map(one).collect();
    for thread in threads {
        match thread.await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => warn!(%cause, "a cleaner could not be started, it is tried again"),
            Err(cause) => {
                warn!(%cause, "a cleaner was cut short");
                return false;
            }
        }
    }
    true
}

/// Keeps a cleaner below its share of `log.cleaner.io.max.bytes.per.second`, and out of the way of clients.
struct Throttle {
    bytes_per_second: f64,
    clock: Clock,
    begun: Duration,
    moved_bytes: f64,
    /// Since others had their turn.
    moved_in_turn: u64,
    spell: Spell,
    received_bytes: IntCounter,
    stopping: watch::Receiver<bool>,
    runtime: Handle,
}

/// A stretch of work, and what clients had sent when it began.
#[derive(Clone, Copy, Debug)]
struct Spell {
    begun: Duration,
    received_bytes: u64,
}

impl Spell {
    /// Ends the spell if it was long enough; how long to rest then. Nobody is in the way of clients that send nothing.
    fn end(&mut self, now: Duration, received_bytes: u64) -> Duration {
        let worked = now.saturating_sub(self.begun);
        if worked < SPELL {
            return Duration::ZERO;
        }
        let is_quiet = received_bytes == self.received_bytes;
        *self = Spell {
            begun: now,
            received_bytes,
        };
        if is_quiet {
            Duration::ZERO
        } else {
            worked.saturating_mul(REST).min(LONGEST_REST)
        }
    }
}

/// How long to wait after `elapsed` until `moved_bytes` are no more than the rate allows. Waits that are shorter than
/// [`SHORTEST_PAUSE`] are saved up.
fn pause(moved_bytes: f64, bytes_per_second: f64, elapsed: Duration) -> Option<Duration> {
    let due = Duration::try_from_secs_f64(moved_bytes / bytes_per_second).ok()?;
    due.checked_sub(elapsed).filter(|ahead| *ahead >= SHORTEST_PAUSE)
}

impl Pace for Throttle {
    fn moved(&mut self, bytes: u64) -> bool {
        if *self.stopping.borrow() {
            return false;
        }
        self.moved_in_turn = self.moved_in_turn.saturating_add(bytes);
        if self.moved_in_turn >= BYTES_OF_A_TURN {
            self.moved_in_turn = 0;
            std::thread::yield_now();
        }
        self.moved_bytes += bytes as f64;
        let now = self.clock.monotonic();
        let throttled = pause(
            self.moved_bytes,
            self.bytes_per_second,
            now.saturating_sub(self.begun),
        );
        let rest = self.spell.end(now, self.received_bytes.get());
        let ahead = throttled.unwrap_or_default().max(rest);
        if ahead.is_zero() {
            return true;
        }
        let stopping = &mut self.stopping;
        let goes_on = self.runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(ahead) => true,
                // Whoever sends is gone when the node is.
                _ = stopping.changed() => false,
            }
        });
        self.spell.begun = self.clock.monotonic();
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cleaner_without_a_backoff_does_not_spin() {
        assert_eq!(backoff(0), LEAST_BACKOFF);
        assert_eq!(backoff(15_000), Duration::from_secs(15));
    }

    #[test]
    fn a_cleaner_rests_three_times_as_long_as_it_worked_while_clients_send() {
        let mut spell = Spell {
            begun: Duration::ZERO,
            received_bytes: 0,
        };
        let ms = Duration::from_millis;
        assert_eq!(spell.end(ms(4), 100), Duration::ZERO);
        assert_eq!(spell.end(ms(6), 100), ms(18));
        assert_eq!(spell.end(ms(106), 100), Duration::ZERO);
        assert_eq!(spell.end(ms(107), 200), Duration::ZERO);
        assert_eq!(spell.end(ms(146), 200), ms(120));
        assert_eq!(spell.end(ms(60_000), 300), LONGEST_REST);
    }

    #[test]
    fn a_throttled_cleaner_saves_up_short_pauses_and_keeps_to_its_rate() {
        let second = Duration::from_secs(1);
        assert_eq!(pause(1_050.0, 1_000.0, second), None);
        assert_eq!(pause(1_250.0, 1_000.0, second), Some(Duration::from_millis(250)));
        assert_eq!(pause(900.0, 1_000.0, second), None);
        assert_eq!(pause(1e9, f64::MAX, Duration::ZERO), None);
    }
}
