//! Sound things: record batches of every kind, and a seal for damaged ones, so that a fuzzer gets past the checksum.

use bytes::Bytes;
use protocol_compat::record_batch::batch::{
    BATCH_HEADER_BYTES, CHECKSUM_START, Compression, TimestampType, checksum, claimed_size,
};
use protocol_compat::record_batch::builder::BatchBuilder;
use protocol_compat::record_batch::control::{ControlRecordType, EndTransactionMarker};

/// Every codec, by its number in the attributes.
pub const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

const CRC_AT: usize = 17;

/// A batch of `count` records of 2020 at `base_offset`: keys that repeat, tombstones, headers with equal keys.
pub fn batch(base_offset: i64, codec: Compression, producer: Option<(i64, i16, i32)>, count: u8) -> Bytes {
    builder(base_offset, codec, producer, count).build()
}

/// The same within a transaction.
pub fn transactional(base_offset: i64, producer: (i64, i16, i32), count: u8) -> Bytes {
    builder(base_offset, Compression::None, Some(producer), count)
        .transactional()
        .build()
}

/// The marker that ends a producer's transaction.
pub fn marker(base_offset: i64, producer_id: i64, producer_epoch: i16, kind: ControlRecordType) -> Bytes {
    let mut marker = BatchBuilder::new(
        base_offset,
        Compression::None,
        TimestampType::CreateTime,
        Some((producer_id, producer_epoch, -1)),
        1,
    )
    .transactional()
    .control();
    let value = EndTransactionMarker { coordinator_epoch: 3 }.encode();
    marker.append(1_600_000_000_000, Some(&kind.key()), Some(&value), &[]);
    marker.build()
}

fn builder(
    base_offset: i64,
    codec: Compression,
    producer: Option<(i64, i16, i32)>,
    count: u8,
) -> BatchBuilder {
    let mut builder = BatchBuilder::new(base_offset, codec, TimestampType::CreateTime, producer, 1);
    for number in 0..count {
        let key = [b'k', number % 3];
        let value = [number; 40];
        let headers: [(&str, Option<&[u8]>); 2] = [("twice", Some(b"one")), ("twice", None)];
        builder.append(
            1_600_000_000_000 + 7 * i64::from(number),
            (number % 5 != 4).then_some(&key[..]),
            (number % 4 != 3).then_some(&value[..]),
            if number % 2 == 0 { &headers } else { &[] },
        );
    }
    builder
}

/// Gives every batch in `bytes` the checksum that fits it, as far as the lengths lead.
pub fn seal(bytes: &mut [u8]) {
    let mut rest = bytes;
    while let Some(size) = claimed_size(rest) {
        let Some((batch, behind)) = rest.split_at_mut_checked(size) else {
            return;
        };
        if size < BATCH_HEADER_BYTES {
            return;
        }
        let fitting = checksum(&batch[CHECKSUM_START..]).to_be_bytes();
        batch[CRC_AT..CRC_AT + 4].copy_from_slice(&fitting);
        rest = behind;
    }
}
