//! Many seeds: one process each, a few at a time, and a summary line.
//!
//! A process holds one seed because everything that a process has once (hash keys, counters, a panic's state) must be the same
//! whenever the seed is run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::life::Outcome;

/// The line that a seed's process ends with begins with this.
const SUMMARY: &str = "seed ";
/// How often a long run says where it is, in seeds.
const PROGRESS: u64 = 500;

/// The line that a process ends with, for whoever started it.
pub fn summary(seed: u64, outcome: &Outcome) -> String {
    let [kills, cuts, stops] = outcome.ends;
    format!(
        "{SUMMARY}{seed} kills={kills} cuts={cuts} stops={stops} acked={} read={} disk-calls={} lines={} virtual-ms={} parts={} violations={} trace={:016x}",
        outcome.acked,
        outcome.read,
        outcome.disk_calls,
        outcome.trace.0,
        outcome.virtual_ms,
        outcome.parts,
        outcome.violations.len(),
        outcome.trace.1,
    )
}

/// One seed's end, as its process told it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The numbers of the summary line, by name; empty where the process ended without one.
    pub numbers: BTreeMap<String, u64>,
    /// The whole summary line.
    pub line: String,
    /// The lines in front of it: violations, or what the process said when it broke down.
    pub said: Vec<String>,
}

impl Report {
    /// Whether something was wrong.
    pub fn has_failed(&self) -> bool {
        self.number("violations") != Some(0)
    }

    /// A number of the summary line.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.numbers.get(name).copied()
    }
}

/// Runs one seed in a process of its own, without the parts in `without`.
///
/// # Errors
/// The process cannot be started.
pub fn run_one(simulator: &Path, seed: u64, without: &BTreeSet<u32>) -> io::Result<Report> {
    let mut command = Command::new(simulator);
    command.args(["--seed", &seed.to_string()]);
    if !without.is_empty() {
        let parts: Vec<String> = without.iter().map(u32::to_string).collect();
        command.args(["--without", &parts.join(",")]);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let errors = child.stderr.take();
    // A process that breaks down says so in a few lines, which the pipe holds.
    let mut report = Report::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            report.take(line?);
        }
    }
    if let Some(errors) = errors {
        for line in BufReader::new(errors).lines() {
            report.said.push(line?);
        }
    }
    let status = child.wait()?;
    if report.numbers.is_empty() {
        report
            .said
            .push(format!("seed {seed} did not come to its end: {status}"));
    }
    Ok(report)
}

impl Report {
    fn take(&mut self, line: String) {
        if line.starts_with(SUMMARY) {
            let pairs = line.split(' ').filter_map(|word| word.split_once('='));
            self.numbers = pairs
                .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
                .collect();
            self.line = line;
        } else {
            self.said.push(line);
        }
    }
}

/// What many seeds came to.
#[derive(Debug, Default)]
pub struct Total {
    seeds: u64,
    sums: BTreeMap<String, u64>,
    /// Seeds that failed.
    pub failed: Vec<u64>,
}

/// Runs `seeds`, `jobs` at a time; with `until_found`, only until one fails.
///
/// # Errors
/// A process cannot be started.
pub fn run_many(simulator: &Path, seeds: &[u64], jobs: usize, until_found: bool) -> io::Result<Total> {
    let next = AtomicU64::new(0);
    let total = Mutex::new(Total::default());
    let begun = Instant::now();
    let worker = || -> io::Result<()> {
        loop {
            let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
            let Some(&seed) = seeds.get(at) else { return Ok(()) };
            let report = run_one(simulator, seed, &BTreeSet::new())?;
            let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            total.add(seed, &report);
            if total.seeds.is_multiple_of(PROGRESS) {
                println!(
                    "{} seeds in {} s, {} failed",
                    total.seeds,
                    begun.elapsed().as_secs(),
                    total.failed.len()
                );
            }
            if until_found && !total.failed.is_empty() {
                next.store(u64::MAX / 2, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            match worker.join() {
                Ok(outcome) => outcome?,
                Err(_) => return Err(io::Error::other("a worker panicked")),
            }
        }
        Ok(())
    })?;
    Ok(total
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner))
}

impl Total {
    fn add(&mut self, seed: u64, report: &Report) {
        self.seeds += 1;
        for (name, value) in &report.numbers {
            *self.sums.entry(name.clone()).or_default() += value;
        }
        if report.has_failed() {
            self.failed.push(seed);
            for line in report.said.iter().take(20) {
                println!("seed {seed}: {line}");
            }
        }
    }

    /// The summary line.
    pub fn line(&self) -> String {
        let sum = |name: &str| self.sums.get(name).copied().unwrap_or(0);
        format!(
            "{} seeds run, {} histories checked: {} kills, {} power cuts, {} clean stops, {} records acknowledged, {} read, {} virtual seconds; {} seeds with violations{}",
            self.seeds,
            self.seeds,
            sum("kills"),
            sum("cuts"),
            sum("stops"),
            sum("acked"),
            sum("read"),
            sum("virtual-ms") / 1_000,
            self.failed.len(),
            if self.failed.is_empty() {
                String::new()
            } else {
                format!(": {:?}", self.failed)
            },
        )
    }
}
