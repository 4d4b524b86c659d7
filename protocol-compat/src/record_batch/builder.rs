//! Batches of our own: what coordinators, tools and tests write, and what a topic's `compression.type` makes of a
//! producer's batch.
//!
//! The bytes are those of `org.apache.kafka.common.record.MemoryRecordsBuilder`: the first record's timestamp is the
//! base, offsets count from the base offset, the checksum covers attributes to end. Nothing here checks bytes from
//! outside; [`super::record`] does.

use bytes::Bytes;

use super::batch::{
    BATCH_HEADER_BYTES, CHECKSUM_START, Compression, LOG_OVERHEAD_BYTES, RecordBatch, TimestampType,
};
use super::compression::{self, CompressionError, default_level};
use super::record::{DecompressionLimit, RecordError};
use super::varint::{put_varint, put_varlong, varlong_size};

const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;

/// A batch in the making. Records get consecutive offsets.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    base_offset: i64,
    partition_leader_epoch: i32,
    codec: Compression,
    level: i32,
    attributes: i16,
    log_append_time_ms: Option<i64>,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
    count: i32,
    records: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch at `base_offset`, at the codec's default level. `producer` is producer id, producer epoch and the
    /// sequence of the first record. `leader_epoch` is `-1` in a producer's batch.
    pub fn new(
        base_offset: i64,
        codec: Compression,
        timestamp_type: TimestampType,
        producer: Option<(i64, i16, i32)>,
        leader_epoch: i32,
    ) -> BatchBuilder {
        let (producer_id, producer_epoch, base_sequence) = producer.unwrap_or((-1, -1, -1));
        BatchBuilder {
            base_offset,
            partition_leader_epoch: leader_epoch,
            codec,
            level: default_level(codec),
            attributes: codec_bits(codec) | timestamp_bit(timestamp_type),
            log_append_time_ms: None,
            producer_id,
            producer_epoch,
            base_sequence,
            base_timestamp_ms: 0,
            max_timestamp_ms: i64::MIN,
            count: 0,
            records: Vec::new(),
        }
    }

    /// Compresses at `level` instead of the codec's default. It must be in [`compression::level_range`].
    #[must_use]
    pub fn level(mut self, level: i32) -> BatchBuilder {
        self.level = level;
        self
    }

    /// Marks the batch as part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> BatchBuilder {
        self.attributes |= TRANSACTIONAL;
        self
    }

    /// Marks the batch as one of control records.
    #[must_use]
    pub fn control(mut self) -> BatchBuilder {
        self.attributes |= CONTROL;
        self
    }

    /// Stamps all records with the time of the append, in ms since the epoch.
    #[must_use]
    pub fn log_append_time(mut self, now_ms: i64) -> BatchBuilder {
        self.attributes |= LOG_APPEND_TIME;
        self.log_append_time_ms = Some(now_ms);
        self
    }

    /// Adds a record; a timestamp in ms since the epoch.
    pub fn append(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> &mut BatchBuilder {
        if self.count == 0 {
            self.base_timestamp_ms = timestamp_ms;
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        let timestamp_delta = timestamp_ms.wrapping_sub(self.base_timestamp_ms);
        let offset_delta = self.count;
        let body_bytes = body_size(timestamp_delta, offset_delta, key, value, headers);
        let out = &mut self.records;
        put_varint(out, length(body_bytes));
        out.push(0);
        put_varlong(out, timestamp_delta);
        put_varint(out, offset_delta);
        put_sized(out, key);
        put_sized(out, value);
        put_varint(out, length(headers.len()));
        for (key, value) in headers {
            put_sized(out, Some(key.as_bytes()));
            put_sized(out, *value);
        }
        self.count += 1;
        self
    }

    /// How many records were added.
    pub fn record_count(&self) -> i32 {
        self.count
    }

    /// Whether no record was added.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The size that the batch would have without its codec, in bytes.
    pub fn uncompressed_size_bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.records.len()
    }

    /// The batch's bytes.
    ///
    /// # Panics
    /// If the level is not one of the codec's, or the records are 2 GiB or more: callers bound both.
    pub fn build(&self) -> Bytes {
        let compressed;
        let records = match self.codec {
            Compression::None => &self.records,
            codec => {
                compressed = compression::compress(codec, self.level, &self.records)
                    .expect("the caller chose a level of the codec, and memory takes every write");
                &compressed
            }
        };
        let max_timestamp_ms = match self.log_append_time_ms {
            Some(now_ms) => now_ms,
            None if self.count == 0 => -1,
            None => self.max_timestamp_ms,
        };
        let mut out = Vec::with_capacity(BATCH_HEADER_BYTES + records.len());
        out.extend_from_slice(&self.base_offset.to_be_bytes());
        out.extend_from_slice(&batch_length(records.len()).to_be_bytes());
        out.extend_from_slice(&self.partition_leader_epoch.to_be_bytes());
        out.push(2);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.attributes.to_be_bytes());
        out.extend_from_slice(&(self.count - 1).max(0).to_be_bytes());
        out.extend_from_slice(&self.base_timestamp_ms.to_be_bytes());
        out.extend_from_slice(&max_timestamp_ms.to_be_bytes());
        out.extend_from_slice(&self.producer_id.to_be_bytes());
        out.extend_from_slice(&self.producer_epoch.to_be_bytes());
        out.extend_from_slice(&self.base_sequence.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(records);
        seal(&mut out);
        out.into()
    }
}

