//! Which stalls are written about: one a minute for each cause. All are counted.

use std::time::Duration;

use super::cause::Cause;

/// A cause's next line comes after this time.
const INTERVAL: Duration = Duration::from_secs(60);

/// When a stall of which cause was last written about.
#[derive(Default)]
pub(super) struct Lines([Line; Cause::ALL.len()]);

#[derive(Default)]
struct Line {
    last: Option<Duration>,
    unwritten: u64,
}

impl Lines {
    /// Whether a stall is due a line, and how many of the same cause had none since the last one.
    pub(super) fn due(&mut self, cause: Cause, now: Duration) -> Option<u64> {
        let line = &mut self.0[cause as usize];
        if line.last.is_some_and(|last| now.saturating_sub(last) < INTERVAL) {
            line.unwritten += 1;
            return None;
        }
        line.last = Some(now);
        Some(std::mem::take(&mut line.unwritten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_gets_one_line_a_minute_that_says_how_many_had_none() {
        let mut lines = Lines::default();
        let second = Duration::from_secs;
        assert_eq!(lines.due(Cause::Lock, second(7)), Some(0));
        assert_eq!(lines.due(Cause::Lock, second(8)), None);
        assert_eq!(lines.due(Cause::Lock, second(66)), None);
        assert_eq!(lines.due(Cause::Roll, second(66)), Some(0));
        assert_eq!(lines.due(Cause::Lock, second(67)), Some(2));
        assert_eq!(lines.due(Cause::Lock, second(127)), Some(0));
    }
}
