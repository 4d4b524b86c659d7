//! When each request of an open loop is due, whatever the broker does.
//!
//! Protects the rule that a latency counts from when its request was due (no coordinated omission): the times follow from
//! the rate alone, so that a request that had to wait behind a slow answer counts its waiting.

use std::time::{Duration, Instant};

/// A rate, shared by connections in turn.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    start: Instant,
    requests_per_second: u64,
    connections: u64,
}

impl Schedule {
    /// Request `number` of all is due at `start` + `number` / rate and belongs to connection `number` mod `connections`.
    /// Both counts are at least 1.
    pub fn new(start: Instant, requests_per_second: u64, connections: u64) -> Self {
        Self {
            start,
            requests_per_second: requests_per_second.max(1),
            connections: connections.max(1),
        }
    }

    /// When a connection's request of that number, counted from zero, is due.
    pub fn due(&self, connection: u64, number: u64) -> Instant {
        let of_all = u128::from(number) * u128::from(self.connections) + u128::from(connection);
        let ns = of_all * 1_000_000_000 / u128::from(self.requests_per_second);
        let ns = u64::try_from(ns).unwrap_or(u64::MAX);
        self.start
            .checked_add(Duration::from_nanos(ns))
            .unwrap_or(self.start + FAR)
    }

    /// How many of a connection's requests are due before a moment.
    pub fn due_before(&self, connection: u64, moment: Instant) -> u64 {
        let Some(since) = moment.checked_duration_since(self.start) else {
            return 0;
        };
        // Request n is due before the moment if floor(n * 10^9 / rate) < since, or n * 10^9 < since * rate.
        let of_all = (since.as_nanos() * u128::from(self.requests_per_second)).div_ceil(1_000_000_000);
        let of_connection = of_all
            .saturating_sub(u128::from(connection))
            .div_ceil(u128::from(self.connections));
        u64::try_from(of_connection).unwrap_or(u64::MAX)
    }
}

/// Later than any run ends.
const FAR: Duration = Duration::from_secs(1 << 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_evenly_and_in_turn() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 1_000, 4);
        let at = |connection, number| schedule.due(connection, number) - start;
        assert_eq!(at(0, 0), Duration::ZERO);
        assert_eq!(at(1, 0), Duration::from_millis(1));
        assert_eq!(at(0, 1), Duration::from_millis(4));
        assert_eq!(at(3, 249), Duration::from_millis(999));
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_does_not_drift() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 7, 1);
        assert_eq!(schedule.due(0, 7_000_000) - start, Duration::from_secs(1_000_000));
    }

    #[test]
    fn what_is_due_before_a_moment_is_counted_as_it_is_due() {
        let start = Instant::now();
        for (rate, connections) in [(1_000, 4), (7, 3), (333, 1), (1_000_000_000, 5)] {
            let schedule = Schedule::new(start, rate, connections);
            for moment in [0, 1, 999, 142_857_142, 142_857_143, 1_000_000_000].map(Duration::from_nanos) {
                for connection in 0..connections {
                    let before = schedule.due_before(connection, start + moment);
                    assert!(schedule.due(connection, before) >= start + moment);
                    assert!(before == 0 || schedule.due(connection, before - 1) < start + moment);
                }
            }
        }
        assert_eq!(
            Schedule::new(start + Duration::from_secs(1), 5, 1).due_before(0, start),
            0
        );
    }
}
