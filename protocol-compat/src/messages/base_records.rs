//! The records of a fetch answer: bytes in memory, or a part of a file that goes from the page cache to the socket.
//!
//! Named as Kafka's `BaseRecords`, `MemoryRecords` and `FileRecords`. What is decoded is always in memory.

use std::fmt;
use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::Bytes;

/// Whole record batches, the last of which may be cut off.
#[derive(Clone, Debug, PartialEq)]
pub enum Records {
    /// In memory.
    Memory(Bytes),
    /// In a file.
    File(FileRecords),
}

impl Records {
    /// How many bytes they are.
    pub fn len(&self) -> usize {
        match self {
            Records::Memory(bytes) => bytes.len(),
            Records::File(part) => part.length,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they are in memory.
    pub fn in_memory(&self) -> Option<&Bytes> {
        match self {
            Records::Memory(bytes) => Some(bytes),
            Records::File(_) => None,
        }
    }
}

impl Default for Records {
    fn default() -> Records {
        Records::Memory(Bytes::new())
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Records {
        Records::Memory(bytes)
    }
}

impl From<FileRecords> for Records {
    fn from(part: FileRecords) -> Records {
        Records::File(part)
    }
}

/// A part of an open file, which whoever sends it does not read. Its bytes must not change as long as it is held.
#[derive(Clone)]
pub struct FileRecords {
    /// The file, kept open by this.
    pub file: Arc<dyn AsFd + Send + Sync>,
    /// Where in the file the records begin.
    pub position: u64,
    /// How many bytes they are.
    pub length: usize,
}

impl fmt::Debug for FileRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileRecords({} bytes at {})", self.length, self.position)
    }
}

impl PartialEq for FileRecords {
    fn eq(&self, other: &FileRecords) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && (self.position, self.length) == (other.position, other.length)
    }
}
