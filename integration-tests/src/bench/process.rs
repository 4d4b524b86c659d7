//! What a process has used so far, read from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// Linux reports CPU time in hundredths of a second on every machine this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time of a process, user and system, in seconds.
pub fn cpu_seconds(pid: u32) -> io::Result<f64> {
    Ok(seconds_in(&fs::read_to_string(format!("/proc/{pid}/stat"))?))
}

/// User and system time in the text of a `stat` file.
fn seconds_in(stat: &str) -> f64 {
    // The command's name stands in parentheses and may hold spaces; the fields count from behind it.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

/// CPU time of each thread of a process from a moment on.
#[derive(Debug)]
pub struct ThreadTimes {
    pid: u32,
    before: BTreeMap<u32, f64>,
    /// Of threads that ended, what was last seen of them.
    now: BTreeMap<u32, (String, f64)>,
}

impl ThreadTimes {
    /// Begins now.
    pub fn begin(pid: u32) -> io::Result<ThreadTimes> {
        let mut times = ThreadTimes {
            pid,
            before: BTreeMap::new(),
            now: BTreeMap::new(),
        };
        times.look()?;
        times.before = times
            .now
            .iter()
            .map(|(id, (_, seconds))| (*id, *seconds))
            .collect();
        Ok(times)
    }

    /// Looks again.
    pub fn look(&mut self) -> io::Result<()> {
        for entry in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let path = entry?.path();
            let id = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            // Threads end while one looks.
            let (Some(id), Ok(name), Ok(stat)) = (
                id,
                fs::read_to_string(path.join("comm")),
                fs::read_to_string(path.join("stat")),
            ) else {
                continue;
            };
            self.now.insert(id, (name.trim().to_owned(), seconds_in(&stat)));
        }
        Ok(())
    }

    /// The thread whose name begins so, or where there is none, the one that used most since the begin: its name as the
    /// system has it (15 characters), and CPU seconds.
    pub fn named_or_busiest(&self, beginning: &str) -> (String, f64) {
        let used = self.now.iter().map(|(id, (name, seconds))| {
            let before = self.before.get(id).copied().unwrap_or(0.0);
            (name.clone(), seconds - before)
        });
        used.max_by(|one, other| {
            let is_named = |name: &str| name.starts_with(beginning);
            (is_named(&one.0).cmp(&is_named(&other.0))).then(one.1.total_cmp(&other.1))
        })
        .unwrap_or_default()
    }
}

/// Resident memory of a process in bytes.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The most resident memory that a process has ever had, in bytes.
pub fn peak_resident_bytes(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmHWM:")
}

fn status_bytes(pid: u32, name: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::other(format!("process {pid} has no {name}")))
}
