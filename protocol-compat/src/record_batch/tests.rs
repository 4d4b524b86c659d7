//! Builder, walk and codecs against each other: round trips, damage at every byte, bombs.

use super::batch::header_with_log_append_time;
use super::batch::{BATCH_HEADER_BYTES, BatchError, Compression, RecordBatch, TimestampType};
use super::builder::{BatchBuilder, recompress};
use super::compression::CompressionError;
use super::record::{DecompressionLimit, RecordError, records};

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];
const LIMIT: DecompressionLimit = DecompressionLimit(1 << 20);

/// What a test compares of a record.
type Owned = (
    i64,
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<(Vec<u8>, Option<Vec<u8>>)>,
);

fn walk(bytes: &[u8]) -> Result<Vec<Owned>, RecordError> {
    let (batch, _) = RecordBatch::split_first(bytes).unwrap();
    let mut scratch = Vec::new();
    records(&batch, &mut scratch, LIMIT)?
        .map(|record| {
            record.map(|record| {
                let headers = record.headers.iter();
                (
                    record.offset,
                    record.timestamp_ms,
                    record.key.map(<[u8]>::to_vec),
                    record.value.map(<[u8]>::to_vec),
                    headers
                        .map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)))
                        .collect(),
                )
            })
        })
        .collect()
}

fn sample(codec: Compression) -> BatchBuilder {
    let mut builder = BatchBuilder::new(100, codec, TimestampType::CreateTime, Some((7, 1, 40)), 3);
    builder
        .append(
            5_000,
            Some(b"key"),
            Some(b"value"),
            &[("a", Some(b"1")), ("b", None), ("a", Some(b"2"))],
        )
        .append(4_000, None, Some(&[9; 300]), &[])
        .append(9_000, Some(b""), None, &[("", Some(b""))]);
    builder
}

#[test]
fn a_built_batch_is_whole_and_says_what_was_asked() {
    for codec in CODECS {
        let bytes = sample(codec).transactional().build();
        let (batch, rest) = RecordBatch::split_first(&bytes).unwrap();
        batch.verify_checksum().unwrap();
        assert!(rest.is_empty());
        assert_eq!(
            (batch.base_offset(), batch.last_offset(), batch.record_count()),
            (100, 102, 3)
        );
        assert_eq!(
            (batch.producer_id(), batch.producer_epoch(), batch.base_sequence()),
            (7, 1, 40)
        );
        assert_eq!(
            (batch.base_timestamp_ms(), batch.max_timestamp_ms()),
            (5_000, 9_000)
        );
        assert_eq!(batch.partition_leader_epoch(), 3);
        assert_eq!(batch.compression(), Some(codec));
        assert!(batch.is_transactional() && !batch.is_control());
    }
}

#[test]
fn records_come_back_with_repeated_header_keys() {
    for codec in CODECS {
        let found = walk(&sample(codec).build()).unwrap();
        let header = |key: &str, value: Option<&str>| {
            (
                key.as_bytes().to_vec(),
                value.map(|value| value.as_bytes().to_vec()),
            )
        };
        let first = vec![header("a", Some("1")), header("b", None), header("a", Some("2"))];
        assert_eq!(
            found,
            [
                (100, 5_000, Some(b"key".to_vec()), Some(b"value".to_vec()), first),
                (101, 4_000, None, Some(vec![9; 300]), vec![]),
                (102, 9_000, Some(vec![]), None, vec![header("", Some(""))]),
            ]
        );
    }
}

