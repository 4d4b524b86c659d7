//! What a workload gives: the figures of its load, and those that only it has.

use serde::Serialize;

use super::control::Control;
use super::error::LoadError;
use super::run::Measured;
use super::topic::Topic;

/// What a workload measured, and what only it knows.
#[derive(Debug)]
pub struct Outcome {
    /// The load.
    pub measured: Measured,
    /// Of `idle`.
    pub idle: Option<IdleConnections>,
    /// Of `partitions`.
    pub partitions: Option<NewPartitions>,
}

impl From<Measured> for Outcome {
    fn from(measured: Measured) -> Self {
        Self {
            measured,
            idle: None,
            partitions: None,
        }
    }
}

impl Outcome {
    /// Deletes the topics, whatever the load gave. A topic that stays is a fault beside the figures.
    ///
    /// # Errors
    /// Those of the load.
    pub fn after_removal(
        outcome: Result<Outcome, LoadError>,
        topics: impl IntoIterator<Item = Topic>,
        control: &mut Control,
    ) -> Result<Outcome, LoadError> {
        let removed: Vec<_> = topics.into_iter().map(|topic| topic.remove(control)).collect();
        let mut outcome = outcome?;
        for error in removed.into_iter().filter_map(Result::err) {
            outcome.measured.tally.left_behind(error.to_string());
        }
        Ok(outcome)
    }
}

/// Connections that are open and quiet.
#[derive(Clone, Debug, Serialize)]
pub struct IdleConnections {
    /// How many.
    pub count: u32,
    /// How long it took to open them, with an answer to ApiVersions on each.
    pub opened_in_s: f64,
    /// The broker's resident memory before, and two seconds after the last was open.
    pub resident_bytes_before: u64,
    /// See there.
    pub resident_bytes_after: u64,
    /// How much it grew, for each connection.
    pub bytes_each: f64,
    /// Those that the broker closed in the meantime.
    pub closed: u64,
}

/// What new partitions took.
#[derive(Clone, Debug, Serialize)]
pub struct NewPartitions {
    /// How many were created.
    pub count: u32,
    /// Until the last CreateTopics was answered.
    pub created_in_s: f64,
    /// From then until each had answered a batch.
    pub produced_in_s: f64,
    /// The broker's resident memory for each once they were created, if its process is known.
    pub bytes_each_created: Option<f64>,
    /// The same once each had a batch.
    pub bytes_each_used: Option<f64>,
}
