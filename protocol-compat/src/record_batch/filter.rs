//! A batch without some of its records: what compaction leaves of it.
//!
//! Offsets never change: base offset, last offset and the base sequence stay, so that a producer's last sequence number
//! and the end of the log survive the records themselves. A batch that keeps nothing can stay as a header. The bytes are
//! those that `org.apache.kafka.common.record.MemoryRecords.filterTo` writes. Which records go is for the caller.

use bytes::Bytes;

use super::batch::{
    ATTRIBUTES_AT, BASE_TIMESTAMP_AT, BATCH_HEADER_BYTES, BATCH_LENGTH_AT, Compression, MAX_TIMESTAMP_AT,
    RECORD_COUNT_AT, RecordBatch, TimestampType,
};
use super::builder::{batch_length, length, seal};
use super::compression::{self, default_level};
use super::record::{DecompressionLimit, RecordError, RecordView, records};
use super::varint::{put_varint, put_varlong, varlong_size};

const CODEC_MASK: i16 = 0x07;
const DELETE_HORIZON: i16 = 0x40;

/// What is left of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filtered {
    /// Every record, and nothing about the batch changes.
    Whole,
    /// Some records, or all of them with a delete horizon.
    Rewritten(Bytes),
    /// No record.
    Nothing,
}

/// How often each kind of record was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilterCounts {
    /// Records that were looked at.
    pub read: u64,
    /// Records that stay.
    pub kept: u64,
}

