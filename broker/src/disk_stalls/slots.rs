//! Where each worker thread writes down that it is in a call that may wait for a disk.
//!
//! A word holds the directory in its low bits, 0 for none, and above them a count of the changes: a reader that sees the same
//! word twice knows that the thread has not left in between. Only the thread itself writes its word, so that plain stores do.

use std::cell::Cell;
use std::fs;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

use tokio::runtime::{Handle, RuntimeFlavor, worker_index};

use super::DirectoryIndex;
use crate::blocking;

const DIRECTORY_BITS: u32 = 16;
const DIRECTORY_MASK: u64 = (1 << DIRECTORY_BITS) - 1;
/// Inside, of a directory that is not known.
const UNKNOWN: u64 = 1;
/// The first known one.
const FIRST: u64 = 2;

/// Gives every table a number, so that a thread knows to which its slot belongs.
static TABLES: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The table in which this thread has a slot, and which one.
    static MINE: Cell<(u64, usize)> = const { Cell::new((0, 0)) };
}

/// For a thread that may have lost its worker to another one: which slot it has is to be found out anew.
pub(super) fn forget() {
    MINE.set((0, 0));
}

/// What one thread does. Two lines of the cache, because processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Slot {
    word: AtomicU64,
    /// The kernel's number of the thread; 0 where that is not known.
    thread: AtomicI32,
}

/// The slots of a runtime: one for each worker, whatever thread it runs on at the moment, and some that other threads take as
/// they come.
#[derive(Debug)]
pub(super) struct Slots {
    table: u64,
    slots: Box<[Slot]>,
    /// Slots of the runtime's workers, the first ones.
    of_workers: usize,
    /// Slots that other threads have taken, behind those.
    taken: AtomicUsize,
    /// How many threads serve clients at a time.
    workers: usize,
}

/// A thread is inside as long as this lives.
#[derive(Debug)]
#[must_use = "the call is over when this is dropped"]
pub struct Inside<'a> {
    /// The slot, and the directory of the call around this one.
    slot: Option<(&'a Slot, u64)>,
}

impl Slots {
    /// For a runtime of `of_workers` workers, `workers` of which serve clients at a time, and so many other threads.
    pub(super) fn new(workers: usize, of_workers: usize, others: usize) -> Slots {
        let slot = |_| Slot {
            word: AtomicU64::new(0),
            thread: AtomicI32::new(0),
        };
        Slots {
            table: TABLES.fetch_add(1, Ordering::Relaxed),
            slots: (0..of_workers + others).map(slot).collect(),
            of_workers,
            taken: AtomicUsize::new(0),
            workers,
        }
    }

    pub(super) fn enter(&self, directory: Option<DirectoryIndex>) -> Inside<'_> {
        let low = directory.map_or(UNKNOWN, |directory| u64::from(directory.0) + FIRST);
        Inside {
            slot: self.mine().map(|slot| (slot, slot.change(low))),
        }
    }

    fn mine(&self) -> Option<&Slot> {
        let (table, at) = MINE.get();
        if table == self.table {
            self.slots.get(at)
        } else {
            self.take()
        }
    }

    /// A thread that may block has no slot: nobody waits for it.
    #[cold]
    fn take(&self) -> Option<&Slot> {
        if self.slots.is_empty() || blocking::is_on_this_thread() {
            return None;
        }
        let at = this_worker()
            .filter(|index| *index < self.of_workers)
            .unwrap_or_else(|| self.of_workers + self.taken.fetch_add(1, Ordering::AcqRel));
        MINE.set((self.table, at));
        let slot = self.slots.get(at)?;
        slot.thread.store(this_thread().unwrap_or(0), Ordering::Relaxed);
        Some(slot)
    }

    fn in_use(&self) -> &[Slot] {
        let used = self.of_workers.saturating_add(self.taken.load(Ordering::Acquire));
        self.slots.get(..used.min(self.slots.len())).unwrap_or_default()
    }

    /// How many threads serve clients at a time.
    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    /// Whether as many threads are inside as serve clients at a time.
    pub(super) fn are_all_inside(&self) -> bool {
        let slots = self.in_use();
        let Some(mut may_be_outside) = slots.len().checked_sub(self.workers) else {
            return false;
        };
        for slot in slots {
            if slot.word.load(Ordering::Relaxed) & DIRECTORY_MASK != 0 {
                continue;
            }
            match may_be_outside.checked_sub(1) {
                Some(left) => may_be_outside = left,
                None => return false,
            }
        }
        true
    }

    /// The words of all slots that are in use.
    pub(super) fn words(&self) -> impl Iterator<Item = Word> + '_ {
        let slots = self.in_use().iter();
        slots.map(|slot| Word(slot.word.load(Ordering::Acquire)))
    }

    /// The kernel's number of the thread that has a slot.
    pub(super) fn thread(&self, at: usize) -> Option<i32> {
        let thread = self.slots.get(at)?.thread.load(Ordering::Relaxed);
        (thread != 0).then_some(thread)
    }
}

