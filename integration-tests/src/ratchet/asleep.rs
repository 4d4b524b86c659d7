//! When a node has nothing more to do. A request that comes before costs another number of system calls and instructions than
//! one that comes after, so that a client that is not always later (or earlier) counts a different request on each machine.

use std::fs;
use std::time::{Duration, Instant};

/// What the node does by itself may last longer; then the next request comes beside it.
const LONGEST: Duration = Duration::from_millis(200);

/// Waits until every thread of a process sleeps.
pub fn wait_for(pid: u32) {
    let deadline = Instant::now() + LONGEST;
    while !is_asleep(pid) && Instant::now() < deadline {
        std::thread::yield_now();
    }
}

fn is_asleep(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    // A thread that has ended meanwhile has no file any more.
    let mut states = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    states.all(|stat| state(&stat) == Some("S"))
}

/// The third field (`proc_pid_stat(5)`); the second is a name in brackets, which may hold anything.
fn state(stat: &str) -> Option<&str> {
    stat.rsplit_once(')')?.1.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_stands_behind_any_name() {
        assert_eq!(state("12 (a) R (b)) S 1 12 12"), Some("S"));
        assert_eq!(state("12 (name) R 1"), Some("R"));
        assert_eq!(state(""), None);
    }

    #[test]
    fn a_process_that_computes_is_not_asleep_and_one_that_waits_is() {
        assert!(!is_asleep(std::process::id()));
        let mut waiting = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat");
        wait_for(waiting.id());
        assert!(is_asleep(waiting.id()));
        drop(waiting.stdin.take());
        waiting.wait().expect("end of input ends it");
    }
}
