//! The directory of one partition: segments, their indexes, producer snapshots, epochs, the topic's id.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use protocol_compat::record_batch::batch::{Compression, RecordBatch};
use protocol_compat::record_batch::control::ControlRecordType;
use protocol_compat::record_batch::record::{DecompressionLimit, records};
use protocol_compat::{TopicId, TopicPartition};
use storage::cleaner::{CleanError, CleanRange, Cleaned, CleanerSettings, MapSecret, Pace, clean};
use storage::disk::{Disk, SimDisk};
use storage::log::config::CleanupPolicy;
use storage::log::{AppendOrigin, Crash, FileCache, LogConfig, OpenParams, PartitionLog, ReadError};
use uuid::Uuid;

use super::{CAPACITY_BYTES, Damage, MEMORY_BYTES, NOW_MS, Stored, batches, ends_with, is_log, signed};
use crate::memory;
use crate::samples::{self, CODECS};

const DIR: &str = "/data/orders-0";
const MOST_BATCHES: usize = 4096;
const LARGEST_BATCH: DecompressionLimit = DecompressionLimit(1 << 20);
const CLEANER: CleanerSettings = CleanerSettings {
    map_bytes: 1 << 20,
    load_factor: 0.9,
    io_buffer_bytes: 4 << 10,
    secret: MapSecret(1, 2),
};

/// A sound directory and what can be read from it.
pub struct Sample {
    /// The files.
    pub stored: Stored,
    /// The batches, in order.
    pub batches: Vec<Bytes>,
    end: i64,
}

/// How a run opens the log.
#[derive(Clone, Copy, Debug)]
pub struct Opening(pub u8);

impl Opening {
    fn crash(self) -> Option<Crash> {
        match self.0 & 3 {
            1 => Some(Crash::Process),
            2 => Some(Crash::Power),
            _ => None,
        }
    }

    fn recovery_point(self, end: i64) -> i64 {
        match self.0 >> 2 & 3 {
            0 => 0,
            1 => end / 2,
            2 => end,
            _ => i64::MAX,
        }
    }

    /// Whether every byte that is served was looked at first.
    fn reads_whole(self, end: i64) -> bool {
        self.crash().is_some() && self.recovery_point(end) == 0
    }

    fn is_compacted(self) -> bool {
        self.0 & 0x10 != 0
    }
}

fn config(is_compacted: bool) -> LogConfig {
    LogConfig {
        segment_bytes: 1_600,
        index_interval_bytes: 200,
        cleanup_policy: CleanupPolicy {
            delete: !is_compacted,
            compact: is_compacted,
        },
        ..LogConfig::default()
    }
}

fn params(disk: &Disk, crash: Option<Crash>, recovery_point: i64, is_compacted: bool) -> OpenParams {
    OpenParams {
        files: FileCache::new(disk.clone(), 64),
        dir: std::path::Path::new(DIR).into(),
        topic_partition: TopicPartition::new("orders", 0),
        topic_id: Some(TopicId(Uuid::from_u128(7))),
        config: Arc::new(config(is_compacted)),
        recovery_point,
        log_start_offset: 0,
        crash,
        now_ms: NOW_MS,
        events: None,
    }
}

/// The sample, built once.
pub fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let disk = Disk::simulated(&SimDisk::new(1, CAPACITY_BYTES));
        let log = PartitionLog::open(params(&disk, None, 0, false)).expect("an empty log");
        for batch in history() {
            log.append_as_follower(batch, NOW_MS).expect("it is appended");
        }
        let found = read_all(&log).expect("it can be read");
        log.close().expect("it is closed");
        let end = log.log_end_offset();
        assert!(log.segment_count() > 2);
        Sample {
            stored: Stored::harvest(&disk, Path::new(DIR)),
            batches: found,
            end,
        }
    })
}