impl Slot {
    /// Puts another directory in the word, and answers the one that was there.
    fn change(&self, low: u64) -> u64 {
        let before = self.word.load(Ordering::Relaxed);
        let changes = (before >> DIRECTORY_BITS).wrapping_add(1);
        self.word
            .store((changes << DIRECTORY_BITS) | low, Ordering::Release);
        before & DIRECTORY_MASK
    }
}

impl Inside<'_> {
    /// Whether anybody watches.
    pub(super) fn is_written_down(&self) -> bool {
        self.slot.is_some()
    }

    /// Whether it is written down where the watchdog looks for this thread.
    #[cfg(test)]
    pub(super) fn is_written_down_for_this_thread(&self) -> bool {
        let thread = this_thread();
        self.slot
            .is_some_and(|(slot, _)| Some(slot.thread.load(Ordering::Relaxed)) == thread)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if let Some((slot, around)) = self.slot {
            slot.change(around);
        }
    }
}

/// What a thread's word says at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u64);

impl Word {
    /// How often the thread has gone inside or outside.
    pub(super) fn changes(self) -> u64 {
        self.0 >> DIRECTORY_BITS
    }

    pub(super) fn is_inside(self) -> bool {
        self.0 & DIRECTORY_MASK != 0
    }

    /// The directory that the thread is inside of, if it is known.
    pub(super) fn directory(self) -> Option<DirectoryIndex> {
        let index = (self.0 & DIRECTORY_MASK).checked_sub(FIRST)?;
        u16::try_from(index).ok().map(DirectoryIndex)
    }
}

/// Which of the node's workers the calling thread is: a runtime of one thread, which numbers its worker too, is none of them.
fn this_worker() -> Option<usize> {
    let flavor = Handle::try_current().ok()?.runtime_flavor();
    worker_index().filter(|_| flavor == RuntimeFlavor::MultiThread)
}

fn this_thread() -> Option<i32> {
    fs::read_link("/proc/thread-self")
        .ok()?
        .file_name()?
        .to_str()?
        .parse()
        .ok()
}

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// It has a processor, or would run if it had: it waits for no disk, however long its call takes.
    Runs,
    /// It waits in the kernel for what is not to be interrupted: a disk (`D`).
    WaitsForDisk,
    /// It waits for another thread, or the kernel does not tell.
    Waits,
}

/// What a thread of this process is doing, as the kernel tells it (proc_pid_stat(5)).
pub(super) fn doing(thread: i32) -> Doing {
    let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
    // The name stands in brackets and may hold anything, the state behind the last one.
    let state = stat
        .ok()
        .and_then(|stat| stat.rsplit(')').next()?.trim_start().chars().next());
    match state {
        Some('R') => Doing::Runs,
        Some('D') => Doing::WaitsForDisk,
        _ => Doing::Waits,
    }
}
