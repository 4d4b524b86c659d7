//! One segment of a log: the file of batches, its offset index, its time index and its index of aborted transactions.
//!
//! Readers and the single writer share it. The published size is the only thing that tells a reader how far the file is
//! valid; it moves after the bytes are written. File names are Kafka's: the base offset in twenty digits.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use protocol_compat::record_batch::batch::{BATCH_HEADER_BYTES, claimed_size};

use super::cold_ranges::ColdRanges;
use super::file_cache::{CachedFile, FileCache};
pub use super::file_name::{base_offset_of, file_name};
use super::index_file::{IndexFile, offset_entry, read_offset_entry, read_time_entry, time_entry};
use super::scan::{Scan, Step};
use super::tail::{CURRENT_MAGIC, MAGIC_AT};
use super::transaction_index::{AbortedTransaction, TransactionIndex};
use crate::disk::File;

/// Kafka's "no timestamp".
pub const NO_TIMESTAMP: i64 = -1;

/// Extension that a removed file has until it leaves the disk.
pub const DELETED_SUFFIX: &str = ".deleted";

/// A segment. Offsets in it are at least `base_offset`.
#[derive(Debug)]
pub struct Segment {
    /// Offset in the file's name; the first batch may begin later after compaction.
    pub base_offset: i64,
    /// The file of batches.
    pub log: Arc<CachedFile>,
    /// Offset to position.
    pub offset_index: IndexFile<8>,
    /// Timestamp to offset.
    pub time_index: IndexFile<12>,
    /// Aborted transactions.
    pub(super) transaction_index: TransactionIndex,
    /// When the segment came into being, ms since the epoch.
    pub created_ms: i64,
    size: AtomicU64,
    max_timestamp_ms: AtomicI64,
    max_timestamp_offset: AtomicI64,
    is_flushed: AtomicBool,
    /// Bytes that must be checked before they are sent.
    pub(super) cold: ColdRanges,
    /// The file is longer than its content.
    is_preallocated: AtomicBool,
    /// The file system has set room aside up to here, in units of [`ALLOCATION_BYTES`]; 0 where nobody asked.
    allocated: AtomicU32,
}

/// Room is set aside in multiples of this.
const ALLOCATION_BYTES: u64 = 256 << 10;
/// And no more at a time than this.
const MOST_ALLOCATED_BYTES: u64 = 8 << 20;
/// Nor more than this part of what the segment holds.
const ALLOCATED_PART: u64 = 4;
/// Less room than this is not given back.
const KEPT_BYTES: u64 = 64 << 10;

impl Segment {
    /// A new, empty segment; no file is created yet.
    pub fn new(dir: &Arc<Path>, base_offset: i64, created_ms: i64) -> Segment {
        let offset_index = IndexFile::new(dir, file_name(base_offset, "index"));
        let time_index = IndexFile::new(dir, file_name(base_offset, "timeindex"));
        Segment::with_indexes(dir, base_offset, created_ms, offset_index, time_index)
    }

    /// A new, empty segment whose files get `suffix` behind their names, so that no start takes them for a segment's.
    pub fn with_suffix(dir: &Arc<Path>, base_offset: i64, created_ms: i64, suffix: &str) -> Segment {
        let name = |extension| file_name(base_offset, extension) + suffix;
        Segment {
            log: CachedFile::new(dir, name("log")),
            transaction_index: TransactionIndex::new(dir, name("txnindex")),
            ..Segment::with_indexes(
                dir,
                base_offset,
                created_ms,
                IndexFile::new(dir, name("index")),
                IndexFile::new(dir, name("timeindex")),
            )
        }
    }

