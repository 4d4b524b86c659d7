//! The one writer of log, vote and purge record.
//!
//! Everything goes through one queue in the order in which it was asked for, so that a later write is never durable
//! before an earlier one (rule O2). Appends that wait together are written one after the other, flushed once, and
//! completed in order (rule O3). The first error is the last thing that the writer does: whatever follows gets the same
//! error, and no flush is tried again (rules S1 and S2). Only want of room is no such error (rule S15): a write that met
//! it waits until there is room, and with it whoever asked, who asks for nothing else meanwhile.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use protocol_compat::record_batch::batch::RecordBatch;
use tokio::sync::oneshot;

use super::seams::{QuorumStorage, WriterMode};

/// Called once, after the flush or instead of it.
pub(super) type Completion = Box<dyn FnOnce(io::Result<()>) + Send>;

type Reply = oneshot::Sender<io::Result<()>>;

pub(super) enum Job {
    Append {
        batches: Bytes,
        written: Reply,
        /// Taken when the batches are written.
        flushed: Arc<Mutex<Option<Completion>>>,
    },
    SaveVote {
        record: Vec<u8>,
        done: Reply,
    },
    Truncate {
        end: u64,
        done: Reply,
    },
    Purge {
        record: Vec<u8>,
        start: u64,
        done: Reply,
    },
}

/// How many appends share a flush at most; bounds the wait of the first of them.
const APPENDS_PER_FLUSH: usize = 256;

/// How often a disk without room is tried again: nothing tells that it has some.
pub(super) const ROOM_POLL: Duration = Duration::from_millis(250);

/// Ends the wait for room: the node stops. Cloning it yields the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Stopping(Arc<AtomicBool>);

impl Stopping {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The writer's front. Dropping it ends the thread after what was asked for.
pub(super) struct LogWriter {
    worker: Front,
    storage: QuorumStorage,
    stopping: Stopping,
}

enum Front {
    Thread {
        jobs: Option<Sender<Job>>,
        thread: Option<JoinHandle<()>>,
    },
    Inline(Mutex<Worker>),
}

impl LogWriter {
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(storage: &QuorumStorage, stopping: Stopping) -> io::Result<LogWriter> {
        let worker = Worker {
            storage: storage.clone(),
            failed: None,
        };
        let worker = match storage.writer {
            WriterMode::Inline => Front::Inline(Mutex::new(worker)),
            WriterMode::Thread => {
                let (jobs, queue) = channel();
                let thread = std::thread::Builder::new()
                    .name("quorum-log".to_owned())
                    .spawn(move || worker.run(&queue))?;
                Front::Thread {
                    jobs: Some(jobs),
                    thread: Some(thread),
                }
            }
        };
        Ok(LogWriter {
            worker,
            storage: storage.clone(),
            stopping,
        })
    }

    /// Appends batches: returns when they can be read, calls `flushed` when they are durable.
    pub(super) async fn append(&self, batches: Bytes, flushed: Completion) -> io::Result<()> {
        let flushed = Arc::new(Mutex::new(Some(flushed)));
        self.ask(|written| Job::Append {
            batches: missing(&batches, self.storage.log.end()),
            written,
            flushed: flushed.clone(),
        })
        .await
    }

    /// Returns when the vote is durable.
    pub(super) async fn save_vote(&self, record: Vec<u8>) -> io::Result<()> {
        self.ask(|done| Job::SaveVote {
            record: record.clone(),
            done,
        })
        .await
    }

    /// Returns when the entries from `end` on are gone.
    pub(super) async fn truncate_to(&self, end: u64) -> io::Result<()> {
        self.ask(|done| Job::Truncate { end, done }).await
    }

    /// Makes the purge record durable, then lets go of the entries below `start` (rule O4).
    pub(super) async fn purge_to(&self, record: Vec<u8>, start: u64) -> io::Result<()> {
        self.ask(|done| Job::Purge {
            record: record.clone(),
            start,
            done,
        })
        .await
    }

