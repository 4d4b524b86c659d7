//! What is under way to the peer: since when, and how much of it the socket has taken.
//!
//! Bytes are counted from the beginning of the connection. Answers that are given to the socket together are one send. A
//! send that is taken at once, as most are, is held nowhere; a later one is held until its last byte is taken, so that there are
//! no more of them than answers that wait.

use std::collections::VecDeque;

use protocol_compat::ApiKey;
use storage::stages::{Record, Stage};
use tokio::time::Instant;

use super::stages::StageMetrics;
use crate::stalls::{STALL, SendStall};

/// A send of which the socket has not taken all.
struct Late {
    end: u64,
    bytes: u64,
    since: Instant,
}

/// A sampled answer.
struct Sampled {
    end: u64,
    api_key: ApiKey,
    record: Box<Record>,
}

/// One write to the socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub(super) began: Instant,
    pub(super) ended: Instant,
    /// What the socket took.
    pub(super) written: usize,
    /// What it did not.
    pub(super) left: usize,
}

/// The sends of a connection.
#[derive(Default)]
pub(super) struct Sends {
    taken: u64,
    /// End of what the socket was given so far.
    given: u64,
    late: VecDeque<Late>,
    sampled: VecDeque<Sampled>,
}

impl Sends {
    /// A sampled answer is on its way; with it `waiting` bytes are.
    pub(super) fn sampled(&mut self, waiting: usize, api_key: ApiKey, mut record: Box<Record>) {
        record.enter(Stage::Send);
        self.sampled.push_back(Sampled {
            end: self.taken.saturating_add(waiting as u64),
            api_key,
            record,
        });
    }

    /// Notes a write: ends the records of what was taken, and tells of sends that took long.
    #[inline]
    pub(super) fn wrote(&mut self, write: Write, metrics: &StageMetrics, stalled: impl FnMut(SendStall)) {
        let is_whole = write.left == 0 && self.late.is_empty() && self.sampled.is_empty();
        if is_whole && write.ended - write.began < STALL {
            self.taken = self.taken.saturating_add(write.written as u64);
            self.given = self.taken;
        } else {
            self.wrote_late_or_sampled(write, metrics, stalled);
        }
    }

    fn wrote_late_or_sampled(
        &mut self,
        write: Write,
        metrics: &StageMetrics,
        mut stalled: impl FnMut(SendStall),
    ) {
        self.taken = self.taken.saturating_add(write.written as u64);
        while let Some(late) = self.late.pop_front_if(|late| late.end <= self.taken) {
            tell(&mut stalled, late.bytes, write.ended - late.since, true);
        }
        let end = self.taken.saturating_add(write.left as u64);
        let fresh = end.saturating_sub(self.given);
        self.given = end;
        if fresh > 0 && end <= self.taken {
            tell(&mut stalled, fresh, write.ended - write.began, false);
        } else if fresh > 0 {
            self.late.push_back(Late {
                end,
                bytes: fresh,
                since: write.began,
            });
        } else if self.late.is_empty() && self.late.capacity() > 0 {
            // A burst does not leave its list to an idle connection.
            self.late = VecDeque::new();
        }
        while let Some(sampled) = self.sampled.pop_front_if(|sampled| sampled.end <= self.taken) {
            metrics.observe(sampled.api_key, &sampled.record.end());
        }
    }
}

fn tell(stalled: &mut impl FnMut(SendStall), bytes: u64, took: std::time::Duration, waited_for_peer: bool) {
    if took >= STALL {
        stalled(SendStall {
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            took,
            waited_for_peer,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::Registry;

    use super::*;

    struct Peer {
        sends: Sends,
        metrics: StageMetrics,
        start: Instant,
    }

    impl Peer {
        fn new() -> Peer {
            Peer {
                sends: Sends::default(),
                metrics: StageMetrics::new(&Registry::new()).unwrap(),
                start: Instant::now(),
            }
        }

        /// A write between two moments in milliseconds; the sends that took long: bytes, milliseconds, and whether the peer
        /// made them wait.
        fn write(
            &mut self,
            (began, ended): (u64, u64),
            written: usize,
            left: usize,
        ) -> Vec<(usize, u128, bool)> {
            let at = |ms| self.start + Duration::from_millis(ms);
            let write = Write {
                began: at(began),
                ended: at(ended),
                written,
                left,
            };
            let mut told = Vec::new();
            self.sends.wrote(write, &self.metrics, |stall| {
                told.push((stall.bytes, stall.took.as_millis(), stall.waited_for_peer));
            });
            told
        }
    }

    #[test]
    fn a_send_that_is_taken_at_once_is_told_of_only_if_that_took_long() {
        let mut peer = Peer::new();
        assert_eq!(peer.write((0, 0), 100, 0), []);
        assert_eq!(peer.write((5, 7), 200, 0), [(200, 2, false)]);
        assert_eq!(peer.write((9, 9), 300, 0), []);
        assert_eq!(peer.sends.late.capacity(), 0);
    }

    #[test]
    fn a_send_that_waits_for_its_peer_counts_from_its_first_write() {
        let mut peer = Peer::new();
        assert_eq!(peer.write((0, 0), 40, 60), []);
        // Another answer joins it, and neither is taken.
        assert_eq!(peer.write((4, 4), 0, 70), []);
        assert_eq!(peer.write((7, 7), 65, 5), [(100, 7, true)]);
        assert_eq!(peer.write((8, 8), 5, 0), [(10, 4, true)]);
        assert_eq!(peer.write((9, 9), 5, 0), []);
        assert!(peer.sends.late.is_empty());
    }
}
