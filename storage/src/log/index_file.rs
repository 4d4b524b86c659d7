//! A sparse index of fixed-size entries beside a segment: the mechanics that offset and time index share.
//!
//! The active segment's entries are in memory and reach the file in groups; a sealed segment's are read from the file as
//! they are needed. Nothing is memory-mapped: the first touch of a mapped hole costs milliseconds, and the number of
//! mappings caps the number of partitions. An index is derived: it is rebuilt from its segment where it is missing or wrong.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use super::file_cache::{CachedFile, FileCache};
use crate::disk::OpenMode;

/// Entries that may wait in memory before they are written.
const UNWRITTEN_ENTRIES: usize = 64;

/// Bytes of a time index entry.
pub const TIME_ENTRY_BYTES: usize = 12;

/// An index of `N`-byte entries in ascending order.
#[derive(Debug)]
pub struct IndexFile<const N: usize> {
    file: Arc<CachedFile>,
    state: RwLock<State<N>>,
    is_damage_told: AtomicBool,
}

#[derive(Debug)]
enum State<const N: usize> {
    /// Entries of the active segment, how many of them the file has, and how many of those come from there.
    Active {
        entries: Vec<[u8; N]>,
        written: usize,
        read: usize,
    },
    /// Entries are in the file alone.
    Sealed { count: usize },
}

impl<const N: usize> IndexFile<N> {
    /// The empty index of a new segment. The file comes into being with its first entries.
    pub fn new(dir: &Arc<Path>, name: String) -> IndexFile<N> {
        let state = State::Active {
            entries: Vec::new(),
            written: 0,
            read: 0,
        };
        IndexFile {
            file: CachedFile::new(dir, name),
            state: RwLock::new(state),
            is_damage_told: AtomicBool::new(false),
        }
    }

