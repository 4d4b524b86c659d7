//! The types that openraft is built over here, and short names for them.
//!
//! Leader ids are the standard ones: at most one leader per term, so that a term is a Kafka leader epoch and a log id
//! is (leader epoch, offset), which is all that a record batch's header can carry.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

openraft::declare_raft_types!(
    /// openraft over metadata records.
    pub(super) TypeConfig:
        D = Proposal,
        R = Applied,
        NodeId = u64,
        Node = VoterNode,
        Term = u64,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = openraft_rt_tokio::TokioRuntime,
);

pub(super) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(super) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(super) type Membership = openraft::Membership<u64, VoterNode>;
pub(super) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(super) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub(super) type Snapshot = openraft::alias::SnapshotOf<TypeConfig, Bytes>;
pub(super) type Vote = openraft::alias::VoteOf<TypeConfig>;

/// The log id of leader epoch `term` at `index`.
pub(super) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

/// A log id that was read from a file; `None` for an index that no log has, whose entries stand at offsets of 63 bits.
pub(super) fn stored_log_id(term: u64, index: u64) -> Option<LogId> {
    (index < i64::MAX.cast_unsigned()).then(|| log_id(term, index))
}

/// The term of a log id.
pub(super) fn term_of(log_id: &LogId) -> u64 {
    **log_id.committed_leader_id()
}

/// The records of one decision, which are applied together or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i64, Vec<Vec<u8>>)", into = "(i64, Vec<Vec<u8>>)")]
pub(super) struct Proposal {
    /// Wall clock of the controller that decided, in ms since the epoch; informs people, decides nothing.
    pub(super) timestamp_ms: i64,
    /// Kafka metadata records in their framing.
    pub(super) records: Vec<Bytes>,
}

impl From<(i64, Vec<Vec<u8>>)> for Proposal {
    fn from((timestamp_ms, records): (i64, Vec<Vec<u8>>)) -> Proposal {
        Proposal {
            timestamp_ms,
            records: records.into_iter().map(Bytes::from).collect(),
        }
    }
}

impl From<Proposal> for (i64, Vec<Vec<u8>>) {
    fn from(proposal: Proposal) -> (i64, Vec<Vec<u8>>) {
        (
            proposal.timestamp_ms,
            proposal.records.iter().map(|record| record.to_vec()).collect(),
        )
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} metadata records", self.records.len())
    }
}

/// The one result of an applied entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Applied {
    /// The entry's offset in `__cluster_metadata-0`.
    pub(super) offset: u64,
}

/// What the voters know of each other. A node id is bound to the disk that it was formatted with (rule O8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VoterNode {
    directory_id: u128,
}

impl VoterNode {
    pub(super) fn new(directory_id: Uuid) -> VoterNode {
        VoterNode {
            directory_id: directory_id.as_u128(),
        }
    }

    pub(super) fn directory_id(&self) -> Uuid {
        Uuid::from_u128(self.directory_id)
    }
}
