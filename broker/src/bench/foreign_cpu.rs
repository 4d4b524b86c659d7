//! How much of the processors others use: figures of a busy machine are not its limits.

use std::fs;
use std::thread;
use std::time::Duration;

use super::cores::process_cpu;
use super::error::{BenchError, Doing};

/// The largest share of all processors that others may use, in percent.
pub const LIMIT_PERCENT: f64 = 5.0;

/// The processors' time up to a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuTimes {
    /// Of all processes and the kernel, in seconds. What a hypervisor took away counts too.
    busy_s: f64,
    /// Busy and idle, in seconds.
    all_s: f64,
    /// Of this process, in seconds.
    own_s: f64,
}

impl CpuTimes {
    /// The times up to now.
    ///
    /// # Errors
    /// If `/proc/stat` cannot be read.
    pub fn now() -> Result<Self, BenchError> {
        let own_s = process_cpu().as_secs_f64();
        let stat = fs::read_to_string("/proc/stat").doing("read /proc/stat")?;
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        let (busy, all) = busy_and_all(&stat).unwrap_or((0, 0));
        Ok(Self {
            busy_s: busy as f64 / per_second,
            all_s: all as f64 / per_second,
            own_s,
        })
    }

    /// The share of all processors that others had since then, in percent.
    pub fn foreign_percent_since(&self, before: &CpuTimes) -> f64 {
        self.foreign_percent_beside(before, 0.0)
    }

    /// The same without what a process had that belongs to the measurement, in seconds.
    pub fn foreign_percent_beside(&self, before: &CpuTimes, known_s: f64) -> f64 {
        let all = self.all_s - before.all_s;
        if all <= 0.0 {
            return 0.0;
        }
        let foreign = (self.busy_s - before.busy_s) - (self.own_s - before.own_s) - known_s;
        100.0 * foreign.max(0.0) / all
    }
}

/// Ticks of the line `cpu` of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal. What guests had is in
/// user and nice already (proc(5)).
fn busy_and_all(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line
        .split_ascii_whitespace()
        .take(8)
        .map_while(|tick| tick.parse().ok())
        .collect();
    let &[user, nice, system, idle, iowait, irq, softirq, steal] = ticks.as_slice() else {
        return None;
    };
    let busy = user + nice + system + irq + softirq + steal;
    Some((busy, busy + idle + iowait))
}

/// Watches the machine and gives the share that others had, in percent.
///
/// # Errors
/// If `/proc/stat` cannot be read.
pub fn watched_for(time: Duration) -> Result<f64, BenchError> {
    let before = CpuTimes::now()?;
    thread::sleep(time);
    Ok(CpuTimes::now()?.foreign_percent_since(&before))
}

/// A busy machine is not measured, unless that is wanted.
///
/// # Errors
/// [`BenchError::Busy`] above [`LIMIT_PERCENT`].
pub fn refuse_above_limit(percent: f64, even_if_busy: bool) -> Result<(), BenchError> {
    if percent > LIMIT_PERCENT && !even_if_busy {
        return Err(BenchError::Busy {
            percent,
            limit_percent: LIMIT_PERCENT,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 20 30 1000 40 5 6 7 50 0\ncpu0 1 1 1 1 1 1 1 1 1 1\nintr 7\n";

    fn times(busy_s: f64, all_s: f64, own_s: f64) -> CpuTimes {
        CpuTimes { busy_s, all_s, own_s }
    }

    #[test]
    fn waiting_for_a_disk_is_idle_and_stolen_time_is_not() {
        assert_eq!(busy_and_all(STAT), Some((168, 1208)));
        assert_eq!(busy_and_all("intr 7\n"), None);
        assert_eq!(busy_and_all("cpu  1 2 three\n"), None);
    }

    #[test]
    fn what_this_process_used_is_not_foreign() {
        let before = times(10.0, 100.0, 1.0);
        assert_eq!(times(12.0, 110.0, 2.5).foreign_percent_since(&before), 5.0);
        assert_eq!(times(12.0, 110.0, 2.5).foreign_percent_beside(&before, 0.25), 2.5);
        assert_eq!(times(12.0, 110.0, 3.5).foreign_percent_since(&before), 0.0);
        assert_eq!(before.foreign_percent_since(&before), 0.0);
    }

    #[test]
    fn a_busy_machine_is_refused_unless_that_is_wanted() {
        assert!(refuse_above_limit(5.0, false).is_ok());
        let refused = refuse_above_limit(5.1, false).expect_err("it is busy");
        assert!(refused.to_string().contains("5.1 %"), "{refused}");
        assert!(refused.to_string().contains("--busy"), "{refused}");
        assert!(refuse_above_limit(80.0, true).is_ok());
    }

    #[test]
    fn the_kernel_is_understood() {
        let watched = watched_for(Duration::from_millis(30)).expect("a share");
        assert!((0.0..=100.0).contains(&watched), "{watched}");
        assert!(CpuTimes::now().expect("times").all_s > 0.0);
    }
}
