//! A snapshot as bytes: the metadata image's records between Kafka's snapshot header and footer.
//!
//! Record batches, as in Kafka's `.checkpoint` files (KIP-630), so that Kafka's dump tool reads them: a control batch
//! with the snapshot header, a control batch of ours that says which cluster, which last entry and which voters,
//! batches of metadata records, a control batch with the footer. A file without its footer is not whole and is refused.

use bytes::Bytes;

use super::entry_codec::{BatchParts, DecodedBatch, RecordParts, SNAPSHOT_STATE_CONTROL_TYPE, control_key};
use super::fields::Fields;
use super::membership_codec::{put_membership, take_membership};
use super::types::{LogId, SnapshotMeta, StoredMembership, stored_log_id, term_of};

/// Kafka's control record types (`org.apache.kafka.common.record.ControlRecordType`).
const SNAPSHOT_HEADER_CONTROL_TYPE: u16 = 3;
const SNAPSHOT_FOOTER_CONTROL_TYPE: u16 = 4;
/// Kafka's snapshot footer: `int16` version 0, no tagged fields.
const FOOTER: [u8; 3] = [0, 0, 0];
const STATE_VERSION: u8 = 0;
/// Records are cut into batches of about this size, as Kafka does (`KafkaRaftClient.MAX_BATCH_SIZE_BYTES`).
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// What a snapshot says, and of which cluster.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SnapshotContent {
    pub(super) cluster_id: String,
    pub(super) meta: SnapshotMeta,
    pub(super) records: Vec<Bytes>,
}

/// A snapshot's bytes.
///
/// # Errors
/// A sentence if one of the records is too large for a batch.
pub(super) fn encode_snapshot(content: &SnapshotContent) -> Result<Vec<u8>, String> {
    let mut writer = Writer {
        out: Vec::new(),
        next_offset: 0,
        leader_epoch: leader_epoch(content.meta.last_log_id.as_ref())?,
    };
    writer.control(SNAPSHOT_HEADER_CONTROL_TYPE, &header())?;
    writer.control(SNAPSHOT_STATE_CONTROL_TYPE, &state(content)?)?;
    let mut rest = content.records.as_slice();
    while !rest.is_empty() {
        let (batch, behind) = rest.split_at(records_of_one_batch(rest));
        writer.records(batch)?;
        rest = behind;
    }
    writer.control(SNAPSHOT_FOOTER_CONTROL_TYPE, &FOOTER)?;
    Ok(writer.out)
}

fn leader_epoch(last: Option<&LogId>) -> Result<i32, String> {
    let term = last.map_or(0, term_of);
    i32::try_from(term).map_err(|_| format!("term {term} is beyond Kafka's leader epochs"))
}

/// Kafka's snapshot header: `int16` version 0, `int64` timestamp of the last entry (unknown), no tagged fields.
fn header() -> Vec<u8> {
    let mut header = vec![0, 0];
    header.extend_from_slice(&(-1i64).to_be_bytes());
    header.push(0);
    header
}

/// `u8` version, cluster id (`u16` length), last entry, entry of the voters (each `u8` presence, `u64` term, `u64`
/// index), voters.
fn state(content: &SnapshotContent) -> Result<Vec<u8>, String> {
    let length =
        u16::try_from(content.cluster_id.len()).map_err(|_| "the cluster id is too long".to_owned())?;
    let mut out = vec![STATE_VERSION];
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(content.cluster_id.as_bytes());
    put_log_id(&mut out, content.meta.last_log_id.as_ref());
    put_log_id(&mut out, content.meta.last_membership.log_id().as_ref());
    put_membership(&mut out, content.meta.last_membership.membership());
    Ok(out)
}

fn put_log_id(out: &mut Vec<u8>, id: Option<&LogId>) {
    out.push(u8::from(id.is_some()));
    out.extend_from_slice(&id.map_or(0, term_of).to_be_bytes());
    out.extend_from_slice(&id.map_or(0, |id| id.index).to_be_bytes());
}

fn records_of_one_batch(records: &[Bytes]) -> usize {
    let mut bytes = 0;
    let fitting = records.iter().take_while(|record| {
        bytes += record.len();
        bytes <= BATCH_BYTES
    });
    fitting.count().max(1)
}

struct Writer {
    out: Vec<u8>,
    next_offset: i64,
    leader_epoch: i32,
}

impl Writer {
    fn control(&mut self, control_type: u16, value: &[u8]) -> Result<(), String> {
        self.batch(true, &[(0, Some(&control_key(control_type)), value)])
    }

    fn records(&mut self, records: &[Bytes]) -> Result<(), String> {
        let records: Vec<RecordParts<'_>> = (0..)
            .zip(records)
            .map(|(delta, record)| (delta, None, &record[..]))
            .collect();
        self.batch(false, &records)
    }