    /// A segment with indexes that exist.
    pub fn with_indexes(
        dir: &Arc<Path>,
        base_offset: i64,
        created_ms: i64,
        offset_index: IndexFile<8>,
        time_index: IndexFile<12>,
    ) -> Segment {
        Segment {
            base_offset,
            log: CachedFile::new(dir, file_name(base_offset, "log")),
            offset_index,
            time_index,
            transaction_index: TransactionIndex::new(dir, file_name(base_offset, "txnindex")),
            created_ms,
            size: AtomicU64::new(0),
            max_timestamp_ms: AtomicI64::new(NO_TIMESTAMP),
            max_timestamp_offset: AtomicI64::new(-1),
            is_flushed: AtomicBool::new(false),
            cold: ColdRanges::everything(),
            is_preallocated: AtomicBool::new(false),
            allocated: AtomicU32::new(0),
        }
    }

    /// Creates the file of batches, `length` bytes long where that is not 0 (`preallocate`). They read as zeros, which are
    /// never data: a reader stops at the published size, and recovery cuts them off (rule S5). A file for which there was no
    /// room is taken away again: appends may go on in the segment before it, behind which nothing must stand.
    ///
    /// # Errors
    /// The file system's.
    pub fn create_log(&self, cache: &FileCache, length: u64) -> io::Result<()> {
        let file = self.log.create(cache)?;
        if length > self.size_bytes() {
            self.is_preallocated.store(true, Ordering::Release);
            if let Err(error) = file.set_len(length) {
                self.log.close();
                cache.disk().remove_file(&self.log.path())?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Has the file system set room aside before the file grows to `end`, some more each time and not above `most`, so that
    /// each sync has less to write: a file whose room is known has no more to tell than its length. Its length stays what was
    /// written.
    pub fn allocate_ahead(&self, file: &File, end: u64, most: u64) {
        let allocated = u64::from(self.allocated.load(Ordering::Relaxed)) * ALLOCATION_BYTES;
        if end <= allocated {
            return;
        }
        let ahead = (end / ALLOCATED_PART).min(MOST_ALLOCATED_BYTES);
        let wanted = end.saturating_add(ahead).div_ceil(ALLOCATION_BYTES);
        let from = self.size_bytes();
        let bytes = (wanted * ALLOCATION_BYTES)
            .min(most.max(end))
            .saturating_sub(from);
        // A disk without room says so when it is written to; a file system that cannot is not asked again for this segment.
        let units = if file.allocate_ahead(from, bytes) {
            u32::try_from(wanted).unwrap_or(u32::MAX)
        } else {
            u32::MAX
        };
        self.allocated.store(units, Ordering::Relaxed);
    }

    /// Cuts off what was preallocated and not written, durably: an opening that does not read a segment whole takes the
    /// length of the file for its size. What was set aside and not used is given back, unless it is so little that it is not worth
    /// the call: a segment that rolls because it is full has used nearly all.
    ///
    /// # Errors
    /// The file system's.
    pub fn trim(&self, cache: &FileCache) -> io::Result<()> {
        let is_longer = self.is_preallocated.swap(false, Ordering::AcqRel);
        let allocated = u64::from(self.allocated.swap(0, Ordering::Relaxed)) * ALLOCATION_BYTES;
        let has_room = allocated.saturating_sub(self.size_bytes()) >= KEPT_BYTES;
        if !is_longer && !has_room {
            return Ok(());
        }
        let file = self.log.get(cache)?;
        file.set_len(self.size_bytes())?;
        if is_longer { file.sync_data() } else { Ok(()) }
    }

    /// How many bytes of the file are valid.
    pub fn size_bytes(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Publishes that the file is valid up to `size` bytes.
    pub fn set_size_bytes(&self, size: u64) {
        self.size.store(size, Ordering::Release);
        self.is_flushed.store(false, Ordering::Release);
    }

    /// Whether all bytes were synced.
    pub fn is_flushed(&self) -> bool {
        self.is_flushed.load(Ordering::Acquire)
    }

    /// Notes that all bytes up to `size` were synced.
    pub fn set_flushed(&self, size: u64) {
        if self.size_bytes() == size {
            self.is_flushed.store(true, Ordering::Release);
        }
    }

    /// What is appended from here on is warm.
    pub fn begin_warm(&self) {
        self.cold.reset(self.size_bytes());
    }

    /// Largest timestamp of the segment and the last offset of the batch that has it; `(-1, -1)` when empty.
    pub fn max_timestamp(&self) -> (i64, i64) {
        (
            self.max_timestamp_ms.load(Ordering::Acquire),
            self.max_timestamp_offset.load(Ordering::Acquire),
        )
    }

    /// Takes a batch's largest timestamp into account.
    pub fn note_timestamp(&self, timestamp_ms: i64, offset: i64) {
        if timestamp_ms > self.max_timestamp_ms.load(Ordering::Relaxed) {
            self.max_timestamp_offset.store(offset, Ordering::Release);
            self.max_timestamp_ms.store(timestamp_ms, Ordering::Release);
        }
    }

    /// Sets the largest timestamp anew: after truncation or recovery.
    pub fn reset_timestamp(&self, timestamp_ms: i64, offset: i64) {
        self.max_timestamp_offset.store(offset, Ordering::Release);
        self.max_timestamp_ms.store(timestamp_ms, Ordering::Release);
    }

    /// Adds an entry to both indexes for the batch that ends at `last_offset` and begins at `position`.
    ///
    /// # Errors
    /// The file system's.
    pub fn append_index_entries(&self, cache: &FileCache, last_offset: i64, position: u64) -> io::Result<()> {
        let (Some(relative), Ok(position)) = (self.relative(last_offset), u32::try_from(position)) else {
            return Ok(());
        };
        self.offset_index
            .append(cache, offset_entry(relative, position))?;
        self.append_time_entry(cache)
    }

    /// Adds the largest timestamp so far to the time index if it is larger than the last entry's.
    ///
    /// # Errors
    /// The file system's.
    pub fn append_time_entry(&self, cache: &FileCache) -> io::Result<()> {
        let (timestamp_ms, offset) = self.max_timestamp();
        let Some(relative) = self.relative(offset) else {
            return Ok(());
        };
        let count = self.time_index.len();
        let last = match count.checked_sub(1) {
            Some(last) => self
                .time_index
                .get(cache, last)?
                .map(|entry| read_time_entry(&entry)),
            None => None,
        };
        if last.is_none_or(|(known, known_offset)| timestamp_ms > known && relative >= known_offset) {
            self.time_index
                .append(cache, time_entry(timestamp_ms, relative))?;
        }
        Ok(())
    }

    /// Ends the segment's active life.
    ///
    /// # Errors
    /// The file system's.
    pub fn seal(&self, cache: &FileCache) -> io::Result<()> {
        self.append_time_entry(cache)?;
        self.offset_index.seal(cache)?;
        self.time_index.seal(cache)
    }

    /// A position at or before the batch that holds `offset`.
    ///
    /// # Errors
    /// The file system's.
    pub fn position_at_or_before(&self, cache: &FileCache, offset: i64) -> io::Result<u64> {
        let Some(relative) = self.relative(offset) else {
            return Ok(0);
        };
        // An entry names the last offset of the batch at its position: for an offset inside that batch it is too high
        // only if it is above, and the floor's batch begins at or before every offset from its last one on.
        let floor = self.offset_index.floor(
            cache,
            |entry| read_offset_entry(entry).0 <= relative,
            |entry| self.has_batch_of(cache, read_offset_entry(entry)),
        )?;
        Ok(floor.map_or(0, |entry| u64::from(read_offset_entry(&entry).1)))
    }

    /// Whether a batch stands at the position of an entry that begins at or before the entry's offset: what is read from
    /// there on misses nothing.
    fn has_batch_of(&self, cache: &FileCache, (relative, position): (u32, u32)) -> io::Result<bool> {
        let (position, size) = (u64::from(position), self.size_bytes());
        if position.saturating_add(BATCH_HEADER_BYTES as u64) > size {
            return Ok(false);
        }
        let mut header = [0; BATCH_HEADER_BYTES];
        self.log.get(cache)?.read_exact_at(&mut header, position)?;
        let is_whole = claimed_size(&header).is_some_and(|bytes| {
            bytes >= BATCH_HEADER_BYTES && position.saturating_add(bytes as u64) <= size
        });
        let named = self.base_offset.saturating_add(i64::from(relative));
        let begins = header
            .first_chunk()
            .map_or(i64::MIN, |base| i64::from_be_bytes(*base));
        let has_magic = header.get(MAGIC_AT) == Some(&CURRENT_MAGIC);
        Ok(is_whole && has_magic && (self.base_offset..=named).contains(&begins))
    }

    /// The offset from which a search for `timestamp_ms` must begin.
    ///
    /// # Errors
    /// The file system's.
    pub fn offset_at_or_before_timestamp(&self, cache: &FileCache, timestamp_ms: i64) -> io::Result<i64> {
        let floor = self.time_index.floor(
            cache,
            |entry| read_time_entry(entry).0 < timestamp_ms,
            |entry| self.has_timestamp_of(cache, read_time_entry(entry)),
        )?;
        Ok(floor.map_or(self.base_offset, |entry| {
            self.base_offset + i64::from(read_time_entry(&entry).1)
        }))
    }

    /// Whether the batch that holds the offset of an entry has the entry's timestamp as its largest.
    fn has_timestamp_of(&self, cache: &FileCache, (timestamp_ms, relative): (i64, u32)) -> io::Result<bool> {
        let offset = self.base_offset.saturating_add(i64::from(relative));
        let position = self.position_at_or_before(cache, offset)?;
        let file = self.log.get(cache)?;
        let mut scan = Scan::new(&file, position, self.size_bytes());
        while let Step::Batch(_, batch) = scan.next(false)? {
            if batch.last_offset() >= offset {
                return Ok(batch.base_offset() <= offset && batch.max_timestamp_ms() == timestamp_ms);
            }
        }
        Ok(false)
    }

    fn relative(&self, offset: i64) -> Option<u32> {
        let relative = offset.checked_sub(self.base_offset)?;
        u32::try_from(relative)
            .ok()
            .filter(|relative| i32::try_from(*relative).is_ok())
    }

    /// The aborted transactions whose markers stand here, in the order of the markers.
    pub(crate) fn aborted_transactions(&self) -> Vec<AbortedTransaction> {
        let mut found = Vec::new();
        self.transaction_index.collect(i64::MIN, i64::MAX, &mut found);
        found
    }

    /// Writes which aborted transactions have their markers here.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn set_aborted_transactions(
        &self,
        cache: &FileCache,
        aborted: Vec<AbortedTransaction>,
    ) -> io::Result<()> {
        self.transaction_index.replace(cache, aborted)
    }

    /// The files of the segment. That of aborted transactions need not exist.
    pub fn files(&self) -> [&Arc<CachedFile>; 4] {
        [
            &self.log,
            self.offset_index.file(),
            self.time_index.file(),
            self.transaction_index.file(),
        ]
    }

    /// Follows a rename of the partition's directory.
    pub fn moved_to(&self, dir: &Arc<Path>) {
        for file in self.files() {
            file.moved_to(dir);
        }
    }

    /// Changes the suffix of the files' names, the file of batches last: it is what a start looks for.
    ///
    /// # Errors
    /// The file system's.
    pub fn change_suffix(&self, cache: &FileCache, from: &str, to: &str) -> io::Result<()> {
        for file in self.files().into_iter().rev() {
            file.change_suffix(cache.disk(), from, to)?;
        }
        Ok(())
    }

    /// Renames the files so that no start takes them for a segment; they leave the disk later. One for whose new name there
    /// is no room leaves it at once.
    ///
    /// # Errors
    /// The file system's.
    pub fn mark_deleted(&self, cache: &FileCache) -> io::Result<Vec<PathBuf>> {
        let mut marked = Vec::new();
        for file in self.files() {
            if !cache.disk().exists(&file.path())? {
                continue;
            }
            match file.mark_deleted(cache.disk(), DELETED_SUFFIX) {
                Ok(to) => marked.push(to),
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    cache.disk().remove_file(&file.path())?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(marked)
    }
}
