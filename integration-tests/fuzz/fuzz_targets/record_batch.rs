//! Record batches: the header's view, the walk over the records, and everything that rewrites a batch.
//!
//! The first byte says whether the checksums are made to fit, so that both what a checksum holds back and what it lets
//! through are met. What a rewrite yields must be as sound as what it was given.

#![no_main]

use bytes::Bytes;
use fuzz::samples::{self, CODECS};
use fuzz::{memory, seeds};
use libfuzzer_sys::fuzz_target;
use protocol_compat::record_batch::batch::{
    RecordBatch, header_with_log_append_time, header_with_offset_and_epoch, with_create_time,
};
use protocol_compat::record_batch::builder::recompress;
use protocol_compat::record_batch::compression::default_level;
use protocol_compat::record_batch::control::{ControlRecordType, EndTransactionMarker};
use protocol_compat::record_batch::filter::{FilterCounts, Filtered, delete_horizon_ms, emptied, filter};
use protocol_compat::record_batch::record::{DecompressionLimit, RecordError, RecordView, records};

const LIMIT: DecompressionLimit = DecompressionLimit(1 << 20);
/// The largest output twice, while its vector grows, and a codec's own room.
const MEMORY_BYTES: usize = 32 << 20;

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let [flags, bytes @ ..] = data else { return };
    let mut bytes = bytes.to_vec();
    if flags & 1 == 1 {
        samples::seal(&mut bytes);
    }
    let mut rest = bytes.as_slice();
    while let Ok((batch, behind)) = RecordBatch::split_first(rest) {
        assert_eq!(batch.size_bytes() + behind.len(), rest.len());
        look_at(&batch, *flags);
        rest = behind;
    }
});

/// What of a record must survive a rewrite.
type Content = (
    i64,
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<(Vec<u8>, Option<Vec<u8>>)>,
);

fn content(record: &RecordView<'_>) -> Content {
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)))
        .collect();
    assert_eq!(headers.len(), record.headers.len());
    let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
    (record.offset, record.timestamp_ms, key, value, headers)
}

fn contents(batch: &RecordBatch<'_>) -> Result<Vec<Content>, RecordError> {
    let mut scratch = Vec::new();
    records(batch, &mut scratch, LIMIT)?
        .map(|record| record.map(|record| content(&record)))
        .collect()
}

fn look_at(batch: &RecordBatch<'_>, flags: u8) {
    let is_sound = batch.verify_checksum().is_ok();
    let mut scratch = Vec::new();
    memory::bounded(MEMORY_BYTES, || {
        if let Ok(all) = records(batch, &mut scratch, LIMIT) {
            for record in all.flatten() {
                assert!(record.size_bytes <= LIMIT.0.max(batch.size_bytes()));
                if batch.is_control() {
                    let _ = record.key.map(ControlRecordType::of_key);
                    let _ = record.value.map(EndTransactionMarker::decode);
                }
            }
        }
    });
    let before = contents(batch);
    moved(batch, is_sound, &before);
    stamped(batch, before.as_deref().ok());
    if let Ok(before) = &before {
        packed_anew(batch, flags, before);
        for keep in KEEP_RULES {
            kept(batch, keep, flags & 0x40 != 0, before);
        }
    }
    without_records(batch);
}

fn view(bytes: &[u8]) -> RecordBatch<'_> {
    let (batch, rest) = RecordBatch::split_first(bytes).expect("a rewritten batch is a batch");
    assert!(rest.is_empty());
    batch
}

fn moved(batch: &RecordBatch<'_>, is_sound: bool, before: &Result<Vec<Content>, RecordError>) {
    let mut bytes = header_with_offset_and_epoch(batch, 77, 5).to_vec();
    bytes.extend_from_slice(batch.records_bytes());
    let moved = view(&bytes);
    assert_eq!((moved.base_offset(), moved.partition_leader_epoch()), (77, 5));
    assert_eq!(moved.verify_checksum().is_ok(), is_sound);
    if let (Ok(before), Ok(after)) = (before, contents(&moved)) {
        assert_eq!(before.len(), after.len());
    }
}

