//! Tells a fetch which of its partitions changed, so that it need not look at the others.
//!
//! A watch stands in its partition's purgatory and tells once; then it is silent until it is armed again. Whoever arms it
//! reads the partition afterwards, so that no change is missed. A change is whatever may change the answer to a fetch that
//! has read to the high watermark: the high watermark or the log start offset moved, the leader epoch rose, the log failed,
//! the partition was deleted. What the change was is not told.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The partitions that changed, by the numbers that their watches were given.
#[derive(Default)]
pub struct ChangedPartitions {
    state: Mutex<Changed>,
}

#[derive(Default)]
struct Changed {
    /// One number stands here as often as its watch was armed, at most.
    numbers: Vec<u32>,
    wake: Option<Arc<Notify>>,
}

impl ChangedPartitions {
    fn tell(&self, number: u32) {
        let mut state = self.state.lock();
        state.numbers.push(number);
        if let Some(wake) = &state.wake {
            wake.notify_one();
        }
    }

    /// Takes what was told.
    pub fn take(&self) -> Vec<u32> {
        std::mem::take(&mut self.state.lock().numbers)
    }

    /// Wakes `wake` with each change from now on, and at once if there are some. Whoever waited before is woken for the last
    /// time.
    pub(super) fn wait(self: &Arc<Self>, wake: &Arc<Notify>) -> AwaitedChanges {
        let mut state = self.state.lock();
        if let Some(before) = state.wake.replace(wake.clone()) {
            before.notify_one();
        }
        if !state.numbers.is_empty() {
            wake.notify_one();
        }
        AwaitedChanges {
            changed: self.clone(),
            wake: wake.clone(),
        }
    }

    fn is_awaited(&self) -> bool {
        self.state.lock().wake.is_some()
    }
}

/// A fetch that waits for changes, until this is dropped.
pub(super) struct AwaitedChanges {
    changed: Arc<ChangedPartitions>,
    wake: Arc<Notify>,
}

impl Drop for AwaitedChanges {
    fn drop(&mut self) {
        let mut state = self.changed.state.lock();
        if state
            .wake
            .as_ref()
            .is_some_and(|wake| Arc::ptr_eq(wake, &self.wake))
        {
            state.wake = None;
        }
    }
}

/// The watches of one partition. A place stays the same while its watch is there.
#[derive(Default)]
pub(super) struct Watches {
    places: Vec<Option<Watch>>,
}

struct Watch {
    changed: Arc<ChangedPartitions>,
    number: u32,
    is_armed: bool,
}

impl Watches {
    pub(super) fn add(&mut self, changed: &Arc<ChangedPartitions>, number: u32) -> u32 {
        let watch = Some(Watch {
            changed: changed.clone(),
            number,
            is_armed: true,
        });
        let free = self.places.iter().position(Option::is_none);
        let place = free.unwrap_or(self.places.len());
        match self.places.get_mut(place) {
            Some(free) => *free = watch,
            None => {
                if self.places.is_empty() {
                    // Most partitions have one consumer.
                    self.places.reserve_exact(1);
                }
                self.places.push(watch);
            }
        }
        u32::try_from(place).expect("a partition has no four thousand million watches")
    }

    pub(super) fn arm(&mut self, place: u32) {
        if let Some(Some(watch)) = self.places.get_mut(place as usize) {
            watch.is_armed = true;
        }
    }

    pub(super) fn remove(&mut self, place: u32) {
        if let Some(watch) = self.places.get_mut(place as usize) {
            *watch = None;
        }
        while self.places.last().is_some_and(Option::is_none) {
            self.places.pop();
        }
    }

    pub(super) fn tell(&mut self) {
        for watch in self.places.iter_mut().flatten().filter(|watch| watch.is_armed) {
            watch.is_armed = false;
            watch.changed.tell(watch.number);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many belong to a fetch that waits now.
    pub(super) fn awaited(&self) -> usize {
        let watches = self.places.iter().flatten();
        watches.filter(|watch| watch.changed.is_awaited()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_tells_once_until_it_is_armed_again() {
        let changed = Arc::new(ChangedPartitions::default());
        let mut watches = Watches::default();
        let places = [watches.add(&changed, 7), watches.add(&changed, 8)];
        watches.tell();
        watches.tell();
        assert_eq!(changed.take(), [7, 8]);
        watches.arm(places[1]);
        watches.tell();
        assert_eq!(changed.take(), [8]);
    }

    #[test]
    fn a_place_keeps_its_number_while_others_come_and_go() {
        let changed = Arc::new(ChangedPartitions::default());
        let mut watches = Watches::default();
        let places: Vec<u32> = (0..3).map(|number| watches.add(&changed, number)).collect();
        watches.remove(places[0]);
        assert_eq!(watches.add(&changed, 9), places[0]);
        watches.remove(places[1]);
        watches.tell();
        assert_eq!(changed.take(), [9, 2]);
        watches.remove(places[2]);
        watches.remove(places[0]);
        assert!(watches.is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_learns_of_changes_before_and_after() {
        let changed = Arc::new(ChangedPartitions::default());
        let wakes = [Arc::new(Notify::new()), Arc::new(Notify::new())];
        changed.tell(1);
        let first = changed.wait(&wakes[0]);
        wakes[0].notified().await;
        assert_eq!(changed.take(), [1]);
        let _second = changed.wait(&wakes[1]);
        wakes[0].notified().await;
        drop(first);
        assert!(changed.is_awaited(), "by the second");
        changed.tell(2);
        wakes[1].notified().await;
    }
}
