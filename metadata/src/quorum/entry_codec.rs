//! Raft entries as record batches (magic 2) and back.
//!
//! An entry is one batch at one offset: base offset = index, last offset delta 0, partition leader epoch = term. An
//! entry of metadata records is a batch of them, every record with offset delta 0, in Kafka's own framing. What belongs
//! to Raft itself is a control batch of one record; its key is Kafka's (`u16` version 0, `u16` type) with types that
//! Kafka does not use, so that Kafka's tools show them as unknown control records instead of misreading them.

use bytes::Bytes;
use openraft::EntryPayload;
use protocol_compat::record_batch::batch::{BATCH_HEADER_BYTES, LOG_OVERHEAD_BYTES, RecordBatch};

use super::fields::{Fields, put_nullable_bytes, put_varlong};
use super::membership_codec::{put_membership, take_membership};
use super::types::{Entry, Proposal, log_id, term_of};

/// Control record of a new leader's empty entry.
pub(super) const BLANK_CONTROL_TYPE: u16 = 0x4300;
/// Control record of the voters.
pub(super) const MEMBERSHIP_CONTROL_TYPE: u16 = 0x4301;
/// Control record at the head of a snapshot.
pub(super) const SNAPSHOT_STATE_CONTROL_TYPE: u16 = 0x4302;

const CONTROL_ATTRIBUTE: i16 = 0x20;
const CONTROL_KEY_VERSION: u16 = 0;
const NO_TIMESTAMP: i64 = -1;
const MAGIC: u8 = 2;
/// What a record takes beside its value: a generous bound, used to size buffers.
const RECORD_OVERHEAD_BYTES: usize = 16;

/// A batch before it is bytes.
pub(super) struct BatchParts {
    pub(super) base_offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) is_control: bool,
    pub(super) timestamp_ms: i64,
    pub(super) last_offset_delta: i32,
}

/// A record of a batch: offset delta, key, value.
pub(super) type RecordParts<'a> = (i32, Option<&'a [u8]>, &'a [u8]);

impl BatchParts {
    /// The batch's bytes, checksum included.
    ///
    /// # Errors
    /// The batch is larger than the format's 2 GiB.
    pub(super) fn encode(&self, records: &[RecordParts<'_>]) -> Result<Vec<u8>, String> {
        let capacity = records
            .iter()
            .map(|(_, key, value)| RECORD_OVERHEAD_BYTES + key.map_or(0, <[u8]>::len) + value.len())
            .sum::<usize>();
        let mut out = Vec::with_capacity(BATCH_HEADER_BYTES + capacity);
        out.extend_from_slice(&self.base_offset.to_be_bytes());
        out.extend_from_slice(&[0; 4]); // length, below
        out.extend_from_slice(&self.leader_epoch.to_be_bytes());
        out.push(MAGIC);
        out.extend_from_slice(&[0; 4]); // checksum, below
        let attributes = if self.is_control { CONTROL_ATTRIBUTE } else { 0 };
        out.extend_from_slice(&attributes.to_be_bytes());
        out.extend_from_slice(&self.last_offset_delta.to_be_bytes());
        out.extend_from_slice(&self.timestamp_ms.to_be_bytes());
        out.extend_from_slice(&self.timestamp_ms.to_be_bytes());
        out.extend_from_slice(&(-1i64).to_be_bytes()); // producer id
        out.extend_from_slice(&(-1i16).to_be_bytes()); // producer epoch
        out.extend_from_slice(&(-1i32).to_be_bytes()); // base sequence
        let count = i32::try_from(records.len()).map_err(|_| "too many records in one entry".to_owned())?;
        out.extend_from_slice(&count.to_be_bytes());
        for record in records {
            put_record(&mut out, record);
        }
        finish(out)
    }
}

fn put_record(out: &mut Vec<u8>, &(offset_delta, key, value): &RecordParts<'_>) {
    let mut body = Vec::with_capacity(RECORD_OVERHEAD_BYTES + value.len());
    body.push(0); // attributes
    put_varlong(&mut body, 0); // timestamp delta
    put_varlong(&mut body, i64::from(offset_delta));
    put_nullable_bytes(&mut body, key);
    put_nullable_bytes(&mut body, Some(value));
    put_varlong(&mut body, 0); // headers
    put_varlong(out, body.len() as i64);
    out.extend_from_slice(&body);
}

fn finish(mut batch: Vec<u8>) -> Result<Vec<u8>, String> {
    let length = i32::try_from(batch.len() - LOG_OVERHEAD_BYTES)
        .map_err(|_| format!("an entry of {} bytes does not fit a record batch", batch.len()))?;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&checksum.to_be_bytes());
    Ok(batch)
}

