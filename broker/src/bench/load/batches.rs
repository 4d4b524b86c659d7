//! The record batches that are produced: made once, before anything is measured.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use protocol_compat::record_batch::batch::{Compression, TimestampType};
use protocol_compat::record_batch::builder::BatchBuilder;

use super::options::Codec;
use super::plan::Plan;

/// What values are written in: four bits of chance in each byte, so that codecs find about half to take away.
const LETTERS: &[u8; 16] = b"abcdefghijklmnop";

/// A batch as the plan wants it.
pub fn batch(plan: &Plan) -> Bytes {
    let record_bytes = plan.record_bytes.unwrap_or(1);
    let mut builder = BatchBuilder::new(0, compression(plan), TimestampType::CreateTime, None, -1);
    let now_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
    let mut letters = Letters(1);
    for _ in 0..plan.records() {
        let value: Vec<u8> = letters.by_ref().take(record_bytes as usize).collect();
        builder.append(now_ms, None, Some(&value), &[]);
    }
    builder.build()
}

fn compression(plan: &Plan) -> Compression {
    match plan.compression.unwrap_or(Codec::None) {
        Codec::None => Compression::None,
        Codec::Gzip => Compression::Gzip,
        Codec::Snappy => Compression::Snappy,
        Codec::Lz4 => Compression::Lz4,
        Codec::Zstd => Compression::Zstd,
    }
}

/// A linear congruential sequence (Knuth, MMIX): the same in every run.
struct Letters(u64);

impl Iterator for Letters {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        LETTERS.get((self.0 >> 60) as usize).copied()
    }
}
