//! The metadata quorum: openraft behind our own encodings and seams.
//!
//! Owns the order of the cluster's metadata records, and nothing of what they say: an entry is a list of opaque Kafka
//! metadata records, which [`ApplySink`] replays. This is the only module that names an openraft type, so that another
//! version of it is a change in this folder, and the only one of the crate that may wait.
//!
//! # What lies where
//!
//! The log is Kafka's own log format. One entry is one record batch: its base offset is the entry's index and its
//! partition leader epoch the term. A batch takes one offset whatever it holds, so all records of one decision stand at
//! the same offset and are applied together or not at all. Entries of Raft itself (a new leader's blank entry, the
//! voters) are control batches. The vote and the last purged entry are small records with magic, version, length and
//! checksum; the vote's has the cluster's id too, which `meta.properties` keeps without a checksum. A snapshot is the metadata image as records between Kafka's snapshot header and footer.
//!
//! # Rules that the files protect
//!
//! * `log_writer`: vote and log writes are one strict sequence, flushed in order, completed in order, and nothing is
//!   tried again after an error.
//! * `log_store`: no hole, the last purged entry is durable before the log loses it, and nothing is purged that a
//!   durable snapshot does not hold.
//! * `state_machine`: exactly one result per entry, snapshots replaced whole, older or foreign ones refused.
//! * `node`: nothing is served before every entry of the log that may have been applied before a restart is applied
//!   again, and the death of the Raft core is reported to whoever has to stop the process.

mod conformance;
mod entry_codec;
mod examine;
mod fields;
mod log_store;
mod log_writer;
mod membership_codec;
pub mod memory;
mod network;
mod node;
mod seams;
mod snapshot_codec;
mod state_codec;
mod state_machine;
#[cfg(test)]
mod tests;
mod types;

pub use conformance::run_conformance_suite;
pub use examine::{Examined, examine};
pub use node::{Quorum, QuorumConfig, QuorumError, QuorumStatus, ReplicaStatus};
pub use seams::{
    ApplySink, ImageView, QuorumStorage, RaftLog, SnapshotFiles, SnapshotName, StateFile, StoredSnapshot,
    WriterMode,
};
