//! The load of a compaction: records of 1 KiB under a known number of keys, in batches of 16, the same in every run.

use bytes::Bytes;
use protocol_compat::record_batch::batch::{Compression, TimestampType};
use protocol_compat::record_batch::builder::BatchBuilder;

use crate::bad_input::Random;

const RECORDS_PER_BATCH: usize = 16;
/// With key, lengths and offsets a record of 1 KiB.
const VALUE_BYTES: usize = 1003;
const RECORD_BYTES: u64 = 1 << 10;
/// A value is made of pieces of a table, so that codecs find something to do.
const PIECE_BYTES: usize = 16;
const PIECES: usize = 256;
const TIMESTAMP_MS: i64 = 1_600_000_000_000;

/// Which keys the records have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Every key at least once, in random order; what is left over repeats some.
    Each,
    /// Each record's key is drawn at random, so that some keys never come and others often.
    Drawn,
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Bytes of the records before compression.
    pub bytes: u64,
    /// How many keys there are to choose from.
    pub key_count: u32,
    /// How they are chosen.
    pub keys: Keys,
    /// Codec of the batches.
    pub codec: Compression,
}

/// The batches of a load, one after the other.
pub struct KeyedRecords {
    random: Random,
    keys: Vec<u32>,
    taken: usize,
    load_records: usize,
    codec: Compression,
    pieces: Vec<u8>,
}

impl KeyedRecords {
    /// The batches of `workload`, and behind them `more_bytes` of uncompressed records with keys of their own.
    pub fn new(workload: &Workload, more_bytes: u64) -> KeyedRecords {
        let mut random = Random::new(u64::from(workload.key_count));
        let count = (workload.bytes / RECORD_BYTES) as u32;
        let mut keys: Vec<u32> = match workload.keys {
            Keys::Each => (0..count).map(|number| number % workload.key_count).collect(),
            Keys::Drawn => (0..count)
                .map(|_| random.below(workload.key_count as usize) as u32)
                .collect(),
        };
        if workload.keys == Keys::Each {
            for last in (1..keys.len()).rev() {
                keys.swap(last, random.below(last + 1));
            }
        }
        let load_records = keys.len();
        let more = (more_bytes / RECORD_BYTES) as u32;
        keys.extend((0..more).map(|number| workload.key_count + number));
        let pieces = (0..PIECES * PIECE_BYTES)
            .map(|_| b'a' + random.below(26) as u8)
            .collect();
        KeyedRecords {
            random,
            keys,
            taken: 0,
            load_records,
            codec: workload.codec,
            pieces,
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let mut value = Vec::with_capacity(VALUE_BYTES + PIECE_BYTES);
        while value.len() < VALUE_BYTES {
            let at = self.random.below(PIECES) * PIECE_BYTES;
            value.extend_from_slice(&self.pieces[at..at + PIECE_BYTES]);
        }
        value.truncate(VALUE_BYTES);
        value
    }
}

impl Iterator for KeyedRecords {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let end = self.keys.len().min(self.taken + RECORDS_PER_BATCH);
        if self.taken == end {
            return None;
        }
        let codec = if self.taken < self.load_records {
            self.codec
        } else {
            Compression::None
        };
        let mut builder = BatchBuilder::new(0, codec, TimestampType::CreateTime, None, -1);
        for at in self.taken..end {
            let key = format!("key-{:08}", self.keys[at]);
            let value = self.value();
            builder.append(TIMESTAMP_MS + at as i64, Some(key.as_bytes()), Some(&value), &[]);
        }
        self.taken = end;
        Some(builder.build())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn workload(keys: Keys) -> Workload {
        Workload {
            bytes: 100 * RECORD_BYTES,
            key_count: 90,
            keys,
            codec: Compression::None,
        }
    }

    #[test]
    fn every_key_comes_once_and_what_is_left_over_repeats_some() {
        let records = KeyedRecords::new(&workload(Keys::Each), 10 * RECORD_BYTES);
        let distinct: BTreeSet<u32> = records.keys.iter().copied().collect();
        assert_eq!((records.keys.len(), distinct.len()), (110, 100));
        assert_ne!(records.keys[..90], (0..90).collect::<Vec<u32>>());
    }

    #[test]
    fn drawn_keys_leave_some_out() {
        let records = KeyedRecords::new(&workload(Keys::Drawn), 0);
        let distinct: BTreeSet<u32> = records.keys.iter().copied().collect();
        assert!(distinct.len() < 90, "{distinct:?}");
    }

    #[test]
    fn a_record_is_one_kibibyte_and_every_run_makes_the_same() {
        let bytes = |keys| -> Vec<u8> { KeyedRecords::new(&workload(keys), 0).flatten().collect() };
        let records = bytes(Keys::Each);
        assert_eq!(records, bytes(Keys::Each));
        let each = records.len() as f64 / 100.0;
        assert!((1020.0..1032.0).contains(&each), "{each}");
    }
}
