//! A bounded set of threads that sync logs for acknowledgements (rule S16).
//!
//! A log waits at most once, and one sync covers all that was written before it began, so that appends which arrive
//! while the disk is busy share the next sync (group commit). Threads start with the first request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use crate::log::PartitionLog;

pub(super) struct Flusher {
    most_threads: usize,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    logs: VecDeque<Arc<PartitionLog>>,
    idle_threads: usize,
    is_closed: bool,
}

impl Flusher {
    /// With 0 threads, whoever requests a sync does it.
    pub fn new(most_threads: usize) -> Flusher {
        Flusher {
            most_threads,
            shared: Arc::default(),
            threads: Mutex::default(),
        }
    }

    pub fn request(&self, log: &Arc<PartitionLog>) {
        let mut queue = self.shared.queue.lock();
        if queue.is_closed || queue.logs.iter().any(|waiting| Arc::ptr_eq(waiting, log)) {
            return;
        }
        queue.logs.push_back(log.clone());
        let is_short = queue.idle_threads < queue.logs.len();
        drop(queue);
        self.shared.changed.notify_one();
        if is_short {
            self.start_thread();
        }
    }

    /// Syncs what waits and ends the threads.
    pub fn close(&self) {
        self.shared.queue.lock().is_closed = true;
        self.shared.changed.notify_all();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a flush thread panicked");
            }
        }
    }

    fn start_thread(&self) {
        let mut threads = self.threads.lock();
        if self.most_threads == 0 {
            drop(threads);
            return self.shared.flush_waiting();
        }
        if threads.len() >= self.most_threads {
            return;
        }
        let shared = self.shared.clone();
        let name = format!("flush-{}", threads.len());
        match std::thread::Builder::new().name(name).spawn(move || shared.run()) {
            Ok(thread) => threads.push(thread),
            Err(error) if threads.is_empty() => {
                // Without any thread nobody would ever be acknowledged: this one does it.
                tracing::warn!(%error, "could not start a flush thread");
                drop(threads);
                self.shared.flush_waiting();
            }
            Err(error) => tracing::warn!(%error, "could not start another flush thread"),
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn run(&self) {
        let mut queue = self.queue.lock();
        loop {
            if let Some(log) = queue.logs.pop_front() {
                drop(queue);
                flush(&log);
                drop(log);
                queue = self.queue.lock();
            } else if queue.is_closed {
                return;
            } else {
                queue.idle_threads += 1;
                self.changed.wait(&mut queue);
                queue.idle_threads -= 1;
            }
        }
    }

    fn flush_waiting(&self) {
        let waiting = std::mem::take(&mut self.queue.lock().logs);
        waiting.iter().for_each(flush);
    }
}

/// The log tells its events of success and of failure; a failed one is offline.
fn flush(log: &Arc<PartitionLog>) {
    if let Err(error) = log.flush_all() {
        tracing::error!(log = %log.topic_partition(), %error, "could not flush");
    }
}