    /// Has a job done, again and again while the disk has no room for it.
    async fn ask(&self, job: impl Fn(Reply) -> Job) -> io::Result<()> {
        let mut is_told = false;
        loop {
            let (reply, answer) = oneshot::channel();
            self.submit(job(reply))?;
            match answer.await.unwrap_or_else(|_| Err(writer_is_gone())) {
                Err(error) if is_no_space(&error) && !self.stopping.is_set() => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::error!("metadata changes wait until there is room: {error}");
                    }
                    tokio::time::sleep(ROOM_POLL).await;
                }
                outcome => return outcome,
            }
        }
    }

    fn submit(&self, job: Job) -> io::Result<()> {
        match &self.worker {
            Front::Inline(worker) => {
                let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
                worker.work(vec![job]);
                Ok(())
            }
            Front::Thread { jobs, .. } => match jobs {
                Some(jobs) => jobs.send(job).map_err(|_| writer_is_gone()),
                None => Err(writer_is_gone()),
            },
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Front::Thread { jobs, thread } = self {
            *jobs = None;
            // A panic of the thread has already been reported to everyone who waited for it.
            thread.take().map(JoinHandle::join);
        }
    }
}

fn writer_is_gone() -> io::Error {
    io::Error::other("the writer of the Raft log has stopped")
}

/// Whether there only was no room.
pub(super) fn is_no_space(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StorageFull
}

/// The batches that a log that ends at `end` does not have: some of them may have been written before the room ended.
fn missing(batches: &Bytes, end: u64) -> Bytes {
    let mut rest = batches.clone();
    while let Ok((batch, _)) = RecordBatch::split_first(&rest)
        && u64::try_from(batch.base_offset()).is_ok_and(|offset| offset < end)
    {
        let size = batch.size_bytes();
        drop(rest.split_to(size));
    }
    rest
}

pub(super) struct Worker {
    storage: QuorumStorage,
    failed: Option<Arc<io::Error>>,
}

impl Worker {
    fn run(mut self, queue: &Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let mut jobs = vec![first];
            jobs.extend(queue.try_iter().take(APPENDS_PER_FLUSH - 1));
            self.work(jobs);
        }
    }

    /// Does the jobs in order, with one flush for each run of appends.
    fn work(&mut self, jobs: Vec<Job>) {
        let mut unflushed: Vec<Completion> = Vec::new();
        for job in jobs {
            if !matches!(job, Job::Append { .. }) {
                self.flush(&mut unflushed);
            }
            match job {
                Job::Append {
                    batches,
                    written,
                    flushed,
                } => {
                    let outcome = self.attempt(|storage| storage.log.append(batches));
                    let is_refused = outcome.as_ref().is_err_and(is_no_space);
                    reply(written, outcome);
                    if !is_refused {
                        unflushed.extend(flushed.lock().unwrap_or_else(PoisonError::into_inner).take());
                    }
                }
                Job::SaveVote { record, done } => {
                    let outcome = self.attempt(|storage| storage.vote.replace(&record));
                    reply(done, outcome);
                }
                Job::Truncate { end, done } => {
                    let outcome = self.attempt(|storage| storage.log.truncate_to(end));
                    reply(done, outcome);
                }
                Job::Purge { record, start, done } => {
                    let outcome = self.attempt(|storage| {
                        storage.purged.replace(&record)?;
                        storage.log.purge_to(start)
                    });
                    reply(done, outcome);
                }
            }
        }
        self.flush(&mut unflushed);
    }

    fn flush(&mut self, unflushed: &mut Vec<Completion>) {
        if unflushed.is_empty() {
            return;
        }
        let outcome = self.attempt(|storage| storage.log.flush());
        for completion in unflushed.drain(..) {
            completion(match &outcome {
                Ok(()) => Ok(()),
                Err(error) => Err(again(error)),
            });
        }
    }

    fn attempt(&mut self, write: impl FnOnce(&QuorumStorage) -> io::Result<()>) -> io::Result<()> {
        if let Some(failed) = &self.failed {
            return Err(again(failed));
        }
        write(&self.storage).map_err(|error| {
            let answer = again(&error);
            if !is_no_space(&error) {
                self.failed = Some(Arc::new(error));
            }
            answer
        })
    }
}

/// The same error once more; `io::Error` cannot be cloned.
fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// Whoever asked may have been dropped; the write stands all the same.
fn reply(to: Reply, outcome: io::Result<()>) {
    if let Err(Err(error)) = to.send(outcome) {
        tracing::error!("a write to the Raft log failed and nobody waited for it: {error}");
    }
}
