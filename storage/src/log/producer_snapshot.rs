//! Producer snapshots: `<offset>.snapshot`, the state of all producers before that offset, in Kafka's file format.
//!
//! Version 1: version (i16), CRC-32C of what follows it (u32), then an array of entries. Of each producer only the last
//! batch is kept, as Kafka does; the other four come back only while the log is replayed. A file that does not check
//! is skipped: the state is rebuilt from an older snapshot or from the log (rule S9).

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use protocol_compat::record_batch::batch::checksum;

use super::producer_state::{BatchMetadata, ProducerEntry, ProducerState};
use crate::disk::{Disk, OpenMode};

const VERSION: i16 = 1;
const ENTRY_BYTES: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;
/// No log has more producers than fit; a longer file is damaged.
const LIMIT_BYTES: usize = 1 << 30;

/// Name of the snapshot before `offset`.
pub fn file_name(offset: i64) -> String {
    format!("{offset:020}.snapshot")
}

/// Offset of a snapshot file's name.
pub fn offset_of(name: &str) -> Option<i64> {
    name.strip_suffix(".snapshot")?.parse().ok()
}

/// The bytes of a snapshot of `state`.
pub fn encode(state: &ProducerState) -> Vec<u8> {
    let producers = state.producers();
    let mut body = Vec::with_capacity(4 + producers.len() * ENTRY_BYTES);
    body.extend_from_slice(&i32::try_from(producers.len()).unwrap_or(i32::MAX).to_be_bytes());
    for (producer_id, entry) in &producers {
        let last = entry.batches.back();
        body.extend_from_slice(&producer_id.to_be_bytes());
        body.extend_from_slice(&entry.producer_epoch.to_be_bytes());
        body.extend_from_slice(&last.map_or(-1, |b| b.last_sequence).to_be_bytes());
        body.extend_from_slice(&last.map_or(-1, |b| b.last_offset).to_be_bytes());
        body.extend_from_slice(&last.map_or(0, |b| b.offset_delta).to_be_bytes());
        body.extend_from_slice(&entry.last_timestamp_ms.to_be_bytes());
        body.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        body.extend_from_slice(&entry.current_transaction_first_offset.unwrap_or(-1).to_be_bytes());
    }
    let mut bytes = Vec::with_capacity(6 + body.len());
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&checksum(&body).to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads a snapshot; `None` if it is damaged or of another version.
pub fn decode(bytes: &[u8]) -> Option<ProducerState> {
    let (version, rest) = bytes.split_first_chunk::<2>()?;
    let (stored, body) = rest.split_first_chunk::<4>()?;
    if i16::from_be_bytes(*version) != VERSION || u32::from_be_bytes(*stored) != checksum(body) {
        return None;
    }
    let (count, entries) = body.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    if entries.len() != count.checked_mul(ENTRY_BYTES)? {
        return None;
    }
    let mut state = ProducerState::default();
    for entry in entries.chunks_exact(ENTRY_BYTES) {
        let (producer_id, entry) = decode_entry(entry)?;
        state.load(producer_id, entry);
    }
    Some(state)
}

fn decode_entry(bytes: &[u8]) -> Option<(i64, ProducerEntry)> {
    let (producer_id, rest) = bytes.split_first_chunk::<8>()?;
    let (epoch, rest) = rest.split_first_chunk::<2>()?;
    let (last_sequence, rest) = rest.split_first_chunk::<4>()?;
    let (last_offset, rest) = rest.split_first_chunk::<8>()?;
    let (offset_delta, rest) = rest.split_first_chunk::<4>()?;
    let (timestamp, rest) = rest.split_first_chunk::<8>()?;
    let (coordinator_epoch, rest) = rest.split_first_chunk::<4>()?;
    let (first_offset, _) = rest.split_first_chunk::<8>()?;
    let last_timestamp_ms = i64::from_be_bytes(*timestamp);
    let last = BatchMetadata {
        last_sequence: i32::from_be_bytes(*last_sequence),
        last_offset: i64::from_be_bytes(*last_offset),
        offset_delta: i32::from_be_bytes(*offset_delta),
        timestamp_ms: last_timestamp_ms,
    };
    let first_offset = i64::from_be_bytes(*first_offset);
    let entry = ProducerEntry {
        producer_epoch: i16::from_be_bytes(*epoch),
        coordinator_epoch: i32::from_be_bytes(*coordinator_epoch),
        last_timestamp_ms,
        current_transaction_first_offset: (first_offset >= 0).then_some(first_offset),
        batches: if last.last_offset >= 0 {
            VecDeque::from([last])
        } else {
            VecDeque::new()
        },
    };
    Some((i64::from_be_bytes(*producer_id), entry))
}

/// Writes the snapshot of a rolled log. It is synced with the segment before it: a power cut before that may leave less of
/// it, which its checksum tells.
///
/// # Errors
/// The file system's; where there was no room, nothing is left of it.
pub fn write_unsynced(disk: &Disk, dir: &Path, offset: i64, bytes: &[u8]) -> io::Result<()> {
    disk.write_unsynced(&dir.join(file_name(offset)), bytes)
}

/// Makes the snapshot before `offset` durable, if there is one; its name is looked after by whoever syncs the directory.
///
/// # Errors
/// The file system's.
pub fn sync(disk: &Disk, dir: &Path, offset: i64) -> io::Result<()> {
    match disk.open(&dir.join(file_name(offset)), OpenMode::ReadWrite) {
        Ok(file) => file.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes the snapshot before `offset` into the log's directory (rule S6).
///
/// # Errors
/// The file system's.
pub fn write(disk: &Disk, dir: &Path, offset: i64, bytes: &[u8]) -> io::Result<()> {
    disk.replace(&dir.join(file_name(offset)), bytes)
}

/// The newest readable snapshot at or before `offset`, with the offset that it stands before.
///
/// # Errors
/// The file system's, but not for a damaged file.
pub fn load_newest(disk: &Disk, dir: &Path, offset: i64) -> io::Result<Option<(i64, ProducerState)>> {
    let mut offsets: Vec<i64> = list(disk, dir)?
        .into_iter()
        .map(|(at, _)| at)
        .filter(|at| *at <= offset)
        .collect();
    offsets.sort_unstable();
    while let Some(at) = offsets.pop() {
        let path = dir.join(file_name(at));
        if let Some(state) = decode(&disk.read(&path, LIMIT_BYTES)?) {
            return Ok(Some((at, state)));
        }
        tracing::warn!(file = %path.display(), "producer snapshot is damaged and is rebuilt from the log");
        disk.remove_file(&path)?;
    }
    Ok(None)
}

/// Removes the snapshots whose offset fulfils `unwanted`.
///
/// # Errors
/// The file system's.
pub fn remove_where(disk: &Disk, dir: &Path, unwanted: impl Fn(i64) -> bool) -> io::Result<()> {
    for (offset, path) in list(disk, dir)? {
        if unwanted(offset) {
            disk.remove_file(&path)?;
        }
    }
    Ok(())
}

fn list(disk: &Disk, dir: &Path) -> io::Result<Vec<(i64, PathBuf)>> {
    let entries = disk.read_dir(dir)?;
    Ok(entries
        .iter()
        .filter_map(|entry| Some((offset_of(&entry.name)?, dir.join(&entry.name))))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> ProducerState {
        let mut state = ProducerState::default();
        let last = BatchMetadata {
            last_sequence: 9,
            last_offset: 109,
            offset_delta: 9,
            timestamp_ms: 5,
        };
        state.load(
            4000,
            ProducerEntry {
                producer_epoch: 2,
                coordinator_epoch: -1,
                last_timestamp_ms: 5,
                current_transaction_first_offset: Some(100),
                batches: VecDeque::from([last]),
            },
        );
        state
    }

    #[test]
    fn a_snapshot_reads_back_as_it_was_written() {
        let bytes = encode(&state());
        assert_eq!(bytes.len(), 2 + 4 + 4 + ENTRY_BYTES);
        assert_eq!(decode(&bytes), Some(state()));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = encode(&state());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(decode(&damaged), None, "flip at {at}");
            assert_eq!(decode(&bytes[..at]), None, "cut at {at}");
        }
    }
}
