//! Kafka's offset checkpoints of a log directory: text files that say, per partition, an offset.
//!
//! Line 1 is the version (0), line 2 the number of entries, then `topic partition offset`. A file is replaced in one
//! step (rule S6). What a malformed file is taken for, and that an entry never claims more than the log holds (rule S10),
//! is the log manager's matter.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use protocol_compat::TopicPartition;
use thiserror::Error;

use crate::disk::Disk;

/// Which checkpoint of a log directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OffsetCheckpoint {
    /// Up to where a log is known to be on disk. Without it recovery reads the whole log.
    RecoveryPoint,
    /// High watermarks. Without it a leader finds its own again.
    HighWatermark,
    /// First offsets after DeleteRecords and retention. Without it deleted records come back as far as their segments do.
    LogStart,
    /// Up to where compacted logs were cleaned. Without it a log is cleaned from its start.
    CleanerOffset,
}

impl OffsetCheckpoint {
    /// Kafka's name of the file.
    pub fn file_name(self) -> &'static str {
        match self {
            OffsetCheckpoint::RecoveryPoint => "recovery-point-offset-checkpoint",
            OffsetCheckpoint::HighWatermark => "replication-offset-checkpoint",
            OffsetCheckpoint::LogStart => "log-start-offset-checkpoint",
            OffsetCheckpoint::CleanerOffset => "cleaner-offset-checkpoint",
        }
    }
}

/// A checkpoint cannot be read or written.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The file system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are not a checkpoint of version 0.
    #[error("checkpoint {path} is malformed at line {line}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        reason: &'static str,
    },
}

/// Offsets by partition, in the order in which they are written.
pub type Offsets = BTreeMap<TopicPartition, i64>;

/// 50 MB: some 500,000 partitions with the longest names that a directory can have.
const MOST_BYTES: usize = 50 << 20;

/// Reads a checkpoint of `dir`. A file that is missing or empty has no entries, as in Kafka.
///
/// # Errors
/// The file system's, or the first line that is not as it should be.
pub fn read(disk: &Disk, dir: &Path, which: OffsetCheckpoint) -> Result<Offsets, CheckpointError> {
    let path = dir.join(which.file_name());
    match disk.read(&path, MOST_BYTES) {
        Ok(bytes) => {
            parse(&bytes).map_err(|(line, reason)| CheckpointError::Malformed { path, line, reason })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Offsets::new()),
        Err(e) => Err(e.into()),
    }
}

/// Replaces a checkpoint of `dir` in one step.
///
/// # Errors
/// The file system's; the old or the new content stands.
pub fn write(disk: &Disk, dir: &Path, which: OffsetCheckpoint, offsets: &Offsets) -> io::Result<()> {
    let mut text = format!("0\n{}\n", offsets.len());
    for (TopicPartition { topic, partition }, offset) in offsets {
        writeln!(text, "{topic} {partition} {offset}").expect("text takes every write");
    }
    disk.replace(&dir.join(which.file_name()), text.as_bytes())
}

fn parse(bytes: &[u8]) -> Result<Offsets, (usize, &'static str)> {
    let text = std::str::from_utf8(bytes).map_err(|_| (1, "it is not text"))?;
    let mut lines = text.lines().zip(1..);
    match lines.next() {
        None => return Ok(Offsets::new()),
        Some(("0", _)) => {}
        Some(_) => return Err((1, "the version is not 0")),
    }
    let Some((count, _)) = lines.next() else {
        return Err((2, "the number of entries is missing"));
    };
    let count: usize = count
        .parse()
        .map_err(|_| (2, "the number of entries is not a number"))?;
    let mut offsets = Offsets::new();
    for (line, number) in lines {
        let (partition, offset) =
            parse_entry(line).ok_or((number, "it is not a topic, a partition and an offset"))?;
        if offsets.insert(partition, offset).is_some() {
            return Err((number, "the partition stands there twice"));
        }
    }
    if offsets.len() == count {
        Ok(offsets)
    } else {
        Err((2, "the number of entries is another"))
    }
}

