//! The records of a batch, walked one by one over the bytes.
//!
//! A walk checks what `org.apache.kafka.common.record.DefaultRecord` checks: every length lies inside its record, every
//! record inside the batch, and nothing is left over. It allocates nothing but the decompressed bytes, up to a limit.
//! Repeated header keys are kept. Which records Kafka accepts (offsets, timestamps, keys) is decided in `storage`.

use thiserror::Error;

use super::batch::{Compression, RecordBatch, TimestampType};
use super::compression::{self, CompressionError};
use super::varint::{take_varint, take_varlong};

/// The most bytes that the records of one batch may have when decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecompressionLimit(pub usize);

/// Why a batch's records cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The attributes name a codec that Kafka does not have.
    #[error("record batch has an unknown compression type {0}")]
    UnknownCompression(i16),
    /// The codec refused the bytes, or they are too many.
    #[error(transparent)]
    Compression(#[from] CompressionError),
    /// The header's record count is negative.
    #[error("record batch has a negative record count {0}")]
    NegativeCount(i32),
    /// A record is cut off, or a length or number in it is out of range.
    #[error("record {index} of the batch has an invalid {field}")]
    Invalid {
        /// Position of the record in the batch, from 0.
        index: i32,
        /// What is wrong with it.
        field: &'static str,
    },
    /// Bytes are left behind the last record.
    #[error("{0} bytes are left behind the last record of the batch")]
    TrailingBytes(usize),
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Where the record stands in the log: the batch's base offset and the record's delta.
    pub offset: i64,
    /// The record's distance from the batch's base offset, as it stands; a producer's first is 0.
    pub offset_delta: i32,
    /// In ms since the epoch; the batch's append time if that is what the batch carries (KIP-32).
    pub timestamp_ms: i64,
    /// `None` for a null key.
    pub key: Option<&'a [u8]>,
    /// `None` for a null value, a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// In the producer's order, repeated keys included.
    pub headers: RecordHeaders<'a>,
    /// Key, value and headers as they stand, lengths included: everything behind the offset.
    pub tail: &'a [u8],
    /// All bytes of the record, its length prefix included.
    pub size_bytes: usize,
}

/// The headers of a record (KIP-82).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeaders<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> RecordHeaders<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Key and value of each. The key is UTF-8 by agreement of clients, not by any check.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut rest = self.bytes;
        (0..self.count).map_while(move |_| take_header(&mut rest))
    }
}

/// Walks the records of `batch`. `scratch` takes the decompressed bytes, if there is a codec.
///
/// The records come with `Err` at the first that is not sound, after which the walk is over.
///
/// # Errors
/// An unknown codec, bytes that the codec refuses, or more than `limit` of them.
pub fn records<'a>(
    batch: &RecordBatch<'a>,
    scratch: &'a mut Vec<u8>,
    limit: DecompressionLimit,
) -> Result<RecordIter<'a>, RecordError> {
    let codec = batch
        .compression()
        .ok_or(RecordError::UnknownCompression(batch.attributes() & 0x07))?;
    let count = batch.record_count();
    if count < 0 {
        return Err(RecordError::NegativeCount(count));
    }
    let rest: &'a [u8] = match codec {
        Compression::None => batch.records_bytes(),
        codec => {
            *scratch = compression::decompress(codec, batch.records_bytes(), limit.0)?;
            scratch
        }
    };
    Ok(RecordIter {
        rest,
        index: 0,
        count,
        base_offset: batch.base_offset(),
        base_timestamp_ms: batch.base_timestamp_ms(),
        append_time_ms: match batch.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(batch.max_timestamp_ms()),
        },
        over: false,
    })
}

/// The walk that [`records`] starts.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    rest: &'a [u8],
    index: i32,
    count: i32,
    base_offset: i64,
    base_timestamp_ms: i64,
    append_time_ms: Option<i64>,
    over: bool,
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordView<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        if self.index == self.count {
            self.over = true;
            return (!self.rest.is_empty()).then_some(Err(RecordError::TrailingBytes(self.rest.len())));
        }
        let index = self.index;
        self.index = index.saturating_add(1);
        let record = self
            .take_record()
            .map_err(|field| RecordError::Invalid { index, field });
        self.over = record.is_err();
        Some(record)
    }
}

impl<'a> RecordIter<'a> {
    fn take_record(&mut self) -> Result<RecordView<'a>, &'static str> {
        let before = self.rest.len();
        let mut body = take_sized(&mut self.rest).flatten().ok_or("length")?;
        let size_bytes = before.saturating_sub(self.rest.len());
        // The record's attributes are reserved, and no value of theirs is an error.
        let (_, after_attributes) = body.split_first().ok_or("length")?;
        body = after_attributes;
        let timestamp_delta = take_varlong(&mut body).ok_or("timestamp")?;
        let offset_delta = take_varint(&mut body).ok_or("offset")?;
        let tail = body;
        let key = take_sized(&mut body).ok_or("key")?;
        let value = take_sized(&mut body).ok_or("value")?;
        Ok(RecordView {
            offset: self
                .base_offset
                .checked_add(i64::from(offset_delta))
                .ok_or("offset")?,
            offset_delta,
            timestamp_ms: match self.append_time_ms {
                Some(append_time_ms) => append_time_ms,
                // Wraps as in Kafka: a delete horizon for a base may lie that far from a record's own time.
                None => self.base_timestamp_ms.wrapping_add(timestamp_delta),
            },
            key,
            value,
            headers: checked_headers(body)?,
            tail,
            size_bytes,
        })
    }
}

/// Headers that fill the rest of a record exactly.
fn checked_headers(mut body: &[u8]) -> Result<RecordHeaders<'_>, &'static str> {
    let count = take_varint(&mut body)
        .and_then(|count| usize::try_from(count).ok())
        .filter(|&count| count <= body.len())
        .ok_or("header count")?;
    let bytes = body;
    for _ in 0..count {
        take_header(&mut body).ok_or("header")?;
    }
    if body.is_empty() {
        Ok(RecordHeaders { bytes, count })
    } else {
        Err("length")
    }
}

fn take_header<'a>(bytes: &mut &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let key = take_sized(bytes)??;
    Some((key, take_sized(bytes)?))
}

/// Bytes behind their length; `Some(None)` for null, which any negative length means.
#[expect(
    clippy::option_option,
    reason = "the outer level is failure, the inner one null"
)]
fn take_sized<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Ok(length) = usize::try_from(take_varint(bytes)?) else {
        return Some(None);
    };
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Some(taken))
}