fn stamped(batch: &RecordBatch<'_>, before: Option<&[Content]>) {
    let mut bytes = header_with_log_append_time(batch, batch.base_offset(), 5, 1_700_000_000_000).to_vec();
    bytes.extend_from_slice(batch.records_bytes());
    let stamped = view(&bytes);
    stamped.verify_checksum().expect("the checksum fits");
    if let Some(before) = before {
        let after = contents(&stamped).expect("a stamped batch can be read");
        assert_eq!(before.len(), after.len());
        assert!(after.iter().all(|record| record.1 == 1_700_000_000_000));
    }
    let bytes = with_create_time(&stamped, 9);
    view(&bytes).verify_checksum().expect("the checksum fits");
}

fn packed_anew(batch: &RecordBatch<'_>, flags: u8, before: &[Content]) {
    let codec = CODECS[usize::from(flags >> 1) % CODECS.len()];
    let packed: Bytes =
        recompress(batch, codec, default_level(codec), LIMIT).expect("a readable batch can be packed");
    let packed = view(&packed);
    packed.verify_checksum().expect("the checksum fits");
    assert_eq!(packed.compression(), Some(codec));
    assert_eq!(
        (packed.base_offset(), packed.last_offset()),
        (batch.base_offset(), batch.last_offset())
    );
    assert_eq!(contents(&packed).as_deref(), Ok(before));
}

const HORIZON_MS: i64 = 1_650_000_000_000;

/// Which records compaction keeps.
type KeepRule = fn(&RecordView<'_>) -> bool;

const KEEP_RULES: [KeepRule; 5] = [
    |_| true,
    |_| false,
    |record| record.offset % 2 == 0,
    |record| record.value.is_some(),
    |record| record.key.is_some_and(|key| key.len() < 3),
];

/// What is left of the batch can be read, and holds the records that were kept, where they were.
fn kept(batch: &RecordBatch<'_>, keep: KeepRule, is_marker_of_nothing: bool, before: &[Content]) {
    let mut counts = FilterCounts::default();
    let mut stays = Vec::new();
    let result = filter(
        batch,
        is_marker_of_nothing,
        HORIZON_MS,
        LIMIT,
        &mut counts,
        |record| {
            let stay = keep(record);
            stays.push(stay);
            stay
        },
    );
    let expected: Vec<&Content> = before
        .iter()
        .zip(&stays)
        .filter(|(_, stay)| **stay)
        .map(|(record, _)| record)
        .collect();
    assert_eq!(
        (counts.read, counts.kept),
        (before.len() as u64, expected.len() as u64)
    );
    match result.expect("a readable batch can be filtered") {
        Filtered::Whole => assert_eq!(expected.len(), before.len()),
        Filtered::Nothing => assert!(expected.is_empty()),
        Filtered::Rewritten(bytes) => {
            let left = view(&bytes);
            left.verify_checksum().expect("the checksum fits");
            assert_eq!(
                (left.base_offset(), left.last_offset()),
                (batch.base_offset(), batch.last_offset())
            );
            assert_eq!(
                (left.producer_id(), left.base_sequence()),
                (batch.producer_id(), batch.base_sequence())
            );
            let after = contents(&left).expect("what is left can be read");
            assert!(after.iter().eq(expected));
            if batch.has_delete_horizon() {
                assert_eq!(delete_horizon_ms(&left), delete_horizon_ms(batch));
            }
        }
    }
}

fn without_records(batch: &RecordBatch<'_>) {
    let header = emptied(batch);
    let empty = view(&header);
    empty.verify_checksum().expect("the checksum fits");
    assert_eq!(
        (empty.base_offset(), empty.last_offset()),
        (batch.base_offset(), batch.last_offset())
    );
    assert_eq!(contents(&empty), Ok(Vec::new()));
}

fn seeds() -> Vec<Vec<u8>> {
    let mut batches: Vec<Vec<u8>> = CODECS
        .into_iter()
        .map(|codec| samples::batch(40, codec, Some((7, 1, 0)), 9).to_vec())
        .collect();
    batches.push(
        [
            samples::transactional(0, (7, 1, 0), 2),
            samples::marker(2, 7, 1, ControlRecordType::Abort),
        ]
        .concat(),
    );
    let mut seeds = Vec::new();
    for batch in batches {
        for flags in [1, 3, 5, 7, 9] {
            seeds.push([&[flags], &batch[..]].concat());
        }
    }
    seeds
}
