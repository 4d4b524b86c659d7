//! What the kernel's page cache holds of a file: a system call that no safe library offers.
//!
//! `cachestat(2)`, Linux 6.5, takes a descriptor, reads a range and writes five counts; both stand on the stack here for as
//! long as the call takes.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// The call's number, the same on every architecture that was there before it.
const CACHESTAT: libc::c_long = 451;
/// The smallest page that there is: where pages are larger, there are fewer of them than are asked for, and nothing is taken
/// for held.
const PAGE_BYTES: u64 = 4096;

/// `struct cachestat_range`.
#[repr(C)]
struct Range {
    from: u64,
    bytes: u64,
}

/// `struct cachestat`: counts of pages.
#[repr(C)]
#[derive(Default)]
struct Counts {
    cached: u64,
    dirty: u64,
    in_write_back: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// How often the kernel is asked. It walks the cache while others change it, and may miss a few pages that it would find a moment
/// later.
const LOOKS: usize = 3;

/// The kernel does not know the call, or refuses it.
static IS_REFUSED: AtomicBool = AtomicBool::new(false);

/// Whether the kernel answers, as far as is known.
pub(super) fn can_tell() -> bool {
    !IS_REFUSED.load(Ordering::Relaxed)
}

/// Whether every page of the part is there. False where the kernel does not answer.
pub(super) fn holds(file: &File, from: u64, bytes: u64) -> bool {
    let Some(end) = from.checked_add(bytes).filter(|_| bytes > 0) else {
        return false;
    };
    let pages = end.div_ceil(PAGE_BYTES) - from / PAGE_BYTES;
    let range = Range { from, bytes };
    (0..LOOKS).any(|_| cached_pages(file, &range).is_some_and(|cached| cached >= pages))
}

fn cached_pages(file: &File, range: &Range) -> Option<u64> {
    let mut counts = Counts::default();
    // SAFETY: the descriptor is open, since `file` is borrowed; both pointers are to structs of the kernel's form that live
    // until the call returns.
    let answer = unsafe {
        libc::syscall(
            CACHESTAT,
            file.as_raw_fd(),
            std::ptr::from_ref(range),
            std::ptr::from_mut(&mut counts),
            0,
        )
    };
    if answer != 0 {
        IS_REFUSED.store(true, Ordering::Relaxed);
        return None;
    }
    Some(counts.cached)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_written_is_held_and_what_was_given_up_or_never_there_is_not() {
        // In the build directory: a file system in memory holds everything.
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(&[7; 64 << 10]).unwrap();
        assert!(holds(&file, 0, 64 << 10));
        assert!(holds(&file, 5000, 10));
        assert!(!holds(&file, 60 << 10, 8 << 10), "it goes beyond the end");
        assert!(!holds(&file, 0, 0));
        assert!(!holds(&file, u64::MAX, 2));
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        assert!(!holds(&file, 0, 64 << 10));
    }
}