    /// The index of a sealed segment as its file has it. `None` if the file is missing or not a whole number of entries.
    ///
    /// # Errors
    /// The file system's.
    pub fn open_sealed(dir: &Arc<Path>, name: String, cache: &FileCache) -> io::Result<Option<IndexFile<N>>> {
        let length = match cache.disk().open(&dir.join(&name), OpenMode::Read) {
            Ok(file) => file.len()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !length.is_multiple_of(N) {
            return Ok(None);
        }
        let state = State::Sealed { count: length / N };
        Ok(Some(IndexFile {
            file: CachedFile::new(dir, name),
            state: RwLock::new(state),
            is_damage_told: AtomicBool::new(false),
        }))
    }

    /// Whether there is a file.
    ///
    /// # Errors
    /// The file system's.
    pub fn has_file(&self, cache: &FileCache) -> io::Result<bool> {
        cache.disk().exists(&self.file.path())
    }

    /// The file.
    pub fn file(&self) -> &Arc<CachedFile> {
        &self.file
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        match &*self.state.read() {
            State::Active { entries, .. } => entries.len(),
            State::Sealed { count } => *count,
        }
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an entry, which must not be below the last one. On a full disk it stays in memory until there is room.
    ///
    /// # Errors
    /// The file system's, when the group is written.
    pub fn append(&self, cache: &FileCache, entry: [u8; N]) -> io::Result<()> {
        let full = match &mut *self.state.write() {
            State::Active { entries, written, .. } => {
                entries.push(entry);
                entries.len() - *written >= UNWRITTEN_ENTRIES
            }
            State::Sealed { .. } => return Err(io::Error::other("append to the index of a sealed segment")),
        };
        if full {
            unless_full(self.write_out(cache))?;
        }
        Ok(())
    }

    /// Writes the entries that are only in memory, and creates the file.
    ///
    /// # Errors
    /// The file system's.
    pub fn write_out(&self, cache: &FileCache) -> io::Result<()> {
        let mut state = self.state.write();
        let State::Active { entries, written, .. } = &mut *state else {
            return Ok(());
        };
        let file = self.file.create(cache)?;
        let missing: Vec<u8> = entries.iter().skip(*written).flatten().copied().collect();
        file.write_all_at(&missing, (*written * N) as u64)?;
        *written = entries.len();
        Ok(())
    }

    /// Makes the file durable with all entries.
    ///
    /// # Errors
    /// The file system's.
    pub fn sync(&self, cache: &FileCache) -> io::Result<()> {
        self.write_out(cache)?;
        self.file.get(cache)?.sync_data()
    }

    /// Lets go of the entries in memory: the segment takes no more appends. On a full disk they stay there, so that nothing
    /// is missing from the index until the next [`IndexFile::sync`] meets room.
    ///
    /// # Errors
    /// The file system's.
    pub fn seal(&self, cache: &FileCache) -> io::Result<()> {
        if unless_full(self.write_out(cache))? {
            let count = self.len();
            *self.state.write() = State::Sealed { count };
        }
        Ok(())
    }

    /// Replaces all entries, in memory and in the file: what recovery found, or what truncation left. On a full disk the
    /// file has none of them until there is room. For no entries no file is made.
    ///
    /// # Errors
    /// The file system's.
    pub fn replace(&self, cache: &FileCache, entries: Vec<[u8; N]>) -> io::Result<()> {
        let can_write = if entries.is_empty() && !self.has_file(cache)? {
            false
        } else {
            let emptied = self.file.create(cache).and_then(|file| file.set_len(0));
            unless_full(emptied)?
        };
        *self.state.write() = State::Active {
            entries,
            written: 0,
            read: 0,
        };
        if can_write {
            unless_full(self.write_out(cache))?;
        }
        Ok(())
    }

    /// Makes a sealed index writable again.
    ///
    /// # Errors
    /// The file system's.
    pub fn activate(&self, cache: &FileCache) -> io::Result<()> {
        let mut entries = Vec::with_capacity(self.len());
        for position in 0..self.len() {
            entries.extend(self.get(cache, position)?);
        }
        let (written, read) = (entries.len(), entries.len());
        *self.state.write() = State::Active {
            entries,
            written,
            read,
        };
        Ok(())
    }

    /// The entry at `position`, counted from 0.
    ///
    /// # Errors
    /// The file system's.
    pub fn get(&self, cache: &FileCache, position: usize) -> io::Result<Option<[u8; N]>> {
        match &*self.state.read() {
            State::Active { entries, .. } => return Ok(entries.get(position).copied()),
            State::Sealed { count } if position >= *count => return Ok(None),
            State::Sealed { .. } => {}
        }
        let mut entry = [0; N];
        self.file
            .get(cache)?
            .read_exact_at(&mut entry, (position * N) as u64)?;
        Ok(Some(entry))
    }

    /// The last entry for which `at_or_below` holds, which must hold for a prefix of the entries, and which is `true` to
    /// the segment. Entries that were in memory all the time are; those that are read from the file may have been damaged.
    ///
    /// # Errors
    /// The file system's, also those of `is_true`.
    pub fn floor(
        &self,
        cache: &FileCache,
        at_or_below: impl Fn(&[u8; N]) -> bool,
        is_true: impl Fn(&[u8; N]) -> io::Result<bool>,
    ) -> io::Result<Option<[u8; N]>> {
        let in_memory = match &*self.state.read() {
            State::Active { entries, read, .. } => {
                let end = entries.partition_point(&at_or_below);
                let last = end.checked_sub(1);
                if last.is_none_or(|last| last >= *read) {
                    return Ok(last.and_then(|last| entries.get(last)).copied());
                }
                Some(end)
            }
            State::Sealed { .. } => None,
        };
        let end = match in_memory {
            Some(end) => end,
            None => self.search(cache, &at_or_below)?,
        };
        for position in (0..end).rev() {
            match self.get(cache, position)? {
                Some(entry) if at_or_below(&entry) && is_true(&entry)? => return Ok(Some(entry)),
                _ => self.tell_damage(position),
            }
        }
        Ok(None)
    }

    /// How many entries stand before the first for which `at_or_below` does not hold.
    fn search(&self, cache: &FileCache, at_or_below: impl Fn(&[u8; N]) -> bool) -> io::Result<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(cache, middle)? {
                Some(entry) if at_or_below(&entry) => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// Once for each file: readers come back.
    fn tell_damage(&self, entry: usize) {
        if !self.is_damage_told.swap(true, Ordering::Relaxed) {
            let file = self.file.path();
            let file = file.display();
            tracing::error!(%file, entry, "an index entry is damaged, readers go on from one before it");
        }
    }
}

/// Whether something was written; an index is derived, so that for want of room it may lag behind.
fn unless_full(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(false),
        Err(error) => Err(error),
    }
}

/// Entry of an offset index: offset relative to the segment's base, and position in the file.
pub fn offset_entry(relative_offset: u32, position: u32) -> [u8; 8] {
    let mut entry = [0; 8];
    entry[..4].copy_from_slice(&relative_offset.to_be_bytes());
    entry[4..].copy_from_slice(&position.to_be_bytes());
    entry
}

/// Reads an entry of an offset index.
pub fn read_offset_entry(entry: &[u8; 8]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = *entry;
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

/// Entry of a time index: the largest timestamp so far in ms, and the relative offset of the batch that has it.
pub fn time_entry(timestamp_ms: i64, relative_offset: u32) -> [u8; 12] {
    let mut entry = [0; 12];
    entry[..8].copy_from_slice(&timestamp_ms.to_be_bytes());
    entry[8..].copy_from_slice(&relative_offset.to_be_bytes());
    entry
}

/// Reads an entry of a time index.
pub fn read_time_entry(entry: &[u8; 12]) -> (i64, u32) {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *entry;
    (
        i64::from_be_bytes([a, b, c, d, e, f, g, h]),
        u32::from_be_bytes([i, j, k, l]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, SimDisk};

    #[test]
    fn the_floor_is_the_same_active_and_sealed() {
        let cache = FileCache::new(Disk::simulated(&SimDisk::new(1, 1 << 20)), 8);
        let root = Path::new("/").into();
        let index = IndexFile::<8>::new(&root, "a.index".to_owned());
        for n in 1..200u32 {
            index.append(&cache, offset_entry(n * 10, n * 100)).unwrap();
        }
        let floors = |index: &IndexFile<8>| {
            let floor = |wanted: u32| {
                let at_or_below = |e: &[u8; 8]| read_offset_entry(e).0 <= wanted;
                index.floor(&cache, at_or_below, |_| Ok(true)).unwrap()
            };
            [0, 9, 10, 15, 1000, 5000].map(|wanted| floor(wanted).map(|e| read_offset_entry(&e)))
        };
        let active = floors(&index);
        assert_eq!(active[..4], [None, None, Some((10, 100)), Some((10, 100))]);
        index.seal(&cache).unwrap();
        assert_eq!(floors(&index), active);
        let opened = IndexFile::<8>::open_sealed(&root, "a.index".to_owned(), &cache)
            .unwrap()
            .unwrap();
        assert_eq!(floors(&opened), active);
        opened.activate(&cache).unwrap();
        assert_eq!(floors(&opened), active);
    }
}