/// The batch with the records that `keep` wants.
///
/// A batch that holds a tombstone, or for which `is_marker_of_nothing` says that it is the marker of a transaction without
/// records, gets a delete horizon of `new_horizon_ms` (ms since the epoch) unless it has one: from then on it may go (KIP-534).
///
/// # Errors
/// The records cannot be read, or are more than `limit` when decompressed.
pub fn filter(
    batch: &RecordBatch<'_>,
    is_marker_of_nothing: bool,
    new_horizon_ms: i64,
    limit: DecompressionLimit,
    counts: &mut FilterCounts,
    mut keep: impl FnMut(&RecordView<'_>) -> bool,
) -> Result<Filtered, RecordError> {
    let mut scratch = Vec::new();
    let mut kept = Vec::new();
    let (mut all, mut has_tombstone) = (true, false);
    for record in records(batch, &mut scratch, limit)? {
        let record = record?;
        counts.read += 1;
        if keep(&record) {
            has_tombstone |= record.value.is_none();
            kept.push(record);
        } else {
            all = false;
        }
    }
    counts.kept += kept.len() as u64;
    if kept.is_empty() {
        return Ok(Filtered::Nothing);
    }
    let needs_horizon = (has_tombstone || is_marker_of_nothing) && !batch.has_delete_horizon();
    if all && !needs_horizon {
        return Ok(Filtered::Whole);
    }
    let horizon_ms = if needs_horizon {
        Some(new_horizon_ms)
    } else {
        delete_horizon_ms(batch)
    };
    rewrite(batch, &kept, horizon_ms).map(Filtered::Rewritten)
}

/// When tombstones and markers of the batch may go, in ms since the epoch; `None` where that is not decided yet.
pub fn delete_horizon_ms(batch: &RecordBatch<'_>) -> Option<i64> {
    batch.has_delete_horizon().then(|| batch.base_timestamp_ms())
}

/// The batch without any record: it keeps offsets, producer, epoch and sequence.
pub fn emptied(batch: &RecordBatch<'_>) -> [u8; BATCH_HEADER_BYTES] {
    let mut header = *batch.header();
    let attributes = batch.attributes() & !CODEC_MASK & !DELETE_HORIZON;
    put(&mut header, BATCH_LENGTH_AT, batch_length(0).to_be_bytes());
    put(&mut header, ATTRIBUTES_AT, attributes.to_be_bytes());
    put(&mut header, BASE_TIMESTAMP_AT, (-1_i64).to_be_bytes());
    put(&mut header, RECORD_COUNT_AT, 0_i32.to_be_bytes());
    seal(&mut header);
    header
}

fn rewrite(
    batch: &RecordBatch<'_>,
    kept: &[RecordView<'_>],
    horizon_ms: Option<i64>,
) -> Result<Bytes, RecordError> {
    let codec = batch
        .compression()
        .ok_or(RecordError::UnknownCompression(batch.attributes() & CODEC_MASK))?;
    let first_ms = kept.first().map_or(-1, |record| record.timestamp_ms);
    let base_ms = horizon_ms.unwrap_or(first_ms);
    let max_timestamp_ms = match batch.timestamp_type() {
        TimestampType::LogAppendTime => batch.max_timestamp_ms(),
        TimestampType::CreateTime => kept.iter().map(|record| record.timestamp_ms).fold(-1, i64::max),
    };
    let plain = encode(kept, base_ms);
    let records = match codec {
        Compression::None => plain,
        codec => compression::compress(codec, default_level(codec), &plain)?,
    };
    let horizon_bit = if horizon_ms.is_some() { DELETE_HORIZON } else { 0 };
    let attributes = batch.attributes() & !DELETE_HORIZON | horizon_bit;
    let mut header = *batch.header();
    put(
        &mut header,
        BATCH_LENGTH_AT,
        batch_length(records.len()).to_be_bytes(),
    );
    put(&mut header, ATTRIBUTES_AT, attributes.to_be_bytes());
    put(&mut header, BASE_TIMESTAMP_AT, base_ms.to_be_bytes());
    put(&mut header, MAX_TIMESTAMP_AT, max_timestamp_ms.to_be_bytes());
    put(&mut header, RECORD_COUNT_AT, length(kept.len()).to_be_bytes());
    let mut out = Vec::with_capacity(BATCH_HEADER_BYTES + records.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(&records);
    seal(&mut out);
    Ok(out.into())
}

/// The records with their timestamps counted from `base_ms`; everything behind the offset stays as it stands.
fn encode(kept: &[RecordView<'_>], base_ms: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(kept.iter().map(|record| record.size_bytes + 9).sum());
    for record in kept {
        let timestamp_delta = record.timestamp_ms.wrapping_sub(base_ms);
        let offset_delta = record.offset_delta;
        let body_bytes =
            1 + varlong_size(timestamp_delta) + varlong_size(i64::from(offset_delta)) + record.tail.len();
        put_varint(&mut out, length(body_bytes));
        out.push(0);
        put_varlong(&mut out, timestamp_delta);
        put_varint(&mut out, offset_delta);
        out.extend_from_slice(record.tail);
    }
    out
}

fn put<const N: usize>(header: &mut [u8; BATCH_HEADER_BYTES], at: usize, field: [u8; N]) {
    if let Some(place) = header.get_mut(at..at + N) {
        place.copy_from_slice(&field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_batch::builder::BatchBuilder;

    const LIMIT: DecompressionLimit = DecompressionLimit(1 << 20);

    fn batch(codec: Compression, values: &[(&str, Option<&str>)]) -> Bytes {
        let mut builder = BatchBuilder::new(100, codec, TimestampType::CreateTime, Some((7, 1, 40)), 3);
        for (at, (key, value)) in values.iter().enumerate() {
            let headers: [(&str, Option<&[u8]>); 2] = [("twice", Some(b"a")), ("twice", None)];
            let timestamp_ms = 1_000 + 10 * at as i64;
            builder.append(
                timestamp_ms,
                Some(key.as_bytes()),
                value.map(str::as_bytes),
                &headers,
            );
        }
        builder.build()
    }

    fn view(bytes: &[u8]) -> RecordBatch<'_> {
        let (batch, rest) = RecordBatch::split_first(bytes).unwrap();
        assert!(rest.is_empty());
        batch.verify_checksum().unwrap();
        batch
    }

    /// Offset, timestamp, key, number of headers.
    fn content(batch: &RecordBatch<'_>) -> Vec<(i64, i64, String, usize)> {
        let mut scratch = Vec::new();
        let all = records(batch, &mut scratch, LIMIT).unwrap();
        all.map(|record| {
            let record = record.unwrap();
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            (record.offset, record.timestamp_ms, key, record.headers.len())
        })
        .collect()
    }

    fn keeping(batch: &RecordBatch<'_>, keys: &[&str]) -> Filtered {
        let mut counts = FilterCounts::default();
        filter(batch, false, 9_000, LIMIT, &mut counts, |record| {
            keys.contains(&std::str::from_utf8(record.key.unwrap()).unwrap())
        })
        .unwrap()
    }

    #[test]
    fn what_is_kept_keeps_its_offset_timestamp_and_headers_in_every_codec() {
        for codec in [
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ] {
            let bytes = batch(codec, &[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
            let before = view(&bytes);
            let Filtered::Rewritten(rewritten) = keeping(&before, &["b", "c"]) else {
                panic!("{codec:?}");
            };
            let after = view(&rewritten);
            assert_eq!(
                content(&after),
                [(101, 1_010, "b".into(), 2), (102, 1_020, "c".into(), 2)]
            );
            assert_eq!((after.base_offset(), after.last_offset()), (100, 102));
            assert_eq!(
                (after.producer_id(), after.producer_epoch(), after.base_sequence()),
                (7, 1, 40)
            );
            assert_eq!((after.compression(), after.record_count()), (Some(codec), 2));
            assert_eq!(
                (after.base_timestamp_ms(), after.max_timestamp_ms()),
                (1_010, 1_020)
            );
            assert_eq!(after.partition_leader_epoch(), 3);
        }
    }

    #[test]
    fn a_batch_that_loses_nothing_is_left_alone_and_one_that_loses_all_is_nothing() {
        let bytes = batch(Compression::None, &[("a", Some("1")), ("b", Some("2"))]);
        assert_eq!(keeping(&view(&bytes), &["a", "b"]), Filtered::Whole);
        assert_eq!(keeping(&view(&bytes), &[]), Filtered::Nothing);
    }

    #[test]
    fn a_kept_tombstone_gets_a_horizon_once_and_its_timestamp_stays() {
        let bytes = batch(Compression::Lz4, &[("a", None), ("b", Some("2"))]);
        let Filtered::Rewritten(first) = keeping(&view(&bytes), &["a", "b"]) else {
            panic!("no horizon was set");
        };
        let first = view(&first);
        assert_eq!(delete_horizon_ms(&first), Some(9_000));
        assert_eq!(
            content(&first),
            [(100, 1_000, "a".into(), 2), (101, 1_010, "b".into(), 2)]
        );
        assert_eq!(first.max_timestamp_ms(), 1_010);
        assert_eq!(keeping(&first, &["a", "b"]), Filtered::Whole);
        let Filtered::Rewritten(second) = keeping(&first, &["a"]) else {
            panic!("nothing was removed");
        };
        assert_eq!(
            delete_horizon_ms(&view(&second)),
            Some(9_000),
            "the first horizon counts"
        );
    }

    #[test]
    fn a_horizon_as_far_from_a_record_as_can_be_leaves_its_time_alone() {
        let mut builder = BatchBuilder::new(0, Compression::None, TimestampType::CreateTime, None, -1);
        builder.append(i64::MIN + 3, Some(b"a"), None, &[]);
        let bytes = builder.build();
        let mut counts = FilterCounts::default();
        let filtered = filter(
            &view(&bytes),
            false,
            1_700_000_000_000,
            LIMIT,
            &mut counts,
            |_| true,
        );
        let Ok(Filtered::Rewritten(rewritten)) = filtered else {
            panic!("{filtered:?}");
        };
        assert_eq!(content(&view(&rewritten)), [(0, i64::MIN + 3, "a".into(), 0)]);
    }

    #[test]
    fn an_emptied_batch_tells_where_it_was_and_whose() {
        let bytes = batch(Compression::Zstd, &[("a", None), ("b", Some("2"))]);
        let header = emptied(&view(&bytes));
        let empty = view(&header);
        assert_eq!(
            (empty.base_offset(), empty.last_offset(), empty.record_count()),
            (100, 101, 0)
        );
        assert_eq!((empty.producer_id(), empty.base_sequence()), (7, 40));
        assert_eq!((empty.base_timestamp_ms(), empty.max_timestamp_ms()), (-1, 1_010));
        assert_eq!(empty.compression(), Some(Compression::None));
        assert!(content(&empty).is_empty());
    }
}