/// The key of a control record.
pub(super) fn control_key(control_type: u16) -> [u8; 4] {
    let [a, b] = CONTROL_KEY_VERSION.to_be_bytes();
    let [c, d] = control_type.to_be_bytes();
    [a, b, c, d]
}

/// The batch of an entry.
///
/// # Errors
/// Index or term are beyond Kafka's ranges, or the entry is too large for a batch.
pub(super) fn encode_entry(entry: &Entry) -> Result<Vec<u8>, String> {
    let (term, index) = (term_of(&entry.log_id), entry.log_id.index);
    let parts = BatchParts {
        base_offset: i64::try_from(index).map_err(|_| format!("index {index} is beyond Kafka's offsets"))?,
        leader_epoch: i32::try_from(term)
            .map_err(|_| format!("term {term} is beyond Kafka's leader epochs"))?,
        is_control: !matches!(entry.payload, EntryPayload::Normal(_)),
        timestamp_ms: match &entry.payload {
            EntryPayload::Normal(proposal) => proposal.timestamp_ms,
            EntryPayload::Blank | EntryPayload::Membership(_) => NO_TIMESTAMP,
        },
        last_offset_delta: 0,
    };
    match &entry.payload {
        EntryPayload::Normal(proposal) => {
            let records: Vec<RecordParts<'_>> = proposal
                .records
                .iter()
                .map(|record| (0, None, &record[..]))
                .collect();
            parts.encode(&records)
        }
        EntryPayload::Blank => parts.encode(&[(0, Some(&control_key(BLANK_CONTROL_TYPE)), &[])]),
        EntryPayload::Membership(membership) => {
            let mut value = Vec::new();
            put_membership(&mut value, membership);
            parts.encode(&[(0, Some(&control_key(MEMBERSHIP_CONTROL_TYPE)), &value)])
        }
    }
}

/// A batch of the log or a snapshot, its checksum verified, its records found.
pub(super) struct DecodedBatch {
    pub(super) base_offset: u64,
    pub(super) leader_epoch: u64,
    pub(super) is_control: bool,
    pub(super) timestamp_ms: i64,
    pub(super) records: Vec<DecodedRecord>,
    /// Bytes of the whole batch.
    pub(super) size_bytes: usize,
}

/// A record of a [`DecodedBatch`].
pub(super) struct DecodedRecord {
    pub(super) key: Option<Bytes>,
    pub(super) value: Bytes,
}

impl DecodedBatch {
    /// Reads the batch at the front of `bytes`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the bytes; a damaged batch is never skipped (rule O13).
    pub(super) fn decode_first(bytes: &Bytes) -> Result<DecodedBatch, String> {
        let (batch, _) = RecordBatch::split_first(bytes).map_err(|error| error.to_string())?;
        batch.verify_checksum().map_err(|error| error.to_string())?;
        let not_ours = |what: &str| format!("the batch at offset {} has {what}", batch.base_offset());
        Ok(DecodedBatch {
            base_offset: u64::try_from(batch.base_offset()).map_err(|_| not_ours("a negative offset"))?,
            leader_epoch: u64::try_from(batch.partition_leader_epoch())
                .map_err(|_| not_ours("a negative leader epoch"))?,
            is_control: batch.is_control(),
            timestamp_ms: batch.base_timestamp_ms(),
            records: take_records(bytes, &batch).ok_or_else(|| not_ours("records that cannot be read"))?,
            size_bytes: batch.size_bytes(),
        })
    }

    /// The one record of a control batch: its type and its value.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the batch.
    pub(super) fn control_record(&self) -> Result<(u16, &Bytes), String> {
        let [record] = self.records.as_slice() else {
            return Err(format!("a control batch of {} records", self.records.len()));
        };
        let mut key = Fields::new(record.key.as_deref().unwrap_or_default());
        match (key.u16(), key.u16(), key.is_empty()) {
            (Some(CONTROL_KEY_VERSION), Some(control_type), true) => Ok((control_type, &record.value)),
            _ => Err("a control record with an unknown key".to_owned()),
        }
    }

    /// The entry that the batch holds.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the batch.
    pub(super) fn into_entry(self) -> Result<Entry, String> {
        let log_id = log_id(self.leader_epoch, self.base_offset);
        let at = |error: String| format!("the entry at offset {} cannot be read: {error}", log_id.index);
        let payload = if self.is_control {
            control_payload(&self).map_err(at)?
        } else {
            EntryPayload::Normal(Proposal {
                timestamp_ms: self.timestamp_ms,
                records: self.records.into_iter().map(|record| record.value).collect(),
            })
        };
        Ok(Entry { log_id, payload })
    }
}

type Payload = openraft::alias::PayloadOf<super::types::TypeConfig>;

