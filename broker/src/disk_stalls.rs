//! Log directories whose disk stalls, and how everything else goes on meanwhile (rule S16).
//!
//! ```text
//!   worker: enter -> append or read -> leave      a word in the thread's own cache line, nothing else
//!   watchdog: the same word for 10 ms?  ->  a spare worker comes out of its plug
//!   all workers are held, or one for 50 ms  ->  the directory stalls
//!   stalling directory: what touches it is done aside, on a bounded number of threads that may block
//!   no slow call for a while: the mark is taken away, the spare workers are plugged again
//! ```
//!
//! Appends and reads are done on the worker threads that serve clients, because a hand-over costs more than they do. A disk
//! that stalls would hold every worker that touches it, and with the last of them the whole node. What keeps the order of
//! requests while work is done aside is the handlers' matter: a connection begins nothing behind a Produce that is aside.

mod directory;
mod directory_watch;
mod node_runtime;
mod slots;
mod spares;
#[cfg(test)]
mod tests;
mod watchdog;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use self::directory::Directory;
pub use self::directory_watch::DirectoryWatch;
pub use self::node_runtime::NodeRuntime;
pub use self::slots::Inside;
use self::slots::Slots;
use crate::blocking;
use crate::clock::Clock;

/// A worker that a disk holds for so long is missed by the clients that wait for it.
const HELD_AFTER: Duration = Duration::from_millis(10);
/// A call that takes so long is a stall, whoever else works. Shorter ones are part of a disk's life: the kernel itself lets
/// writers wait for some ten milliseconds where they outrun the disk, and work aside costs each request 15 us.
const STALLED_AFTER: Duration = Duration::from_millis(50);

/// The place of a log directory in the table of those that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirectoryIndex(u16);

/// What the workers do on the disks, and which log directories stall.
pub struct DiskStalls {
    clock: Clock,
    slots: Slots,
    directories: Box<[Directory]>,
    /// How many directories are marked.
    stalling: AtomicUsize,
    /// How many marks were made.
    marks: AtomicU64,
    watchdog: OnceLock<Thread>,
    /// The watchdog looks now and then only.
    rests: AtomicBool,
}

impl fmt::Debug for DiskStalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskStalls({} of {})", self.stalling(), self.directories.len())
    }
}

impl DiskStalls {
    /// Watches nothing: every call is done where it is made. For a simulated node, and for tests.
    pub fn unwatched() -> Arc<DiskStalls> {
        DiskStalls::of(Clock::real(), Slots::new(0, 0, 0), &[])
    }

    /// For the threads that have these slots, and these log directories.
    fn of(clock: Clock, slots: Slots, directories: &[PathBuf]) -> Arc<DiskStalls> {
        Arc::new(DiskStalls {
            clock,
            slots,
            directories: directories.iter().map(|path| Directory::new(path)).collect(),
            stalling: AtomicUsize::new(0),
            marks: AtomicU64::new(0),
            watchdog: OnceLock::new(),
            rests: AtomicBool::new(false),
        })
    }

    /// The log directory at `path`, if it is watched.
    pub fn directory(&self, path: &Path) -> Option<DirectoryIndex> {
        let at = self.directories.iter().position(|known| known.path() == path)?;
        u16::try_from(at).ok().map(DirectoryIndex)
    }

    /// The calling thread touches a log directory, or one that is not known, until the result is dropped. Two stores into the
    /// thread's own cache line and one look at a word that hardly ever changes.
    pub fn enter(&self, directory: Option<DirectoryIndex>) -> Inside<'_> {
        let inside = self.slots.enter(directory);
        if inside.is_written_down() && self.rests.load(Ordering::Relaxed) {
            self.wake_if_all_are_inside();
        }
        inside
    }

    /// Only the last worker that goes inside wakes the watchdog, so that a node with little to do pays nothing. One that is
    /// held alone is found at the next look.
    #[cold]
    fn wake_if_all_are_inside(&self) {
        // Of two workers that go inside at the same moment one sees the other.
        fence(Ordering::SeqCst);
        if self.slots.are_all_inside()
            && self.rests.swap(false, Ordering::AcqRel)
            && let Some(watchdog) = self.watchdog.get()
        {
            watchdog.unpark();
        }
    }

    /// How many log directories are marked as stalling.
    pub fn stalling(&self) -> usize {
        self.stalling.load(Ordering::Relaxed)
    }

    /// How often a log directory was marked since the start.
    pub fn marks(&self) -> u64 {
        self.marks.load(Ordering::Relaxed)
    }

    /// Those of `touched` that stall, each once and in ascending order; `None` stands for one that is not known, which may
    /// be any that stalls. Costs one look where none does.
    pub fn stalling_among(
        &self,
        touched: impl IntoIterator<Item = Option<DirectoryIndex>>,
    ) -> Vec<DirectoryIndex> {
        if self.stalling() == 0 {
            return Vec::new();
        }
        let mut found = Vec::new();
        for directory in touched {
            match directory {
                Some(directory) => found.push(directory),
                None => found.extend((0..).take(self.directories.len()).map(DirectoryIndex)),
            }
        }
        found.retain(|directory| self.get(*directory).is_some_and(Directory::is_stalling));
        found.sort_unstable();
        found.dedup();
        found
    }

    fn get(&self, directory: DirectoryIndex) -> Option<&Directory> {
        self.directories.get(usize::from(directory.0))
    }

    /// Does `work`, which touches these directories, on a thread that may block, once each of them has one to spare. Those
    /// who wait hold no thread.
    pub async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        directories: Vec<DirectoryIndex>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let mut permits = Vec::with_capacity(directories.len());
        // In ascending order: no two can wait for each other.
        for directory in &directories {
            if let Some(directory) = self.get(*directory) {
                permits.push(directory.permit().await);
            }
        }
        let stalls = self.clone();
        let done = blocking::spawn(move || {
            let _permits = permits;
            stalls.timed(&directories, work)
        });
        match done.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is gone, and with it whoever waits here.
                Err(_) => std::future::pending().await,
            },
        }
    }

    fn timed<T>(&self, directories: &[DirectoryIndex], work: impl FnOnce() -> T) -> T {
        let touched = || directories.iter().filter_map(|directory| self.get(*directory));
        let began = self.clock.monotonic();
        touched().for_each(|directory| directory.call_begins(began));
        let done = work();
        let ended = self.clock.monotonic();
        touched().for_each(|directory| directory.call_ended(began, ended));
        done
    }

    /// Marks a directory in which a call has stalled.
    fn mark(&self, directory: DirectoryIndex, now: Duration) {
        if let Some(directory) = self.get(directory)
            && directory.mark(now)
        {
            self.stalling.fetch_add(1, Ordering::Relaxed);
            self.marks.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes the mark from every directory that has been quick for long enough.
    fn unmark_the_calm(&self, now: Duration) {
        for directory in &self.directories {
            if directory.is_stalling() && directory.unmark_if_calm(now) {
                self.stalling.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}
