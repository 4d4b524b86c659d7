//! The calls to the machine's file system that the standard library has no single call for.

use std::fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{DirEntry, OpenMode, Space};

pub(super) fn open(path: &Path, mode: OpenMode) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    match mode {
        OpenMode::Read => {}
        OpenMode::ReadWrite => {
            options.write(true);
        }
        OpenMode::Create => {
            options.write(true).create(true).truncate(false);
        }
        OpenMode::CreateNew => {
            options.write(true).create_new(true);
        }
    }
    options.open(path)
}

pub(super) fn read_at(file: &fs::File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

/// Reads into the room that `content` has left and lets it grow by what was read.
pub(super) fn append_at(file: &fs::File, content: &mut Vec<u8>, at: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pread(file, rustix::buffer::spare_capacity(content), at) {
            Err(rustix::io::Errno::INTR) => {}
            answer => return Ok(answer?),
        }
    }
}

pub(super) fn write_all_vectored_at(
    file: &fs::File,
    mut slices: &mut [IoSlice<'_>],
    mut at: u64,
) -> io::Result<()> {
    // The kernel takes 1,024 slices a call (UIO_MAXIOV).
    const SLICES_PER_CALL: usize = 1024;
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let batch = slices.get(..SLICES_PER_CALL).unwrap_or(slices);
        match rustix::io::pwritev(file, batch, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                at = at.saturating_add(count as u64);
                IoSlice::advance_slices(&mut slices, count);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// False where the file system will not.
pub(super) fn allocate_ahead(file: &fs::File, from: u64, bytes: u64) -> bool {
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, from, bytes).is_ok()
}

pub(super) fn forget_cached(file: &fs::File) {
    if let Err(error) = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed) {
        tracing::debug!(%error, "the page cache takes no advice");
    }
}

pub(super) fn read_dir(path: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            entries.push(DirEntry {
                name,
                is_dir: entry.file_type()?.is_dir(),
            });
        }
    }
    Ok(entries)
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

pub(super) fn try_lock(path: &Path) -> io::Result<Option<fs::File>> {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

pub(super) fn space(path: &Path) -> io::Result<Space> {
    let answer = rustix::fs::statvfs(path)?;
    Ok(Space {
        total_bytes: answer.f_blocks.saturating_mul(answer.f_frsize),
        usable_bytes: answer.f_bavail.saturating_mul(answer.f_frsize),
    })
}
