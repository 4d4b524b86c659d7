//! Two hundred seeds, and every seed that once failed: no violation, and the same run twice is the same run.

use std::collections::BTreeSet;
use std::path::Path;

use simulator::driver;

/// Seeds of a test run.
const SEEDS: u64 = 200;

fn simulator() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_simulate"))
}

fn once_failed() -> Vec<u64> {
    let lines = include_str!("../seeds.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.trim().parse().expect("a seed"))
        .collect()
}

#[test]
fn no_seed_shows_a_violation() {
    let mut seeds = once_failed();
    seeds.extend(0..SEEDS);
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let total = driver::run_many(simulator(), &seeds, jobs, false).expect("the simulator starts");
    println!("{}", total.line());
    assert!(
        total.failed.is_empty(),
        "run scripts/simulate --seed N --trace: {}",
        total.line()
    );
}

#[test]
fn a_seed_replays_bit_for_bit() {
    for seed in [1, 2, 3] {
        let [first, second] = [(); 2]
            .map(|()| driver::run_one(simulator(), seed, &BTreeSet::new()).expect("the simulator starts"));
        assert!(first.line.contains(" trace="), "{first:?}");
        assert_eq!(first.line, second.line);
    }
}
