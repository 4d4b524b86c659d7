//! Control records: what brokers write among the records, and consumers skip.
//!
//! A key is a version and a type; the value depends on the type (`org.apache.kafka.common.record.ControlRecordType`).
//! Newer versions only add fields, so that a longer key or value is read as far as it is known.

use thiserror::Error;

/// What a control record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlRecordType {
    /// A transaction of the batch's producer was aborted.
    Abort,
    /// A transaction of the batch's producer was committed.
    Commit,
    /// A quorum leader took its epoch (KIP-595).
    LeaderChange,
    /// First record of a metadata snapshot (KIP-630).
    SnapshotHeader,
    /// Last record of a metadata snapshot (KIP-630).
    SnapshotFooter,
    /// The quorum's protocol version (KIP-853).
    KRaftVersion,
    /// The quorum's voters (KIP-853).
    KRaftVoters,
}

/// Why a control record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ControlRecordError {
    /// Fewer bytes than the key or value has in every version.
    #[error("control record is cut off: {needed} bytes are needed where {available} are there")]
    Truncated {
        /// What every version has.
        needed: usize,
        /// What is there.
        available: usize,
    },
    /// A negative version.
    #[error("control record has version {0}")]
    InvalidVersion(i16),
}

const KEY_BYTES: usize = 4;
const MARKER_BYTES: usize = 6;

impl ControlRecordType {
    /// The type's number in a key.
    pub fn number(self) -> i16 {
        match self {
            ControlRecordType::Abort => 0,
            ControlRecordType::Commit => 1,
            ControlRecordType::LeaderChange => 2,
            ControlRecordType::SnapshotHeader => 3,
            ControlRecordType::SnapshotFooter => 4,
            ControlRecordType::KRaftVersion => 5,
            ControlRecordType::KRaftVoters => 6,
        }
    }

    /// The key of a control record of this type, in version 0.
    pub fn key(self) -> [u8; KEY_BYTES] {
        let [high, low] = self.number().to_be_bytes();
        [0, 0, high, low]
    }

    /// The type that a key names; `None` for one that is not known here and is skipped, as Kafka does.
    ///
    /// # Errors
    /// A key that is cut off or has a negative version.
    pub fn of_key(key: &[u8]) -> Result<Option<ControlRecordType>, ControlRecordError> {
        let &[v0, v1, t0, t1] = first(key)?;
        check_version(i16::from_be_bytes([v0, v1]))?;
        Ok(match i16::from_be_bytes([t0, t1]) {
            0 => Some(ControlRecordType::Abort),
            1 => Some(ControlRecordType::Commit),
            2 => Some(ControlRecordType::LeaderChange),
            3 => Some(ControlRecordType::SnapshotHeader),
            4 => Some(ControlRecordType::SnapshotFooter),
            5 => Some(ControlRecordType::KRaftVersion),
            6 => Some(ControlRecordType::KRaftVoters),
            _ => None,
        })
    }
}

/// The value of a commit or abort marker: the epoch of the coordinator that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransactionMarker {
    /// Leader epoch of the coordinator's `__transaction_state` partition.
    pub coordinator_epoch: i32,
}

impl EndTransactionMarker {
    /// The value's bytes, in version 0.
    pub fn encode(self) -> [u8; MARKER_BYTES] {
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        [0, 0, a, b, c, d]
    }

    /// Reads a marker's value.
    ///
    /// # Errors
    /// A value that is cut off or has a negative version.
    pub fn decode(value: &[u8]) -> Result<EndTransactionMarker, ControlRecordError> {
        let &[v0, v1, a, b, c, d] = first(value)?;
        check_version(i16::from_be_bytes([v0, v1]))?;
        Ok(EndTransactionMarker {
            coordinator_epoch: i32::from_be_bytes([a, b, c, d]),
        })
    }
}

/// The value of a leader change (version 0 of the message: voters without directory ids).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderChange {
    /// The new leader's node id.
    pub leader_id: i32,
    /// The quorum's voters.
    pub voters: Vec<i32>,
    /// Who voted for the leader.
    pub granting_voters: Vec<i32>,
}

impl LeaderChange {
    /// The value's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0, 0];
        out.extend_from_slice(&self.leader_id.to_be_bytes());
        for voters in [&self.voters, &self.granting_voters] {
            put_compact_count(&mut out, voters.len());
            for voter in voters {
                out.extend_from_slice(&voter.to_be_bytes());
                out.push(0);
            }
        }
        out.push(0);
        out
    }
}

/// The value of a snapshot header: append time of the last record that the snapshot contains, in ms since the epoch.
pub fn snapshot_header(last_contained_log_timestamp_ms: i64) -> [u8; 11] {
    let [a, b, c, d, e, f, g, h] = last_contained_log_timestamp_ms.to_be_bytes();
    [0, 0, a, b, c, d, e, f, g, h, 0]
}

/// The value of a snapshot footer.
pub fn snapshot_footer() -> [u8; 3] {
    [0, 0, 0]
}

/// The length of a compact array: one more than its elements, in 7-bit groups.
fn put_compact_count(out: &mut Vec<u8>, count: usize) {
    let mut rest = count.saturating_add(1);
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

fn first<const N: usize>(bytes: &[u8]) -> Result<&[u8; N], ControlRecordError> {
    bytes.first_chunk().ok_or(ControlRecordError::Truncated {
        needed: N,
        available: bytes.len(),
    })
}

fn check_version(version: i16) -> Result<(), ControlRecordError> {
    if version < 0 {
        return Err(ControlRecordError::InvalidVersion(version));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back_from_its_key() {
        for number in 0..7 {
            let kind = ControlRecordType::of_key(&[0, 0, 0, number]).unwrap().unwrap();
            assert_eq!(kind.number(), i16::from(number));
            assert_eq!(ControlRecordType::of_key(&kind.key()), Ok(Some(kind)));
        }
        assert_eq!(ControlRecordType::of_key(&[0, 0, 0, 7]), Ok(None));
    }

    #[test]
    fn a_newer_version_is_read_as_far_as_it_is_known() {
        assert_eq!(
            ControlRecordType::of_key(&[0, 9, 0, 1, 5, 5]),
            Ok(Some(ControlRecordType::Commit))
        );
        let marker = EndTransactionMarker::decode(&[0, 1, 0, 0, 0, 8, 0, 2]).unwrap();
        assert_eq!(marker.coordinator_epoch, 8);
        assert_eq!(EndTransactionMarker::decode(&marker.encode()), Ok(marker));
    }

    #[test]
    fn cut_and_negative_control_records_are_refused() {
        let cut = ControlRecordError::Truncated {
            needed: 4,
            available: 3,
        };
        assert_eq!(ControlRecordType::of_key(&[0, 0, 0]), Err(cut));
        assert_eq!(
            ControlRecordType::of_key(&[0xff, 0xff, 0, 0]),
            Err(ControlRecordError::InvalidVersion(-1))
        );
        assert!(EndTransactionMarker::decode(&[0, 0, 1]).is_err());
    }

    #[test]
    fn a_leader_change_has_the_layout_of_the_message() {
        let change = LeaderChange {
            leader_id: 1,
            voters: vec![1],
            granting_voters: vec![1],
        };
        assert_eq!(
            change.encode(),
            [0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0]
        );
    }
}
