//! The 61-byte header of a record batch (magic 2) as a view over bytes, and its checks.
//!
//! The header's first 16 bytes (base offset, length, partition leader epoch) and the magic lie outside the checksum, so
//! that a broker assigns offsets without touching what the producer signed. Layout: KIP-98,
//! `org.apache.kafka.common.record.DefaultRecordBatch`.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

/// Bytes of base offset and batch length, which every magic has in front of it.
pub const LOG_OVERHEAD_BYTES: usize = 12;
/// Bytes of a magic 2 batch before its first record.
pub const BATCH_HEADER_BYTES: usize = 61;
/// Bytes in front of the checksummed part.
pub const CHECKSUM_START: usize = 21;

pub(super) const BATCH_LENGTH_AT: usize = 8;
const PARTITION_LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
pub(super) const ATTRIBUTES_AT: usize = 21;
const LOG_APPEND_TIME_BIT: i16 = 0x08;
const LAST_OFFSET_DELTA_AT: usize = 23;
pub(super) const BASE_TIMESTAMP_AT: usize = 27;
pub(super) const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
pub(super) const RECORD_COUNT_AT: usize = 57;

/// Why bytes are not a whole, valid batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// Fewer bytes than a header, or than the header's length says.
    #[error("record batch of {needed} bytes has only {available}")]
    Truncated {
        /// Bytes that the header or its length field asks for.
        needed: usize,
        /// Bytes that are there.
        available: usize,
    },
    /// The length field is below the smallest possible batch.
    #[error("record batch length {0} is below the minimum")]
    LengthTooSmall(i32),
    /// Not magic 2.
    #[error("record batch has magic {0}, not 2")]
    UnsupportedMagic(i8),
    /// The checksum does not fit the bytes.
    #[error("record batch is corrupt: stored crc {stored:#010x}, computed {computed:#010x}")]
    CorruptChecksum {
        /// CRC-32C in the header.
        stored: u32,
        /// CRC-32C of the bytes.
        computed: u32,
    },
}

/// How the records of a batch are compressed (attributes, bits 0–2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not compressed.
    None,
    /// gzip.
    Gzip,
    /// Snappy, in xerial framing.
    Snappy,
    /// LZ4 frame.
    Lz4,
    /// Zstandard (KIP-110).
    Zstd,
}

/// Which clock a batch's timestamps come from (attributes, bit 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's at append.
    LogAppendTime,
}

/// A whole magic 2 batch: the header is present and its length covers exactly these bytes. The checksum may not have
/// been looked at; see [`RecordBatch::verify_checksum`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordBatch<'a> {
    header: &'a [u8; BATCH_HEADER_BYTES],
    records: &'a [u8],
}

/// The size that the batch at the start of `bytes` says it has, header included, magic not looked at.
///
/// `None` if fewer than [`LOG_OVERHEAD_BYTES`] are there or the length field is negative.
pub fn claimed_size(bytes: &[u8]) -> Option<usize> {
    let length = i32::from_be_bytes(*bytes.get(BATCH_LENGTH_AT..)?.first_chunk::<4>()?);
    usize::try_from(length).ok()?.checked_add(LOG_OVERHEAD_BYTES)
}

