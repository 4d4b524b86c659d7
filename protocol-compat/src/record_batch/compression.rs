//! The codecs of record batches: gzip, snappy in xerial framing, LZ4 frames, Zstandard.
//!
//! Decompression streams and stops at the caller's limit, whatever the bytes say of their own size. What is written is
//! what Apache Kafka's clients read; what is read is what they and librdkafka write. Levels are those of
//! `compression.gzip.level`, `compression.lz4.level` and `compression.zstd.level` (KIP-390).

use std::io::{Read, Write};
use std::ops::RangeInclusive;

use thiserror::Error;

use super::batch::Compression;

mod snappy;

/// Why bytes could not be compressed or decompressed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CompressionError {
    /// The bytes are not what the codec writes.
    #[error("could not decompress the records: {0}")]
    Corrupt(String),
    /// The decompressed bytes are more than the caller takes.
    #[error("the records have more than {limit_bytes} bytes when decompressed")]
    TooLarge {
        /// What the caller takes.
        limit_bytes: usize,
    },
    /// The codec has no such level.
    #[error("compression level {0} is out of range")]
    InvalidLevel(i32),
}

/// The levels that a codec takes besides its default; `None` for a codec without levels.
///
/// LZ4 takes Kafka's range. Its encoder has one strength, so that every level yields the same bytes.
pub fn level_range(codec: Compression) -> Option<RangeInclusive<i32>> {
    match codec {
        Compression::None | Compression::Snappy => None,
        Compression::Gzip => Some(1..=9),
        Compression::Lz4 => Some(1..=17),
        Compression::Zstd => Some(-131_072..=22),
    }
}

/// Kafka's level for a codec when nothing is configured; 0 for a codec without levels.
pub fn default_level(codec: Compression) -> i32 {
    match codec {
        Compression::None | Compression::Snappy => 0,
        Compression::Gzip => -1,
        Compression::Lz4 => 9,
        Compression::Zstd => 3,
    }
}

/// Compresses `bytes` at `level`. A codec without levels takes only its [`default_level`].
///
/// # Errors
/// [`CompressionError::InvalidLevel`] unless the level is in [`level_range`] or the default.
pub fn compress(codec: Compression, level: i32, bytes: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let known = level_range(codec).is_some_and(|range| range.contains(&level));
    if !known && level != default_level(codec) {
        return Err(CompressionError::InvalidLevel(level));
    }
    match codec {
        Compression::None => Ok(bytes.to_vec()),
        Compression::Gzip => gzip(level, bytes),
        Compression::Snappy => Ok(snappy::compress(bytes)),
        Compression::Lz4 => lz4(bytes),
        Compression::Zstd => zstd::stream::encode_all(bytes, level),
    }
    .map_err(|e| CompressionError::Corrupt(e.to_string()))
}

fn gzip(level: i32, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let level = match u32::try_from(level) {
        Ok(level) => flate2::Compression::new(level),
        Err(_) => flate2::Compression::default(),
    };
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// 64 KiB independent blocks: Kafka's reader refuses dependent ones.
fn lz4(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let frame = lz4_flex::frame::FrameInfo::new()
        .block_size(lz4_flex::frame::BlockSize::Max64KB)
        .block_mode(lz4_flex::frame::BlockMode::Independent);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, Vec::new());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// Decompresses `bytes`, at most to `limit_bytes`.
///
/// # Errors
/// [`CompressionError::Corrupt`] for bytes that are not the codec's, [`CompressionError::TooLarge`] past the limit.
pub fn decompress(codec: Compression, bytes: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CompressionError> {
    match codec {
        Compression::None if bytes.len() > limit_bytes => Err(CompressionError::TooLarge { limit_bytes }),
        Compression::None => Ok(bytes.to_vec()),
        Compression::Gzip => read_to_limit(flate2::bufread::MultiGzDecoder::new(bytes), bytes, limit_bytes),
        Compression::Snappy => snappy::decompress(bytes, limit_bytes),
        Compression::Lz4 => read_to_limit(lz4_flex::frame::FrameDecoder::new(bytes), bytes, limit_bytes),
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(corrupt)?;
            read_to_limit(decoder, bytes, limit_bytes)
        }
    }
}

/// First guess of how much larger the records are than their compressed bytes.
const EXPECTED_RATIO: usize = 4;

/// Reads all that `decoder` yields. Memory grows with the output, never by what the input claims.
fn read_to_limit(decoder: impl Read, input: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CompressionError> {
    let mut output = Vec::with_capacity(input.len().saturating_mul(EXPECTED_RATIO).min(limit_bytes));
    // One byte past the limit tells "too large" from "just fits".
    let one_more = (limit_bytes as u64).saturating_add(1);
    decoder.take(one_more).read_to_end(&mut output).map_err(corrupt)?;
    if output.len() > limit_bytes {
        return Err(CompressionError::TooLarge { limit_bytes });
    }
    Ok(output)
}

fn corrupt(error: impl std::fmt::Display) -> CompressionError {
    CompressionError::Corrupt(error.to_string())
}

#[cfg(test)]
mod tests;