/// The same records under another codec, for a topic whose `compression.type` is not `producer`.
///
/// # Errors
/// The batch's own codec refuses its bytes, they exceed `limit`, or `level` is not one of `codec`'s.
pub fn recompress(
    batch: &RecordBatch<'_>,
    codec: Compression,
    level: i32,
    limit: DecompressionLimit,
) -> Result<Bytes, RecordError> {
    let before = batch
        .compression()
        .ok_or(RecordError::UnknownCompression(batch.attributes() & CODEC_MASK))?;
    let plain = compression::decompress(before, batch.records_bytes(), limit.0)?;
    let records = compression::compress(codec, level, &plain)?;
    if records.len() > MOST_RECORDS_BYTES {
        return Err(RecordError::Compression(CompressionError::TooLarge {
            limit_bytes: MOST_RECORDS_BYTES,
        }));
    }
    let mut out = Vec::with_capacity(BATCH_HEADER_BYTES + records.len());
    out.extend_from_slice(batch.header());
    out[8..12].copy_from_slice(&batch_length(records.len()).to_be_bytes());
    let attributes = batch.attributes() & !CODEC_MASK | codec_bits(codec);
    out[CHECKSUM_START..CHECKSUM_START + 2].copy_from_slice(&attributes.to_be_bytes());
    out.extend_from_slice(&records);
    seal(&mut out);
    Ok(out.into())
}

/// What a batch's length field can say of records.
const MOST_RECORDS_BYTES: usize = i32::MAX as usize - BATCH_HEADER_BYTES;

pub(super) fn batch_length(records_bytes: usize) -> i32 {
    length(BATCH_HEADER_BYTES - LOG_OVERHEAD_BYTES + records_bytes)
}

/// Writes the checksum of a finished batch into its header.
pub(super) fn seal(batch: &mut [u8]) {
    let checksum = crc32c::crc32c(&batch[CHECKSUM_START..]);
    batch[17..21].copy_from_slice(&checksum.to_be_bytes());
}

fn codec_bits(codec: Compression) -> i16 {
    match codec {
        Compression::None => 0,
        Compression::Gzip => 1,
        Compression::Snappy => 2,
        Compression::Lz4 => 3,
        Compression::Zstd => 4,
    }
}

fn timestamp_bit(timestamp_type: TimestampType) -> i16 {
    match timestamp_type {
        TimestampType::CreateTime => 0,
        TimestampType::LogAppendTime => LOG_APPEND_TIME,
    }
}

fn body_size(
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
) -> usize {
    let headers_bytes: usize = headers
        .iter()
        .map(|(key, value)| sized_size(Some(key.as_bytes())) + sized_size(*value))
        .sum();
    1 + varlong_size(timestamp_delta)
        + varlong_size(i64::from(offset_delta))
        + sized_size(key)
        + sized_size(value)
        + varlong_size(i64::from(length(headers.len())))
        + headers_bytes
}

fn sized_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| {
        varlong_size(i64::from(length(bytes.len()))) + bytes.len()
    })
}

fn put_sized(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, length(bytes.len()));
            out.extend_from_slice(bytes);
        }
    }
}

pub(super) fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("callers keep a batch below 2 GiB")
}