#[test]
fn the_append_time_stands_for_every_record() {
    let bytes = sample(Compression::None).build();
    let (batch, _) = RecordBatch::split_first(&bytes).unwrap();
    let mut stamped = header_with_log_append_time(
        &batch,
        batch.base_offset(),
        batch.partition_leader_epoch(),
        77_000,
    )
    .to_vec();
    stamped.extend_from_slice(batch.records_bytes());
    let (after, _) = RecordBatch::split_first(&stamped).unwrap();
    after.verify_checksum().unwrap();
    assert_eq!(after.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(stamped, sample(Compression::None).log_append_time(77_000).build());
    let times: Vec<i64> = walk(&stamped).unwrap().iter().map(|record| record.1).collect();
    assert_eq!(times, [77_000; 3]);
}

#[test]
fn recompression_changes_the_codec_and_nothing_else() {
    for from in CODECS {
        for to in CODECS {
            let before = sample(from).build();
            let (batch, _) = RecordBatch::split_first(&before).unwrap();
            let level = super::compression::default_level(to);
            let after = recompress(&batch, to, level, LIMIT).unwrap();
            assert_eq!(after, sample(to).build(), "{from:?} to {to:?}");
        }
    }
}

#[test]
fn a_bomb_is_refused_in_a_batch() {
    let mut builder = BatchBuilder::new(0, Compression::Zstd, TimestampType::CreateTime, None, -1);
    let bytes = builder.append(0, None, Some(&vec![0; 4 << 20]), &[]).build();
    assert!(bytes.len() < 4096);
    let too_large = CompressionError::TooLarge { limit_bytes: LIMIT.0 };
    assert_eq!(walk(&bytes), Err(RecordError::Compression(too_large)));
}

/// A batch whose records section is `body`, as an attacker would seal it.
fn forged(count: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes = BatchBuilder::new(0, Compression::None, TimestampType::CreateTime, None, -1)
        .build()
        .to_vec();
    bytes.extend_from_slice(body);
    let length = i32::try_from(bytes.len() - 12).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    bytes
}

#[test]
fn records_that_lie_are_told_apart() {
    let invalid = |field| Err(RecordError::Invalid { index: 0, field });
    // length 12, attributes, timestamp, offset, key null, value null, 2^31-1 headers
    let many_headers = [24, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    assert_eq!(walk(&forged(1, &many_headers)), invalid("header count"));
    assert_eq!(walk(&forged(1, &[12, 0, 0, 0, 1, 1, 1])), invalid("header count"));
    assert_eq!(walk(&forged(1, &[16, 0, 0, 0, 1, 1, 2, 1, 0])), invalid("header"));
    assert_eq!(walk(&forged(1, &[12, 0, 0, 0, 40, 1, 0])), invalid("key"));
    assert_eq!(walk(&forged(1, &[12, 0, 0, 0, 1, 40, 0])), invalid("value"));
    assert_eq!(walk(&forged(1, &[14, 0, 0, 0, 1, 1, 0, 0])), invalid("length"));
    assert_eq!(walk(&forged(1, &[1])), invalid("length"));
    assert_eq!(walk(&forged(1, &[0xff; 8])), invalid("length"));
    assert_eq!(walk(&forged(1, &[80, 0, 0, 0])), invalid("length"));
    assert_eq!(walk(&forged(1, &[])), invalid("length"));
    assert_eq!(walk(&forged(0, &[1, 2, 3])), Err(RecordError::TrailingBytes(3)));
    assert_eq!(walk(&forged(-1, &[])), Err(RecordError::NegativeCount(-1)));
    assert_eq!(walk(&forged(0, &[])), Ok(vec![]));
}

#[test]
fn an_overflowing_offset_or_timestamp_is_an_error() {
    let mut bytes = BatchBuilder::new(i64::MAX, Compression::None, TimestampType::CreateTime, None, -1)
        .append(i64::MAX, None, None, &[])
        .append(i64::MAX, None, None, &[])
        .build()
        .to_vec();
    assert_eq!(
        walk(&bytes),
        Err(RecordError::Invalid {
            index: 1,
            field: "offset"
        })
    );
    bytes[..8].copy_from_slice(&[0; 8]);
    // As in Kafka, a time that is out of range wraps.
    bytes[27..35].copy_from_slice(&i64::MAX.to_be_bytes());
    bytes[BATCH_HEADER_BYTES + 2] = 2;
    let first = walk(&bytes).unwrap().first().map(|record| record.1);
    assert_eq!(first, Some(i64::MIN));
}

#[test]
fn seeded_damage_never_panics_and_never_yields_more_than_the_bytes() {
    let mut random = 42u64;
    let mut next = |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((random >> 33) % below as u64) as usize
    };
    for codec in CODECS {
        let good = sample(codec).build();
        for _ in 0..3_000 {
            let mut bytes = good.to_vec();
            for _ in 0..=next(4) {
                let at = 17 + next(bytes.len() - 17);
                bytes[at] = next(256) as u8;
            }
            let Ok((batch, _)) = RecordBatch::split_first(&bytes) else {
                continue;
            };
            let mut scratch = Vec::new();
            if let Ok(found) = records(&batch, &mut scratch, LIMIT) {
                let found: Vec<_> = found.collect();
                let most = 1 + LIMIT.0 / 7;
                assert!(found.len() <= most);
            }
        }
    }
}

#[test]
fn every_cut_of_a_batch_is_told() {
    let bytes = sample(Compression::Lz4).build();
    for cut in 0..bytes.len() {
        assert!(matches!(
            RecordBatch::split_first(&bytes[..cut]),
            Err(BatchError::Truncated { .. })
        ));
    }
}
