//! Appends and sends that took over a millisecond: counted by cause, and some of them written about.
//!
//! Whoever appends or sends measures it, each time; here is what happens then. How the scheduler treated a thread is looked at
//! now and then before anything has stalled, and once more after a stall: the difference says what the thread did meanwhile
//! (`cause`). Both kinds of look are bounded, and a stall about which nobody could look is `unknown`, as is one of which too
//! little is certain.

mod cause;
mod lines;
mod schedule;

use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
pub use storage::log::STALL;
use storage::log::{AppendStall, AppendWatch};
use tracing::{debug, info};

pub use self::cause::Cause;
use self::cause::{Interval, of_append, of_send};
use self::lines::Lines;
use self::schedule::{Look, Schedule};
use crate::clock::Clock;

/// A thread's schedule is looked at no more often than this before a stall: a look takes 1.5 us.
const LOOK_AFTER: Duration = Duration::from_millis(5);
/// And no more often than once in so many appends and sends, so that it is no part of a request worth mentioning where
/// requests are rare.
const LOOK_ONE_IN: u32 = 16;
/// Looks after stalls, of all threads together, in one second.
const LOOKS_PER_SECOND: u32 = 500;

/// What a thread was like when somebody last looked.
#[derive(Clone, Copy)]
struct Seen {
    schedule: Schedule,
    at: Duration,
}

thread_local! {
    static BEFORE_LOOK: Cell<u32> = const { Cell::new(0) };
    static SEEN: Cell<Option<Seen>> = const { Cell::new(None) };
}

/// A send that took long: answers that were given to the socket together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendStall {
    /// All of them.
    pub bytes: usize,
    /// From when they were first given to the socket until it had taken the last byte.
    pub took: Duration,
    /// Whether the socket was full meanwhile: its peer had not taken what was sent before.
    pub waited_for_peer: bool,
}

/// Counts stalls.
pub struct Stalls {
    clock: Clock,
    look: Look,
    appends: Vec<IntCounter>,
    sends: Vec<IntCounter>,
    bounded: Mutex<Bounded>,
}

/// What has a bound in time.
#[derive(Default)]
struct Bounded {
    /// The second in which stalls were last looked at, and how many were.
    looks: (u64, u32),
    appends: Lines,
    sends: Lines,
}

impl fmt::Debug for Stalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stalls")
    }
}

impl Stalls {
    /// Registers the counters.
    ///
    /// # Errors
    /// Where a name is registered already.
    pub fn new(registry: &Registry, clock: Clock) -> prometheus::Result<Arc<Stalls>> {
        Stalls::looking_with(schedule::of_this_thread, registry, clock)
    }

    fn looking_with(look: Look, registry: &Registry, clock: Clock) -> prometheus::Result<Arc<Stalls>> {
        let family = |name: &str, help: &str| -> prometheus::Result<Vec<IntCounter>> {
            let family = IntCounterVec::new(Opts::new(name, help), &["cause"])?;
            registry.register(Box::new(family.clone()))?;
            Ok(Cause::ALL
                .map(|cause| family.with_label_values(&[cause.label()]))
                .into())
        };
        Ok(Arc::new(Stalls {
            clock,
            look,
            appends: family(
                "kafka_log_append_stalls_total",
                "Appends that took over a millisecond, by cause",
            )?,
            sends: family(
                "kafka_server_socket_server_send_stalls_total",
                "Sends that took over a millisecond, by cause",
            )?,
            bounded: Mutex::default(),
        }))
    }

    /// An append or a send begins on this thread: now and then what the thread is like is noted, in case it stalls.
    pub fn expect(&self) {
        match BEFORE_LOOK.get().checked_sub(1) {
            Some(left) => BEFORE_LOOK.set(left),
            None => self.look_again(),
        }
    }

    fn look_again(&self) {
        BEFORE_LOOK.set(LOOK_ONE_IN - 1);
        let now = self.clock.monotonic();
        let is_due = SEEN
            .get()
            .is_none_or(|seen| now.saturating_sub(seen.at) >= LOOK_AFTER);
        if is_due {
            SEEN.set((self.look)().map(|schedule| Seen { schedule, at: now }));
        }
    }

    /// Counts a send that took [`STALL`] or longer, on the thread that sent.
    pub fn send_stalled(&self, peer: SocketAddr, stall: SendStall) {
        let cause = of_send(&stall, || self.since_last_look());
        count(&self.sends, cause);
        let Some(unwritten) = self.bounded.lock().sends.due(cause, self.clock.monotonic()) else {
            return;
        };
        let (bytes, took_us, cause) = (stall.bytes, micros(stall.took), cause.label());
        if stall.waited_for_peer {
            debug!(%peer, bytes, took_us, cause, unwritten, "a send stalled");
        } else {
            info!(%peer, bytes, took_us, cause, unwritten, "a send stalled");
        }
    }

    /// What this thread did since somebody last looked; `None` where nobody did, or too many have looked in this second.
    fn since_last_look(&self) -> Option<Interval> {
        let now = self.clock.monotonic();
        if !self.bounded.lock().may_look(now) {
            return None;
        }
        let schedule = (self.look)()?;
        let before = SEEN.replace(Some(Seen { schedule, at: now }))?;
        Some(Interval {
            length: now.saturating_sub(before.at),
            ran: schedule.ran.saturating_sub(before.schedule.ran),
            was_ready: schedule.was_ready.saturating_sub(before.schedule.was_ready),
        })
    }
}

impl Bounded {
    fn may_look(&mut self, now: Duration) -> bool {
        if self.looks.0 != now.as_secs() {
            self.looks = (now.as_secs(), 0);
        }
        self.looks.1 = self.looks.1.saturating_add(1);
        self.looks.1 <= LOOKS_PER_SECOND
    }
}

impl AppendWatch for Stalls {
    fn begin(&self) -> Duration {
        self.expect();
        self.clock.monotonic()
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn stalled(&self, stall: &AppendStall<'_>) {
        let cause = of_append(stall, || self.since_last_look());
        count(&self.appends, cause);
        let Some(unwritten) = self.bounded.lock().appends.due(cause, self.clock.monotonic()) else {
            return;
        };
        let (dirty_kib, write_back_kib) = schedule::unwritten_kib().unzip();
        info!(
            partition = %stall.topic_partition,
            bytes = stall.bytes,
            took_us = micros(stall.took),
            waited_for_log_us = micros(stall.waited_for_log),
            made_files_us = micros(stall.made_files),
            cause = cause.label(),
            dirty_kib,
            write_back_kib,
            unwritten,
            "an append stalled"
        );
    }
}

fn count(counters: &[IntCounter], cause: Cause) {
    if let Some(counter) = counters.get(cause as usize) {
        counter.inc();
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
