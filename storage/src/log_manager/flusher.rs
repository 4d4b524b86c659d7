//! A bounded set of threads that sync logs for acknowledgements (rule S16).
//!
//! A log waits at most once, and one sync covers all that was written before it began, so that appends which arrive
//! while the disk is busy share the next sync (group commit). What waits in a directory goes through its flush journal with
//! one write and one sync; a log for which more is to be done than that is synced for itself, by as many threads as there
//! are. They start with the first request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::directory::Directory;
use crate::flush_journal::Round;
use crate::log::{FlushStart, PartitionLog};

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
    logs: VecDeque<Waiting>,
    /// Directories of which a round is under way.
    together: Vec<Arc<Directory>>,
    /// Directories whose journals have a full part.
    full: VecDeque<Arc<Directory>>,
    idle_threads: usize,
    is_closed: bool,
}

/// A log that waits, and the directory through whose journal it may be flushed.
struct Waiting {
    log: Arc<PartitionLog>,
    directory: Option<Arc<Directory>>,
}

impl Waiting {
    fn is_in(&self, directory: &Arc<Directory>) -> bool {
        self.directory
            .as_ref()
            .is_some_and(|own| Arc::ptr_eq(own, directory))
    }
}

/// What a thread does next.
enum Work {
    One(Arc<PartitionLog>),
    Together(Arc<Directory>, Vec<Arc<PartitionLog>>),
    Retire(Arc<Directory>),
}

impl Queue {
    /// Whether nobody syncs its directory.
    fn is_free(&self, waiting: &Waiting) -> bool {
        !self.together.iter().any(|directory| waiting.is_in(directory))
    }

    /// The log that waits longest, with all others of its directory where they can be flushed together. While those of a
    /// directory are, what arrives for it waits: it is more by then. Before all others a journal's full part: what fills the
    /// other one waits for it.
    fn next(&mut self) -> Option<Work> {
        if let Some(directory) = self.full.pop_front() {
            return Some(Work::Retire(directory));
        }
        let at = self.logs.iter().position(|waiting| self.is_free(waiting))?;
        let Some(directory) = self.logs.get(at)?.directory.clone() else {
            return self.logs.remove(at).map(|one| Work::One(one.log));
        };
        let (own, others) = std::mem::take(&mut self.logs)
            .into_iter()
            .partition::<Vec<_>, _>(|one| one.is_in(&directory));
        self.logs = others.into();
        self.together.push(directory.clone());
        let logs = own.into_iter().map(|one| one.log).collect();
        Some(Work::Together(directory, logs))
    }
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

    pub fn request(&self, log: &Arc<PartitionLog>, directory: Option<&Arc<Directory>>) {
        let mut queue = self.shared.queue.lock();
        if queue.is_closed || queue.logs.iter().any(|waiting| Arc::ptr_eq(&waiting.log, log)) {
            return;
        }
        let waiting = Waiting {
            log: log.clone(),
            directory: directory.cloned(),
        };
        let is_next = queue.is_free(&waiting);
        queue.logs.push_back(waiting);
        let is_short = queue.idle_threads < queue.logs.len();
        drop(queue);
        // Otherwise whoever syncs its directory takes it afterwards.
        if is_next {
            self.shared.changed.notify_one();
        }
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
            if let Some(work) = queue.next() {
                drop(queue);
                self.perform(work);
                queue = self.queue.lock();
            } else if queue.is_closed && queue.logs.is_empty() && queue.full.is_empty() {
                // Others may wait for the directory that this thread was the last to sync.
                self.changed.notify_all();
                return;
            } else {
                queue.idle_threads += 1;
                self.changed.wait(&mut queue);
                queue.idle_threads -= 1;
            }
        }
    }

    fn flush_waiting(&self) {
        loop {
            let work = self.queue.lock().next();
            match work {
                Some(work) => self.perform(work),
                None => return,
            }
        }
    }

    fn perform(&self, work: Work) {
        match work {
            Work::One(log) => flush(&log),
            Work::Retire(directory) => directory.journal().retire(),
            Work::Together(directory, logs) => {
                let left = flush_together(&directory, &logs);
                let waiting = |log: &Arc<PartitionLog>, directory| Waiting {
                    log: log.clone(),
                    directory,
                };
                let alone = left.alone.iter().map(|log| waiting(log, None));
                let later = left.later.iter().map(|log| waiting(log, Some(directory.clone())));
                let mut queue = self.queue.lock();
                queue.together.retain(|other| !Arc::ptr_eq(other, &directory));
                let is_more = left.is_part_full || !left.alone.is_empty() || !left.later.is_empty();
                queue.logs.extend(alone.chain(later));
                if left.is_part_full {
                    queue.full.push_back(directory);
                }
                drop(queue);
                // This thread goes on with what arrived for the directory.
                if is_more {
                    self.changed.notify_all();
                }
            }
        }
    }
}

/// What a round through a journal has left to do.
#[derive(Default)]
pub(super) struct Left {
    /// To be flushed for themselves.
    pub alone: Vec<Arc<PartitionLog>>,
    /// To be flushed with the next round.
    pub later: Vec<Arc<PartitionLog>>,
    /// The journal's full part is to be retired.
    pub is_part_full: bool,
}

/// Flushes through the directory's journal those logs that only wait for the end of their content.
pub(super) fn flush_together(directory: &Directory, logs: &[Arc<PartitionLog>]) -> Left {
    let mut left = Left::default();
    let mut begun = Vec::with_capacity(logs.len());
    for log in logs {
        match log.begin_flush() {
            FlushStart::Together(flush) => begun.push(flush),
            FlushStart::Alone => left.alone.push(log.clone()),
            FlushStart::Nothing => {}
        }
    }
    if begun.is_empty() {
        return left;
    }
    let Round {
        covered,
        alone,
        later,
        synced,
        is_part_full,
    } = directory.journal().write(begun);
    for flush in covered {
        if let Err(error) = flush.end(&synced) {
            tracing::error!(dir = %directory.path().display(), %error, "could not flush");
        }
    }
    left.alone.extend(alone.iter().map(|flush| flush.log().clone()));
    left.later.extend(later.iter().map(|flush| flush.log().clone()));
    left.is_part_full = is_part_full;
    left
}

/// The log tells its events of success and of failure; a failed one is offline.
fn flush(log: &Arc<PartitionLog>) {
    if let Err(error) = log.flush_all() {
        tracing::error!(log = %log.topic_partition(), %error, "could not flush");
    }
}
