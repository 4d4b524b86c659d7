//! What the generator of `sink` sends: frames as large as a producer's requests, encoded once.

/// Of one frame after its length: what a record batch of fifteen records of 1 KiB takes, the most that fit in Kafka's
/// default `batch.size` of 16,384.
pub const BODY_BYTES: usize = 15_600;

/// With the length in front, as in Kafka's protocol.
pub const FRAME_BYTES: usize = LENGTH_BYTES + BODY_BYTES;

const LENGTH_BYTES: usize = 4;
const CRC_BYTES: usize = 4;

/// So many frames, one after the other: a length, then a body that begins with the CRC-32C of its rest.
pub fn encoded(frames: usize) -> Vec<u8> {
    let mut rest = Vec::with_capacity(BODY_BYTES);
    // A linear congruential sequence (Knuth, MMIX): content does not matter, but should not be all alike.
    let mut state = 1_u64;
    while rest.len() < BODY_BYTES - CRC_BYTES {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        rest.push((state >> 56) as u8);
    }
    let mut frame = Vec::with_capacity(FRAME_BYTES);
    frame.extend_from_slice(&(BODY_BYTES as u32).to_be_bytes());
    frame.extend_from_slice(&crc32c::crc32c(&rest).to_be_bytes());
    frame.extend_from_slice(&rest);
    frame.repeat(frames)
}

/// The body of a frame, unless its length or its checksum is wrong.
pub fn intact_body(frame: &[u8]) -> Option<&[u8]> {
    let (length, body) = frame.split_first_chunk::<LENGTH_BYTES>()?;
    let (crc, rest) = body.split_first_chunk::<CRC_BYTES>()?;
    let intact = u32::from_be_bytes(*length) as usize == body.len()
        && u32::from_be_bytes(*crc) == crc32c::crc32c(rest);
    intact.then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_intact_until_a_byte_changes() {
        let mut frames = encoded(2);
        assert_eq!(frames.len(), 2 * FRAME_BYTES);
        assert_eq!(
            intact_body(&frames[..FRAME_BYTES]).map(<[u8]>::len),
            Some(BODY_BYTES)
        );
        frames[3] ^= 1;
        assert_eq!(intact_body(&frames[..FRAME_BYTES]), None);
        frames[FRAME_BYTES + 9] ^= 1;
        assert_eq!(intact_body(&frames[FRAME_BYTES..]), None);
        assert_eq!(intact_body(&[0; 5]), None);
    }
}