impl<'a> RecordBatch<'a> {
    /// Reads the batch at the start of `bytes`, and what follows it.
    ///
    /// # Errors
    /// Everything of [`BatchError`] but the checksum, which costs a pass over the bytes.
    pub fn split_first(bytes: &'a [u8]) -> Result<(RecordBatch<'a>, &'a [u8]), BatchError> {
        let available = bytes.len();
        // The magic stands in the same place in every format, and an old format deserves its own answer.
        let magic = bytes.get(MAGIC_AT).copied().ok_or(BatchError::Truncated {
            needed: BATCH_HEADER_BYTES,
            available,
        })?;
        let length = i32::from_be_bytes(array_at(bytes, BATCH_LENGTH_AT).unwrap_or_default());
        if magic != 2 {
            return Err(BatchError::UnsupportedMagic(magic.cast_signed()));
        }
        let size = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(LOG_OVERHEAD_BYTES))
            .filter(|&size| size >= BATCH_HEADER_BYTES)
            .ok_or(BatchError::LengthTooSmall(length))?;
        let (batch, rest) = bytes.split_at_checked(size).ok_or(BatchError::Truncated {
            needed: size,
            available,
        })?;
        let (header, records) =
            batch
                .split_first_chunk::<BATCH_HEADER_BYTES>()
                .ok_or(BatchError::Truncated {
                    needed: BATCH_HEADER_BYTES,
                    available,
                })?;
        Ok((RecordBatch { header, records }, rest))
    }

    /// Compares the stored CRC-32C with that of attributes to end.
    ///
    /// # Errors
    /// [`BatchError::CorruptChecksum`] with both values.
    pub fn verify_checksum(&self) -> Result<(), BatchError> {
        let computed = crc32c::crc32c_append(crc32c::crc32c(&self.header[CHECKSUM_START..]), self.records);
        let stored = self.checksum();
        if stored == computed {
            Ok(())
        } else {
            Err(BatchError::CorruptChecksum { stored, computed })
        }
    }

    /// The header's bytes, as they stand.
    pub fn header(&self) -> &'a [u8; BATCH_HEADER_BYTES] {
        self.header
    }

    /// The bytes behind the header: records, compressed as [`RecordBatch::compression`] says.
    pub fn records_bytes(&self) -> &'a [u8] {
        self.records
    }

    /// Header and records together, in bytes.
    pub fn size_bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.records.len()
    }

    /// Offset of the first record, once a broker has assigned it.
    pub fn base_offset(&self) -> i64 {
        i64::from_be_bytes(field(self.header, 0))
    }

    /// Offset of the last record; kept by compaction even when that record is gone.
    pub fn last_offset(&self) -> i64 {
        self.base_offset()
            .wrapping_add(i64::from(self.last_offset_delta()))
    }

    /// The offset after the last record.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// The epoch of the leader that appended the batch, `-1` from a producer.
    pub fn partition_leader_epoch(&self) -> i32 {
        i32::from_be_bytes(field(self.header, PARTITION_LEADER_EPOCH_AT))
    }

    /// The stored CRC-32C.
    pub fn checksum(&self) -> u32 {
        u32::from_be_bytes(field(self.header, CRC_AT))
    }

    /// The attributes, whole.
    pub fn attributes(&self) -> i16 {
        i16::from_be_bytes(field(self.header, ATTRIBUTES_AT))
    }

    /// The codec of the records; `None` for a number that Kafka does not define.
    pub fn compression(&self) -> Option<Compression> {
        match self.attributes() & 0x07 {
            0 => Some(Compression::None),
            1 => Some(Compression::Gzip),
            2 => Some(Compression::Snappy),
            3 => Some(Compression::Lz4),
            4 => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// Which clock the timestamps come from.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes() & 0x08 == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes() & 0x10 != 0
    }

    /// Whether the batch holds control records, which no client may send.
    pub fn is_control(&self) -> bool {
        self.attributes() & 0x20 != 0
    }

    /// Whether the base timestamp is a delete horizon (KIP-534).
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes() & 0x40 != 0
    }

    /// Last offset minus base offset.
    pub fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(field(self.header, LAST_OFFSET_DELTA_AT))
    }

    /// Timestamp that the records' deltas count from, in ms since the epoch.
    pub fn base_timestamp_ms(&self) -> i64 {
        i64::from_be_bytes(field(self.header, BASE_TIMESTAMP_AT))
    }

    /// Largest timestamp of the batch, in ms since the epoch.
    pub fn max_timestamp_ms(&self) -> i64 {
        i64::from_be_bytes(field(self.header, MAX_TIMESTAMP_AT))
    }

    /// The idempotent producer, `-1` for none.
    pub fn producer_id(&self) -> i64 {
        i64::from_be_bytes(field(self.header, PRODUCER_ID_AT))
    }

    /// The producer's epoch, `-1` for none.
    pub fn producer_epoch(&self) -> i16 {
        i16::from_be_bytes(field(self.header, PRODUCER_EPOCH_AT))
    }

    /// Sequence number of the first record, `-1` for none.
    pub fn base_sequence(&self) -> i32 {
        i32::from_be_bytes(field(self.header, BASE_SEQUENCE_AT))
    }

    /// How many records the batch says it has. Not checked against the bytes.
    pub fn record_count(&self) -> i32 {
        i32::from_be_bytes(field(self.header, RECORD_COUNT_AT))
    }
}

/// The offset of the last record that a batch's header names.
pub fn last_offset_of(header: &[u8; BATCH_HEADER_BYTES]) -> i64 {
    let base_offset = i64::from_be_bytes(field(header, 0));
    base_offset.wrapping_add(i64::from(i32::from_be_bytes(field(header, LAST_OFFSET_DELTA_AT))))
}

