//! Round trips, damage and bombs for every codec.

use super::*;

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];
const LIMIT_BYTES: usize = 1 << 20;

fn text(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|at| b"the bed a stream runs in, "[at % 26] ^ (at / 4096).to_le_bytes()[0] & 7)
        .collect()
}

#[test]
fn every_codec_gives_back_what_it_took_at_every_level() {
    for codec in CODECS {
        let levels = match codec {
            Compression::None | Compression::Snappy => vec![],
            Compression::Zstd => vec![-131_072, -1, 1, 19],
            codec => level_range(codec).unwrap().collect(),
        };
        for level in levels.into_iter().chain([default_level(codec)]) {
            for size in [0, 1, 100, 100_000] {
                let plain = text(size);
                let packed = compress(codec, level, &plain).unwrap();
                assert_eq!(
                    decompress(codec, &packed, size).unwrap(),
                    plain,
                    "{codec:?} {level} {size}"
                );
            }
        }
    }
}

#[test]
fn a_level_that_kafka_does_not_have_is_refused() {
    for (codec, level) in [
        (Compression::Gzip, 0),
        (Compression::Gzip, 10),
        (Compression::Lz4, 0),
        (Compression::Lz4, 18),
        (Compression::Zstd, 23),
        (Compression::Zstd, -131_073),
        (Compression::Snappy, 1),
    ] {
        assert_eq!(
            compress(codec, level, b"x"),
            Err(CompressionError::InvalidLevel(level))
        );
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    for codec in CODECS {
        let bomb = compress(codec, default_level(codec), &vec![0; 8 * LIMIT_BYTES]).unwrap();
        assert_eq!(
            decompress(codec, &bomb, LIMIT_BYTES),
            Err(CompressionError::TooLarge {
                limit_bytes: LIMIT_BYTES
            }),
            "{codec:?}"
        );
    }
}

#[test]
fn a_snappy_block_that_claims_gigabytes_gets_no_memory() {
    let mut liar = compress(Compression::Snappy, 0, b"").unwrap();
    liar.extend_from_slice(&[0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
    assert!(matches!(
        decompress(Compression::Snappy, &liar, usize::MAX),
        Err(CompressionError::Corrupt(_))
    ));
}

#[test]
fn snappy_is_read_as_java_reads_it() {
    let plain = text(100_000);
    let raw = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    assert_eq!(decompress(Compression::Snappy, &raw, LIMIT_BYTES).unwrap(), plain);
    let mut joined = compress(Compression::Snappy, 0, b"one").unwrap();
    joined.extend(compress(Compression::Snappy, 0, b"two").unwrap());
    assert_eq!(
        decompress(Compression::Snappy, &joined, LIMIT_BYTES).unwrap(),
        b"onetwo"
    );
}

#[test]
fn cut_and_changed_bytes_are_an_error_or_other_bytes_within_the_limit() {
    let plain = text(3_000);
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    for codec in CODECS {
        let packed = compress(codec, default_level(codec), &plain).unwrap();
        for _ in 0..2_000 {
            let mut bytes = packed.clone();
            for _ in 0..=next(3) {
                let at = next(bytes.len());
                bytes[at] = next(256) as u8;
            }
            bytes.truncate(packed.len() - next(4) * next(packed.len()) / 4);
            if let Ok(output) = decompress(codec, &bytes, 2 * plain.len()) {
                assert!(output.len() <= 2 * plain.len());
            }
        }
    }
}
