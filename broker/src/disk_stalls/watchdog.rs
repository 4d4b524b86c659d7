//! Who looks whether a worker is held by a disk.
//!
//! [`Watch`] is one look and what follows from it, without a clock or a thread; [`run`] looks every few milliseconds while
//! workers touch disks, and now and then while they do not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;

use super::slots::{self, Doing, Word};
use super::spares::Spares;
use super::{DiskStalls, HELD_AFTER, STALLED_AFTER};

/// Between two looks: a worker that is held is seen after 10 to 20 ms. Each look costs a wake-up, which is dear to a node that
/// has little to do.
const TICK: Duration = HELD_AFTER;
/// After so many looks without anything new the watchdog rests.
const QUIET_LOOKS: u32 = 10;
/// Between two looks while it rests. Not longer: one worker that is held is enough to stop a node that has little to do, if it
/// was the one that polls the sockets (tokio wakes no other for a single task).
const REST: Duration = Duration::from_millis(100);
/// So many calls began or ended between two looks of a rest: it is over.
const MANY_CHANGES: u64 = 20;
/// Spare workers stay out so long after the last stall: a disk that stalls once often does so again.
const OUT_AFTER_STALL: Duration = Duration::from_millis(100);
/// So many times after plugs have changed, a worker is woken to look for tasks that stand behind one.
const LOOKS_FOR_TASKS: u32 = 3;

/// What one look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Workers to be let out.
    pub(super) out: usize,
    /// So little has happened for so long that the next look may be later.
    pub(super) may_rest: bool,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Vec<(Word, Duration)>,
    out: usize,
    stalled_at: Option<Duration>,
    quiet_looks: u32,
}

impl Watch {
    /// Looks at all workers, and marks the directories that hold one. `doing` says what the thread of a slot does.
    pub(super) fn look(
        &mut self,
        stalls: &DiskStalls,
        now: Duration,
        doing: impl Fn(usize) -> Doing,
    ) -> Found {
        let mut changes = 0_u64;
        let mut long = Vec::new();
        for (at, word) in stalls.slots.words().enumerate() {
            let Some(seen) = self.seen.get_mut(at) else {
                self.seen.push((word, now));
                changes = changes.saturating_add(word.changes());
                continue;
            };
            if seen.0 != word {
                changes = changes.saturating_add(word.changes().saturating_sub(seen.0.changes()));
                *seen = (word, now);
                continue;
            }
            let inside = now.saturating_sub(seen.1);
            if word.is_inside() && inside >= HELD_AFTER {
                long.push((word, inside, doing(at)));
            }
        }
        let held = held(stalls, &long);
        let are_all_held = held.len() >= stalls.slots.workers();
        for (word, inside) in &held {
            if let Some(directory) = word.directory()
                && (are_all_held || *inside >= STALLED_AFTER)
            {
                stalls.mark(directory, now);
            }
        }
        let held = held.len();
        stalls.unmark_the_calm(now);
        self.decide(now, held);
        let fewest_changes = if self.rests() { MANY_CHANGES } else { 1 };
        let is_busy = changes >= fewest_changes
            || self.out > 0
            || stalls.stalling() > 0
            || stalls.slots.words().any(Word::is_inside);
        self.quiet_looks = if is_busy {
            0
        } else {
            self.quiet_looks.saturating_add(1)
        };
        Found {
            out: self.out,
            may_rest: self.rests(),
        }
    }

    fn rests(&self) -> bool {
        self.quiet_looks >= QUIET_LOOKS
    }

    /// For each worker that is held one comes out; none goes back before all have been free for a while.
    fn decide(&mut self, now: Duration, held: usize) {
        if held > 0 {
            self.stalled_at = Some(now);
            self.out = self.out.max(held);
        } else if self
            .stalled_at
            .is_some_and(|stalled| now.saturating_sub(stalled) >= OUT_AFTER_STALL)
        {
            self.stalled_at = None;
            self.out = 0;
        }
    }
}

/// Of the threads that are inside for long, those that a disk holds, each with its word and for how long. A thread that waits
/// for another one waits for a disk if any thread does; otherwise the other one may just have no processor, and only time
/// tells.
fn held(stalls: &DiskStalls, long: &[(Word, Duration, Doing)]) -> Vec<(Word, Duration)> {
    let is_disk_at_fault =
        stalls.stalling() > 0 || long.iter().any(|(_, _, doing)| *doing == Doing::WaitsForDisk);
    let is_held = |inside: Duration, doing| match doing {
        Doing::Runs => false,
        Doing::WaitsForDisk => true,
        Doing::Waits => is_disk_at_fault || inside >= STALLED_AFTER,
    };
    let held = long.iter().filter(|(_, inside, doing)| is_held(*inside, *doing));
    held.map(|(word, inside, _)| (*word, *inside)).collect()
}

/// Looks until the spare workers are let out for good.
pub(super) fn run(stalls: &Arc<DiskStalls>, spares: &Arc<Spares>, runtime: &Handle) {
    let doing = |at| stalls.slots.thread(at).map_or(Doing::Waits, slots::doing);
    let mut watch = Watch::default();
    let mut looks_for_tasks = LOOKS_FOR_TASKS;
    while !spares.is_closed() {
        let found = watch.look(stalls, stalls.clock.monotonic(), doing);
        if spares.let_out(found.out, runtime) {
            looks_for_tasks = LOOKS_FOR_TASKS;
        }
        if looks_for_tasks > 0 {
            looks_for_tasks -= 1;
            runtime.spawn(std::future::ready(()));
        }
        stalls.rests.store(found.may_rest, Ordering::Release);
        std::thread::park_timeout(if found.may_rest { REST } else { TICK });
    }
}
