//! A bounded set of threads that sync logs for acknowledgements (rule S16).
//!
//! A log waits at most once, and one sync covers all that was written before it began, so that appends which arrive
//! while the disk is busy share the next sync (group commit). Where the file system can be synced as a whole, one thread
//! does so for all logs of a directory that wait: for four that takes as long as four syncs side by side, for forty-eight half
//! as long and a quarter of the processor. Otherwise each log is synced for itself, by as many threads as there are. They start
//! with the first request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::directory::Directory;
use crate::disk::Volume;
use crate::log::{BegunFlush, PartitionLog};

/// With more than this left to write on the machine no file system is synced as a whole: those who wait would wait for what is
/// not theirs. A tenth of a second on a disk that writes 700 MB/s.
const MOST_UNWRITTEN_BYTES: u64 = 64 << 20;

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
    /// Directories whose logs are being synced together.
    together: Vec<Arc<Directory>>,
    idle_threads: usize,
    is_closed: bool,
}

/// A log that waits, and the directory with whose logs it may be synced together.
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
}

impl Queue {
    /// Whether nobody syncs its directory.
    fn is_free(&self, waiting: &Waiting) -> bool {
        !self.together.iter().any(|directory| waiting.is_in(directory))
    }

    /// The log that waits longest, with all others of its directory where they can be synced together. While those of a
    /// directory are synced, what arrives for it waits: it is more by then.
    fn next(&mut self) -> Option<Work> {
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
            directory: directory.filter(|dir| dir.volume().is_some()).cloned(),
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
            } else if queue.is_closed && queue.logs.is_empty() {
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
            Work::Together(directory, logs) => {
                let flushed = flush_together(&directory, &logs);
                let alone = match &flushed {
                    Together::But(alone) => alone.as_slice(),
                    Together::TooMuchToWrite(_) => &logs,
                };
                let alone = alone.iter().cloned().map(|log| Waiting { log, directory: None });
                let mut queue = self.queue.lock();
                queue.together.retain(|other| !Arc::ptr_eq(other, &directory));
                let before = queue.logs.len();
                queue.logs.extend(alone);
                let is_more = queue.logs.len() > before;
                drop(queue);
                // This thread goes on with what arrived for the directory.
                if is_more {
                    self.changed.notify_all();
                }
                if let Together::TooMuchToWrite(volume) = flushed
                    && directory.begins_write_back()
                {
                    volume.write_back();
                }
            }
        }
    }
}

/// What came of a flush of many logs.
pub(super) enum Together<'a> {
    /// All were flushed but these, which want a flush of their own, or have failed.
    But(Vec<Arc<PartitionLog>>),
    /// None: others left too much in the page cache.
    TooMuchToWrite(&'a Volume),
}

/// Syncs the file system for those logs that only wait for content, or a single log for itself.
pub(super) fn flush_together<'a>(directory: &'a Directory, logs: &[Arc<PartitionLog>]) -> Together<'a> {
    let Some(volume) = directory.volume() else {
        return Together::But(logs.to_vec());
    };
    if let [only] = logs {
        flush(only);
        return Together::But(Vec::new());
    }
    let unwritten = volume.unwritten_bytes();
    if unwritten.is_none_or(|bytes| bytes > MOST_UNWRITTEN_BYTES) {
        return Together::TooMuchToWrite(volume);
    }
    let mut begun: Vec<BegunFlush<'_>> = Vec::with_capacity(logs.len());
    let mut alone = Vec::new();
    for log in logs {
        match log.begin_flush() {
            Some(flush) => begun.push(flush),
            None => alone.push(log.clone()),
        }
    }
    if let Some(last) = begun.last() {
        let synced = volume.sync(last.file());
        directory.ends_write_back();
        for flush in begun {
            if let Err(error) = flush.end(&synced) {
                tracing::error!(dir = %directory.path().display(), %error, "could not flush");
            }
        }
    }
    Together::But(alone)
}

/// The log tells its events of success and of failure; a failed one is offline.
fn flush(log: &Arc<PartitionLog>) {
    if let Err(error) = log.flush_all() {
        tracing::error!(log = %log.topic_partition(), %error, "could not flush");
    }
}
