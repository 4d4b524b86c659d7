//! Differences from Apache Kafka that are meant. Each stands in `docs/compatibility.md` too, with the whole reason.

/// One answer that is different on purpose.
pub struct Deliberate {
    /// The API.
    pub api: &'static str,
    /// The scenario.
    pub scenario: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// The list. An entry whose answers have become equal must go.
pub const DELIBERATE: &[Deliberate] = &[];

/// Whether every version of this scenario may differ.
pub fn is_deliberate(api: &str, scenario: &str) -> bool {
    DELIBERATE
        .iter()
        .any(|entry| entry.api == api && entry.scenario == scenario)
}
