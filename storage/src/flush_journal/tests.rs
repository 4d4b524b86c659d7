//! What a group holds is read back or not at all, whatever became of its bytes.

use protocol_compat::TopicId;
use uuid::Uuid;

use super::*;
use crate::disk::SimDisk;

const PIECES: [usize; 4] = [1, 100, 4_000, 9_000];

fn place(number: usize) -> Place {
    Place {
        topic_id: TopicId(Uuid::from_u128(number as u128 + 1)),
        partition: protocol_compat::TopicPartition::new("orders".repeat(number), number as i32),
        base_offset: 1 << (number * 8),
        position: number as u64 * 50,
    }
}

fn disk_with_content() -> (Disk, File) {
    let disk = Disk::simulated(&SimDisk::new(1, 1 << 20));
    let content = disk.open(Path::new("/content"), OpenMode::Create).unwrap();
    let bytes: Vec<u8> = (0..20_000_u32).map(|at| (at % 251) as u8).collect();
    content.write_all_at(&bytes, 0).unwrap();
    (disk, content)
}

fn group_of(content: &File) -> GroupBuilder {
    let mut group = GroupBuilder::default();
    group.clear();
    for (number, length) in PIECES.into_iter().enumerate() {
        group.add(&place(number), content, length).unwrap();
    }
    group
}

#[test]
fn a_group_is_read_back_as_it_was_written() {
    let (disk, content) = disk_with_content();
    let mut group = group_of(&content);
    assert!(
        group.add(&place(0), &content, 30_000).is_err(),
        "the file ends before"
    );
    let written = group.finish(7, 3).to_vec();
    assert_eq!(written.len() as u64 % ALIGNMENT, 0);
    let journal = disk.open(Path::new("/journal"), OpenMode::Create).unwrap();
    journal.write_all_at(&written, ALIGNMENT).unwrap();
    let end = ALIGNMENT + written.len() as u64;
    let read = group::read(&journal, ALIGNMENT, end).unwrap().unwrap();
    assert_eq!(
        (read.generation, read.sequence, read.size),
        (7, 3, written.len() as u64)
    );
    assert_eq!(read.pieces.len(), PIECES.len());
    for (number, ((found, bytes), length)) in read.pieces.iter().zip(PIECES).enumerate() {
        assert_eq!(*found, place(number));
        let expected = content.read_to_bytes(length, place(number).position).unwrap();
        assert_eq!(*bytes, expected);
    }
    // Where it does not end before the part does, it is not there.
    assert!(
        group::read(&journal, ALIGNMENT, end - 2 * ALIGNMENT)
            .unwrap()
            .is_none()
    );
    assert!(group::read(&journal, end - 1, end).unwrap().is_none());
}

#[test]
fn a_group_of_which_any_byte_is_another_is_none() {
    let (disk, content) = disk_with_content();
    let mut group = group_of(&content);
    let whole = group.len();
    let written = group.finish(1, 0).to_vec();
    let journal = disk.open(Path::new("/journal"), OpenMode::Create).unwrap();
    journal.write_all_at(&written, 0).unwrap();
    for at in (0..whole).step_by(13).chain(0..64) {
        let byte = written[at as usize];
        journal.write_all_at(&[byte ^ 0x10], at).unwrap();
        let read = group::read(&journal, 0, written.len() as u64).unwrap();
        // The zeros behind the header are not looked at, and are part of the checksum all the same.
        assert!(read.is_none(), "byte {at}");
        journal.write_all_at(&[byte], at).unwrap();
    }
    assert!(group::read(&journal, 0, written.len() as u64).unwrap().is_some());
}

#[test]
fn both_parts_are_as_long_and_hold_whole_blocks() {
    assert_eq!(parts_of(1 << 20), [0..1 << 19, 1 << 19..1 << 20]);
    assert_eq!(parts_of(20_000), [0..8192, 8192..16_384]);
    assert_eq!(parts_of(5_000), [0..0, 0..0]);
}
