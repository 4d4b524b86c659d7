//! The only door to the file system: a real disk or a simulated one behind the same handle.
//!
//! Everything that the crate keeps goes through [`Disk`] and [`File`], so that a test can lose what was not synced, tear
//! writes, fail or fill up at any call. Errors name the operation and the path. Nothing here retries: a failed write or
//! sync leaves the file in an unknown state, and who sees the error must treat it so (rule S1).

mod gate;
mod page_cache;
mod real;
mod simulated;
mod write_back;

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::stages::{self, Stage};

pub use simulated::{SimDisk, SimFault};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Must exist; only read.
    Read,
    /// Must exist; read and written.
    ReadWrite,
    /// Created if missing; read and written.
    Create,
    /// Must not exist; read and written.
    CreateNew,
}

/// A file system. Cloning is cheap and yields the same one.
#[derive(Clone)]
pub struct Disk(Kind);

#[derive(Clone)]
enum Kind {
    Real,
    Simulated(SimDisk),
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Real => "Disk::real",
            Kind::Simulated(_) => "Disk::simulated",
        })
    }
}

/// Holds a directory's lock file until dropped.
#[derive(Debug)]
pub struct DirLock {
    _lock: LockKind,
}

#[derive(Debug)]
enum LockKind {
    Real { _file: std::fs::File },
    Simulated { _guard: simulated::SimLock },
}

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The last part of the path. Names that are not UTF-8 are left out of listings: nobody here writes them.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// Room on the file system that holds a path, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Size of the file system.
    pub total_bytes: u64,
    /// What an unprivileged writer may still use.
    pub usable_bytes: u64,
}

impl Disk {
    /// The machine's file system.
    pub fn real() -> Disk {
        Disk(Kind::Real)
    }

    /// A simulated disk that is seen by every handle made from `disk`.
    pub fn simulated(disk: &SimDisk) -> Disk {
        Disk(Kind::Simulated(disk.clone()))
    }

    /// Opens a file.
    ///
    /// # Errors
    /// The file system's, with operation and path.
    pub fn open(&self, path: &Path, mode: OpenMode) -> io::Result<File> {
        let kind = match &self.0 {
            Kind::Real => real::open(path, mode).map(|file| FileKind::Real(Arc::new(file))),
            Kind::Simulated(disk) => disk.open(path, mode).map(FileKind::Simulated),
        };
        Ok(File {
            path: Arc::from(path),
            kind: kind.map_err(|e| with_path("open", path, &e))?,
        })
    }

