//! Tells the operator, once, that the wall clock was set by more than an hour, and once that it is right again.
//!
//! Nothing is deleted early meanwhile (rule C8, [`crate::clock`]); but what is written now carries wrong times, and what
//! only the step would make due stays on the disk until the clock is set back or the node starts again.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{error, info};

/// Smaller steps are what a time service does; rule C8 has the bound.
const MOST_STEP_MS: i64 = 3_600_000;

/// Whether the operator has been told.
#[derive(Debug, Default)]
pub struct StepAlarm {
    is_raised: AtomicBool,
}

/// What an observation changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Raised,
    Cleared,
}

impl StepAlarm {
    /// Looks at how far the wall clock was set since the node started, in milliseconds.
    pub fn look(&self, step_ms: i64) {
        let step_seconds = step_ms / 1_000;
        match self.change(step_ms) {
            Some(Change::Raised) => error!(
                step_seconds,
                "the wall clock was set by more than an hour: what is due by age alone because of that is not deleted until the clock is set back or the node starts again"
            ),
            Some(Change::Cleared) => info!(
                step_seconds,
                "the wall clock agrees again with the time that has passed"
            ),
            None => {}
        }
    }

    fn change(&self, step_ms: i64) -> Option<Change> {
        let is_far = step_ms.saturating_abs() > MOST_STEP_MS;
        match (self.is_raised.swap(is_far, Ordering::Relaxed), is_far) {
            (false, true) => Some(Change::Raised),
            (true, false) => Some(Change::Cleared),
            (false, false) | (true, true) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_more_than_an_hour_is_told_once_and_its_end_once() {
        let alarm = StepAlarm::default();
        let told: Vec<Option<Change>> = [0, MOST_STEP_MS, MOST_STEP_MS + 1, 86_400_000, -86_400_000, 0, 0]
            .map(|step_ms| alarm.change(step_ms))
            .into();
        assert_eq!(
            told,
            [
                None,
                None,
                Some(Change::Raised),
                None,
                None,
                Some(Change::Cleared),
                None
            ]
        );
    }
}
