//! The inputs that a target begins with: sound samples, written anew, and what the repository keeps of earlier runs.

use std::path::{Path, PathBuf};

/// Names the directory that takes the seeds; set by `scripts/fuzz` to the directory of the target's corpus.
pub const DIRECTORY_VARIABLE: &str = "CAUCE_FUZZ_SEEDS";

/// Where inputs that were found to reach new code are kept, in a file for each target, one a line in hexadecimal digits.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/corpora");

/// Writes the seeds where the environment says so, and what is kept for the target of that directory's name. Called before
/// libFuzzer reads its corpus.
///
/// # Panics
/// If a file cannot be written, or what is kept is no hexadecimal text.
pub fn write(seeds: impl FnOnce() -> Vec<Vec<u8>>) {
    let Some(directory) = std::env::var_os(DIRECTORY_VARIABLE).map(PathBuf::from) else {
        return;
    };
    for (number, seed) in seeds().iter().enumerate() {
        std::fs::write(directory.join(format!("seed-{number:04}")), seed).expect("a seed is written");
    }
    for (number, input) in kept(&directory).iter().enumerate() {
        std::fs::write(directory.join(format!("kept-{number:04}")), input).expect("a seed is written");
    }
}

fn kept(directory: &Path) -> Vec<Vec<u8>> {
    let target = directory.file_name().expect("a directory has a name");
    let file = Path::new(KEPT).join(target).with_extension("hex");
    // A new target has none yet.
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(from_hex).collect()
}

fn from_hex(line: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&line[at..at + 2], 16).expect("two hexadecimal digits");
    (0..line.len()).step_by(2).map(digits).collect()
}
