//! Batches that Apache Kafka 4.3.1 wrote are read whole, and written again byte for byte where the codec allows it.

use protocol_compat::record_batch::batch::{Compression, RecordBatch, TimestampType};
use protocol_compat::record_batch::builder::BatchBuilder;
use protocol_compat::record_batch::control::{ControlRecordType, snapshot_footer, snapshot_header};
use protocol_compat::record_batch::record::{DecompressionLimit, records};

const LIMIT: DecompressionLimit = DecompressionLimit(1 << 20);

const CAPTURED: [(Compression, &[u8]); 5] = [
    (
        Compression::None,
        include_bytes!("../testdata/record-batches/none.log"),
    ),
    (
        Compression::Gzip,
        include_bytes!("../testdata/record-batches/gzip.log"),
    ),
    (
        Compression::Snappy,
        include_bytes!("../testdata/record-batches/snappy.log"),
    ),
    (
        Compression::Lz4,
        include_bytes!("../testdata/record-batches/lz4.log"),
    ),
    (
        Compression::Zstd,
        include_bytes!("../testdata/record-batches/zstd.log"),
    ),
];
const BOOTSTRAP: &[u8] = include_bytes!("../testdata/record-batches/bootstrap.checkpoint");

#[test]
fn every_codec_of_kafka_yields_its_records() {
    for (codec, bytes) in CAPTURED {
        let (batch, rest) = RecordBatch::split_first(bytes).unwrap();
        assert!(rest.is_empty());
        batch.verify_checksum().unwrap();
        assert_eq!(batch.compression(), Some(codec));
        let mut scratch = Vec::new();
        let found: Vec<_> = records(&batch, &mut scratch, LIMIT)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(found.len(), 40, "{codec:?}");
        for (index, record) in (0i64..).zip(&found) {
            let number = index + 1;
            let value = format!("value {number} of the bed a stream runs in, again and again and again");
            assert_eq!(record.offset, index);
            assert_eq!(record.key, Some(format!("key-{}", number % 7).as_bytes()));
            assert_eq!(record.value, Some(value.as_bytes()));
            let headers: Vec<_> = record.headers.iter().collect();
            assert_eq!(
                headers,
                [
                    (b"a".as_slice(), Some(b"1".as_slice())),
                    (b"a", Some(b"2")),
                    (b"n", Some(b""))
                ]
            );
        }
    }
}

#[test]
fn the_builder_writes_what_kafka_wrote() {
    for (codec, captured) in CAPTURED {
        let (batch, _) = RecordBatch::split_first(captured).unwrap();
        let producer = (batch.producer_id(), batch.producer_epoch(), batch.base_sequence());
        let mut scratch = Vec::new();
        let mut builder = BatchBuilder::new(
            batch.base_offset(),
            codec,
            TimestampType::CreateTime,
            Some(producer),
            batch.partition_leader_epoch(),
        );
        for record in records(&batch, &mut scratch, LIMIT).unwrap() {
            let record = record.unwrap();
            let headers: Vec<_> = record
                .headers
                .iter()
                .map(|(key, value)| (std::str::from_utf8(key).unwrap(), value))
                .collect();
            builder.append(record.timestamp_ms, record.key, record.value, &headers);
        }
        let built = builder.build();
        if codec == Compression::None {
            assert_eq!(built, captured);
        }
        // Encoders differ in their choices; the plain records may not.
        let (built, _) = RecordBatch::split_first(&built).unwrap();
        let mut built_scratch = Vec::new();
        let ours: Vec<_> = records(&built, &mut built_scratch, LIMIT).unwrap().collect();
        let mut scratch = Vec::new();
        let theirs: Vec<_> = records(&batch, &mut scratch, LIMIT).unwrap().collect();
        assert_eq!(ours, theirs, "{codec:?}");
    }
}

#[test]
fn snapshot_control_records_are_those_of_kafka() {
    let mut rest = BOOTSTRAP;
    let mut controls = Vec::new();
    while !rest.is_empty() {
        let (batch, after) = RecordBatch::split_first(rest).unwrap();
        batch.verify_checksum().unwrap();
        rest = after;
        let mut scratch = Vec::new();
        for record in records(&batch, &mut scratch, LIMIT).unwrap() {
            let record = record.unwrap();
            if batch.is_control() {
                let kind = ControlRecordType::of_key(record.key.unwrap()).unwrap().unwrap();
                assert_eq!(record.key, Some(kind.key().as_slice()));
                controls.push((kind, record.value.unwrap().to_vec()));
            }
        }
    }
    let kinds: Vec<_> = controls.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds.first(),
        Some(&ControlRecordType::SnapshotHeader),
        "{kinds:?}"
    );
    assert_eq!(
        kinds.last(),
        Some(&ControlRecordType::SnapshotFooter),
        "{kinds:?}"
    );
    assert_eq!(controls[0].1, snapshot_header(0));
    assert_eq!(controls[controls.len() - 1].1, snapshot_footer());
}
