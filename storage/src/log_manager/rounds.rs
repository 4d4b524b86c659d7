//! How many logs a sync of a whole file system should take along.
//!
//! Clients that wait for their answers come again soon after them. A sync that begins at once misses all but the first of
//! those, who then wait for that sync and for their own: syncs of few and of many take turns. A sync that waits until about as
//! many have come as take part in two rounds makes one round of the two.

use std::time::Duration;

/// The longest wait, as a part of what a sync takes: who would have been synced at once is answered later by no more than this.
const PATIENCE_PART: u32 = 4;
/// However long a sync takes.
const MOST_PATIENCE: Duration = Duration::from_millis(2);

/// What is known of the last rounds of a directory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rounds {
    /// Logs that the last sync took along, and that waited when it ended.
    wanted: usize,
    /// What the last sync took.
    sync: Duration,
}

impl Rounds {
    /// How many logs the next sync is to wait for, and how long at most.
    pub fn expected(&self) -> (usize, Duration) {
        // Some are always late.
        let wanted = self.wanted - self.wanted / 8;
        (wanted, (self.sync / PATIENCE_PART).min(MOST_PATIENCE))
    }

    /// A sync of so many logs has ended while so many others wait.
    pub fn end(&mut self, synced: usize, left_waiting: usize) {
        self.wanted = if synced + left_waiting > 1 {
            synced + left_waiting
        } else {
            0
        };
    }

    /// What a sync took.
    pub fn synced(&mut self, took: Duration) {
        self.sync = took;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_sync_waits_for_those_of_the_last_one_and_of_this_one() {
        let mut rounds = Rounds::default();
        assert_eq!(rounds.expected(), (0, Duration::ZERO));
        rounds.synced(Duration::from_micros(1_600));
        rounds.end(50, 14);
        assert_eq!(rounds.expected(), (56, Duration::from_micros(400)));
        rounds.end(10, 0);
        assert_eq!(rounds.expected().0, 9, "fewer have come: fewer are waited for");
        rounds.synced(Duration::from_millis(30));
        assert_eq!(rounds.expected().1, MOST_PATIENCE);
    }

    #[test]
    fn a_log_alone_waits_for_nobody() {
        let mut rounds = Rounds::default();
        rounds.synced(Duration::from_millis(1));
        rounds.end(1, 0);
        assert_eq!(rounds.expected().0, 0);
    }
}
