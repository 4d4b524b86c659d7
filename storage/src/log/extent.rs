//! How far a log reaches, for those who decide whether a closed log must be opened.
//!
//! Retention and DescribeLogDirs ask this of every log, and a log that nobody uses should not be opened for the answer:
//! its directory and the last entry of one time index give it. What a crash left is judged by `recovery`, never here.

use std::path::Path;

use super::PartitionLog;
use super::config::LogConfig;
use super::error::LogError;
use super::index_file::{TIME_ENTRY_BYTES, read_time_entry};
use super::segment::{NO_TIMESTAMP, base_offset_of, file_name};
use crate::disk::{Disk, OpenMode};

/// The size of a log and its first segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of all segments.
    pub size_bytes: u64,
    first: Option<FirstSegment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FirstSegment {
    size_bytes: u64,
    base_offset: i64,
    /// Exclusive; unknown for the only segment of a log that was not opened.
    end_offset: Option<i64>,
    /// `-1` if the segment does not say.
    max_timestamp_ms: i64,
}

/// Whether retention may have something to take from a closed log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionDue {
    /// Nothing.
    No,
    /// Probably its first segment.
    Yes,
    /// Its first segment has no timestamp to believe, so that its age counts from the log's opening.
    AgeUnknown,
}

impl Extent {
    /// Of a closed log, by its directory. One that has none is empty.
    ///
    /// # Errors
    /// The file system's.
    pub fn of_directory(disk: &Disk, dir: &Path) -> Result<Extent, LogError> {
        if !disk.exists(dir)? {
            return Ok(Extent::default());
        }
        let mut segments = Vec::new();
        for entry in disk.read_dir(dir)? {
            if let Some(base) = base_offset_of(&entry.name, "log") {
                let size = disk.open(&dir.join(&entry.name), OpenMode::Read)?.len()?;
                segments.push((base, size));
            }
        }
        segments.sort_unstable();
        let first = match segments.first() {
            Some(&(base_offset, size_bytes)) => Some(FirstSegment {
                size_bytes,
                base_offset,
                end_offset: segments.get(1).map(|(base, _)| *base),
                max_timestamp_ms: last_timestamp(disk, dir, base_offset)?,
            }),
            None => None,
        };
        Ok(Extent {
            size_bytes: segments.iter().map(|(_, size)| size).sum(),
            first,
        })
    }

    /// What a pass at `now_ms` would find, if the log begins at `log_start_offset`. It errs towards looking.
    pub fn retention_due(&self, config: &LogConfig, log_start_offset: i64, now_ms: i64) -> RetentionDue {
        let Some(first) = self.first.filter(|_| self.size_bytes > 0) else {
            return RetentionDue::No;
        };
        let is_below_start = match first.end_offset {
            Some(end) => end <= log_start_offset,
            None => first.base_offset < log_start_offset,
        };
        let too_much = u64::try_from(config.retention_bytes).is_ok_and(|limit| {
            let excess = self.size_bytes.saturating_sub(limit);
            excess > 0 && excess >= first.size_bytes
        });
        if is_below_start || (config.cleanup_policy.delete && too_much) {
            return RetentionDue::Yes;
        }
        if !config.cleanup_policy.delete || config.retention_ms < 0 {
            return RetentionDue::No;
        }
        match first.max_timestamp_ms {
            unknown if unknown < 0 || unknown > now_ms => RetentionDue::AgeUnknown,
            at if now_ms.saturating_sub(at) > config.retention_ms => RetentionDue::Yes,
            _ => RetentionDue::No,
        }
    }
}

impl PartitionLog {
    /// How far it reaches now.
    pub fn extent(&self) -> Extent {
        let segments = self.segments.load();
        let first = segments.first().map(|first| FirstSegment {
            size_bytes: first.size_bytes(),
            base_offset: first.base_offset,
            end_offset: Some(match segments.get(1) {
                Some(next) => next.base_offset,
                None => self.log_end_offset(),
            }),
            max_timestamp_ms: first.max_timestamp().0,
        });
        Extent {
            size_bytes: self.size_bytes(),
            first,
        }
    }
}

/// A segment that was closed or sealed ends its time index with its largest timestamp.
fn last_timestamp(disk: &Disk, dir: &Path, base_offset: i64) -> Result<i64, LogError> {
    let path = dir.join(file_name(base_offset, "timeindex"));
    if !disk.exists(&path)? {
        return Ok(NO_TIMESTAMP);
    }
    let file = disk.open(&path, OpenMode::Read)?;
    let (length, entry_bytes) = (file.len()?, TIME_ENTRY_BYTES as u64);
    let Some(at) = length
        .checked_sub(entry_bytes)
        .filter(|_| length.is_multiple_of(entry_bytes))
    else {
        return Ok(NO_TIMESTAMP);
    };
    let mut entry = [0; TIME_ENTRY_BYTES];
    file.read_exact_at(&mut entry, at)?;
    Ok(read_time_entry(&entry).0)
}
