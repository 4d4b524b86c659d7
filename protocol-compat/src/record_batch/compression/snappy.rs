//! Snappy in the framing of the xerial library, which Kafka's Java clients use on both sides.
//!
//! A stream is a 16-byte header and chunks, each a 4-byte length and one raw snappy block. As the Java reader does, bytes
//! without that header are taken for one raw block (older librdkafka writes so), and a header may come again between
//! chunks, where streams were joined.

use super::{CompressionError, corrupt};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Magic, version and compatible version, which are both 1 since 2011.
const HEADER_BYTES: usize = 16;
/// The block size of `org.xerial.snappy.SnappyOutputStream`.
const BLOCK_BYTES: usize = 32 * 1024;

pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + bytes.len() / 2);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&1i32.to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in bytes.chunks(BLOCK_BYTES) {
        let compressed = encoder
            .compress_vec(block)
            .expect("a block of 32 KiB is far below what snappy takes");
        let length = u32::try_from(compressed.len()).expect("a block of 32 KiB stays below 4 GiB");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&compressed);
    }
    out
}

pub(super) fn decompress(bytes: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CompressionError> {
    let mut out = Vec::new();
    if !bytes.starts_with(&MAGIC) {
        append_block(bytes, limit_bytes, &mut out)?;
        return Ok(out);
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        if rest.starts_with(&MAGIC) {
            rest = rest
                .get(HEADER_BYTES..)
                .ok_or_else(|| corrupt("snappy header is cut off"))?;
            continue;
        }
        let (length, after) = rest
            .split_first_chunk::<4>()
            .ok_or_else(|| corrupt("snappy chunk length is cut off"))?;
        let (block, after) = usize::try_from(i32::from_be_bytes(*length))
            .ok()
            .and_then(|length| after.split_at_checked(length))
            .ok_or_else(|| corrupt("snappy chunk is cut off"))?;
        append_block(block, limit_bytes, &mut out)?;
        rest = after;
    }
    Ok(out)
}

/// No snappy element yields more than 64 bytes from fewer than three, so that a block that claims more is lying and gets
/// no memory.
const MOST_BYTES_PER_BYTE: usize = 32;

fn append_block(block: &[u8], limit_bytes: usize, out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let length = snap::raw::decompress_len(block).map_err(corrupt)?;
    let start = out.len();
    let end = start
        .checked_add(length)
        .filter(|&end| end <= limit_bytes)
        .ok_or(CompressionError::TooLarge { limit_bytes })?;
    if length > block.len().saturating_mul(MOST_BYTES_PER_BYTE) {
        return Err(corrupt("snappy block claims more than it can hold"));
    }
    out.resize(end, 0);
    let target = out.get_mut(start..).unwrap_or_default();
    let written = snap::raw::Decoder::new()
        .decompress(block, target)
        .map_err(corrupt)?;
    if written == length {
        Ok(())
    } else {
        Err(corrupt("snappy block is shorter than it says"))
    }
}
