//! Lazily opened files with a bound on how many are open at once.
//!
//! Every file of a log is a [`CachedFile`]: opened when first used, closed when more than the bound are open and it was
//! not used since the last round (second chance). A reader that holds the handle keeps it alive. What else the logs of a
//! broker share goes with it: the disk, who watches their appends, and who writes them back.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::append_watch::AppendWatch;
use super::file_name::FileName;
use super::write_behind::WriteBehind;
use crate::disk::{Disk, File, OpenMode};

/// The bound on open files, shared by the logs of a broker. See [`FileCache::open_files`].
#[derive(Debug)]
pub struct FileCache {
    disk: Disk,
    capacity: usize,
    open: Mutex<VecDeque<Weak<CachedFile>>>,
    count: AtomicUsize,
    append_watch: Option<Arc<dyn AppendWatch>>,
    write_behind: WriteBehind,
}

/// A file that is open only while it is used.
#[derive(Debug)]
pub struct CachedFile {
    place: Mutex<Place>,
    handle: ArcSwapOption<File>,
    used: AtomicBool,
    is_deleted: AtomicBool,
}

/// Where a file is. The files of a log share the path of their directory, which is most of it.
#[derive(Debug)]
struct Place {
    dir: Arc<Path>,
    name: FileName,
}

impl Place {
    fn path(&self) -> PathBuf {
        self.dir.join(self.name.to_string())
    }

    fn rename(&mut self, disk: &Disk, name: String) -> io::Result<()> {
        disk.rename(&self.path(), &self.dir.join(&name))?;
        self.name = name.into();
        Ok(())
    }
}

impl FileCache {
    /// A cache that keeps at most `capacity` files open, of logs whose appends nobody watches.
    pub fn new(disk: Disk, capacity: usize) -> Arc<FileCache> {
        FileCache::watched(disk, capacity, None)
    }

    /// The same for logs whose appends are watched.
    pub fn watched(
        disk: Disk,
        capacity: usize,
        append_watch: Option<Arc<dyn AppendWatch>>,
    ) -> Arc<FileCache> {
        Arc::new(FileCache {
            disk,
            capacity: capacity.max(1),
            open: Mutex::default(),
            count: AtomicUsize::new(0),
            append_watch,
            write_behind: WriteBehind::default(),
        })
    }

    /// The file system behind it.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Who watches appends.
    pub(super) fn append_watch(&self) -> Option<&dyn AppendWatch> {
        self.append_watch.as_deref()
    }

    /// Who writes back what was appended.
    pub(super) fn write_behind(&self) -> &WriteBehind {
        &self.write_behind
    }

    /// The bound on open files.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many files are open.
    pub fn open_files(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn admit(&self, file: &Arc<CachedFile>) {
        let mut open = self.open.lock();
        open.push_back(Arc::downgrade(file));
        // Each file is looked at no more than twice, so that a cache full of busy files ends the search.
        let mut looks = open.len().saturating_mul(2);
        while open.len() > self.capacity && looks > 0 {
            looks -= 1;
            let Some(oldest) = open.pop_front() else { break };
            let Some(file) = oldest.upgrade() else { continue };
            if file.used.swap(false, Ordering::Relaxed) {
                open.push_back(oldest);
            } else {
                file.handle.store(None);
            }
        }
        self.count.store(open.len(), Ordering::Relaxed);
    }
}

impl CachedFile {
    /// A file of this name in `dir`, not opened yet.
    pub fn new(dir: &Arc<Path>, name: String) -> Arc<CachedFile> {
        let place = Place {
            dir: dir.clone(),
            name: name.into(),
        };
        Arc::new(CachedFile {
            place: Mutex::new(place),
            handle: ArcSwapOption::empty(),
            used: AtomicBool::new(false),
            is_deleted: AtomicBool::new(false),
        })
    }

    /// The open file; it must exist.
    ///
    /// # Errors
    /// The file system's.
    pub fn get(self: &Arc<Self>, cache: &FileCache) -> io::Result<Arc<File>> {
        self.open(cache, OpenMode::ReadWrite)
    }

    /// The open file; created if missing.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(self: &Arc<Self>, cache: &FileCache) -> io::Result<Arc<File>> {
        self.open(cache, OpenMode::Create)
    }

