//! The one writer of log, vote and purge record.
//!
//! Everything goes through one queue in the order in which it was asked for, so that a later write is never durable
//! before an earlier one (rule O2). Appends that wait together are written one after the other, flushed once, and
//! completed in order (rule O3). The first error is the last thing that the writer does: whatever follows gets the same
//! error, and no flush is tried again (rules S1 and S2).

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::seams::{QuorumStorage, WriterMode};

/// Called once, after the flush or instead of it.
pub(super) type Completion = Box<dyn FnOnce(io::Result<()>) + Send>;

type Reply = oneshot::Sender<io::Result<()>>;

pub(super) enum Job {
    Append {
        batches: Bytes,
        written: Reply,
        flushed: Completion,
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

/// The writer's front. Dropping it ends the thread after what was asked for.
pub(super) enum LogWriter {
    Thread {
        jobs: Option<Sender<Job>>,
        thread: Option<JoinHandle<()>>,
    },
    Inline(Mutex<Worker>),
}

impl LogWriter {
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(storage: &QuorumStorage) -> io::Result<LogWriter> {
        let worker = Worker {
            storage: storage.clone(),
            failed: None,
        };
        match storage.writer {
            WriterMode::Inline => Ok(LogWriter::Inline(Mutex::new(worker))),
            WriterMode::Thread => {
                let (jobs, queue) = channel();
                let thread = std::thread::Builder::new()
                    .name("quorum-log".to_owned())
                    .spawn(move || worker.run(&queue))?;
                Ok(LogWriter::Thread {
                    jobs: Some(jobs),
                    thread: Some(thread),
                })
            }
        }
    }

    /// Appends batches: returns when they can be read, calls `flushed` when they are durable.
    pub(super) async fn append(&self, batches: Bytes, flushed: Completion) -> io::Result<()> {
        self.ask(|written| Job::Append {
            batches,
            written,
            flushed,
        })
        .await
    }

    /// Returns when the vote is durable.
    pub(super) async fn save_vote(&self, record: Vec<u8>) -> io::Result<()> {
        self.ask(|done| Job::SaveVote { record, done }).await
    }

    /// Returns when the entries from `end` on are gone.
    pub(super) async fn truncate_to(&self, end: u64) -> io::Result<()> {
        self.ask(|done| Job::Truncate { end, done }).await
    }

    /// Makes the purge record durable, then lets go of the entries below `start` (rule O4).
    pub(super) async fn purge_to(&self, record: Vec<u8>, start: u64) -> io::Result<()> {
        self.ask(|done| Job::Purge { record, start, done }).await
    }

    async fn ask(&self, job: impl FnOnce(Reply) -> Job) -> io::Result<()> {
        let (reply, answer) = oneshot::channel();
        self.submit(job(reply))?;
        answer.await.unwrap_or_else(|_| Err(writer_is_gone()))
    }

    fn submit(&self, job: Job) -> io::Result<()> {
        match self {
            LogWriter::Inline(worker) => {
                let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
                worker.work(vec![job]);
                Ok(())
            }
            LogWriter::Thread { jobs, .. } => match jobs {
                Some(jobs) => jobs.send(job).map_err(|_| writer_is_gone()),
                None => Err(writer_is_gone()),
            },
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        if let LogWriter::Thread { jobs, thread } = self {
            *jobs = None;
            // A panic of the thread has already been reported to everyone who waited for it.
            thread.take().map(JoinHandle::join);
        }
    }
}

fn writer_is_gone() -> io::Error {
    io::Error::other("the writer of the Raft log has stopped")
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
                    reply(written, outcome);
                    unflushed.push(flushed);
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
            self.failed = Some(Arc::new(error));
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
