//! Workers of the runtime that are kept back, and come out while others are held by a disk.
//!
//! A worker is kept back by a task that blocks it, a *plug*. It costs no time: the thread sleeps. Which workers are kept back
//! does not matter and may change: whoever takes a plug from the queue is.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;

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
            runtime.spawn(async move { spares.plug() });
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
    /// looks for events. `block_in_place` puts both into the queue. (It also offers the worker to another thread, and has it
    /// back before that one wakes; otherwise the worker stays out until the next stall has ended.)
    fn plug(&self) {
        tokio::task::block_in_place(|| {});
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
