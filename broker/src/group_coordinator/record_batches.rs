//! Coordinator records as record batches of `__consumer_offsets`, and back.

use bytes::{Bytes, BytesMut};
use metadata::group::CoordinatorRecord;
use protocol_compat::ErrorCode;
use protocol_compat::record_batch::batch::{Compression, RecordBatch, TimestampType};
use protocol_compat::record_batch::builder::BatchBuilder;
use protocol_compat::record_batch::record::{DecompressionLimit, records};

/// What a batch may take besides its records, generously.
const BATCH_OVERHEAD_BYTES: usize = 128;
/// What a record may take besides its key and value, generously.
const RECORD_OVERHEAD_BYTES: usize = 32;
/// The most that one batch of the topic may become: batches are at most 2 GiB, ours are small.
const MAX_DECOMPRESSED_BYTES: usize = 256 << 20;

/// Batches of at most `max_batch_bytes`; a record that is larger has a batch of its own, which the log refuses.
pub(super) fn encode(
    records: &[CoordinatorRecord],
    max_batch_bytes: usize,
    now_ms: i64,
) -> Result<Bytes, ErrorCode> {
    let mut out = BytesMut::new();
    let mut batch = new_batch();
    for record in records {
        // A name that no field can hold; requests cannot carry one.
        let (key, value) = record.encode().map_err(|_| ErrorCode::InvalidRequest)?;
        let size = key.len() + value.as_ref().map_or(0, Bytes::len) + RECORD_OVERHEAD_BYTES;
        let full = batch.uncompressed_size_bytes() + size + BATCH_OVERHEAD_BYTES > max_batch_bytes;
        if full && !batch.is_empty() {
            out.extend_from_slice(&batch.build());
            batch = new_batch();
        }
        batch.append(now_ms, Some(&key), value.as_deref(), &[]);
    }
    if !batch.is_empty() {
        out.extend_from_slice(&batch.build());
    }
    Ok(out.freeze())
}

fn new_batch() -> BatchBuilder {
    BatchBuilder::new(0, Compression::None, TimestampType::CreateTime, None, -1)
}

/// The records of these batches from offset `from` on. Records that only newer groups have are left out.
///
/// # Errors
/// A sentence that says what cannot be read.
pub(super) fn decode(batches: &[u8], from: i64) -> Result<Vec<CoordinatorRecord>, String> {
    let mut decoded = Vec::new();
    let mut rest = batches;
    while !rest.is_empty() {
        let (batch, after) = RecordBatch::split_first(rest).map_err(|cause| cause.to_string())?;
        rest = after;
        if batch.is_control() || batch.last_offset() < from {
            continue;
        }
        let mut scratch = Vec::new();
        let limit = DecompressionLimit(MAX_DECOMPRESSED_BYTES);
        for record in records(&batch, &mut scratch, limit).map_err(|cause| cause.to_string())? {
            let record = record.map_err(|cause| cause.to_string())?;
            let Some(key) = record.key.filter(|_| record.offset >= from) else {
                continue;
            };
            let key = Bytes::copy_from_slice(key);
            let value = record.value.map(Bytes::copy_from_slice);
            let read = CoordinatorRecord::decode(&key, value.as_ref());
            decoded.extend(read.map_err(|cause| format!("record at offset {}: {cause}", record.offset))?);
        }
    }
    Ok(decoded)
}

/// Whether these batches have a record at every offset from `from` on to their end, so that compaction took none.
///
/// # Errors
/// A sentence that says what cannot be read.
pub(super) fn are_whole(batches: &[u8], from: i64) -> Result<bool, String> {
    let (mut rest, mut next) = (batches, from);
    while !rest.is_empty() {
        let (batch, after) = RecordBatch::split_first(rest).map_err(|cause| cause.to_string())?;
        let offsets = i64::from(batch.last_offset_delta()) + 1;
        if batch.base_offset() > next || i64::from(batch.record_count()) != offsets {
            return Ok(false);
        }
        next = batch.next_offset();
        rest = after;
    }
    Ok(next > from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstones(count: i32) -> Vec<CoordinatorRecord> {
        let tombstone = |partition| CoordinatorRecord::Offset {
            group_id: "g".into(),
            topic: "t".into(),
            partition,
            value: None,
        };
        (0..count).map(tombstone).collect()
    }

    #[test]
    fn records_survive_their_batches_whatever_their_number() {
        let records = tombstones(100);
        let one = encode(&records, 1 << 20, 5).unwrap();
        assert_eq!(decode(&one, 0).unwrap(), records);
        assert_eq!(decode(&one, 40).unwrap(), records[40..]);
        let many = encode(&records, 1000, 5).unwrap();
        assert_eq!(decode(&many, 0).unwrap(), records);
        let (first, rest) = RecordBatch::split_first(&many).unwrap();
        assert!(first.size_bytes() <= 1000 && !rest.is_empty());
        assert!(encode(&[], 1000, 5).unwrap().is_empty());
    }

    #[test]
    fn batches_are_whole_until_a_record_is_missing() {
        let batch = |base: i64| {
            let mut batch = BatchBuilder::new(base, Compression::None, TimestampType::CreateTime, None, -1);
            batch.append(5, Some(b"k"), None, &[]);
            batch.append(5, Some(b"l"), None, &[]);
            batch.build().to_vec()
        };
        let whole = |batches: &[Vec<u8>], from| are_whole(&batches.concat(), from).unwrap();
        assert!(whole(&[batch(4), batch(6)], 4) && whole(&[batch(4), batch(6)], 5));
        assert!(!whole(&[batch(4), batch(7)], 4), "a batch is gone");
        assert!(!whole(&[batch(4)], 3), "the first is gone");
        assert!(!whole(&[], 3), "all are gone");
        let mut thinned = batch(4);
        thinned[57..61].copy_from_slice(&1i32.to_be_bytes());
        assert!(!whole(&[thinned], 4), "a record is gone");
    }

    #[test]
    fn bytes_that_are_no_batch_are_an_error() {
        assert!(decode(b"junk", 0).is_err());
    }
}