/// Batches of every codec, with and without a producer, and transactions that commit, abort and stay open.
fn history() -> Vec<Bytes> {
    let mut history = Vec::new();
    let mut next = 0;
    for number in 0..16u8 {
        let codec = CODECS[usize::from(number) % CODECS.len()];
        let count = 1 + number % 7;
        let producer = (number % 2 == 0).then_some((7, 1, i32::from(number) * 10));
        history.push(samples::batch(next, codec, producer, count));
        next += i64::from(count);
        if number % 5 == 4 {
            let kind = if number == 4 {
                ControlRecordType::Commit
            } else {
                ControlRecordType::Abort
            };
            history.push(samples::transactional(next, (9, 2, i32::from(number)), 2));
            history.push(samples::marker(next + 2, 9, 2, kind));
            next += 3;
        }
    }
    history.push(samples::transactional(next, (11, 0, 0), 2));
    history
}

fn read_all(log: &PartitionLog) -> Result<Vec<Bytes>, ReadError> {
    let end = log.log_end_offset();
    let mut from = log.log_start_offset();
    let mut found = Vec::new();
    while from < end {
        let read = log.read(from, 700, end, true)?;
        if read.records.is_empty() {
            break;
        }
        assert!(read.next_offset > from, "a reader at {from} would not get on");
        found.extend(batches(read.records));
        assert!(found.len() < MOST_BATCHES, "a reader would not come to an end");
        from = read.next_offset;
    }
    Ok(found)
}

/// Opens the damaged directory, reads it, writes to it and opens it again.
pub fn run(damage: &Damage<'_>, opening: Opening) {
    let sample = sample();
    let (disk, path) = sample.stored.damaged(damage);
    let limit = MEMORY_BYTES + 64 * damage.bytes.len();
    let log = memory::bounded(limit, || opened(sample, &disk, &path, damage, opening));
    let Some(log) = log else { return };
    if opening.is_compacted() {
        cleaned(&log, damage.sealed);
    }
    memory::bounded(limit, || {
        if changed(&log, opening).is_some() && log.close().is_ok() {
            let again = PartitionLog::open(params(&disk, None, log.log_end_offset(), opening.is_compacted()));
            let again = again.expect("what was closed can be opened");
            assert_eq!(again.log_end_offset(), log.log_end_offset());
        }
    });
}

/// Opens the damaged directory and reads it; `None` where it is refused.
fn opened(
    sample: &Sample,
    disk: &Disk,
    path: &Path,
    damage: &Damage<'_>,
    opening: Opening,
) -> Option<PartitionLog> {
    let end = sample.end;
    let opened = PartitionLog::open(params(
        &disk,
        opening.crash(),
        opening.recovery_point(end),
        opening.is_compacted(),
    ));
    let log = match opened {
        Ok(log) => log,
        Err(error) => {
            // What is derived is built anew, and only the log itself and the topic's id are not.
            assert!(is_log(path) || ends_with(path, "partition.metadata"), "{error}");
            return None;
        }
    };
    served(sample, &log, path, damage, opening);
    looked_up(&log);
    Some(log)
}

/// Where a record stands, and its key and value.
type Kept = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

fn contents(log: &PartitionLog) -> Option<Vec<Kept>> {
    let mut found = Vec::new();
    for bytes in read_all(log).ok()? {
        let (batch, _) = RecordBatch::split_first(&bytes).ok()?;
        batch.verify_checksum().ok()?;
        let mut scratch = Vec::new();
        for record in records(&batch, &mut scratch, LARGEST_BATCH).ok()? {
            let record = record.ok()?;
            let bytes = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
            found.push((record.offset, bytes(record.key), bytes(record.value)));
        }
    }
    Some(found)
}

