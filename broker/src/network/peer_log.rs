//! Says once per peer why its connection was closed.
//!
//! A client that errs does so again and again: every time is counted, and one line a minute is written per address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

/// A peer's next line comes after this time.
const INTERVAL: Duration = Duration::from_secs(60);
/// Addresses that are remembered; when full, all are forgotten, and some lines come early.
const MAX_PEERS: usize = 1024;

/// When which peer was last written about.
#[derive(Default)]
pub(super) struct PeerLog {
    last: Mutex<HashMap<IpAddr, Duration>>,
}

impl PeerLog {
    /// Whether `peer` is due a line at `now`, a time on the node's monotonic clock.
    pub(super) fn is_due(&self, peer: IpAddr, now: Duration) -> bool {
        let mut last = self.last.lock();
        if last
            .get(&peer)
            .is_some_and(|&before| now.saturating_sub(before) < INTERVAL)
        {
            return false;
        }
        if last.len() >= MAX_PEERS {
            last.clear();
        }
        last.insert(peer, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_gets_one_line_a_minute_and_peers_are_bounded() {
        let log = PeerLog::default();
        let peer = |last: u32| IpAddr::from(last.to_be_bytes());
        assert!(log.is_due(peer(1), Duration::ZERO));
        assert!(!log.is_due(peer(1), Duration::from_secs(59)));
        assert!(log.is_due(peer(2), Duration::from_secs(59)));
        assert!(log.is_due(peer(1), Duration::from_secs(60)));
        for last in 0..10_000 {
            log.is_due(peer(last), Duration::from_secs(61));
        }
        assert!(log.last.lock().len() <= MAX_PEERS);
    }
}
