//! `flush`: an append and `fdatasync`, which is what an acknowledgement costs that survives a power cut. **L-flush**.
//!
//! Several files take turns, as partitions do. A file that grows makes the file system write its own log too; a recycled one
//! has its length and its blocks already.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Instant;

use serde::Serialize;

use super::cores::{Cores, alone};
use super::error::{BenchError, Doing};
use super::options::Scale;
use super::percentiles::{Durations, Percentiles};
use super::scratch::{Scratch, fill};

/// Of one append.
const APPEND_BYTES: [usize; 2] = [4 << 10, 64 << 10];

/// Files that take turns.
const FILES: [usize; 3] = [1, 10, 100];

/// What is written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Nothing: the file becomes longer.
    Growing,
    /// What is on disk already.
    Recycled,
}

impl Kind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Growing => "growing",
            Kind::Recycled => "recycled",
        }
    }
}

/// One size of append on one kind of files.
#[derive(Clone, Debug, Serialize)]
pub struct FlushRow {
    /// Of one append.
    pub bytes: usize,
    /// What is written over.
    pub kind: Kind,
    /// That take turns.
    pub files: usize,
    /// One after the other.
    pub flushes_per_s: f64,
    /// From the append until it is durable.
    #[serde(flatten)]
    pub took: Percentiles,
}

/// Every size, kind and number of files.
///
/// # Errors
/// The system's.
pub fn measure(scratch: &Scratch, cores: &Cores, scale: &Scale) -> Result<Vec<FlushRow>, BenchError> {
    let mut rows = Vec::new();
    for bytes in APPEND_BYTES {
        for kind in [Kind::Growing, Kind::Recycled] {
            for files in FILES {
                rows.push(row(scratch, cores, bytes, kind, files, scale.flushes)?);
            }
        }
    }
    Ok(rows)
}

fn row(
    scratch: &Scratch,
    cores: &Cores,
    bytes: usize,
    kind: Kind,
    files: usize,
    flushes: usize,
) -> Result<FlushRow, BenchError> {
    // A directory of its own: the flush of a new file may write its directory as well.
    let room = Scratch::inside(scratch.path())?;
    // No more files than turns, and the same number of turns for each.
    let turns = flushes.div_ceil(files);
    let opened = prepared(&room, files, kind, bytes as u64 * turns as u64)?;
    let (durations, spent) = alone(cores.first(), || append_in_turn(&opened, bytes, turns))?;
    Ok(FlushRow {
        bytes,
        kind,
        files,
        flushes_per_s: durations.count() as f64 / spent.wall.as_secs_f64(),
        took: durations.percentiles(),
    })
}

/// Files that are on disk with all they have, and their directory with them.
fn prepared(room: &Scratch, files: usize, kind: Kind, bytes: u64) -> Result<Vec<File>, BenchError> {
    let mut opened = Vec::with_capacity(files);
    for number in 0..files {
        let file = room.file(&number.to_string())?;
        if kind == Kind::Recycled {
            fill(&file, bytes)?;
        }
        opened.push(file);
    }
    for file in &opened {
        file.sync_all().doing("flush a file of the probe")?;
    }
    let directory = fs::File::open(room.path()).doing("open the probe's directory")?;
    directory.sync_all().doing("flush the probe's directory")?;
    Ok(opened)
}

fn append_in_turn(files: &[File], bytes: usize, turns: usize) -> Result<Durations, BenchError> {
    let block = vec![0xA5_u8; bytes];
    let mut durations = Durations::with_capacity(files.len() * turns);
    for turn in 0..turns {
        for file in files {
            let began = Instant::now();
            let appended = file.write_all_at(&block, turn as u64 * bytes as u64);
            appended
                .and_then(|()| file.sync_data())
                .doing("make an append durable")?;
            durations.push(began.elapsed());
        }
    }
    Ok(durations)
}
