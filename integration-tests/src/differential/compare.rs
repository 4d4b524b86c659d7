//! Runs the cases against a Cauce node and holds its answers against Kafka's.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde_json::Value;

use super::case::Scenario;
use super::deliberate::is_deliberate;
use super::recording::{self, Answers, differences};
use super::runner::{self, ErrorCounts};

/// One case with different answers.
pub struct Difference {
    /// The API.
    pub api: &'static str,
    /// The version.
    pub version: i16,
    /// The scenario.
    pub scenario: &'static str,
    /// What differs, one place a line.
    pub places: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {}:", self.api, self.version, self.scenario)?;
        self.places
            .iter()
            .try_for_each(|place| write!(f, "\n    {place}"))
    }
}

/// What a run found.
#[derive(Default)]
pub struct Outcome {
    /// Cases with equal answers.
    pub equal: usize,
    /// Cases that differ and may.
    pub deliberate: usize,
    /// Scenarios listed as different whose every case was equal.
    pub stale: Vec<String>,
    /// Cases that differ.
    pub differences: Vec<Difference>,
    /// The error codes of all answers.
    pub errors: ErrorCounts,
}

/// Compares with what was recorded.
pub fn with_recording(cauce: SocketAddr, scenarios: &[Scenario]) -> Result<Outcome, String> {
    let folder = recording::folder();
    let mut expected = BTreeMap::new();
    for scenario in scenarios {
        if !expected.contains_key(scenario.api) {
            let answers = recording::read(&folder, scenario.api).map_err(|error| error.to_string())?;
            expected.insert(scenario.api, answers);
        }
    }
    with_answers(&expected, cauce, scenarios)
}

/// Compares with given answers.
pub fn with_answers(
    expected: &BTreeMap<&'static str, Answers>,
    cauce: SocketAddr,
    scenarios: &[Scenario],
) -> Result<Outcome, String> {
    let mut outcome = Outcome::default();
    runner::await_coordinators(cauce, &mut outcome.errors)?;
    for scenario in scenarios {
        let different_before = outcome.deliberate;
        for version in scenario.versions.clone() {
            let key = (scenario.name.to_owned(), version);
            let recorded = expected.get(scenario.api).and_then(|answers| answers.get(&key));
            let ran = runner::run(cauce, scenario, version, &mut outcome.errors);
            let places = match (recorded, ran) {
                (None, _) => vec!["never recorded from Kafka".to_owned()],
                (Some(_), Err(why)) => vec![format!("did not run: {why}")],
                (Some(wanted), Ok(answers)) => {
                    differences(&Value::from(wanted.clone()), &Value::from(answers))
                }
            };
            match (places.is_empty(), is_deliberate(scenario.api, scenario.name)) {
                (true, _) => outcome.equal += 1,
                (false, true) => outcome.deliberate += 1,
                (false, false) => outcome.differences.push(Difference {
                    api: scenario.api,
                    version,
                    scenario: scenario.name,
                    places,
                }),
            }
        }
        if is_deliberate(scenario.api, scenario.name) && outcome.deliberate == different_before {
            outcome.stale.push(format!("{}: {}", scenario.api, scenario.name));
        }
    }
    Ok(outcome)
}
