//! What the machine is: everything that moves the figures and that a reader elsewhere cannot know.
//!
//! A file that is not there (another kernel, a container) leaves its fact out; no figure depends on it.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};
use serde::Serialize;

/// The machine, its kernel and the directory. Absent is what the kernel does not tell.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// When the probe began, in seconds since 1970.
    pub taken_at_unix_s: u64,
    /// Of this program.
    pub cauce_version: &'static str,
    /// As `uname -r`.
    pub kernel: Option<String>,
    /// The processor's name.
    pub processor: Option<String>,
    /// How many processors the machine has.
    pub processors: usize,
    /// Those that the probe used.
    pub cores_used: Vec<usize>,
    /// As the kernel counts it.
    pub memory_mib: Option<u64>,
    /// What a new connection gets.
    pub congestion_control: Option<String>,
    /// What it could get.
    pub congestion_control_available: Option<String>,
    /// The queueing discipline of new interfaces.
    pub default_qdisc: Option<String>,
    /// Type, source and options of what is mounted under the directory.
    pub file_system: Option<String>,
    /// As the kernel shows it: the mode in brackets counts.
    pub transparent_huge_pages: Option<String>,
    /// When writes are held up and when they go to disk.
    pub dirty_limits: DirtyLimits,
    /// Open files: soft and hard limit; none is unlimited.
    pub open_files: (Option<u64>, Option<u64>),
    /// `vm.max_map_count`.
    pub max_map_count: Option<u64>,
    /// What others used before anything was measured, in percent of all processors.
    pub foreign_cpu_percent: f64,
    /// The same during the measurements, with the kernel's own threads that write back what the probe wrote.
    pub foreign_cpu_percent_during_run: f64,
    /// Whether the probe went on whatever others used.
    pub even_if_busy: bool,
}

/// The kernel's bounds on unwritten pages, as in `/proc/sys/vm/`.
#[derive(Clone, Debug, Serialize)]
pub struct DirtyLimits {
    /// Percent of available memory at which writers wait; 0 if bytes are given.
    pub dirty_ratio: Option<u64>,
    /// Percent at which writing back begins.
    pub dirty_background_ratio: Option<u64>,
    /// The same in bytes; 0 if the ratio counts.
    pub dirty_bytes: Option<u64>,
    /// The same in bytes; 0 if the ratio counts.
    pub dirty_background_bytes: Option<u64>,
    /// The age at which a page is written back.
    pub dirty_expire_centisecs: Option<u64>,
}

impl Environment {
    /// Asks the kernel about the machine and the file system of a directory.
    pub fn of(
        directory: &Path,
        cores_used: Vec<usize>,
        foreign_cpu_percent: f64,
        even_if_busy: bool,
    ) -> Self {
        let open_files = getrlimit(Resource::Nofile);
        Self {
            taken_at_unix_s: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            cauce_version: env!("CARGO_PKG_VERSION"),
            kernel: line_of("/proc/sys/kernel/osrelease"),
            processor: fs::read_to_string("/proc/cpuinfo")
                .ok()
                .and_then(|text| field(&text, "model name")),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            cores_used,
            memory_mib: fs::read_to_string("/proc/meminfo")
                .ok()
                .and_then(|text| mebibytes(&field(&text, "MemTotal")?)),
            congestion_control: line_of("/proc/sys/net/ipv4/tcp_congestion_control"),
            congestion_control_available: line_of("/proc/sys/net/ipv4/tcp_available_congestion_control"),
            default_qdisc: line_of("/proc/sys/net/core/default_qdisc"),
            file_system: fs::read_to_string("/proc/self/mountinfo")
                .ok()
                .and_then(|mounts| file_system_of(&mounts, &fs::canonicalize(directory).ok()?)),
            transparent_huge_pages: line_of("/sys/kernel/mm/transparent_hugepage/enabled"),
            dirty_limits: DirtyLimits::of_this_machine(),
            open_files: (open_files.current, open_files.maximum),
            max_map_count: number_of("/proc/sys/vm/max_map_count"),
            foreign_cpu_percent,
            foreign_cpu_percent_during_run: 0.0,
            even_if_busy,
        }
    }
}

impl DirtyLimits {
    fn of_this_machine() -> Self {
        let of = |name: &str| number_of(&format!("/proc/sys/vm/{name}"));
        Self {
            dirty_ratio: of("dirty_ratio"),
            dirty_background_ratio: of("dirty_background_ratio"),
            dirty_bytes: of("dirty_bytes"),
            dirty_background_bytes: of("dirty_background_bytes"),
            dirty_expire_centisecs: of("dirty_expire_centisecs"),
        }
    }
}

fn line_of(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

fn number_of(path: &str) -> Option<u64> {
    line_of(path)?.parse().ok()
}

/// The value behind `name:` in the files of `/proc`.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn mebibytes(kilobytes: &str) -> Option<u64> {
    let number: u64 = kilobytes.strip_suffix("kB")?.trim().parse().ok()?;
    Some(number / 1024)
}

/// The mount with the longest path above the directory; of equal ones the last, which hides the others (proc(5)).
fn file_system_of(mountinfo: &str, directory: &Path) -> Option<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (place, what) = line.split_once(" - ")?;
        let point = place.split(' ').nth(4)?.replace("\\040", " ");
        directory
            .starts_with(&point)
            .then(|| (Path::new(&point).components().count(), what.to_owned()))
    });
    mounts.max_by_key(|(depth, _)| *depth).map(|(_, what)| what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
                          30 22 0:25 / /data rw shared:5 - tmpfs tmpfs rw\n\
                          31 30 0:26 / /data/my\\040logs rw - xfs /dev/vdb rw\n\
                          32 22 0:27 / /data rw - btrfs /dev/vdc rw\n";

    #[test]
    fn the_deepest_and_then_the_last_mount_holds_a_directory() {
        let of = |path| file_system_of(MOUNTS, Path::new(path));
        assert_eq!(of("/var/lib").as_deref(), Some("ext4 /dev/vda rw,discard"));
        assert_eq!(of("/data/a").as_deref(), Some("btrfs /dev/vdc rw"));
        assert_eq!(of("/data/my logs/b").as_deref(), Some("xfs /dev/vdb rw"));
        assert_eq!(of("/database").as_deref(), Some("ext4 /dev/vda rw,discard"));
        assert_eq!(file_system_of("", Path::new("/")), None);
    }

    #[test]
    fn fields_of_proc_are_read_by_name() {
        let text = "MemTotal:       24684880 kB\nMemFree:  1 kB\n";
        assert_eq!(field(text, "MemTotal").as_deref(), Some("24684880 kB"));
        assert_eq!(mebibytes("24684880 kB"), Some(24106));
        assert_eq!(field(text, "Mem"), None);
        assert_eq!(mebibytes("many"), None);
    }
}
