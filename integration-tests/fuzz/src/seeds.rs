//! The inputs that a target begins with, written anew from sound samples, so that no corpus is kept in the repository.

use std::path::PathBuf;

/// Names the directory that takes the seeds; set by `scripts/fuzz` to the directory of the target's corpus.
pub const DIRECTORY_VARIABLE: &str = "CAUCE_FUZZ_SEEDS";

/// Writes the seeds where the environment says so. Called before libFuzzer reads its corpus.
///
/// # Panics
/// If a file cannot be written.
pub fn write(seeds: impl FnOnce() -> Vec<Vec<u8>>) {
    let Some(directory) = std::env::var_os(DIRECTORY_VARIABLE).map(PathBuf::from) else {
        return;
    };
    for (number, seed) in seeds().iter().enumerate() {
        std::fs::write(directory.join(format!("seed-{number:04}")), seed).expect("a seed is written");
    }
}
