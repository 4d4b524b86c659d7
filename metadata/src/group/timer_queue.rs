//! The timers of a shard's groups: deadlines as data. The runtime asks for the earliest and comes back when it is due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a timer is for. Scheduling the same key again moves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerKey {
    /// A member (or pending member) must be heard of before it.
    Heartbeat(Arc<str>, Arc<str>),
    /// The join phase of a group ends.
    Join(Arc<str>),
    /// The members of a generation must have synced.
    Sync(Arc<str>),
}

impl TimerKey {
    /// The group that the timer belongs to.
    pub fn group_id(&self) -> &Arc<str> {
        match self {
            TimerKey::Heartbeat(group_id, _) | TimerKey::Join(group_id) | TimerKey::Sync(group_id) => {
                group_id
            }
        }
    }
}

/// What a fired timer must know beyond its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerEvent {
    /// The session of a member ends.
    HeartbeatExpired,
    /// The initial rebalance ends, or is prolonged by what remains.
    InitialRebalance {
        /// How long this round waited.
        delay_ms: i32,
        /// How much longer the group may wait in all.
        remaining_ms: i32,
    },
    /// The join phase ends with whoever is there.
    JoinExpired,
    /// The sync phase of this generation ends.
    SyncExpired {
        /// Ignored if the group is in another generation by then.
        generation: i32,
    },
}

/// Deadlines in order, each key at most once. Bounded by members plus two per group.
#[derive(Debug, Default)]
pub struct TimerQueue {
    by_key: BTreeMap<TimerKey, (i64, TimerEvent)>,
    by_deadline: BTreeSet<(i64, TimerKey)>,
}

impl TimerQueue {
    /// Sets or moves a timer.
    pub fn schedule(&mut self, key: TimerKey, deadline_ms: i64, event: TimerEvent) {
        self.cancel(&key);
        self.by_deadline.insert((deadline_ms, key.clone()));
        self.by_key.insert(key, (deadline_ms, event));
    }

    /// Removes a timer, if it is set.
    pub fn cancel(&mut self, key: &TimerKey) {
        if let Some((deadline_ms, _)) = self.by_key.remove(key) {
            self.by_deadline.remove(&(deadline_ms, key.clone()));
        }
    }

    /// When the earliest timer is due.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.by_deadline.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// Takes the earliest timer if it is due at `now_ms`.
    pub fn take_due(&mut self, now_ms: i64) -> Option<(TimerKey, TimerEvent)> {
        let (deadline_ms, _) = self.by_deadline.first()?;
        if *deadline_ms > now_ms {
            return None;
        }
        let (_, key) = self.by_deadline.pop_first()?;
        let (_, event) = self.by_key.remove(&key)?;
        Some((key, event))
    }

    /// Whether this timer is set.
    pub fn is_set(&self, key: &TimerKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheduling_again_moves_a_timer_and_cancelling_removes_it() {
        let mut queue = TimerQueue::default();
        let key = TimerKey::Join("g".into());
        queue.schedule(key.clone(), 10, TimerEvent::JoinExpired);
        queue.schedule(key.clone(), 20, TimerEvent::JoinExpired);
        assert_eq!(queue.take_due(19), None);
        assert_eq!(queue.take_due(20), Some((key.clone(), TimerEvent::JoinExpired)));
        queue.schedule(key.clone(), 5, TimerEvent::JoinExpired);
        queue.cancel(&key);
        assert!(queue.is_empty());
        assert_eq!(queue.next_deadline_ms(), None);
    }
}
