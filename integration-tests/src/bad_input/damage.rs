//! How a request is damaged.

use super::Random;

/// Four bytes that mean something to a length, a count or an id.
const EXTREMES: [[u8; 4]; 6] = [
    [0xff; 4],
    [0x7f, 0xff, 0xff, 0xff],
    [0x80, 0, 0, 0],
    [0; 4],
    [0xff, 0xff, 0xff, 0xfe],
    [0x00, 0x0f, 0x42, 0x40],
];
/// API key, version and correlation id.
const HEADER_BYTES: usize = 8;

/// Damages a frame (without its length) in one to three places; seldom its first eight bytes.
pub fn damage(random: &mut Random, frame: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        let first = if random.one_in(12) { 0 } else { HEADER_BYTES };
        let at = first + random.below(frame.len().saturating_sub(first));
        if at < frame.len() {
            damage_at(random, frame, at);
        }
    }
}

fn damage_at(random: &mut Random, frame: &mut Vec<u8>, at: usize) {
    match random.below(7) {
        0 => frame[at] ^= 1 << random.below(8),
        1 => frame[at] = random.next_number() as u8,
        2 => {
            let extreme = EXTREMES[random.below(EXTREMES.len())];
            for (byte, value) in frame[at..].iter_mut().zip(extreme) {
                *byte = value;
            }
        }
        3 => frame.truncate(at),
        4 => {
            let count = random.below(64);
            let noise = random.bytes(count);
            frame.splice(at..at, noise);
        }
        5 => {
            let end = (at + random.below(32)).min(frame.len());
            let again = frame[at..end].to_vec();
            frame.splice(at..at, again);
        }
        // A varint that does not end.
        _ => {
            frame.splice(at..at, [0xff; 6]);
        }
    }
}

/// A length in front of a frame; with `lies`, another one than it has.
pub fn with_length(random: &mut Random, frame: &[u8], lies: bool) -> Vec<u8> {
    let length = if lies {
        match random.below(4) {
            0 => i32::from_be_bytes(EXTREMES[random.below(EXTREMES.len())]),
            1 => random.below(frame.len()) as i32,
            2 => (frame.len() + 1 + random.below(5000)) as i32,
            _ => random.next_number() as i32,
        }
    } else {
        frame.len() as i32
    };
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(frame);
    bytes
}
