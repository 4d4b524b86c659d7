//! Deleting old segments: by time, by size, and below the log's start (`cleanup.policy=delete`).
//!
//! A segment goes whole and never reaches past the high watermark. Its age counts from its largest timestamp, but a
//! timestamp in the future does not keep it forever: then the time of its creation counts (rule S13). Files are renamed to
//! `.deleted` first and leave the disk after `file.delete.delay.ms`, so that a reader that holds one finishes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::config::LogConfig;
use super::error::LogError;
use super::segment::Segment;
use super::{PartitionLog, producer_snapshot};

/// Files that leave the disk at a time of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedFiles {
    /// The renamed files.
    pub paths: Vec<PathBuf>,
    /// How many segments they were.
    pub segments: usize,
}

impl PartitionLog {
    /// Takes away the segments that the retention settings no longer keep, and those below the log's start. The owner
    /// removes the returned files after `file.delete.delay.ms`.
    ///
    /// # Errors
    /// [`LogError`]; on an input/output error the log is offline.
    pub fn delete_old_segments(&self, now_ms: i64) -> Result<DeletedFiles, LogError> {
        match self.start_after_retention(now_ms)? {
            Some(start) => self.delete_segments_before(start),
            None => Ok(DeletedFiles::default()),
        }
    }

    /// Where the log begins once the retention settings have had their way; `None` where they take nothing. Nothing is
    /// taken yet: an owner that keeps claims writes this one first, so that a start that was shown does not go back.
    ///
    /// # Errors
    /// [`LogError`]; on an input/output error the log is offline.
    pub fn start_after_retention(&self, now_ms: i64) -> Result<Option<i64>, LogError> {
        let config = self.config.load_full();
        self.guarded(|| {
            let doomed = self.count_deletable(&config, now_ms);
            if doomed == 0 {
                return Ok(None);
            }
            if doomed == self.segments.load().len() {
                // A log always has a segment to append to.
                self.roll(now_ms)?;
            }
            let doomed = self.count_deletable(&config, now_ms);
            let segments = self.segments.load();
            let kept = segments.get(doomed).or(segments.last());
            Ok(kept.map(|segment| segment.base_offset).filter(|_| doomed > 0))
        })
    }

    /// How many segments from the start may go.
    fn count_deletable(&self, config: &LogConfig, now_ms: i64) -> usize {
        let segments = self.segments.load();
        let log_start_offset = self.log_start_offset();
        let high_watermark = self.high_watermark();
        let mut excess_bytes = match u64::try_from(config.retention_bytes) {
            Ok(limit) if config.cleanup_policy.delete => self.size_bytes().saturating_sub(limit),
            _ => 0,
        };
        let mut count = 0;
        for (index, segment) in segments.iter().enumerate() {
            let end = segments
                .get(index + 1)
                .map_or_else(|| self.log_end_offset(), |next| next.base_offset);
            let is_empty_tail = index + 1 == segments.len() && segment.size_bytes() == 0;
            if end > high_watermark || is_empty_tail {
                break;
            }
            let too_old = config.cleanup_policy.delete && is_too_old(segment, config, now_ms);
            let too_much = excess_bytes >= segment.size_bytes() && excess_bytes > 0;
            if !(end <= log_start_offset || too_old || too_much) {
                break;
            }
            excess_bytes = excess_bytes.saturating_sub(segment.size_bytes());
            count = index + 1;
        }
        count
    }

    /// Lets the log begin at `start`, which [`PartitionLog::start_after_retention`] gave, and takes away the segments that
    /// end there or before.
    ///
    /// # Errors
    /// [`LogError`]; on an input/output error the log is offline.
    pub fn delete_segments_before(&self, start: i64) -> Result<DeletedFiles, LogError> {
        self.guarded(|| {
            // Before any append has to wait: the snapshots before it are removed, so that it must not be torn.
            let oldest_snapshot = self.sync_snapshot_before(start)?;
            let _writer = self.writer.lock();
            let segments = self.segments.load_full();
            // Compaction may have put one segment in the place of several since the start was found.
            let ends = segments.iter().skip(1).map(|next| next.base_offset);
            let doomed = ends.take_while(|end| *end <= start).count();
            let (doomed, kept) = segments.split_at(doomed);
            self.raise_start(start)?;
            self.segments.store(Arc::new(kept.to_vec()));
            let mut deleted = DeletedFiles {
                segments: doomed.len(),
                ..DeletedFiles::default()
            };
            for segment in doomed {
                deleted.paths.extend(segment.mark_deleted(&self.files)?);
            }
            let new_base = kept.first().map_or(start, |segment| segment.base_offset);
            let dir = self.dir.read().clone();
            let unneeded = new_base.min(oldest_snapshot);
            producer_snapshot::remove_where(self.files.disk(), &dir, |at| at < unneeded)?;
            Ok(deleted)
        })
    }

    /// Makes the producer snapshot durable with which the first segment begins that would be kept, and says where that is.
    fn sync_snapshot_before(&self, start: i64) -> Result<i64, LogError> {
        let segments = self.segments.load_full();
        let bases = segments.iter().map(|segment| segment.base_offset);
        let first_kept = bases.take_while(|base| *base <= start).last().unwrap_or(start);
        let dir = self.dir.read().clone();
        producer_snapshot::sync(self.files.disk(), &dir, first_kept)?;
        Ok(first_kept)
    }

    /// Renames the partition's directory: the first step of its deletion, after which no start takes it for a partition.
    ///
    /// # Errors
    /// The file system's.
    pub fn rename_dir(&self, to: &Path) -> Result<(), LogError> {
        self.is_leaving.store(true, Ordering::Release);
        let _writer = self.writer.lock();
        let mut dir = self.dir.write();
        // The directory of a log whose first append found no room may be there without a segment.
        if self.files.disk().exists(&dir)? {
            self.files.disk().rename(&dir, to)?;
            if let Some(parent) = to.parent() {
                self.files.disk().sync_dir(parent)?;
            }
        }
        *dir = to.into();
        for segment in self.segments.load().iter() {
            segment.moved_to(&dir);
        }
        Ok(())
    }
}

fn is_too_old(segment: &Segment, config: &LogConfig, now_ms: i64) -> bool {
    if config.retention_ms < 0 {
        return false;
    }
    let (largest, _) = segment.max_timestamp();
    let counts_from = if largest > now_ms || largest < 0 {
        segment.created_ms
    } else {
        largest
    };
    now_ms.saturating_sub(counts_from) > config.retention_ms
}
