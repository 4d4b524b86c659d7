//! Workers of the runtime that are kept back, and come out while others are held by a disk.
//!
//! A worker is kept back by a task that blocks it, a *plug*. It costs no time: the thread sleeps. Which workers are kept back
//! does not matter and may change: whoever takes a plug from the queue is.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;

use super::slots;

/// The plugs.
#[derive(Debug)]
pub(super) struct Spares {
    /// How many workers are kept back where nothing stalls.
    count: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Plugs that were made and have not let go.
    plugs: usize,
    wanted: usize,
    is_closed: bool,
}

impl Spares {
    pub(super) fn new(count: usize) -> Arc<Spares> {
        Arc::new(Spares {
            count,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Lets so many workers out, or all there are, and keeps the others back. Whether anything changes.
    pub(super) fn let_out(self: &Arc<Self>, workers: usize, runtime: &Handle) -> bool {
        let mut state = self.state.lock();
        let wanted = self.count.saturating_sub(workers);
        if state.is_closed || state.wanted == wanted {
            return false;
        }
        state.wanted = wanted;
        while state.plugs < state.wanted {
            state.plugs += 1;
            let spares = self.clone();
            runtime.spawn(spares.plug());
        }
        drop(state);
        self.changed.notify_all();
        true
    }

    /// How many workers are to be kept back, or 0 where none is any more.
    #[cfg(test)]
    pub(super) fn wanted(&self) -> usize {
        self.state.lock().wanted
    }

    /// Lets all out for good: the runtime ends, and waits for its workers.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.wanted = 0;
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Holds the calling worker, whose tasks others take from its queue. Two sorts of them do not stand there: the one that it
    /// would run next (tokio's LIFO slot), and those that have let others go first, which their worker wakes before it
    /// looks for events. `block_in_place` puts both into the queue. It also offers the worker to another thread, which may be
    /// quicker than this one is back: then that one serves clients, this one is none any more, and the plug goes to look for
    /// another worker.
    async fn plug(self: Arc<Self>) {
        loop {
            tokio::task::block_in_place(|| {});
            slots::forget();
            if is_worker() {
                break;
            }
            // A task that lets others go first is where it finds a worker again.
            tokio::task::yield_now().await;
        }
        // The second one drives the first from the slot into the queue, for which tokio wakes another worker.
        for _ in 0..2 {
            tokio::spawn(std::future::ready(()));
        }
        let mut state = self.state.lock();
        while state.plugs <= state.wanted {
            self.changed.wait(&mut state);
        }
        state.plugs -= 1;
    }
}

/// Whether the calling thread, which runs a task, has a worker: where it has none, a task that lets others go first is woken
/// at once, and otherwise later.
fn is_worker() -> bool {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(woken.clone());
    let yields = pin!(tokio::task::yield_now());
    let is_over = yields.poll(&mut Context::from_waker(&waker)).is_ready();
    !is_over && !woken.0.load(Ordering::Relaxed)
}
