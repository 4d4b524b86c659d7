//! The files of the probe: in a directory of their own, which is gone afterwards.
//!
//! Large files lose their name as soon as they are open, so that even a killed probe leaves none of them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::{BenchError, Doing};

/// Written per call when a file is filled.
const FILL_BYTES: u64 = 1 << 20;

/// A new directory, removed when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    directory: PathBuf,
}

impl Scratch {
    /// Makes a directory inside `parent`, which is made too if it is not there.
    ///
    /// # Errors
    /// The system's.
    pub fn inside(parent: &Path) -> Result<Self, BenchError> {
        let doing = format!("make a directory in {}", parent.display());
        fs::create_dir_all(parent).doing(&doing)?;
        let directory = parent.join(format!("cauce-limits-{}", std::process::id()));
        fs::create_dir(&directory).doing(&doing)?;
        Ok(Self { directory })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// An empty file with a name.
    ///
    /// # Errors
    /// The system's.
    pub fn file(&self, name: &str) -> Result<File, BenchError> {
        self.open(name).doing("make a file of the probe")
    }

    /// An empty file whose space is free again when it is dropped, or when the process ends in any way.
    ///
    /// # Errors
    /// The system's.
    pub fn nameless_file(&self) -> Result<File, BenchError> {
        let opened = self.open("nameless");
        let nameless =
            opened.and_then(|file| fs::remove_file(self.directory.join("nameless")).map(|()| file));
        nameless.doing("make a file of the probe")
    }

    /// A nameless file of this length whose pages are all in memory.
    ///
    /// # Errors
    /// The system's.
    pub fn resident_file(&self, bytes: u64) -> Result<File, BenchError> {
        let file = self.nameless_file()?;
        fill(&file, bytes)?;
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.directory.join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(cause) = fs::remove_dir_all(&self.directory) {
            eprintln!("cauce: could not remove {}: {cause}", self.directory.display());
        }
    }
}

/// Writes the first `bytes` of a file, a mebibyte at a time.
///
/// # Errors
/// The system's.
pub fn fill(file: &File, bytes: u64) -> Result<(), BenchError> {
    let block = vec![0x5A_u8; FILL_BYTES as usize];
    let mut at = 0;
    while at < bytes {
        let length = FILL_BYTES.min(bytes - at);
        file.write_all_at(&block[..length as usize], at)
            .doing("write a file of the probe")?;
        at += length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_is_gone_afterwards_and_its_parent_is_not() {
        let parent = tempfile::tempdir().expect("a directory");
        let scratch = Scratch::inside(parent.path()).expect("scratch");
        scratch.file("named").expect("a file");
        let nameless = scratch.resident_file(3 * FILL_BYTES / 2).expect("a file");
        assert_eq!(nameless.metadata().expect("metadata").len(), 3 * FILL_BYTES / 2);
        let names: Vec<_> = fs::read_dir(scratch.path()).expect("a directory").collect();
        assert_eq!(names.len(), 1, "{names:?}");
        drop(scratch);
        assert_eq!(fs::read_dir(parent.path()).expect("a directory").count(), 0);
    }
}