/// The largest timestamp that a batch's header names, in ms since the epoch.
pub fn max_timestamp_ms_of(header: &[u8; BATCH_HEADER_BYTES]) -> i64 {
    i64::from_be_bytes(field(header, MAX_TIMESTAMP_AT))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// A field of the header; every caller's position is a constant inside it, so that the default is never met.
fn field<const N: usize>(header: &[u8; BATCH_HEADER_BYTES], at: usize) -> [u8; N] {
    array_at(header, at).unwrap_or([0; N])
}

/// CRC-32C, the checksum of batches and of Kafka's producer snapshots.
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// A header for the log of a topic whose timestamps are the broker's: base offset, epoch, the timestamp type, the largest
/// timestamp and the checksum that these need.
pub fn header_with_log_append_time(
    batch: &RecordBatch<'_>,
    base_offset: i64,
    partition_leader_epoch: i32,
    log_append_time_ms: i64,
) -> [u8; BATCH_HEADER_BYTES] {
    let mut header = header_with_offset_and_epoch(batch, base_offset, partition_leader_epoch);
    let attributes = batch.attributes() | LOG_APPEND_TIME_BIT;
    header[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
    header[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&log_append_time_ms.to_be_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[CHECKSUM_START..]), batch.records_bytes());
    header[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    header
}

/// A copy of the batch whose header says that the timestamps are the producer's and that this is the largest of them.
pub fn with_create_time(batch: &RecordBatch<'_>, max_timestamp_ms: i64) -> Bytes {
    let mut header = *batch.header();
    let attributes = batch.attributes() & !LOG_APPEND_TIME_BIT;
    header[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
    header[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&max_timestamp_ms.to_be_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[CHECKSUM_START..]), batch.records_bytes());
    header[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    let mut bytes = BytesMut::with_capacity(batch.size_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(batch.records_bytes());
    bytes.freeze()
}

/// A header whose fields outside the checksum are rewritten for the log: the only change that an append makes to a
/// batch with the producer's own timestamps.
pub fn header_with_offset_and_epoch(
    batch: &RecordBatch<'_>,
    base_offset: i64,
    partition_leader_epoch: i32,
) -> [u8; BATCH_HEADER_BYTES] {
    let mut header = *batch.header();
    header[..8].copy_from_slice(&base_offset.to_be_bytes());
    header[PARTITION_LEADER_EPOCH_AT..PARTITION_LEADER_EPOCH_AT + 4]
        .copy_from_slice(&partition_leader_epoch.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch_bytes() -> Vec<u8> {
        let mut bytes = vec![0u8; BATCH_HEADER_BYTES + 10];
        bytes[8..12].copy_from_slice(&((BATCH_HEADER_BYTES + 10 - LOG_OVERHEAD_BYTES) as i32).to_be_bytes());
        bytes[MAGIC_AT] = 2;
        bytes[LAST_OFFSET_DELTA_AT..LAST_OFFSET_DELTA_AT + 4].copy_from_slice(&2i32.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[CHECKSUM_START..]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    #[test]
    fn offsets_and_epoch_change_without_touching_the_checksum() {
        let bytes = batch_bytes();
        let (batch, rest) = RecordBatch::split_first(&bytes).unwrap();
        assert!(rest.is_empty());
        let mut moved = header_with_offset_and_epoch(&batch, 40, 7).to_vec();
        moved.extend_from_slice(batch.records_bytes());
        let (moved, _) = RecordBatch::split_first(&moved).unwrap();
        moved.verify_checksum().unwrap();
        assert_eq!(
            (
                moved.base_offset(),
                moved.last_offset(),
                moved.partition_leader_epoch()
            ),
            (40, 42, 7)
        );
    }

    #[test]
    fn every_cut_is_told_from_a_whole_batch() {
        let bytes = batch_bytes();
        for cut in 0..bytes.len() {
            assert!(
                matches!(
                    RecordBatch::split_first(&bytes[..cut]),
                    Err(BatchError::Truncated { .. })
                ),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_flipped_bit_behind_the_checksum_is_found() {
        let mut bytes = batch_bytes();
        for at in CHECKSUM_START..bytes.len() {
            bytes[at] ^= 0x10;
            let (batch, _) = RecordBatch::split_first(&bytes).unwrap();
            assert!(batch.verify_checksum().is_err(), "flip at {at}");
            bytes[at] ^= 0x10;
        }
    }
}