/// Cleans the log: what stays was there before, and nothing moves.
fn cleaned(log: &PartitionLog, is_sealed: bool) {
    log.update_high_watermark(log.log_end_offset());
    let (start, end, before) = (log.log_start_offset(), log.log_end_offset(), contents(log));
    let Ok(range) = CleanRange::of(log, None, NOW_MS) else {
        return;
    };
    let mut done = Cleaned::default();
    let outcome = clean(log, &range, &CLEANER, NOW_MS, &mut Unhurried, &mut done);
    assert!(!matches!(
        outcome,
        Err(CleanError::CalledOff | CleanError::NoSpace)
    ));
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (start, end));
    let Some(before) = before else { return };
    if let Err(error) = outcome {
        // A checksum made to fit lets headers through that nobody writes.
        assert!(is_sealed, "a log that can be read can be cleaned: {error}");
        return;
    }
    let after = contents(log).expect("a cleaned log can be read");
    assert!(after.len() <= before.len());
    let before: BTreeSet<Kept> = before.into_iter().collect();
    assert!(
        after.iter().all(|record| before.contains(record)),
        "a record came from nowhere"
    );
}

/// Nothing slows the cleaner down or ends it.
struct Unhurried;

impl Pace for Unhurried {
    fn moved(&mut self, _: u64) -> bool {
        true
    }
}

/// Nothing is served that was not written.
fn served(sample: &Sample, log: &PartitionLog, path: &Path, damage: &Damage<'_>, opening: Opening) {
    let found = read_all(log);
    if !is_log(path) {
        assert_eq!(found.expect("a sound log can be read"), sample.batches);
        for batch in &sample.batches {
            let (view, _) = RecordBatch::split_first(batch).expect("a sound batch");
            let read = log
                .read(view.last_offset(), 1, sample.end, true)
                .expect("it is there");
            assert_eq!(read.records, batch);
        }
        return;
    }
    let Ok(found) = found else { return };
    if !opening.reads_whole(sample.end) {
        return;
    }
    let mut last = -1;
    for batch in &found {
        let (view, _) = RecordBatch::split_first(batch).expect("a whole batch");
        view.verify_checksum().expect("what is served was checked");
        assert!(view.base_offset() > last, "offsets go up");
        last = view.last_offset();
        // Only a checksum made to fit lets other bytes through.
        let is_known = sample.batches.iter().any(|known| signed(known) == signed(batch));
        assert!(
            damage.sealed || is_known,
            "bytes are served that were not written"
        );
    }
}

fn looked_up(log: &PartitionLog) {
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    for timestamp_ms in [i64::MIN, 0, 1_600_000_000_020, NOW_MS, i64::MAX] {
        if let Ok(Some(found)) = log.offset_for_timestamp(timestamp_ms, end) {
            assert!(found.timestamp_ms >= timestamp_ms && found.offset >= start && found.offset < end);
        }
    }
    let _outcome = log.max_timestamp_offset();
    for epoch in [-1, 0, 1, 2, i32::MAX] {
        let (_, epoch_end) = log.end_offset_for_epoch(epoch);
        assert!(epoch_end <= end);
    }
    let _aborted = log.aborted_transactions(start, end);
    assert!(log.last_stable_offset() <= end);
    assert!(log.producers().len() < MOST_BATCHES);
}

/// Writes to the log in every way; `None` if it has gone offline.
fn changed(log: &PartitionLog, opening: Opening) -> Option<()> {
    let before = log.log_end_offset();
    let more = samples::batch(0, Compression::None, None, 2);
    match log.append_as_leader(more, 3, AppendOrigin::Client, NOW_MS) {
        Ok(info) => {
            assert!(info.first_offset >= before);
            let read = log.read(info.first_offset, 1, log.log_end_offset(), true);
            let read = read.expect("what was appended can be read");
            assert_eq!(read.base_offset, Some(info.first_offset));
        }
        Err(_) if log.is_failed() => return None,
        Err(_) => {}
    }
    log.update_high_watermark(log.log_end_offset());
    log.flush_all().ok()?;
    let middle = i64::midpoint(log.log_start_offset(), log.log_end_offset());
    if opening.0 & 0x20 != 0 {
        log.delete_records_before(middle).ok()?;
        log.delete_old_segments(NOW_MS).ok()?;
    }
    // What was cleaned is below the high watermark, and nothing below that is ever truncated.
    if opening.0 & 0x40 != 0 && !opening.is_compacted() {
        log.truncate_to(middle).ok()?;
        assert!(log.log_end_offset() <= middle);
    }
    log.roll(NOW_MS).ok()
}
