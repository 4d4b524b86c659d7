//! Reads everything that a stopped node's quorum keeps, as a start reads it, without starting anything.
//!
//! For tools and tests: what a start would refuse is refused here in the same words, and what it would replay is handed
//! out. Like a start it finishes a purge that was cut off; it changes nothing else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use openraft::EntryPayload;

use super::log_store::{Home, LogStore};
use super::seams::QuorumStorage;
use super::snapshot_codec::decode_snapshot;

/// What the files hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// The metadata records of the newest snapshot; `None` where there is no snapshot.
    pub snapshot: Option<Vec<Bytes>>,
    /// Offset and metadata records of each entry of the log. Entries of Raft itself have none.
    pub entries: Vec<(u64, Vec<Bytes>)>,
}

/// Reads vote, purge record, log and newest snapshot.
///
/// # Errors
/// What the disk says, or a sentence that says what is wrong with which bytes.
pub fn examine(storage: &QuorumStorage) -> io::Result<Examined> {
    let log = LogStore::open(storage.clone(), Home::unknown(), Arc::new(AtomicU64::new(0)))?;
    let entries = log.all_entries()?.into_iter().map(|entry| {
        let records = match entry.payload {
            EntryPayload::Normal(proposal) => proposal.records,
            EntryPayload::Blank | EntryPayload::Membership(_) => Vec::new(),
        };
        (entry.log_id.index, records)
    });
    let entries = entries.collect();
    let snapshot = storage.snapshots.newest()?.map(|stored| {
        decode_snapshot(stored.content).map_err(|sentence| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: {sentence}", stored.location),
            )
        })
    });
    let snapshot = snapshot.transpose()?;
    Ok(Examined {
        snapshot: snapshot.map(|content| content.records),
        entries,
    })
}
