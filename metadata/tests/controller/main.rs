//! The controller seen from outside: golden scripts, one scenario per file, and seeded random runs with invariants.

mod random_runs;
mod script;

use std::path::Path;

/// Runs every script of `testdata/controller`. With `UPDATE_TESTDATA=1` the transcripts are written instead.
#[test]
fn every_golden_script_gives_its_transcript() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/controller");
    let update = std::env::var_os("UPDATE_TESTDATA").is_some();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("testdata is part of the crate")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.sort();
    assert!(files.len() >= 10, "scripts are missing: {files:?}");
    for file in files {
        let golden = std::fs::read_to_string(&file).expect("a readable script");
        let transcript = script::transcript(&golden);
        if update {
            std::fs::write(&file, &transcript).expect("a writable script");
        }
        assert!(
            update || transcript == golden,
            "{}:\n{transcript}",
            file.display()
        );
    }
}
