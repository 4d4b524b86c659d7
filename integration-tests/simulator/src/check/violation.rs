//! What a check reports: which promise was broken, and how.

use std::fmt;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The guarantee, `G1` to `G16`.
    pub guarantee: &'static str,
    /// The anomaly, by Jepsen's name where Jepsen has one.
    pub anomaly: &'static str,
    /// What was seen, and what should have been.
    pub what: String,
}

impl Violation {
    /// A violation of `guarantee` by `anomaly`.
    pub fn new(guarantee: &'static str, anomaly: &'static str, what: String) -> Violation {
        Violation {
            guarantee,
            anomaly,
            what,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.guarantee, self.anomaly, self.what)
    }
}
