//! The one system call that no safe library offers: the kernel begins to write a part of a file, and nobody waits for it.
//!
//! `sync_file_range(2)` takes a descriptor, two numbers and flags; it reads and writes no
//! memory of the process, so that there is nothing it could break but its descriptor, which is borrowed from an open file for
//! as long as the call takes.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Has the kernel begin to write `bytes` bytes from position `from` on, where they are dirty. Promises nothing of their
/// durability.
///
/// # Errors
/// The kernel's: `ESPIPE` for what is no file, `EINVAL` for positions that no file has.
pub(super) fn begin(file: &File, from: u64, bytes: u64) -> io::Result<()> {
    let position = |number| i64::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let (from, bytes) = (position(from)?, position(bytes)?);
    // SAFETY: the descriptor is open, since `file` is borrowed; nothing else of the process is touched.
    let answer = unsafe { libc::sync_file_range(file.as_raw_fd(), from, bytes, libc::SYNC_FILE_RANGE_WRITE) };
    match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_kernel_takes_a_part_of_a_file_and_refuses_what_is_none() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 3 << 12]).unwrap();
        begin(&file, 1 << 12, 1 << 12).unwrap();
        begin(&file, 1 << 30, 1 << 12).unwrap();
        let refused = begin(&file, u64::MAX, 1).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        let (pipe, _other_end) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
        assert_eq!(begin(&pipe, 0, 1).unwrap_err().kind(), io::ErrorKind::NotSeekable);
    }
}
