//! Whether a request belongs to the present leadership (KIP-320).

use protocol_compat::{ErrorCode, LeaderEpoch};

/// Compares the leader epoch that a client names (-1: none) with the present one. Fetch, ListOffsets,
/// OffsetForLeaderEpoch and replicated writes all ask this first.
///
/// # Errors
/// FENCED_LEADER_EPOCH for an earlier leadership (the client must refresh), UNKNOWN_LEADER_EPOCH for a later one (this
/// broker is behind; the client retries).
pub fn check_leader_epoch(current: LeaderEpoch, named: LeaderEpoch) -> Result<(), ErrorCode> {
    if named.0 < 0 || named == current {
        Ok(())
    } else if named < current {
        Err(ErrorCode::FencedLeaderEpoch)
    } else {
        Err(ErrorCode::UnknownLeaderEpoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_epoch_is_fenced_and_a_newer_one_unknown() {
        let check = |named| check_leader_epoch(LeaderEpoch(5), LeaderEpoch(named));
        assert_eq!(check(-1), Ok(()));
        assert_eq!(check(5), Ok(()));
        assert_eq!(check(4), Err(ErrorCode::FencedLeaderEpoch));
        assert_eq!(check(6), Err(ErrorCode::UnknownLeaderEpoch));
    }
}
