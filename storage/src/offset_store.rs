//! Committed offsets and group metadata as a view of `__consumer_offsets`: RocksDB, or its twin in memory.
//!
//! Each partition of the topic has rows and the offset up to which its log is in them; both change in one write, so
//! that the view never claims rows it does not have (rule S18). The log is the truth: writes are not synced, a killed process
//! finds the store as it was a little earlier, and a store that is lost, damaged or of another format is emptied; the log
//! fills in what is missing. What a row means is the group coordinator's matter, what
//! a key looks like stands in [`row_key`].

#[cfg(test)]
mod damage_tests;
mod memory;
mod rocks;
pub mod row_key;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use thiserror::Error;

use memory::Memory;
use rocks::Rocks;
use row_key::RowKind;

/// The store failed. Its content can be had again from the log.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("offset store {path}: {reason}")]
pub struct OffsetStoreError {
    /// Where the store lies.
    pub path: PathBuf,
    /// What RocksDB says.
    pub reason: String,
}

/// Bounds of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetStoreOptions {
    /// Memory for blocks, indexes, filters and write buffers together.
    pub memory_bytes: usize,
    /// Files that may be open at a time.
    pub max_open_files: i32,
}

impl Default for OffsetStoreOptions {
    /// 8 MiB, 64 files.
    fn default() -> OffsetStoreOptions {
        OffsetStoreOptions {
            memory_bytes: 8 << 20,
            max_open_files: 64,
        }
    }
}

/// The store. Shared by threads; every call blocks.
#[derive(Debug)]
pub struct OffsetStore {
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    Rocks(Box<Rocks>),
    Memory(Memory),
}

/// One change of a row: its key (see [`row_key`]), and the value or `None` to remove it.
pub type RowChange<'a> = (&'a [u8], Option<&'a [u8]>);

/// Where a scan goes from an entry.
enum Step {
    Next,
    Seek(Vec<u8>),
    Stop,
}

/// A write to a backend, in stored keys.
enum Change<'a> {
    Put(Vec<u8>, &'a [u8]),
    Remove(Vec<u8>),
    RemoveRange(Vec<u8>, Vec<u8>),
}

impl OffsetStore {
    /// Opens the store in the directory `path`, whose parent exists. A store that is damaged or of another format is
    /// emptied with a warning: its applied offsets are gone then, and the log is read from its start.
    ///
    /// # Errors
    /// RocksDB's, for instance a directory that may not be written or that another process has open.
    pub fn open(path: &Path, options: &OffsetStoreOptions) -> Result<OffsetStore, OffsetStoreError> {
        Ok(OffsetStore {
            backend: Backend::Rocks(Box::new(Rocks::open(path, options)?)),
        })
    }

    /// A store in memory with the same behaviour, empty.
    pub fn in_memory() -> OffsetStore {
        OffsetStore {
            backend: Backend::Memory(Memory::default()),
        }
    }

