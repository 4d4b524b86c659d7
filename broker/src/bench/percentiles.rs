//! Durations of one kind of step, and where most of them lie.

use std::time::Duration;

use serde::Serialize;

/// What was counted, in nanoseconds each.
#[derive(Debug, Default)]
pub struct Durations(Vec<u64>);

/// Two points of a distribution, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of all steps took at most this long.
    pub p50_us: f64,
    /// All but a hundredth took at most this long.
    pub p99_us: f64,
}

impl Durations {
    /// Room for so many.
    pub fn with_capacity(steps: usize) -> Self {
        Self(Vec::with_capacity(steps))
    }

    /// Counts one step.
    pub fn push(&mut self, took: Duration) {
        self.0.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many were counted.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Nearest rank: each figure is one that was measured. Zero if nothing was.
    pub fn percentiles(mut self) -> Percentiles {
        self.0.sort_unstable();
        Percentiles {
            p50_us: self.nearest_rank(50),
            p99_us: self.nearest_rank(99),
        }
    }

    fn nearest_rank(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).map_or(0.0, |ns| *ns as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_microseconds(steps: impl IntoIterator<Item = u64>) -> Percentiles {
        let mut durations = Durations::default();
        for step in steps {
            durations.push(Duration::from_micros(step));
        }
        durations.percentiles()
    }

    #[test]
    fn percentiles_are_measured_values_in_any_order_of_arrival() {
        let found = of_microseconds((1..=200).rev());
        assert_eq!((found.p50_us, found.p99_us), (100.0, 198.0));
    }

    #[test]
    fn one_step_is_all_its_percentiles() {
        let found = of_microseconds([7]);
        assert_eq!((found.p50_us, found.p99_us), (7.0, 7.0));
    }

    #[test]
    fn the_slowest_of_a_hundred_is_beyond_the_99th() {
        let found = of_microseconds((0..99).map(|_| 1).chain([1000]));
        assert_eq!(found.p99_us, 1.0);
    }

    #[test]
    fn nothing_measured_is_zero() {
        let found = of_microseconds([]);
        assert_eq!((found.p50_us, found.p99_us), (0.0, 0.0));
    }
}
