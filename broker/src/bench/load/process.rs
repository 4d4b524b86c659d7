//! What the broker's process used so far, from `/proc`.

use std::fs;
use std::io;

use serde::Serialize;

use crate::bench::error::{BenchError, Doing};

/// A process at one moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Usage {
    /// Processor time, user and system, of all its threads.
    pub cpu_s: f64,
    /// Resident memory (`VmRSS`).
    pub resident_bytes: u64,
    /// The most resident memory that it ever had (`VmHWM`).
    pub peak_resident_bytes: u64,
}

impl Usage {
    /// Looks at a process.
    ///
    /// # Errors
    /// If there is no such process, or it may not be looked at.
    pub fn of(pid: u32) -> Result<Self, BenchError> {
        let doing = format!("look at process {pid}");
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).doing(&doing)?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).doing(&doing)?;
        let unknown = || io::Error::other("/proc does not tell its processor time and memory");
        let read = || {
            Some(Self {
                cpu_s: ticks(&stat)? as f64 / rustix::param::clock_ticks_per_second() as f64,
                resident_bytes: bytes(&status, "VmRSS:")?,
                peak_resident_bytes: bytes(&status, "VmHWM:")?,
            })
        };
        read().ok_or_else(unknown).doing(&doing)
    }
}

/// `utime` and `stime` of a `stat` file. The command's name stands in parentheses and may hold spaces; the fields count
/// from behind it.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

fn bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_moves_no_field() {
        let stat = "12 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("12 (cut) S 1 2"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::of(std::process::id()).expect("it is running");
        assert!(usage.resident_bytes > 0 && usage.peak_resident_bytes >= usage.resident_bytes);
        assert!(Usage::of(u32::MAX).is_err());
    }
}
