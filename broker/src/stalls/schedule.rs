//! What the kernel tells of a thread's time and of pages that are not on the disk yet.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How a thread was scheduled since it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// It had a processor.
    pub(super) ran: Duration,
    /// It could have run, and had none.
    pub(super) was_ready: Duration,
}

/// How to look at the calling thread; `None` where the kernel does not tell.
pub(super) type Look = fn() -> Option<Schedule>;

thread_local! {
    /// Open as long as the thread lives: to open it takes several times as long as to read it.
    static FILE: RefCell<Option<File>> = const { RefCell::new(None) };
}

/// Reads the second field of `/proc/thread-self/schedstat` (Documentation/scheduler/sched-stats.rst). The first one, the time
/// that the thread ran, is up to a tick late: the clock of the thread is not.
pub(super) fn of_this_thread() -> Option<Schedule> {
    let mut text = [0; 64];
    let length = FILE.with_borrow_mut(|file| {
        if file.is_none() {
            *file = File::open("/proc/thread-self/schedstat").ok();
        }
        file.as_ref()?.read_at(&mut text, 0).ok()
    })?;
    let was_ready = parse_schedstat(text.get(..length)?)?;
    let ran = clock_gettime(ClockId::ThreadCPUTime).try_into().ok()?;
    Some(Schedule { ran, was_ready })
}

fn parse_schedstat(text: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(text).ok()?;
    let nanoseconds = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// As much of `/proc/vmstat` as is read: both lines stand in the first half of it.
const VMSTAT_BYTES: usize = 2048;

/// Pages of all files that wait to be written to a disk, and those that are being written, in KiB.
pub(super) fn unwritten_kib() -> Option<(u64, u64)> {
    let mut text = [0; VMSTAT_BYTES];
    let length = File::open("/proc/vmstat").ok()?.read_at(&mut text, 0).ok()?;
    parse_vmstat(&String::from_utf8_lossy(text.get(..length)?))
}

fn parse_vmstat(text: &str) -> Option<(u64, u64)> {
    let page_kib = u64::try_from(rustix::param::page_size() >> 10).ok()?;
    let kib = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
        let pages: u64 = lines.next()?.parse().ok()?;
        pages.checked_mul(page_kib)
    };
    Some((kib("nr_dirty ")?, kib("nr_writeback ")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_is_read() {
        assert_eq!(parse_schedstat(b"17 4000000 3\n"), Some(Duration::from_millis(4)));
        assert_eq!(parse_schedstat(b"17\n"), None);
        let page_kib = (rustix::param::page_size() >> 10) as u64;
        let text = "nr_dirty_threshold 9\nnr_dirty 5\nnr_writeback_temp 8\nnr_writeback 2\n";
        assert_eq!(parse_vmstat(text), Some((5 * page_kib, 2 * page_kib)));
        assert_eq!(parse_vmstat("nr_dirty 5\n"), None);
    }

    #[test]
    fn a_thread_that_works_has_run() {
        let Some(before) = of_this_thread() else {
            eprintln!("not tested: this kernel does not tell how threads are scheduled");
            return;
        };
        let mut sum = 0_u64;
        while of_this_thread().is_some_and(|now| now.ran < before.ran + Duration::from_millis(1)) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let after = of_this_thread().expect("as before");
        assert!(after.ran > before.ran && after.was_ready >= before.was_ready);
    }
}