fn parse_entry(line: &str) -> Option<(TopicPartition, i64)> {
    let mut words = line.split(' ');
    let topic = words.next().filter(|topic| !topic.is_empty())?;
    let partition: i32 = words.next()?.parse().ok().filter(|&partition| partition >= 0)?;
    let offset: i64 = words.next()?.parse().ok().filter(|&offset| offset >= 0)?;
    words
        .next()
        .is_none()
        .then(|| (TopicPartition::new(topic, partition), offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{SimDisk, SimFault};

    fn sample(offset: i64) -> Offsets {
        [("captured-gzip", 0), ("orders", 12)]
            .into_iter()
            .map(|(topic, partition)| (TopicPartition::new(topic, partition), offset))
            .collect()
    }

    #[test]
    fn a_checkpoint_is_written_as_kafka_writes_it() {
        let disk = Disk::simulated(&SimDisk::new(1, 1 << 20));
        write(
            &disk,
            Path::new("/"),
            OffsetCheckpoint::RecoveryPoint,
            &sample(40),
        )
        .unwrap();
        let text = disk
            .read(Path::new("/recovery-point-offset-checkpoint"), 1000)
            .unwrap();
        assert_eq!(text, b"0\n2\ncaptured-gzip 0 40\norders 12 40\n");
    }

    #[test]
    fn what_kafka_wrote_is_read() {
        // Of Apache Kafka 4.3.1, after a clean stop.
        let captured = b"0\n5\ncaptured-gzip 0 40\ncaptured-zstd 0 40\ncaptured-none 0 40\ncaptured-snappy 0 40\ncaptured-lz4 0 40\n";
        let offsets = parse(captured).unwrap();
        assert_eq!(offsets.len(), 5);
        assert!(offsets.values().all(|&offset| offset == 40));
        assert_eq!(parse(b"0\n0\n"), Ok(Offsets::new()));
        assert_eq!(parse(b""), Ok(Offsets::new()));
    }

    #[test]
    fn damage_is_told_with_its_line() {
        for (text, line) in [
            ("1\n0\n", 1),
            ("0\n", 2),
            ("0\nx\n", 2),
            ("0\n2\na 0 1\n", 2),
            ("0\n1\na 0\n", 3),
            ("0\n1\na 0 1 2\n", 3),
            ("0\n1\na -1 1\n", 3),
            ("0\n1\na 0 -1\n", 3),
            ("0\n1\n 0 1\n", 3),
            ("0\n2\na 0 1\na 0 2\n", 4),
            ("0\n99999999999999999999\n", 2),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().0, line, "{text:?}");
        }
        assert_eq!(parse(&[0xff]).unwrap_err().0, 1);
    }

    #[test]
    fn a_fault_at_any_call_leaves_the_old_offsets_or_the_new() {
        for fault in [SimFault::Error, SimFault::PowerCut] {
            for seed in 0..8 {
                for call in 1.. {
                    let sim = SimDisk::new(seed, 1 << 20);
                    let disk = Disk::simulated(&sim);
                    let which = OffsetCheckpoint::LogStart;
                    write(&disk, Path::new("/"), which, &sample(1)).unwrap();
                    sim.fail_at(sim.calls() + call, fault);
                    let written = write(&disk, Path::new("/"), which, &sample(2));
                    if fault == SimFault::PowerCut {
                        sim.cut_power();
                        sim.restart();
                    }
                    // A fault that was not met must not hit the look at the result.
                    sim.fail_at(0, fault);
                    let found = read(&disk, Path::new("/"), which).unwrap();
                    assert!(found == sample(2) || written.is_err() && found == sample(1));
                    if written.is_ok() {
                        break;
                    }
                }
            }
        }
    }
}
