//! `cauce bench load`: a load generator that works against any Kafka broker of one node.
//!
//! Requests are encoded before anything is measured and sent over plain sockets, without a client library, so that the
//! generator costs little beside the broker; every answer is read and its errors counted. Walk: `options` is what can be
//! typed, `plan` fills in the workload's defaults, `workloads` prepares topics and makes scripts, `run` spreads them over
//! threads, `event_loop` sends and receives, `script` knows what comes next, `tally` counts, `report` tells.

mod answers;
mod batches;
mod buffers;
mod connection;
mod control;
mod error;
mod event_loop;
mod fields;
mod idle;
mod options;
mod outcome;
mod partitions;
mod plan;
mod process;
mod report;
mod requests;
mod run;
mod schedule;
mod script;
mod tally;
mod topic;
mod workloads;

#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;
use std::time::Duration;

use self::plan::Plan;
use self::report::Report;
use super::cores;
use super::environment::Environment;
use super::error::Doing;
use super::foreign_cpu;

pub use self::error::LoadError;
pub use self::options::LoadArgs;

/// How long the machine is watched for others before the load.
const WATCHED: Duration = Duration::from_millis(500);

/// Loads, prints the tables, and writes the JSON if that was asked for. Says whether every answer was there, whole and
/// without error.
///
/// # Errors
/// If there is nothing to report.
pub fn load(args: &LoadArgs) -> Result<bool, LoadError> {
    let plan = Plan::of(args)?;
    let foreign = foreign_cpu::watched_for(WATCHED)?;
    let environment = Environment::of(Path::new("."), cores::allowed()?, foreign, true);
    let outcome = workloads::measure(&plan)?;
    let report = Report::new(plan, environment, outcome);
    print!("{}", report.text());
    if let Some(file) = &args.json {
        let doing = format!("write {}", file.display());
        let json = report.json().doing(&doing)?;
        fs::write(file, json).doing(&doing)?;
    }
    Ok(report.is_clean)
}