fn control_payload(batch: &DecodedBatch) -> Result<Payload, String> {
    match batch.control_record()? {
        (BLANK_CONTROL_TYPE, _) => Ok(EntryPayload::Blank),
        (MEMBERSHIP_CONTROL_TYPE, value) => {
            let mut fields = Fields::new(value);
            let membership = take_membership(&mut fields)?;
            if fields.is_empty() {
                Ok(EntryPayload::Membership(membership))
            } else {
                Err("bytes behind the voters".to_owned())
            }
        }
        (control_type, _) => Err(format!("a control record of unknown type {control_type}")),
    }
}

/// The records of an uncompressed batch; `None` unless they fill it exactly.
fn take_records(bytes: &Bytes, batch: &RecordBatch<'_>) -> Option<Vec<DecodedRecord>> {
    if batch.attributes() & !CONTROL_ATTRIBUTE != 0 {
        return None;
    }
    let mut fields = Fields::new(batch.records_bytes());
    let mut records = Vec::new();
    for _ in 0..batch.record_count() {
        let length = usize::try_from(fields.varlong()?).ok()?;
        let mut record = Fields::new(fields.bytes(length)?);
        let (_attributes, _timestamp_delta, _offset_delta) =
            (record.u8()?, record.varlong()?, record.varlong()?);
        let key = record.nullable_bytes()?.map(|key| bytes.slice_ref(key));
        let value = bytes.slice_ref(record.nullable_bytes()??);
        let headers = record.varlong()?;
        if headers != 0 || !record.is_empty() {
            return None;
        }
        records.push(DecodedRecord { key, value });
    }
    fields.is_empty().then_some(records)
}

/// The entries of whole batches.
///
/// # Errors
/// A sentence that says at which offset the bytes are damaged, and how.
pub(super) fn decode_entries(mut bytes: Bytes, expected_index: u64) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    let mut expected = expected_index;
    while !bytes.is_empty() {
        let batch = DecodedBatch::decode_first(&bytes)
            .map_err(|error| format!("the Raft log is damaged at offset {expected}: {error}"))?;
        if batch.base_offset != expected {
            return Err(format!(
                "the Raft log has offset {} where {expected} belongs",
                batch.base_offset
            ));
        }
        let size = batch.size_bytes;
        entries.push(batch.into_entry()?);
        bytes = bytes.split_off(size);
        expected = expected.saturating_add(1);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::quorum::types::{Membership, VoterNode};

    fn entries() -> Vec<Entry> {
        let voters = Membership::new(
            vec![BTreeSet::from([1])],
            BTreeMap::from([(1, VoterNode::default())]),
        )
        .unwrap();
        let records = vec![
            Bytes::from_static(b"first"),
            Bytes::new(),
            Bytes::from(vec![7; 300]),
        ];
        [
            EntryPayload::Membership(voters),
            EntryPayload::Blank,
            EntryPayload::Normal(Proposal {
                timestamp_ms: 1_700_000_000_000,
                records,
            }),
        ]
        .into_iter()
        .zip(5..)
        .map(|(payload, index)| Entry {
            log_id: log_id(3, index),
            payload,
        })
        .collect()
    }

    fn bytes_of(entries: &[Entry]) -> Bytes {
        entries
            .iter()
            .flat_map(|entry| encode_entry(entry).unwrap())
            .collect::<Vec<u8>>()
            .into()
    }

    #[test]
    fn entries_come_back_from_their_batches() {
        assert_eq!(decode_entries(bytes_of(&entries()), 5).unwrap(), entries());
    }

    #[test]
    fn an_entry_of_many_records_takes_one_offset() {
        let bytes = bytes_of(&entries()[2..]);
        let (batch, rest) = RecordBatch::split_first(&bytes).unwrap();
        assert!(rest.is_empty());
        assert_eq!((batch.base_offset(), batch.next_offset()), (7, 8));
        assert_eq!((batch.record_count(), batch.partition_leader_epoch()), (3, 3));
    }

    #[test]
    fn a_missing_entry_is_found() {
        let gap = [entries()[0].clone(), entries()[2].clone()];
        let error = decode_entries(bytes_of(&gap), 5).unwrap_err();
        assert!(error.contains("offset 7 where 6"), "{error}");
    }

    #[test]
    fn every_flipped_bit_of_a_batch_is_found() {
        let bytes = bytes_of(&entries()[2..]);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let outcome = decode_entries(damaged.into(), 7);
            // The leader epoch stands outside of Kafka's checksum.
            let in_leader_epoch = (12 * 8..16 * 8).contains(&bit);
            assert!(outcome.is_err() || in_leader_epoch, "bit {bit}");
        }
    }

    #[test]
    fn a_term_beyond_kafkas_leader_epochs_is_refused() {
        let entry = Entry {
            log_id: log_id(1 << 31, 0),
            payload: EntryPayload::Blank,
        };
        assert!(encode_entry(&entry).unwrap_err().contains("leader epoch"));
    }
}
