//! The aborted transactions whose markers stand in one segment, in Kafka's `.txnindex` file.
//!
//! A consumer that reads committed records is told which transactions of what it read were aborted. The file is derived
//! from the log (rule S9): it is read when the segment is opened, and built anew where it is damaged or where recovery read
//! the segment. An entry is 34 bytes: version, producer id, first offset, offset of the marker, last stable offset.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;

use super::file_cache::{CachedFile, FileCache};

const VERSION: i16 = 0;
const ENTRY_BYTES: usize = 34;
/// Some two million transactions in one segment.
const MOST_BYTES: usize = 64 << 20;

/// A transaction that a marker aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// The producer.
    pub producer_id: i64,
    /// Offset of its first record.
    pub first_offset: i64,
    /// Offset of the marker.
    pub last_offset: i64,
    /// The last stable offset once the marker stood.
    pub last_stable_offset: i64,
}

impl AbortedTransaction {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&VERSION.to_be_bytes());
        for number in [
            self.producer_id,
            self.first_offset,
            self.last_offset,
            self.last_stable_offset,
        ] {
            out.extend_from_slice(&number.to_be_bytes());
        }
    }

    fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<AbortedTransaction> {
        let (version, rest) = bytes.split_first_chunk::<2>()?;
        let (producer_id, rest) = rest.split_first_chunk::<8>()?;
        let (first_offset, rest) = rest.split_first_chunk::<8>()?;
        let (last_offset, rest) = rest.split_first_chunk::<8>()?;
        let last_stable_offset = rest.first_chunk::<8>()?;
        (i16::from_be_bytes(*version) == VERSION).then(|| AbortedTransaction {
            producer_id: i64::from_be_bytes(*producer_id),
            first_offset: i64::from_be_bytes(*first_offset),
            last_offset: i64::from_be_bytes(*last_offset),
            last_stable_offset: i64::from_be_bytes(*last_stable_offset),
        })
    }
}

/// The index of one segment: its file, which need not exist, and its entries in the order of their markers.
#[derive(Debug)]
pub(super) struct TransactionIndex {
    file: Arc<CachedFile>,
    entries: RwLock<Vec<AbortedTransaction>>,
}

impl TransactionIndex {
    pub fn new(dir: &Arc<Path>, name: String) -> TransactionIndex {
        TransactionIndex {
            file: CachedFile::new(dir, name),
            entries: RwLock::default(),
        }
    }

    pub fn file(&self) -> &Arc<CachedFile> {
        &self.file
    }

    /// Reads the file of a segment that begins at `base_offset`; false if it is damaged and must be built anew. What is
    /// left of an entry at the end does not count, as in Kafka.
    pub fn load(&self, cache: &FileCache, base_offset: i64) -> io::Result<bool> {
        let bytes = match cache.disk().read(&self.file.path(), MOST_BYTES) {
            Err(e) if e.kind() == io::ErrorKind::InvalidData => return Ok(false),
            read => read?,
        };
        let (whole, _) = bytes.as_chunks::<ENTRY_BYTES>();
        let entries: Option<Vec<_>> = whole.iter().map(AbortedTransaction::decode).collect();
        let is_sound = |entries: &Vec<AbortedTransaction>| {
            entries.iter().all(|entry| entry.last_offset >= base_offset)
                && entries.is_sorted_by(|one, next| one.last_offset < next.last_offset)
        };
        let Some(entries) = entries.filter(is_sound) else {
            return Ok(false);
        };
        *self.entries.write() = entries;
        Ok(true)
    }

    /// Puts other entries in place of those known, in the file as well where they differ.
    pub fn replace(&self, cache: &FileCache, entries: Vec<AbortedTransaction>) -> io::Result<()> {
        let path = self.file.path();
        let exists = cache.disk().exists(&path)?;
        if *self.entries.read() == entries && exists != entries.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(entries.len().saturating_mul(ENTRY_BYTES));
        entries.iter().for_each(|entry| entry.encode(&mut bytes));
        if !entries.is_empty() {
            self.file.close();
            cache.disk().replace(&path, &bytes)?;
        } else if exists {
            self.file.close();
            cache.disk().remove_file(&path)?;
        }
        *self.entries.write() = entries;
        Ok(())
    }

    /// Forgets the transactions whose markers stand at `offset` or above.
    pub fn truncate_to(&self, cache: &FileCache, offset: i64) -> io::Result<()> {
        let before = self.entries.read().clone();
        let kept: Vec<_> = before
            .iter()
            .copied()
            .filter(|entry| entry.last_offset < offset)
            .collect();
        if kept.len() == before.len() {
            return Ok(());
        }
        self.replace(cache, kept)
    }

    /// Adds the transactions that overlap `from..upper`; whether a later segment's index can have no more.
    pub fn collect(&self, from: i64, upper: i64, found: &mut Vec<AbortedTransaction>) -> bool {
        for entry in self.entries.read().iter() {
            if entry.last_offset >= from && entry.first_offset < upper {
                found.push(*entry);
            }
            if entry.last_stable_offset >= upper {
                return true;
            }
        }
        false
    }
}
