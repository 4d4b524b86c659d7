//! Records that need not be read: which they are, and that they are those that a read finds.

use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use super::flushing::open_on_disk;
use super::*;

const FETCH_BYTES: usize = 1 << 20;

/// In the build directory: a file system in memory forgets nothing.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap()
}

fn open(root: &Path, segment_bytes: u64) -> PartitionLog {
    let config = LogConfig {
        segment_bytes,
        ..LogConfig::default()
    };
    open_on_disk(&root.join("orders-0"), config)
}

/// Batches of one to three records, `value_bytes` each but for some.
fn fill(log: &PartitionLog, batches: usize, value_bytes: usize) {
    for number in 0..batches {
        let records = 1 + i32::try_from(number % 3).unwrap();
        let value_bytes = value_bytes / (1 + number % 5);
        append(log, &batch().records(records).value_bytes(value_bytes)).unwrap();
    }
}

fn warm(log: &PartitionLog, offset: i64) -> Option<WarmRecords> {
    log.warm_records(offset, FETCH_BYTES, i64::MAX)
}

fn content(warm: &WarmRecords) -> Vec<u8> {
    let mut content = vec![0; warm.records.length];
    let read = rustix::io::pread(warm.records.file.as_fd(), &mut content[..], warm.records.position);
    assert_eq!(read, Ok(warm.records.length));
    content
}

/// Has the page cache give up what it holds of a part of the first segment, or of all behind `from`.
fn evict(root: &Path, from: u64, bytes: Option<NonZeroU64>) {
    let file = std::fs::File::open(root.join("orders-0/00000000000000000000.log")).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, from, bytes, rustix::fs::Advice::DontNeed).unwrap();
}

/// Whether the kernel tells what its page cache holds: since Linux 6.5, where nothing forbids it.
fn can_tell(root: &Path) -> bool {
    let file = Disk::real().open(&root.join("probe"), OpenMode::Create).unwrap();
    file.write_all_at(b"some", 0).unwrap();
    file.is_resident(0, 4)
}

#[test]
fn what_need_not_be_read_is_what_a_read_finds() {
    let root = directory();
    let log = open(root.path(), 3 << 20);
    fill(&log, 400, 30_000);
    assert!(log.segment_count() > 2);
    let end = log.log_end_offset();
    let mut found = 0;
    for number in 0..600 {
        let offset = number * 7919 % (end + 2);
        let max_bytes = [70_000, 200_000, FETCH_BYTES][usize::try_from(number % 3).unwrap()];
        let upper = offset + [5, 40, end][usize::try_from(number % 7 % 3).unwrap()];
        let Some(warm) = log.warm_records(offset, max_bytes, upper) else {
            continue;
        };
        found += 1;
        assert!((64 << 10..=max_bytes).contains(&warm.records.length), "{warm:?}");
        let read = log.read(offset, 2 * FETCH_BYTES, upper, false).unwrap();
        assert!(
            read.records.starts_with(&content(&warm)),
            "{offset} {max_bytes} {upper}"
        );
        let next = log.read(warm.next_offset, 1, i64::MAX, true).unwrap();
        assert_eq!(next.base_offset, Some(warm.next_offset));
        assert!(warm.next_offset <= upper.min(end));
    }
    assert!(found > 200 || !can_tell(root.path()), "{found}");
}

#[test]
fn a_reader_gets_on_through_what_need_not_be_read_and_what_must_be() {
    let root = directory();
    let log = open(root.path(), 3 << 20);
    fill(&log, 400, 30_000);
    let (mut offset, mut read, mut sent) = (0, Vec::new(), 0);
    while offset < log.log_end_offset() {
        if let Some(warm) = warm(&log, offset) {
            sent += warm.records.length;
            read.extend_from_slice(&content(&warm));
            offset = warm.next_offset;
        } else {
            let info = log.read(offset, FETCH_BYTES, i64::MAX, true).unwrap();
            read.extend_from_slice(&info.records);
            offset = info.next_offset;
        }
    }
    assert_eq!(read.len() as u64, log.size_bytes());
    assert!(
        sent * 10 > read.len() * 7 || !can_tell(root.path()),
        "{sent} of {}",
        read.len()
    );
}

/// Reads from `offset` to the end, and checks by that.
fn read_to_end(log: &PartitionLog, mut offset: i64) {
    while offset < log.log_end_offset() {
        offset = log.read(offset, FETCH_BYTES, i64::MAX, true).unwrap().next_offset;
    }
}

