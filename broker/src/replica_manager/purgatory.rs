//! Who waits for a partition: acknowledgements for a high watermark or a flush, and the watches of fetches for anything that
//! would change their answer.
//!
//! One list per partition, absent while nobody waits. Whoever moves an offset wakes those that it satisfies, after the
//! offset is visible and under the list's lock; whoever waits registers first and looks at the offset afterwards. Between
//! the two no wake-up is lost. Whoever holds a place on the list takes it off when dropped, so a cancelled request leaves
//! nothing behind. The list's lock also guards `L`, what decides on the offset, so that moving it takes one lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::watch::{ChangedPartitions, Watches};

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The high watermark reaches the first offset, and the durable end of the log the second.
    Acknowledged { committed: i64, flushed: i64 },
    /// The durable end of the log reaches this offset.
    Flushed(i64),
}

/// How far a partition has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub high_watermark: i64,
    /// Everything below is on the disk, in its segment or in the flush journal.
    pub durable_offset: i64,
}

impl Until {
    /// Whether a partition that has come this far ends the wait.
    pub(super) fn is_reached(self, progress: Progress) -> bool {
        match self {
            Until::Acknowledged { committed, flushed } => {
                progress.high_watermark >= committed && progress.durable_offset >= flushed
            }
            Until::Flushed(offset) => progress.durable_offset >= offset,
        }
    }
}

struct Waiter {
    until: Until,
    wake: Arc<Notify>,
}

#[derive(Default)]
struct Waiters {
    next_id: u64,
    /// Most partitions have one at most, which takes no memory of its own.
    first: Option<(u64, Waiter)>,
    others: BTreeMap<u64, Waiter>,
    watches: Watches,
}

impl Waiters {
    fn add(&mut self, waiter: Waiter) -> u64 {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        if self.first.is_none() {
            self.first = Some((id, waiter));
        } else {
            self.others.insert(id, waiter);
        }
        id
    }

    fn remove(&mut self, id: u64) {
        if self.first.as_ref().is_some_and(|(first, _)| *first == id) {
            self.first = None;
        } else {
            self.others.remove(&id);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Waiter> {
        let first = self.first.iter().map(|(_, waiter)| waiter);
        first.chain(self.others.values())
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len() + self.watches.awaited()
    }

    fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.is_empty() && self.watches.is_empty()
    }
}

/// The waiters of one partition: beside `L` a lock and a pointer while nobody waits.
pub(super) struct Purgatory<L> {
    state: Mutex<State<L>>,
}

struct State<L> {
    decides: L,
    waiters: Option<Box<Waiters>>,
    /// Which the watches were told of last.
    high_watermark: i64,
}

impl<L> Purgatory<L> {
    /// Nobody waits.
    pub(super) fn new(decides: L) -> Purgatory<L> {
        Purgatory {
            state: Mutex::new(State {
                decides,
                waiters: None,
                high_watermark: -1,
            }),
        }
    }

    /// Runs `advance` alone and wakes those whose wait it ended. Waiters stay listed until they leave by themselves.
    pub(super) fn advance(&self, advance: impl FnOnce(&mut L) -> Progress) {
        let mut state = self.state.lock();
        let progress = advance(&mut state.decides);
        let has_risen =
            std::mem::replace(&mut state.high_watermark, progress.high_watermark) != progress.high_watermark;
        if let Some(waiters) = state.waiters.as_deref_mut() {
            let reached = waiters.all().filter(|waiter| waiter.until.is_reached(progress));
            reached.for_each(|waiter| waiter.wake.notify_one());
            if has_risen {
                waiters.watches.tell();
            }
        }
    }

    /// Wakes everybody: the partition failed, was deleted, or has another leader.
    pub(super) fn wake_all(&self) {
        if let Some(waiters) = self.state.lock().waiters.as_deref_mut() {
            waiters.all().for_each(|waiter| waiter.wake.notify_one());
            waiters.watches.tell();
        }
    }

    /// Tells the watches alone: something that no acknowledgement waits for has changed.
    pub(super) fn tell_watches(&self) {
        if let Some(waiters) = self.state.lock().waiters.as_deref_mut() {
            waiters.watches.tell();
        }
    }

    /// Adds a watch, armed, that tells `changed` of `number`. Its place among the partition's watches.
    pub(super) fn watch(&self, changed: &Arc<ChangedPartitions>, number: u32) -> u32 {
        let mut state = self.state.lock();
        let waiters = state.waiters.get_or_insert_default();
        waiters.watches.add(changed, number)
    }

    /// Has a watch tell the next change.
    pub(super) fn arm(&self, place: u32) {
        if let Some(waiters) = self.state.lock().waiters.as_deref_mut() {
            waiters.watches.arm(place);
        }
    }

    /// Takes a watch away.
    pub(super) fn remove_watch(&self, place: u32) {
        self.change(|waiters| waiters.watches.remove(place));
    }

    /// Lists a waiter; `wake` remembers a wake-up that comes before it is awaited.
    pub(super) fn add(&self, until: Until, wake: Arc<Notify>) -> u64 {
        let mut state = self.state.lock();
        let waiters = state.waiters.get_or_insert_default();
        waiters.add(Waiter { until, wake })
    }

    /// Takes a waiter off the list.
    pub(super) fn remove(&self, id: u64) {
        self.change(|waiters| waiters.remove(id));
    }

    fn change(&self, take_off: impl FnOnce(&mut Waiters)) {
        let mut state = self.state.lock();
        if let Some(waiters) = state.waiters.as_deref_mut() {
            take_off(waiters);
            if waiters.is_empty() {
                state.waiters = None;
            }
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.state
            .lock()
            .waiters
            .as_deref()
            .map_or(0, |waiters| waiters.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(high_watermark: i64, durable_offset: i64) -> Progress {
        Progress {
            high_watermark,
            durable_offset,
        }
    }

    fn committed(offset: i64) -> Until {
        Until::Acknowledged {
            committed: offset,
            flushed: -1,
        }
    }

    #[tokio::test]
    async fn a_wake_up_before_the_wait_is_remembered() {
        let purgatory = Purgatory::new(());
        let wake = Arc::new(Notify::new());
        let id = purgatory.add(committed(5), wake.clone());
        purgatory.advance(|()| progress(5, 0));
        wake.notified().await;
        purgatory.remove(id);
        assert_eq!(purgatory.len(), 0);
        assert!(purgatory.state.lock().waiters.is_none());
    }

    #[test]
    fn each_wait_ends_at_its_own_offset() {
        assert!(committed(5).is_reached(progress(5, 0)));
        let both = Until::Acknowledged {
            committed: 5,
            flushed: 4,
        };
        assert!(both.is_reached(progress(5, 4)));
        assert!(!both.is_reached(progress(5, 3)) && !both.is_reached(progress(4, 4)));
        assert!(!Until::Flushed(5).is_reached(progress(9, 4)));
        assert!(Until::Flushed(5).is_reached(progress(0, 5)));
    }
}