    /// Changes rows of a partition of `__consumer_offsets` and notes that its log is in the store up to
    /// `applied_offset` (exclusive), in one step. Of several changes to a key the last counts.
    ///
    /// # Errors
    /// RocksDB's; nothing was changed.
    pub fn apply(
        &self,
        partition: i32,
        rows: &[RowChange<'_>],
        applied_offset: i64,
    ) -> Result<(), OffsetStoreError> {
        let applied = applied_offset.to_be_bytes();
        let mut changes: Vec<Change<'_>> = rows
            .iter()
            .map(|&(key, value)| match value {
                Some(value) => Change::Put(stored_key(partition, key), value),
                None => Change::Remove(stored_key(partition, key)),
            })
            .collect();
        changes.push(Change::Put(applied_key(partition), &applied));
        self.write(&changes)
    }

    /// Up to which offset (exclusive) the partition's log is in the store; `None` if nothing is.
    ///
    /// # Errors
    /// RocksDB's.
    pub fn applied_offset(&self, partition: i32) -> Result<Option<i64>, OffsetStoreError> {
        let value = self.read(&applied_key(partition))?;
        Ok(value.and_then(|value| Some(i64::from_be_bytes(value.try_into().ok()?))))
    }

    /// The value of a row.
    ///
    /// # Errors
    /// RocksDB's.
    pub fn get(&self, partition: i32, key: &[u8]) -> Result<Option<Vec<u8>>, OffsetStoreError> {
        self.read(&stored_key(partition, key))
    }

    /// Shows all rows whose key begins with `prefix`, in the order of their keys, until `row` breaks off. What `row` does
    /// may not write to the store.
    ///
    /// # Errors
    /// RocksDB's.
    pub fn scan_prefix(
        &self,
        partition: i32,
        prefix: &[u8],
        mut row: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), OffsetStoreError> {
        let from = stored_key(partition, prefix);
        self.scan(
            from.clone(),
            &mut |key, value| match key.strip_prefix(row_space(partition).as_slice()) {
                Some(row_key) if key.starts_with(&from) => match row(row_key, value) {
                    ControlFlow::Continue(()) => Step::Next,
                    ControlFlow::Break(()) => Step::Stop,
                },
                _ => Step::Stop,
            },
        )
    }

    /// Shows each group id once that has rows of `kind`, until `group` breaks off. The rows of a group are skipped, not
    /// read. Ids come by length, then by bytes.
    ///
    /// # Errors
    /// RocksDB's.
    pub fn for_each_group(
        &self,
        partition: i32,
        kind: RowKind,
        mut group: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), OffsetStoreError> {
        let from = stored_key(partition, &[kind.byte()]);
        self.scan(from.clone(), &mut |key, _| {
            let Some(id) = key.strip_prefix(from.as_slice()).and_then(row_key::leading_group) else {
                return Step::Stop;
            };
            match group(id) {
                ControlFlow::Break(()) => Step::Stop,
                ControlFlow::Continue(()) => {
                    successor(stored_key(partition, &row_key::group_prefix(kind, id)))
                        .map_or(Step::Stop, Step::Seek)
                }
            }
        })
    }

    /// Removes all rows of a partition and its applied offset: the log was truncated below it, or the partition moved
    /// away.
    ///
    /// # Errors
    /// RocksDB's; nothing was changed.
    pub fn clear(&self, partition: i32) -> Result<(), OffsetStoreError> {
        let from = stored_key(partition, &[]);
        let to = successor(from.clone()).unwrap_or_default();
        self.write(&[
            Change::RemoveRange(from, to),
            Change::Remove(applied_key(partition)),
        ])
    }

    /// Whether damage was found. Such a store answers nothing any more: [`OffsetStore::replace`] it.
    pub fn is_lost(&self) -> bool {
        match &self.backend {
            Backend::Rocks(rocks) => rocks.is_lost(),
            Backend::Memory(_) => false,
        }
    }

    /// Closes this store and opens an empty one in its place. Waits for calls under way.
    ///
    /// # Errors
    /// RocksDB's; another try may succeed.
    pub fn replace(&self) -> Result<OffsetStore, OffsetStoreError> {
        match &self.backend {
            Backend::Rocks(rocks) => Ok(OffsetStore {
                backend: Backend::Rocks(Box::new(rocks.replace()?)),
            }),
            Backend::Memory(_) => Ok(OffsetStore::in_memory()),
        }
    }

    /// About how many rows there are; a row that was written again may count twice.
    pub fn estimated_rows(&self) -> u64 {
        match &self.backend {
            Backend::Rocks(rocks) => rocks.estimated_rows(),
            Backend::Memory(memory) => memory.row_count(),
        }
    }

    /// What the store holds in memory: write buffers, cached blocks, table readers.
    pub fn memory_usage_bytes(&self) -> u64 {
        match &self.backend {
            Backend::Rocks(rocks) => rocks.memory_usage_bytes(),
            Backend::Memory(memory) => memory.memory_usage_bytes(),
        }
    }

    /// Moves write buffers to tables, so that the next open finds every row.
    ///
    /// # Errors
    /// RocksDB's.
    pub fn flush(&self) -> Result<(), OffsetStoreError> {
        match &self.backend {
            Backend::Rocks(rocks) => rocks.flush(),
            Backend::Memory(_) => Ok(()),
        }
    }

    fn write(&self, changes: &[Change<'_>]) -> Result<(), OffsetStoreError> {
        match &self.backend {
            Backend::Rocks(rocks) => rocks.write(changes),
            Backend::Memory(memory) => {
                memory.write(changes);
                Ok(())
            }
        }
    }

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, OffsetStoreError> {
        match &self.backend {
            Backend::Rocks(rocks) => rocks.get(key),
            Backend::Memory(memory) => Ok(memory.get(key)),
        }
    }

    fn scan(
        &self,
        from: Vec<u8>,
        entry: &mut dyn FnMut(&[u8], &[u8]) -> Step,
    ) -> Result<(), OffsetStoreError> {
        match &self.backend {
            Backend::Rocks(rocks) => rocks.scan(&from, entry),
            Backend::Memory(memory) => {
                memory.scan(from, entry);
                Ok(())
            }
        }
    }
}

const APPLIED: u8 = b'a';
const ROW: u8 = b'r';

fn applied_key(partition: i32) -> Vec<u8> {
    let mut key = vec![APPLIED];
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

fn row_space(partition: i32) -> [u8; 5] {
    let [a, b, c, d] = partition.to_be_bytes();
    [ROW, a, b, c, d]
}

fn stored_key(partition: i32, row: &[u8]) -> Vec<u8> {
    let space = row_space(partition);
    let mut key = Vec::with_capacity(space.len() + row.len());
    key.extend_from_slice(&space);
    key.extend_from_slice(row);
    key
}

/// The smallest key behind all that begin with `prefix`; `None` if there is none.
fn successor(mut prefix: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if let Some(next) = last.checked_add(1) {
            prefix.push(next);
            return Some(prefix);
        }
    }
    None
}