#[test]
fn what_left_the_page_cache_is_read_once() {
    let root = directory();
    let log = open(root.path(), 64 << 20);
    fill(&log, 160, 30_000);
    if !can_tell(root.path()) {
        return;
    }
    assert!(warm(&log, 0).is_some());
    evict(root.path(), 0, None);
    let middle = log.log_end_offset() / 2;
    assert_eq!(warm(&log, 0), None);
    let read = log.read(0, FETCH_BYTES, i64::MAX, true).unwrap();
    assert!(warm(&log, 0).is_some(), "it was checked");
    assert_eq!(
        warm(&log, read.next_offset),
        None,
        "it came back with what was read"
    );
    assert_eq!(warm(&log, middle), None);
    let later = log.log_end_offset();
    fill(&log, 40, 30_000);
    assert!(warm(&log, later).is_some());
    read_to_end(&log, 0);
    assert!(warm(&log, middle).is_some());
}

#[test]
fn one_piece_that_left_the_page_cache_is_read_and_the_rest_is_not() {
    let root = directory();
    let log = open(root.path(), 64 << 20);
    fill(&log, 400, 30_000);
    if !can_tell(root.path()) {
        return;
    }
    let is_sent = |offset| log.warm_records(offset, 100_000, i64::MAX).is_some();
    let offsets: Vec<i64> = (0..log.log_end_offset() - 20).collect();
    let before: Vec<i64> = offsets
        .iter()
        .copied()
        .filter(|offset| is_sent(*offset))
        .collect();
    evict(root.path(), 2 << 20, NonZeroU64::new(256 << 10));
    let after: Vec<i64> = before.iter().copied().filter(|offset| is_sent(*offset)).collect();
    let missing = before.len() - after.len();
    assert!(
        (1..before.len() / 4).contains(&missing),
        "{missing} of {}",
        before.len()
    );
    // From the first of them on: what was checked is sent again.
    let first = before
        .iter()
        .copied()
        .find(|offset| !after.contains(offset))
        .unwrap();
    log.read(first, FETCH_BYTES, i64::MAX, true).unwrap();
    assert!(before.iter().all(|offset| is_sent(*offset)));
}

/// A flipped bit, as a disk may return it.
fn flip(root: &Path, at: u64) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(root.join("orders-0/00000000000000000000.log"))
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn what_the_disk_changed_is_not_sent_however_it_came_back() {
    let root = directory();
    let log = open(root.path(), 64 << 20);
    fill(&log, 400, 30_000);
    if !can_tell(root.path()) {
        return;
    }
    let damaged_at = 3 << 20;
    flip(root.path(), damaged_at);
    evict(root.path(), 0, None);
    // The first one who comes finds it; by then the system has read ahead over the damage.
    let (mut offset, mut before) = (0, 0);
    let error = loop {
        assert_eq!(warm(&log, offset), None, "{offset}");
        match log.read(offset, FETCH_BYTES, i64::MAX, true) {
            Ok(info) => (before, offset) = (offset, info.next_offset),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::Corrupt { .. }), "{error}");
    assert_eq!(warm(&log, offset), None);
    assert!(warm(&log, 0).is_some());
    let ends_at = |warm: WarmRecords| warm.records.position + warm.records.length as u64;
    assert!(warm(&log, before).is_none_or(|warm| ends_at(warm) <= damaged_at));
    let behind = log.log_end_offset() - 40;
    assert_eq!(warm(&log, behind), None, "nobody has checked it yet");
    log.read(behind, FETCH_BYTES, i64::MAX, true).unwrap();
    assert!(warm(&log, behind).is_some());
}

#[test]
fn what_an_earlier_process_wrote_is_read_once() {
    let root = directory();
    let log = open(root.path(), 64 << 20);
    fill(&log, 40, 30_000);
    log.close().unwrap();
    drop(log);
    let log = open(root.path(), 64 << 20);
    assert_eq!(warm(&log, 0), None);
    let later = log.log_end_offset();
    fill(&log, 40, 30_000);
    assert_eq!(warm(&log, 0), None);
    assert!(warm(&log, later).is_some() || !can_tell(root.path()));
    read_to_end(&log, 0);
    assert!(warm(&log, 0).is_some() || !can_tell(root.path()));
}

#[test]
fn little_is_read_and_so_are_small_batches() {
    let root = directory();
    let log = open(root.path(), 64 << 20);
    fill(&log, 2000, 10);
    fill(&log, 4, 60_000);
    let end = log.log_end_offset();
    let found = (0..end).filter_map(|offset| warm(&log, offset)).count();
    assert!(
        (found as i64) < end / 2,
        "{found} of {end}: only close behind an entry of the index"
    );
    assert_eq!(log.warm_records(0, 60_000, i64::MAX), None);
    assert_eq!(warm(&log, -1), None);
    assert_eq!(warm(&log, log.log_end_offset()), None);
}