    /// Creates a directory and its parents; one that exists is fine. Parents are not synced.
    ///
    /// # Errors
    /// The file system's.
    pub fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        match &self.0 {
            Kind::Real => std::fs::create_dir_all(path),
            Kind::Simulated(disk) => disk.create_dir_all(path),
        }
        .map_err(|e| with_path("create directory", path, &e))
    }

    /// The entries of a directory, sorted by name.
    ///
    /// # Errors
    /// The file system's; `NotFound` if there is no such directory.
    pub fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = match &self.0 {
            Kind::Real => real::read_dir(path),
            Kind::Simulated(disk) => disk.read_dir(path),
        }
        .map_err(|e| with_path("list", path, &e))?;
        entries.sort();
        Ok(entries)
    }

    /// Renames a file or a directory, replacing a file of the new name.
    ///
    /// # Errors
    /// The file system's.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match &self.0 {
            Kind::Real => std::fs::rename(from, to),
            Kind::Simulated(disk) => disk.rename(from, to),
        }
        .map_err(|e| with_path("rename", from, &e))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// The file system's; `NotFound` if there is none.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        match &self.0 {
            Kind::Real => std::fs::remove_file(path),
            Kind::Simulated(disk) => disk.remove_file(path),
        }
        .map_err(|e| with_path("remove", path, &e))
    }

    /// Removes a directory with all that is in it.
    ///
    /// # Errors
    /// The file system's.
    pub fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        match &self.0 {
            Kind::Real => std::fs::remove_dir_all(path),
            Kind::Simulated(disk) => disk.remove_dir_all(path),
        }
        .map_err(|e| with_path("remove directory", path, &e))
    }

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// The file system's; final for the directory (rule S1).
    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        match &self.0 {
            Kind::Real => real::sync_dir(path),
            Kind::Simulated(disk) => disk.sync_dir(path),
        }
        .map_err(|e| failed_sync("sync directory", path, &e))
    }

    /// Whether a file or directory of that name exists.
    ///
    /// # Errors
    /// The file system's, for instance a parent that may not be searched.
    pub fn exists(&self, path: &Path) -> io::Result<bool> {
        match &self.0 {
            Kind::Real => path.try_exists(),
            Kind::Simulated(disk) => disk.exists(path),
        }
        .map_err(|e| with_path("look up", path, &e))
    }

    /// Takes the exclusive lock on a lock file, which is created if missing. `None` if another holder has it.
    ///
    /// # Errors
    /// The file system's.
    pub fn try_lock(&self, path: &Path) -> io::Result<Option<DirLock>> {
        match &self.0 {
            Kind::Real => real::try_lock(path).map(|file| file.map(|file| LockKind::Real { _file: file })),
            Kind::Simulated(disk) => disk
                .try_lock(path)
                .map(|lock| lock.map(|guard| LockKind::Simulated { _guard: guard })),
        }
        .map(|kind| kind.map(|kind| DirLock { _lock: kind }))
        .map_err(|e| with_path("lock", path, &e))
    }

    /// A small file's whole content.
    ///
    /// # Errors
    /// The file system's; `InvalidData` if it is longer than `limit_bytes`.
    pub fn read(&self, path: &Path, limit_bytes: usize) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenMode::Read)?;
        let length = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        if length > limit_bytes {
            let text = format!(
                "could not read {}: it has {length} bytes, more than {limit_bytes}",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut content = vec![0; length];
        file.read_exact_at(&mut content, 0)?;
        Ok(content)
    }

    /// Replaces a small file in one step: temporary file in the same directory, sync, rename, sync of the directory
    /// (rule S6). After a crash the file has the old content or the new one.
    ///
    /// # Errors
    /// The file system's; the old content may or may not be gone.
    pub fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let file = self.open(&temporary, OpenMode::Create)?;
        file.set_len(0)?;
        let written = file
            .write_all_at(content, 0)
            .and_then(|()| file.sync_all())
            .and_then(|()| self.rename(&temporary, path));
        if let Err(error) = written {
            if error.kind() == io::ErrorKind::StorageFull {
                self.remove_file(&temporary)?;
            }
            return Err(error);
        }
        match path.parent() {
            Some(parent) => self.sync_dir(parent),
            None => Ok(()),
        }
    }

    /// Writes a small file that nobody has read yet, whose content and name become durable when the kernel gets to it or with a
    /// later [`Disk::replace`]. After a power cut any part of it may be there.
    ///
    /// # Errors
    /// The file system's; where there was no room, nothing is left of it.
    pub fn write_unsynced(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let file = self.open(path, OpenMode::Create)?;
        let written = file.set_len(0).and_then(|()| file.write_all_at(content, 0));
        if let Err(error) = &written
            && error.kind() == io::ErrorKind::StorageFull
        {
            self.remove_file(path)?;
        }
        written
    }

    /// Room on the file system that holds `path`.
    ///
    /// # Errors
    /// The file system's.
    pub fn space(&self, path: &Path) -> io::Result<Space> {
        match &self.0 {
            Kind::Real => real::space(path),
            Kind::Simulated(disk) => disk.space(),
        }
        .map_err(|e| with_path("ask for the free space of", path, &e))
    }
}

/// An open file. All positions are explicit; the handle has no cursor and may be shared by threads.
#[derive(Debug)]
pub struct File {
    path: Arc<Path>,
    kind: FileKind,
}

#[derive(Debug)]
enum FileKind {
    Real(Arc<std::fs::File>),
    Simulated(simulated::SimFile),
}

