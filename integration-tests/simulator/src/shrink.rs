//! Makes a failing seed's plan smaller: leaves out what the failure does not need, one part at a time, until nothing more goes.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use crate::driver::{Report, run_one};

/// The parts that can be left out while the seed still fails.
///
/// # Errors
/// A process cannot be started, or the seed does not fail.
pub fn shrink(simulator: &Path, seed: u64) -> io::Result<BTreeSet<u32>> {
    let whole = run_one(simulator, seed, &BTreeSet::new())?;
    if !whole.has_failed() {
        return Err(io::Error::other(format!("seed {seed} does not fail")));
    }
    let wanted = anomalies(&whole);
    let parts = whole.number("parts").unwrap_or(0);
    let mut without = BTreeSet::new();
    loop {
        let before = without.len();
        for part in 0..u32::try_from(parts).unwrap_or(0) {
            if without.contains(&part) {
                continue;
            }
            without.insert(part);
            let smaller = run_one(simulator, seed, &without)?;
            if smaller.has_failed() && anomalies(&smaller).intersection(&wanted).next().is_some() {
                println!("part {part} is not needed");
            } else {
                without.remove(&part);
            }
        }
        if without.len() == before {
            return Ok(without);
        }
    }
}

/// What a failure is called: shrinking must not trade one failure for another.
fn anomalies(report: &Report) -> BTreeSet<String> {
    let named = report.said.iter().map(|line| match line.split_once(':') {
        Some((name, _)) => name.to_owned(),
        None => String::new(),
    });
    named.collect()
}