    fn open(self: &Arc<Self>, cache: &FileCache, mode: OpenMode) -> io::Result<Arc<File>> {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        if let Some(file) = self.handle.load_full() {
            return Ok(file);
        }
        let place = self.place.lock();
        if let Some(file) = self.handle.load_full() {
            return Ok(file);
        }
        if self.is_deleted.load(Ordering::Relaxed) {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} is deleted", place.path().display()),
            ));
        }
        let file = Arc::new(cache.disk.open(&place.path(), mode)?);
        self.handle.store(Some(file.clone()));
        drop(place);
        cache.admit(self);
        Ok(file)
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.place.lock().path()
    }

    /// The directory that the file is in.
    pub fn dir(&self) -> Arc<Path> {
        self.place.lock().dir.clone()
    }

    /// Follows a rename of the directory; an open handle stays valid.
    pub fn moved_to(&self, dir: &Arc<Path>) {
        self.place.lock().dir = dir.clone();
    }

    /// Puts `to` in the place of `from` at the end of the file's name, if that is how it ends and if the file exists.
    ///
    /// # Errors
    /// The file system's.
    pub fn change_suffix(&self, disk: &Disk, from: &str, to: &str) -> io::Result<()> {
        let mut place = self.place.lock();
        let name = place.name.to_string();
        if let Some(stem) = name.strip_suffix(from)
            && disk.exists(&place.path())?
        {
            let name = format!("{stem}{to}");
            place.rename(disk, name)?;
        }
        Ok(())
    }

    /// Puts `suffix` behind the name, which the file has until it leaves the disk, and answers its path then. Who has it open
    /// reads on; it is not opened again, because a later file of the same place may have got that name by then.
    ///
    /// # Errors
    /// The file system's.
    pub fn mark_deleted(&self, disk: &Disk, suffix: &str) -> io::Result<PathBuf> {
        // Nobody opens it under the new name between the two.
        let mut place = self.place.lock();
        let name = format!("{}{suffix}", place.name);
        place.rename(disk, name)?;
        self.is_deleted.store(true, Ordering::Relaxed);
        Ok(place.path())
    }

    /// Whether the file has only its name of a deleted one, or none.
    pub fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Relaxed)
    }

    /// Closes the file unless somebody holds it.
    pub fn close(&self) {
        self.handle.store(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;

    fn root() -> Arc<Path> {
        Path::new("/").into()
    }

    #[test]
    fn a_deleted_file_is_read_by_who_has_it_open_and_never_opened_again() {
        let disk = Disk::simulated(&SimDisk::new(1, 1 << 20));
        let cache = FileCache::new(disk.clone(), 3);
        let file_with = |byte| {
            let file = CachedFile::new(&root(), "segment".to_owned());
            file.create(&cache).unwrap().write_all_at(&[byte], 0).unwrap();
            file
        };
        let first = file_with(1);
        first.mark_deleted(&disk, ".deleted").unwrap();
        let mut byte = [0];
        first.get(&cache).unwrap().read_exact_at(&mut byte, 0).unwrap();
        assert_eq!(byte, [1]);
        let second = file_with(2);
        second.mark_deleted(&disk, ".deleted").unwrap();
        first.close();
        let opened = first.get(&cache);
        assert!(opened.is_err_and(|error| error.kind() == io::ErrorKind::NotFound));
    }

    #[test]
    fn no_more_files_are_open_than_the_bound_and_each_opens_again() {
        let disk = Disk::simulated(&SimDisk::new(1, 1 << 20));
        let cache = FileCache::new(disk, 3);
        let files: Vec<_> = (0..10).map(|n| CachedFile::new(&root(), n.to_string())).collect();
        for (n, file) in files.iter().enumerate() {
            file.create(&cache).unwrap().write_all_at(&[n as u8], 0).unwrap();
            assert!(cache.open_files() <= 3);
        }
        for (n, file) in files.iter().enumerate() {
            let mut byte = [0xff];
            file.get(&cache).unwrap().read_exact_at(&mut byte, 0).unwrap();
            assert_eq!(usize::from(byte[0]), n);
        }
        assert!(cache.open_files() <= 3);
    }
}
