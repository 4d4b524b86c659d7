//! Every file that a start reads, damaged: beside sound others, on a simulated disk.
//!
//! The first byte chooses the directory, and for a partition's also whether the file stands as what a compaction left; the
//! second the file in it; the third how the node ended before and whether the checksums are made to fit; the rest is the
//! file. Records of the internal topics come alone, without a file around them.

#![no_main]

use bytes::Bytes;
use fuzz::stored::{Damage, manager, partition, quorum};
use fuzz::{memory, seeds};
use libfuzzer_sys::fuzz_target;
use protocol_compat::records::group::{
    GroupMetadataKey, GroupMetadataValue, GroupRecord, MemberMetadata, OffsetCommitKey, OffsetCommitValue,
};
use protocol_compat::records::metadata::MetadataRecord;

const SEALED: u8 = 0x80;
const FREE_BYTES: usize = 64 << 10;
const BYTES_PER_BYTE: usize = 64;

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let [area, which, flags, bytes @ ..] = data else { return };
    let damage = Damage {
        which: *which,
        bytes,
        sealed: flags & SEALED != 0,
        is_leftover: area % 6 == 5,
    };
    let record_memory = FREE_BYTES + BYTES_PER_BYTE * bytes.len();
    match area % 6 {
        0 | 5 => partition::run(&damage, partition::Opening(*flags)),
        1 => manager::run(&damage, *flags),
        2 => quorum::run(&damage, *flags),
        3 => metadata_records(bytes),
        _ => memory::bounded(record_memory, || group_record(usize::from(*which), bytes)),
    }
});

/// Records one behind the other, each with a length in front of it, replayed by a controller.
fn metadata_records(mut rest: &[u8]) {
    let mut controller = quorum::controller();
    let mut offset = 0;
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(behind.len());
        let (record, behind) = behind.split_at(length);
        rest = behind;
        let limit = FREE_BYTES + BYTES_PER_BYTE * record.len();
        let decoded = memory::bounded(limit, || MetadataRecord::decode(&Bytes::copy_from_slice(record)));
        let Ok(decoded) = decoded else { continue };
        let encoded = decoded.encode().expect("what was read can be written");
        assert_eq!(MetadataRecord::decode(&encoded).as_ref(), Ok(&decoded));
        if controller.replay(offset, &decoded).is_ok() {
            offset += 1;
        }
    }
    let image = controller.image();
    for record in metadata::controller::snapshot_records(&image) {
        let encoded = record.encode().expect("an image can be written");
        assert_eq!(MetadataRecord::decode(&encoded).as_ref(), Ok(&record));
    }
}

fn group_record(key_bytes: usize, bytes: &[u8]) {
    let mut value = Bytes::copy_from_slice(bytes);
    let key = value.split_to(key_bytes.min(bytes.len()));
    for value in [None, Some(&value)] {
        if let Ok(record) = GroupRecord::decode(&key, value) {
            let (key, value) = record.encode().expect("what was read can be written");
            assert!(GroupRecord::decode(&key, value.as_ref()).is_ok());
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let areas = [
        (0, partition::sample().stored.files()),
        (1, manager::sample().stored.files()),
        (2, quorum::sample().stored.files()),
        (5, partition::sample().stored.files()),
    ];
    for (area, files) in areas {
        for (which, (_, content)) in (0..).zip(files) {
            for flags in [0, SEALED | 1, SEALED | 0x12] {
                seeds.push([&[area, which, flags], &content[..]].concat());
            }
        }
    }
    let mut all = vec![3, 0, 0];
    for record in quorum::decisions().concat() {
        all.extend((record.len() as u16).to_be_bytes());
        all.extend_from_slice(&record);
    }
    seeds.push(all);
    seeds.extend(group_seeds());
    seeds
}

fn group_seeds() -> Vec<Vec<u8>> {
    let offset = GroupRecord::OffsetCommit {
        key: OffsetCommitKey {
            group: "readers".into(),
            topic: "orders".into(),
            partition: 3,
        },
        value: Some(OffsetCommitValue {
            offset: 9,
            ..OffsetCommitValue::default()
        }),
    };
    let group = GroupRecord::GroupMetadata {
        key: GroupMetadataKey {
            group: "readers".into(),
        },
        value: Some(GroupMetadataValue {
            protocol: Some("range".into()),
            members: vec![MemberMetadata::default(); 2],
            ..GroupMetadataValue::default()
        }),
    };
    [offset, group]
        .iter()
        .map(|record| {
            let (key, value) = record.encode().expect("a record");
            let length = u8::try_from(key.len()).expect("a short key");
            [&[4, length, 0], &key[..], value.as_deref().unwrap_or_default()].concat()
        })
        .collect()
}
