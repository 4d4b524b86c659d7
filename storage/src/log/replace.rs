//! Putting a cleaned segment in the place of those that it was made from.
//!
//! The files come in as `.cleaned`, which a start throws away; once they are on the disk they are renamed to `.swap`, which a
//! start finishes: from there on the new content is the log's (rules S6, S12). Only then the old files go. A reader that
//! holds the old list of segments finishes on the old files; whoever comes later finds the same offsets in the new one.

use std::io;
use std::sync::Arc;

use protocol_compat::record_batch::batch::{BATCH_HEADER_BYTES, max_timestamp_ms_of};

use super::error::LogError;
use super::retention::DeletedFiles;
use super::segment::Segment;
use super::{FileCache, PartitionLog, producer_snapshot};

/// Suffix of files that are being written.
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";
/// Suffix of files that are whole and take the place of others.
pub(crate) const SWAP_SUFFIX: &str = ".swap";

impl PartitionLog {
    /// The segments, in order; the last one is active.
    pub(crate) fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        self.segments.load_full()
    }

    /// Open files of all logs.
    pub(crate) fn file_cache(&self) -> &Arc<FileCache> {
        &self.files
    }

    /// The largest timestamp of a segment's first batch; `None` for an empty segment.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn first_timestamp_ms(&self, segment: &Arc<Segment>) -> io::Result<Option<i64>> {
        if segment.size_bytes() < BATCH_HEADER_BYTES as u64 {
            return Ok(None);
        }
        let mut header = [0; BATCH_HEADER_BYTES];
        segment.log.get(&self.files)?.read_exact_at(&mut header, 0)?;
        Ok(Some(max_timestamp_ms_of(&header)))
    }

    /// An empty segment that takes what is left of others, the first of which begins at `base_offset`.
    pub(crate) fn new_cleaned_segment(&self, base_offset: i64, created_ms: i64) -> Segment {
        Segment::with_suffix(&self.dir.read(), base_offset, created_ms, CLEANED_SUFFIX)
    }

    /// Puts `cleaned`, which is sealed and synced, in the place of `old`. `None` if the log does not have all of them any more
    /// (retention took some, the log was cut, the topic was deleted): nothing has changed then.
    ///
    /// Appends wait for renames, never for a sync.
    ///
    /// # Errors
    /// [`LogError`]; on an input/output error the log is offline. For want of room nothing has changed.
    pub(crate) fn replace_segments(
        &self,
        cleaned: Segment,
        old: &[Arc<Segment>],
    ) -> Result<Option<DeletedFiles>, LogError> {
        let cleaned = Arc::new(cleaned);
        // A start must not put what was appended back into what takes its place.
        self.guarded_whole(|| {
            let _no_round = self.flushing.lock();
            Ok(self.leave_journal()?)
        })?;
        if !self.guarded(|| self.announce(&cleaned, old))? {
            return Ok(None);
        }
        self.guarded_whole(|| {
            if !self.sync_dir_of(&cleaned)? {
                return Ok(None);
            }
            let Some(deleted) = self.swap_in(&cleaned, old)? else {
                return Ok(None);
            };
            self.sync_dir_of(&cleaned)?;
            Ok(Some(deleted))
        })
    }

    /// Lets the cleaned files be what a start goes on with. Whether it still makes sense.
    fn announce(&self, cleaned: &Segment, old: &[Arc<Segment>]) -> Result<bool, LogError> {
        let _writer = self.writer.lock();
        if !self.has_all(cleaned, old) {
            self.discard_cleaned(cleaned)?;
            return Ok(false);
        }
        let renamed = cleaned.change_suffix(&self.files, CLEANED_SUFFIX, SWAP_SUFFIX);
        if let Err(error) = renamed {
            if error.kind() == io::ErrorKind::StorageFull {
                // Without the file of batches, which is renamed last, the others say nothing to a start.
                self.discard_cleaned(cleaned)?;
            }
            return Err(error.into());
        }
        Ok(true)
    }

    fn swap_in(
        &self,
        cleaned: &Arc<Segment>,
        old: &[Arc<Segment>],
    ) -> Result<Option<DeletedFiles>, LogError> {
        let _writer = self.writer.lock();
        if !self.has_all(cleaned, old) {
            self.discard_cleaned(cleaned)?;
            return Ok(None);
        }
        let mut deleted = DeletedFiles {
            segments: old.len(),
            ..DeletedFiles::default()
        };
        for segment in old {
            deleted.paths.extend(segment.mark_deleted(&self.files)?);
        }
        let renamed = cleaned.change_suffix(&self.files, SWAP_SUFFIX, "");
        if let Err(error) = renamed {
            if error.kind() != io::ErrorKind::StorageFull {
                return Err(error.into());
            }
            // The names of the old files make room for the new ones; a reader that has closed one of them asks again.
            for path in deleted.paths.drain(..) {
                self.files.disk().remove_file(&path)?;
            }
            cleaned.change_suffix(&self.files, SWAP_SUFFIX, "")?;
        }
        let mut segments = self.segments.load().as_ref().clone();
        let first = segments
            .iter()
            .position(|segment| segment.base_offset >= cleaned.base_offset);
        let first = first.unwrap_or(segments.len());
        segments.splice(first..first + old.len(), [cleaned.clone()]);
        self.segments.store(Arc::new(segments));
        let gone = |at: i64| at > cleaned.base_offset && old.iter().any(|segment| segment.base_offset == at);
        producer_snapshot::remove_where(self.files.disk(), &self.dir.read().clone(), gone)?;
        Ok(Some(deleted))
    }

    /// Whether every old segment is still the log's, side by side, and the directory is still where it was.
    fn has_all(&self, cleaned: &Segment, old: &[Arc<Segment>]) -> bool {
        let segments = self.segments.load();
        let is_here = cleaned.log.dir() == *self.dir.read();
        let start = segments
            .iter()
            .position(|segment| old.first().is_some_and(|first| Arc::ptr_eq(first, segment)));
        let sealed = segments.len().saturating_sub(1);
        is_here
            && start.is_some_and(|start| {
                segments
                    .iter()
                    .take(sealed)
                    .skip(start)
                    .zip(old)
                    .filter(|(a, b)| Arc::ptr_eq(a, b))
                    .count()
                    == old.len()
            })
    }

    /// Syncs the directory; `false` if it was renamed meanwhile, because the topic was deleted.
    fn sync_dir_of(&self, cleaned: &Segment) -> Result<bool, LogError> {
        let dir = cleaned.log.dir();
        match self.files.disk().sync_dir(&dir) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound && *self.dir.read() != dir => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes away what was cleaned in vain.
    ///
    /// # Errors
    /// The file system's; the files go with the next start then.
    pub(crate) fn discard_cleaned(&self, cleaned: &Segment) -> io::Result<()> {
        let disk = self.files.disk();
        for file in cleaned.files() {
            file.close();
            let path = file.path();
            if disk.exists(&path)? {
                disk.remove_file(&path)?;
            }
        }
        Ok(())
    }
}