impl File {
    /// Where the file was opened; a later rename does not show.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills `buffer` from position `at` (rule S19).
    ///
    /// # Errors
    /// The file system's; `UnexpectedEof` if the file ends before.
    pub fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.read_at(rest, at.saturating_add(done as u64))? {
                0 => {
                    let text = format!(
                        "could not read {}: it ends before byte {}",
                        self.path.display(),
                        at + done as u64 + 1
                    );
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                }
                count => done += count,
            }
        }
        Ok(())
    }

    /// Reads `length` bytes from position `at` into a new buffer, which is not zeroed first.
    ///
    /// # Errors
    /// The file system's; `UnexpectedEof` if the file ends before.
    pub fn read_to_bytes(&self, length: usize, at: u64) -> io::Result<Bytes> {
        let _file = stages::enter(Stage::File);
        let mut content = Vec::with_capacity(length);
        while content.len() < length {
            let from = at.saturating_add(content.len() as u64);
            let count = match &self.kind {
                FileKind::Real(file) => real::append_at(file, &mut content, from),
                FileKind::Simulated(file) => file.append_at(&mut content, length, from),
            };
            if count.map_err(|e| with_path("read", &self.path, &e))? == 0 {
                let text = format!("could not read {}: it ends at byte {from}", self.path.display());
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
        }
        content.truncate(length);
        Ok(content.into())
    }

    /// Reads up to `buffer.len()` bytes from position `at`; 0 at the end of the file.
    ///
    /// # Errors
    /// The file system's.
    pub fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let _file = stages::enter(Stage::File);
        match &self.kind {
            FileKind::Real(file) => real::read_at(file, buffer, at),
            FileKind::Simulated(file) => file.read_at(buffer, at),
        }
        .map_err(|e| with_path("read", &self.path, &e))
    }

    /// Writes all of `bytes` at position `at`.
    ///
    /// # Errors
    /// The file system's; a part may have been written.
    pub fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_vectored_at(&mut [IoSlice::new(bytes)], at)
    }

    /// Writes all slices one behind the other at position `at`, in one system call where the kernel takes it. The
    /// slices are used up.
    ///
    /// # Errors
    /// The file system's; a part may have been written.
    pub fn write_all_vectored_at(&self, slices: &mut [IoSlice<'_>], at: u64) -> io::Result<()> {
        let _file = stages::enter(Stage::File);
        match &self.kind {
            FileKind::Real(file) => real::write_all_vectored_at(file, slices, at),
            FileKind::Simulated(file) => file.write_all_vectored_at(slices, at),
        }
        .map_err(|e| with_path("write", &self.path, &e))
    }

    /// Makes the content and the length durable.
    ///
    /// # Errors
    /// The file system's; final for the file (rule S1).
    pub fn sync_data(&self) -> io::Result<()> {
        let _file = stages::enter(Stage::File);
        match &self.kind {
            FileKind::Real(file) => file.sync_data(),
            FileKind::Simulated(file) => file.sync(),
        }
        .map_err(|e| failed_sync("sync", &self.path, &e))
    }

    /// Makes content and every attribute durable.
    ///
    /// # Errors
    /// The file system's; final for the file (rule S1).
    pub fn sync_all(&self) -> io::Result<()> {
        let _file = stages::enter(Stage::File);
        match &self.kind {
            FileKind::Real(file) => file.sync_all(),
            FileKind::Simulated(file) => file.sync(),
        }
        .map_err(|e| failed_sync("sync", &self.path, &e))
    }

    /// Tells the system that what was read and synced of the file need not stay in its page cache. Nothing depends on it.
    pub fn forget_cached(&self) {
        match &self.kind {
            FileKind::Real(file) => real::forget_cached(file),
            FileKind::Simulated(_) => {}
        }
    }

    /// The file for those who send parts of it without reading them. `None` where there is no descriptor, or where the system
    /// does not say what is resident.
    pub fn to_send(&self) -> Option<Arc<dyn AsFd + Send + Sync>> {
        match &self.kind {
            FileKind::Real(file) if page_cache::can_tell() => Some(file.clone()),
            FileKind::Real(_) | FileKind::Simulated(_) => None,
        }
    }

    /// Whether the page cache holds all of a part of the file, so that sending it waits for no disk. False where the system
    /// cannot say.
    pub fn is_resident(&self, from: u64, bytes: u64) -> bool {
        match &self.kind {
            FileKind::Real(file) => page_cache::holds(file, from, bytes),
            FileKind::Simulated(_) => false,
        }
    }

    /// Whether the system keeps what was written of it in memory and writes it later.
    pub fn is_cached(&self) -> bool {
        matches!(self.kind, FileKind::Real(_))
    }

    /// Has the system begin to write a part of the file. It may wait for room in the disk's queue, not for the disk. Promises
    /// nothing: what could not be written, the next sync tells.
    ///
    /// # Errors
    /// The file system's, or that of a system that cannot.
    pub fn begin_write_back(&self, from: u64, bytes: u64) -> io::Result<()> {
        match &self.kind {
            FileKind::Real(file) => write_back::begin(file, from, bytes),
            FileKind::Simulated(_) => Ok(()),
        }
        .map_err(|e| with_path("write back", &self.path, &e))
    }

    /// Has the file system set so many bytes aside for the file from a position on, so that they need not be found as they are
    /// written. The file's length and content stay. Whether it did: nothing depends on it.
    pub fn allocate_ahead(&self, from: u64, bytes: u64) -> bool {
        match &self.kind {
            FileKind::Real(file) => real::allocate_ahead(file, from, bytes),
            FileKind::Simulated(_) => true,
        }
    }

    /// Cuts or extends the file to `length` bytes; an extension reads as zeros.
    ///
    /// # Errors
    /// The file system's.
    pub fn set_len(&self, length: u64) -> io::Result<()> {
        match &self.kind {
            FileKind::Real(file) => file.set_len(length),
            FileKind::Simulated(file) => file.set_len(length),
        }
        .map_err(|e| with_path("truncate", &self.path, &e))
    }

    /// The file's length in bytes.
    ///
    /// # Errors
    /// The file system's.
    pub fn len(&self) -> io::Result<u64> {
        match &self.kind {
            FileKind::Real(file) => file.metadata().map(|metadata| metadata.len()),
            FileKind::Simulated(file) => file.len(),
        }
        .map_err(|e| with_path("ask for the length of", &self.path, &e))
    }

    /// Whether the file is empty.
    ///
    /// # Errors
    /// The file system's.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// What a sync that found no room has written is not known: it must not look like a write that can be tried again.
fn failed_sync(operation: &str, path: &Path, error: &io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::StorageFull => io::Error::other(with_path(operation, path, error).to_string()),
        _ => with_path(operation, path, error),
    }
}

fn with_path(operation: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("could not {operation} {}: {error}", path.display()),
    )
}
