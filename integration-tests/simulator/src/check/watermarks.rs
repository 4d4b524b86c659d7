//! High watermark, last stable offset and log start as clients see them: none goes back, and nothing is served above.
//!
//! Answers overtake each other, so what was known when a request was *sent* is what its answer is held against.

use super::removal::Removal;
use super::violation::Violation;

/// What is known of a partition's ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floors {
    /// The high watermark is at least this.
    pub high_watermark: i64,
    /// The log starts here or later.
    pub log_start: i64,
}

/// What an answer said. Each is left out where the answer does not have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The high watermark.
    pub high_watermark: Option<i64>,
    /// The last stable offset.
    pub last_stable_offset: Option<i64>,
    /// The log start offset.
    pub log_start: Option<i64>,
}

impl Floors {
    /// An answer to a request that was sent when `at_send` was known.
    pub fn seen(
        &mut self,
        name: &str,
        at_send: Floors,
        ends: Ends,
        removal: Removal,
        out: &mut Vec<Violation>,
    ) {
        let mut wrong = |guarantee, anomaly, what| out.push(Violation::new(guarantee, anomaly, what));
        if let Some(high) = ends.high_watermark {
            if high < at_send.high_watermark {
                let what = format!("{name}: high watermark {high} after {}", at_send.high_watermark);
                wrong("G4", "high-watermark-regression", what);
            }
            if ends.last_stable_offset.is_some_and(|stable| stable != high) {
                let what = format!(
                    "{name}: last stable offset {:?} at high watermark {high}",
                    ends.last_stable_offset
                );
                wrong("G4", "last-stable-offset", what);
            }
            if ends.log_start.is_some_and(|start| start > high) {
                let what = format!(
                    "{name}: log start {:?} above high watermark {high}",
                    ends.log_start
                );
                wrong("G4", "log-start", what);
            }
            self.high_watermark = self.high_watermark.max(high);
        }
        if let Some(start) = ends.log_start {
            if start < at_send.log_start {
                let what = format!("{name}: log start {start} after {}", at_send.log_start);
                wrong("G4", "log-start-regression", what);
            }
            if !removal.allows_start(start) {
                let what = format!("{name} starts at {start}, and nothing may have removed what was below");
                wrong("G1", "lost-write", what);
            }
            self.log_start = self.log_start.max(start);
        }
    }

    /// An acknowledged append with all replicas: the high watermark has passed it.
    pub fn acked_to(&mut self, end: i64) {
        self.high_watermark = self.high_watermark.max(end);
    }
}
