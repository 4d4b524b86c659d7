//! Each codec with a cap on its output: never more than the cap, never a panic, and what was compressed comes back.
//!
//! The first byte chooses the codec and the next two the cap; the rest is what is to be decompressed.

#![no_main]

use fuzz::samples::CODECS;
use fuzz::{memory, seeds};
use libfuzzer_sys::fuzz_target;
use protocol_compat::record_batch::compression::{CompressionError, compress, decompress, default_level};

/// What a codec needs beside its input and output: LZ4 frames have blocks of up to 4 MiB, and take room for several.
const WORKING_BYTES: usize = 24 << 20;
/// A vector that grows holds its old and its new room at one time.
const GROWTH: usize = 3;

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let [codec, high, low, bytes @ ..] = data else { return };
    let codec = CODECS[usize::from(*codec) % CODECS.len()];
    let cap = usize::from(u16::from_be_bytes([*high, *low]));
    let limit = WORKING_BYTES + GROWTH * cap;
    match memory::bounded(limit, || decompress(codec, bytes, cap)) {
        Ok(output) => assert!(output.len() <= cap),
        Err(CompressionError::TooLarge { limit_bytes }) => assert_eq!(limit_bytes, cap),
        Err(_) => {}
    }
    let packed = compress(codec, default_level(codec), bytes).expect("any bytes can be compressed");
    assert_eq!(decompress(codec, &packed, bytes.len()).as_deref(), Ok(bytes));
    if let Some(short) = bytes.len().checked_sub(1) {
        assert_eq!(
            decompress(codec, &packed, short),
            Err(CompressionError::TooLarge { limit_bytes: short })
        );
    }
});

fn seeds() -> Vec<Vec<u8>> {
    let contents = [
        Vec::new(),
        b"a record".to_vec(),
        vec![b'z'; 70_000],
        (0..=255).collect(),
    ];
    let mut seeds = Vec::new();
    for (number, codec) in (0..).zip(CODECS) {
        for content in &contents {
            let packed = compress(codec, default_level(codec), content).expect("it is compressed");
            seeds.push([&[number, 0xff, 0xff], &packed[..]].concat());
            seeds.push([&[number, 0, 7], &packed[..]].concat());
        }
    }
    seeds
}
