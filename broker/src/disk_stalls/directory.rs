//! One log directory: whether it stalls, since when, and who works on it aside.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::info;

use super::STALLED_AFTER;

/// A directory in which no call was slow for so long stalls no more. One that stalls again at once costs the others 10 to
/// 15 ms, and work aside costs its own clients something.
const CALM: Duration = Duration::from_millis(300);
/// Calls at a time on a directory that stalls: each holds a thread of the runtime's, which has 512.
pub(super) const CALLS_ASIDE: usize = 32;
/// Between two lines about a directory.
const BETWEEN_LINES: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    is_stalling: AtomicBool,
    permits: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When calls began that are done aside and are not over.
    began: Vec<Duration>,
    /// When a call was last seen to be slow.
    slow_at: Duration,
    marked_at: Duration,
    line_at: Option<Duration>,
    /// Stalls since the last line.
    unwritten: u64,
}

impl Directory {
    pub(super) fn new(path: &Path) -> Directory {
        Directory {
            path: path.to_owned(),
            is_stalling: AtomicBool::new(false),
            permits: Arc::new(Semaphore::new(CALLS_ASIDE)),
            state: Mutex::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_stalling(&self) -> bool {
        self.is_stalling.load(Ordering::Acquire)
    }

    /// The right to one of the threads; `None` cannot be, since nobody closes the semaphore.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().acquire_owned().await.ok()
    }

    /// A call is slow; whether nobody knew that the directory stalls.
    pub(super) fn mark(&self, now: Duration) -> bool {
        let mut state = self.state.lock();
        state.slow_at = now;
        if self.is_stalling.swap(true, Ordering::AcqRel) {
            return false;
        }
        state.marked_at = now;
        let is_due = state
            .line_at
            .is_none_or(|line| now.saturating_sub(line) >= BETWEEN_LINES);
        if is_due {
            info!(dir = %self.path.display(), unwritten = state.unwritten,
                "a log directory stalls: its partitions are served apart from the others");
            state.line_at = Some(now);
            state.unwritten = 0;
        } else {
            state.unwritten += 1;
        }
        true
    }

    pub(super) fn call_begins(&self, began: Duration) {
        self.state.lock().began.push(began);
    }

    pub(super) fn call_ended(&self, began: Duration, ended: Duration) {
        let mut state = self.state.lock();
        if let Some(at) = state.began.iter().position(|known| *known == began) {
            state.began.swap_remove(at);
        }
        if is_slow(began, ended) {
            state.slow_at = state.slow_at.max(ended);
        }
    }

    /// Takes the mark away where no call was slow for long enough; whether it did.
    pub(super) fn unmark_if_calm(&self, now: Duration) -> bool {
        let mut state = self.state.lock();
        if state.began.iter().any(|began| is_slow(*began, now)) {
            state.slow_at = now;
        }
        if now.saturating_sub(state.slow_at) < CALM {
            return false;
        }
        self.is_stalling.store(false, Ordering::Release);
        // Told of as the stall was: one line each.
        if state.line_at == Some(state.marked_at) {
            let stalled_ms = state.slow_at.saturating_sub(state.marked_at).as_millis();
            info!(dir = %self.path.display(), stalled_ms, "a log directory stalls no more");
        }
        true
    }
}

fn is_slow(began: Duration, now: Duration) -> bool {
    now.saturating_sub(began) >= STALLED_AFTER
}