    fn batch(&mut self, is_control: bool, records: &[RecordParts<'_>]) -> Result<(), String> {
        let count = i32::try_from(records.len()).map_err(|_| "too many records in one batch".to_owned())?;
        let parts = BatchParts {
            base_offset: self.next_offset,
            leader_epoch: self.leader_epoch,
            is_control,
            timestamp_ms: -1,
            last_offset_delta: count - 1,
        };
        self.out.extend_from_slice(&parts.encode(records)?);
        self.next_offset += i64::from(count);
        Ok(())
    }
}

/// Reads a snapshot whole.
///
/// # Errors
/// A sentence that says what is wrong with the bytes.
pub(super) fn decode_snapshot(mut bytes: Bytes) -> Result<SnapshotContent, String> {
    let header = take_batch(&mut bytes)?;
    expect_control(&header, SNAPSHOT_HEADER_CONTROL_TYPE)?;
    let state = take_batch(&mut bytes)?;
    let mut content = take_state(expect_control(&state, SNAPSHOT_STATE_CONTROL_TYPE)?)?;
    loop {
        let batch = take_batch(&mut bytes)?;
        if batch.is_control {
            expect_control(&batch, SNAPSHOT_FOOTER_CONTROL_TYPE)?;
            break;
        }
        content
            .records
            .extend(batch.records.into_iter().map(|record| record.value));
    }
    if bytes.is_empty() {
        Ok(content)
    } else {
        Err(format!(
            "the snapshot has {} bytes behind its footer",
            bytes.len()
        ))
    }
}

fn take_batch(bytes: &mut Bytes) -> Result<DecodedBatch, String> {
    if bytes.is_empty() {
        return Err("the snapshot ends before its footer".to_owned());
    }
    let batch =
        DecodedBatch::decode_first(bytes).map_err(|error| format!("the snapshot is damaged: {error}"))?;
    *bytes = bytes.split_off(batch.size_bytes);
    Ok(batch)
}

fn expect_control(batch: &DecodedBatch, expected: u16) -> Result<&Bytes, String> {
    match batch.control_record()? {
        (control_type, value) if control_type == expected && batch.is_control => Ok(value),
        (control_type, _) => Err(format!(
            "the snapshot has a control record of type {control_type} where {expected} belongs"
        )),
    }
}

fn take_state(value: &[u8]) -> Result<SnapshotContent, String> {
    let mut fields = Fields::new(value);
    match fields.u8() {
        Some(STATE_VERSION) => {}
        version => return Err(format!("the snapshot has state of unknown version {version:?}")),
    }
    let (cluster_id, last, voters_at) =
        take_origin(&mut fields).ok_or("the snapshot's state is cut short")?;
    let membership = take_membership(&mut fields)?;
    if !fields.is_empty() {
        return Err("the snapshot has bytes behind its state".to_owned());
    }
    Ok(SnapshotContent {
        cluster_id,
        meta: SnapshotMeta {
            last_log_id: last,
            last_membership: StoredMembership::new(voters_at, membership),
        },
        records: Vec::new(),
    })
}

type Origin = (String, Option<LogId>, Option<LogId>);

fn take_origin(fields: &mut Fields<'_>) -> Option<Origin> {
    let length = usize::from(fields.u16()?);
    let cluster_id = std::str::from_utf8(fields.bytes(length)?).ok()?.to_owned();
    Some((cluster_id, take_log_id(fields)?, take_log_id(fields)?))
}

fn take_log_id(fields: &mut Fields<'_>) -> Option<Option<LogId>> {
    let present = fields.u8()?;
    let (term, index) = (fields.u64()?, fields.u64()?);
    match present {
        0 => Some(None),
        1 => stored_log_id(term, index).map(Some),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::types::log_id;
    use super::*;
    use crate::quorum::types::{Membership, VoterNode};

    fn content(records: Vec<Bytes>) -> SnapshotContent {
        let voters = Membership::new(
            vec![BTreeSet::from([1])],
            BTreeMap::from([(1, VoterNode::default())]),
        )
        .unwrap();
        SnapshotContent {
            cluster_id: "a-cluster".to_owned(),
            meta: SnapshotMeta {
                last_log_id: Some(log_id(3, 900)),
                last_membership: StoredMembership::new(Some(log_id(0, 0)), voters),
            },
            records,
        }
    }

    #[test]
    fn snapshots_come_back_in_one_batch_or_several() {
        for records in [
            vec![],
            vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")],
            (0..5).map(|fill| Bytes::from(vec![fill; 3_000_000])).collect(),
        ] {
            let written = content(records);
            let bytes = encode_snapshot(&written).unwrap();
            assert_eq!(decode_snapshot(bytes.into()).unwrap(), written);
        }
    }

    #[test]
    fn a_cut_or_damaged_snapshot_is_never_taken_for_a_whole_one() {
        let bytes = encode_snapshot(&content(vec![Bytes::from_static(b"one")])).unwrap();
        for cut in 0..bytes.len() {
            assert!(
                decode_snapshot(Bytes::copy_from_slice(&bytes[..cut])).is_err(),
                "cut at {cut}"
            );
        }
        let mut damaged = bytes.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        assert!(decode_snapshot(damaged.into()).is_err());
    }
}
