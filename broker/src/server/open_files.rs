//! The process's limit on open files: every connection is one, and every open file of a log.
//!
//! Shells start processes with a soft limit of 1,024 as a rule, and a hard one far above. The soft one is raised to the
//! hard one at the start, as the Java runtime does for Apache Kafka.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Files of logs that are kept open under the usual limit of 1,024; under a lower one it is half of the limit.
const LEAST_OF_LOGS: u64 = 512;
/// And under the highest limit: the active segments of some two thousand partitions that are written to all the time.
const MOST_OF_LOGS: u64 = 2048;

/// Raises the soft limit to the hard one; a failure is no reason not to start.
pub(super) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(cause) = setrlimit(Resource::Nofile, raised) {
        warn!(%cause, "could not raise the limit on open files from {:?}", limit.current);
    }
}

/// How many files the logs may have open: a quarter of the process's limit, the rest is for connections.
///
/// A file that has to be opened for an append costs it some microseconds, an open one some 1.6 KiB in the kernel, hence the
/// bounds.
pub(super) fn share_of_logs() -> usize {
    // None: there is no limit.
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(share_of(limit)).unwrap_or(usize::MAX)
}

fn share_of(limit: u64) -> u64 {
    let least = LEAST_OF_LOGS.min(limit / 2);
    (limit / 4).clamp(least, MOST_OF_LOGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        raise_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }

    #[test]
    fn connections_have_half_of_a_low_limit_and_most_of_a_high_one() {
        for (limit, of_logs) in [
            (256, 128),
            (1024, 512),
            (4096, 1024),
            (20_000, 2048),
            (u64::MAX, 2048),
        ] {
            assert_eq!(share_of(limit), of_logs, "{limit}");
        }
    }
}
