//! Opening a log: from what a clean shutdown left, or from what a crash left.
//!
//! After a crash every segment that reaches past the recovery point is read whole: checksums, indexes, epochs. Bytes that
//! are no batch end the log there if nothing valid follows, or if the power went: pages reach the disk in any order, and
//! nothing behind the recovery point was promised. After the death of the process alone the page cache is whole, so that
//! a valid batch behind an invalid one means damage, and the log refuses to open rather than drop records (rule S4). A
//! tail of zeros is an end, never data (S5). Indexes, epochs and producers are derived and built anew where they are
//! missing or wrong (S9).
//!
//! What a power cut left is synced before anybody reads it, and so is a log whose topic asks for flushes. Else what lies
//! above the recovery point is as durable as it was when it was appended: the recovery point stays, and rises with the next
//! flush.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use protocol_compat::record_batch::batch::{BATCH_HEADER_BYTES, RecordBatch, last_offset_of};

use super::aborted_finder::AbortedFinder;
use super::append::{Reservations, ReservedSegment};
use super::batch_validator::transaction_marker;
use super::error::LogError;
use super::flush::FlushAge;
use super::flush_together::Covered;
use super::index_file::{IndexFile, offset_entry, read_offset_entry, read_time_entry, time_entry};
use super::leader_epoch_cache::{self, LeaderEpochCache};
use super::leftovers::{self, Segments};
use super::producer_state::ProducerState;
use super::scan::{PAST_SEGMENT, Scan, Step};
use super::segment::{NO_TIMESTAMP, Segment, file_name};
use super::tail::valid_batch_follows;
use super::writer::Writer;
use super::{OpenParams, PartitionLog, partition_metadata, producer_snapshot};

/// How a node ended without a clean shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process died; what it wrote is in the page cache or on disk.
    Process,
    /// The machine stopped, or nothing is known: what was not synced may be gone in any part.
    Power,
}

const EPOCH_FILE_LIMIT_BYTES: usize = 64 << 20;

/// What opening found, before it is put together.
struct Found {
    segments: Vec<Arc<Segment>>,
    end_offset: i64,
    /// Everything below was synced.
    synced_offset: i64,
    epochs: LeaderEpochCache,
    /// The file of epochs may not be durable as far as epochs go that begin above the recovery point.
    has_unsaved_epochs: bool,
    /// Files reach past the recovery point, and nobody synced their names.
    has_unsynced_names: bool,
    /// Segments, by base offset, whose index of aborted transactions is to be built anew.
    stale_transaction_indexes: BTreeSet<i64>,
    /// There is a segment's file, so that the directory is complete.
    has_files: bool,
}

impl PartitionLog {
    /// Opens the log in `params.dir`, or an empty one that creates its files with the first append.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] where cutting would lose valid records, [`LogError::ForeignTopic`], the file system's.
    pub fn open(params: OpenParams) -> Result<PartitionLog, LogError> {
        let disk = params.files.disk().clone();
        let exists = disk.exists(&params.dir)?;
        let mut found = if exists {
            load(&params)?
        } else {
            empty(&params, params.log_start_offset)
        };
        if found.end_offset < params.log_start_offset {
            // Records were deleted up to an offset that the tail no longer reaches: begin anew there (as Kafka does).
            remove_segments(&params, &found.segments)?;
            found = empty(&params, params.log_start_offset);
        }
        let stale = std::mem::take(&mut found.stale_transaction_indexes);
        let log = build(params, found);
        log.initialise(&stale)?;
        Ok(log)
    }

    /// `stale` are the segments whose index of aborted transactions is not to be believed.
    fn initialise(&self, stale: &BTreeSet<i64>) -> Result<(), LogError> {
        let mut writer = self.writer.lock();
        for segment in self.segments.load().iter() {
            if stale.contains(&segment.base_offset) {
                self.rebuild_transaction_index(segment)?;
            }
        }
        self.reset_reservations(&mut writer)?;
        if let Some(segment) = self.active_segment() {
            segment.begin_warm();
            let indexed = segment.offset_index.len().checked_sub(1);
            let last = match indexed {
                Some(last) => segment
                    .offset_index
                    .get(&self.files, last)?
                    .map(|e| u64::from(read_offset_entry(&e).1)),
                None => None,
            };
            writer.bytes_since_index = segment.size_bytes().saturating_sub(last.unwrap_or(0));
        }
        Ok(())
    }

    /// The producers' state before `end`: the newest snapshot and the batches behind it that are there, also below the log's
    /// start: a producer may try again what was deleted meanwhile, and what it sends next follows it.
    pub(super) fn rebuild_producers(&self, end: i64) -> Result<ProducerState, LogError> {
        let dir = self.dir.read().clone();
        let snapshot = if self.files.disk().exists(&dir)? {
            producer_snapshot::load_newest(self.files.disk(), &dir, end)?
        } else {
            None
        };
        let (from, mut state) = snapshot.unwrap_or((i64::MIN, ProducerState::default()));
        for segment in self.segments.load().iter() {
            let next_base = segment_end(&self.segments.load(), segment);
            if next_base <= from || segment.size_bytes() == 0 || from >= end {
                continue;
            }
            let file = segment.log.get(&self.files)?;
            let position = segment.position_at_or_before(&self.files, from)?;
            let mut scan = Scan::new(&file, position, segment.size_bytes());
            while let Step::Batch(_, batch) = scan.next(false)? {
                if batch.base_offset() >= from && batch.base_offset() < end {
                    replay_producer(&mut state, &batch);
                }
            }
        }
        Ok(state)
    }
}

impl PartitionLog {
    /// Finds the transactions that the segment's markers abort: from the producers before it and its batches.
    fn rebuild_transaction_index(&self, segment: &Segment) -> Result<(), LogError> {
        let producers = self.rebuild_producers(segment.base_offset)?;
        let mut finder = AbortedFinder::amid(producers.open_transactions());
        let file = segment.log.get(&self.files)?;
        let mut scan = Scan::new(&file, 0, segment.size_bytes());
        while let Step::Batch(_, batch) = scan.next(false)? {
            finder.note(&batch);
        }
        Ok(segment.transaction_index.replace(&self.files, finder.finish())?)
    }
}

fn segment_end(segments: &[Arc<Segment>], segment: &Segment) -> i64 {
    segments
        .iter()
        .map(|s| s.base_offset)
        .find(|base| *base > segment.base_offset)
        .unwrap_or(i64::MAX)
}

fn replay_producer(state: &mut ProducerState, batch: &RecordBatch<'_>) {
    if batch.producer_id() < 0 {
        return;
    }
    match transaction_marker(batch) {
        Some(marker) => {
            state.append_marker(
                batch,
                batch.base_offset(),
                marker.coordinator_epoch,
                marker.is_aborted,
            );
        }
        None => state.append(batch, batch.base_offset(), None),
    }
}

fn build(params: OpenParams, found: Found) -> PartitionLog {
    let first = found
        .segments
        .first()
        .map_or(params.log_start_offset, |segment| segment.base_offset);
    let log_start_offset = params.log_start_offset.max(first);
    let active = found
        .segments
        .last()
        .map_or(found.end_offset, |segment| segment.base_offset);
    let reservations = Reservations {
        next_offset: found.end_offset,
        producers: ProducerState::default(),
        epochs: found.epochs,
        has_unsaved_epochs: found.has_unsaved_epochs,
        queue: Vec::new(),
        last_ticket: 0,
        segment: ReservedSegment::new(active, params.now_ms, &params.config),
        last_append_time_ms: -1,
        flush_asked_to: found.synced_offset,
    };
    PartitionLog {
        topic_partition: params.topic_partition,
        files: params.files,
        dir: RwLock::new(params.dir),
        topic_id: params.topic_id,
        config: ArcSwap::new(params.config),
        flush_age: Mutex::new(FlushAge::new(found.synced_offset, params.now_ms)),
        told_corrupt_at: AtomicU64::new(u64::MAX),
        events: RwLock::new(params.events),
        segments: ArcSwap::from_pointee(found.segments),
        log_start_offset: AtomicI64::new(log_start_offset),
        log_end_offset: AtomicI64::new(found.end_offset),
        flushed_offset: AtomicI64::new(found.synced_offset),
        high_watermark: AtomicI64::new(log_start_offset),
        is_failed: AtomicBool::new(false),
        is_leaving: AtomicBool::new(false),
        writer: Mutex::new(Writer {
            is_created: found.has_files,
            unsynced_names: found.has_unsynced_names,
            ..Writer::default()
        }),
        reservations: Mutex::new(reservations),
        epochs_file: Mutex::new(()),
        flushing: Mutex::new(Covered::NOTHING),
        journaled_offset: AtomicI64::new(0),
        journal: OnceLock::new(),
    }
}

fn empty(params: &OpenParams, start: i64) -> Found {
    let segment = Arc::new(Segment::new(&params.dir, start, params.now_ms));
    Found {
        segments: vec![segment],
        end_offset: start,
        synced_offset: start,
        epochs: LeaderEpochCache::default(),
        has_unsaved_epochs: false,
        has_unsynced_names: false,
        stale_transaction_indexes: BTreeSet::new(),
        has_files: false,
    }
}

fn remove_segments(params: &OpenParams, segments: &[Arc<Segment>]) -> Result<(), LogError> {
    for segment in segments {
        for file in segment.files() {
            remove_if_there(params, &file.path())?;
        }
    }
    Ok(())
}

fn remove_if_there(params: &OpenParams, path: &Path) -> Result<(), LogError> {
    let disk = params.files.disk();
    if disk.exists(path)? {
        disk.remove_file(path)?;
    }
    Ok(())
}

fn load(params: &OpenParams) -> Result<Found, LogError> {
    let disk = params.files.disk();
    partition_metadata::check(disk, &params.dir, params.topic_id)?;
    let Segments {
        bases,
        with_transaction_index,
    } = leftovers::clean_directory(params)?;
    if bases.is_empty() {
        return Ok(empty(params, params.log_start_offset));
    }
    let mut epochs = EpochsFound::read(params)?;
    let mut segments = Vec::with_capacity(bases.len());
    let mut end_offset = params.log_start_offset;
    let mut has_unsynced = false;
    let mut stale_transaction_indexes = BTreeSet::new();
    for (index, base) in bases.iter().copied().enumerate() {
        let next_base = bases.get(index + 1).copied();
        if has_unsynced && base != end_offset && !params.config.cleanup_policy.compact {
            // The segment before it ends short of this one: bytes between are lost, and what follows is not a log. A compacted
            // log has such gaps by right, and syncs a segment before it begins the next.
            cut_segments(
                params,
                bases.iter().copied().skip(index),
                "a gap in the log",
                end_offset,
            )?;
            break;
        }
        let past_recovery_point = next_base.is_none_or(|next| next > params.recovery_point);
        let opened = match params.crash {
            Some(crash) if past_recovery_point => {
                has_unsynced = true;
                recover_segment(params, base, next_base, crash, &mut epochs)?
            }
            _ => open_segment(params, base, next_base, &mut epochs)?,
        };
        end_offset = opened.end_offset;
        let is_indexed = with_transaction_index.contains(&base);
        let is_sound = !is_indexed || opened.segment.transaction_index.load(&params.files, base)?;
        if !is_sound || (is_indexed && opened.was_scanned) || opened.has_markers {
            stale_transaction_indexes.insert(base);
        }
        // An index that was built anew is synced with the next flush.
        if !past_recovery_point && !opened.was_scanned {
            opened.segment.set_flushed(opened.segment.size_bytes());
        }
        segments.push(Arc::new(opened.segment));
        if opened.was_cut && next_base.is_some() {
            cut_segments(
                params,
                bases.iter().copied().skip(index + 1),
                "an earlier segment was cut",
                end_offset,
            )?;
            break;
        }
    }
    seal_all_but_last(params, &segments)?;
    let is_past_recovery_point = end_offset > params.recovery_point;
    let is_synced = has_unsynced && is_past_recovery_point && is_synced_by_recovery(params);
    let had_epochs = epochs.are_complete;
    let epochs = epochs.finish(params, &segments, end_offset, is_synced)?;
    if is_synced {
        sync_recovered(params, &segments)?;
    }
    let first = segments.first().map_or(end_offset, |segment| segment.base_offset);
    let synced_offset = if is_synced {
        end_offset
    } else {
        params.recovery_point
    };
    Ok(Found {
        segments,
        end_offset,
        synced_offset: synced_offset.max(first).min(end_offset),
        has_unsaved_epochs: !is_synced
            && epochs
                .latest()
                .is_some_and(|latest| !had_epochs || latest.start_offset >= params.recovery_point),
        epochs,
        has_unsynced_names: !is_synced && (has_unsynced || is_past_recovery_point),
        stale_transaction_indexes,
        has_files: true,
    })
}

fn cut_segments(
    params: &OpenParams,
    bases: impl Iterator<Item = i64>,
    why: &str,
    end_offset: i64,
) -> Result<(), LogError> {
    for base in bases {
        tracing::warn!(log = %params.topic_partition, segment = base, end_offset, "segment is dropped: {why}");
        for extension in ["log", "index", "timeindex", "txnindex"] {
            remove_if_there(params, &params.dir.join(file_name(base, extension)))?;
        }
    }
    Ok(())
}

fn seal_all_but_last(params: &OpenParams, segments: &[Arc<Segment>]) -> Result<(), LogError> {
    let sealed = segments.len().saturating_sub(1);
    for segment in segments.iter().take(sealed) {
        segment.seal(&params.files)?;
    }
    Ok(())
}

/// Whether what recovery finds above the recovery point is made durable at once. After the death of the process alone it
/// stands in the page cache, as it did for those who were told of it, unless the topic asks for more.
fn is_synced_by_recovery(params: &OpenParams) -> bool {
    params.crash != Some(Crash::Process) || params.config.flushes()
}

/// What recovery found in files becomes durable before anybody reads it: a second crash must not take it back.
fn sync_recovered(params: &OpenParams, segments: &[Arc<Segment>]) -> Result<(), LogError> {
    for segment in segments.iter().filter(|segment| !segment.is_flushed()) {
        segment.log.get(&params.files)?.sync_data()?;
    }
    let disk = params.files.disk();
    if let Some(topic_id) = params.topic_id {
        partition_metadata::sync(disk, &params.dir, topic_id)?;
    }
    disk.sync_dir(&params.dir)?;
    match params.dir.parent() {
        Some(parent) => Ok(disk.sync_dir(parent)?),
        None => Ok(()),
    }
}

struct Opened {
    segment: Segment,
    end_offset: i64,
    was_cut: bool,
    /// All batches were looked at.
    was_scanned: bool,
    /// There were transaction markers among them.
    has_markers: bool,
}

/// Opens a segment that was closed cleanly or lies below the recovery point: indexes are believed if they are sane.
fn open_segment(
    params: &OpenParams,
    base: i64,
    next_base: Option<i64>,
    epochs: &mut EpochsFound,
) -> Result<Opened, LogError> {
    let files = &params.files;
    let size = log_size(params, base)?;
    let indexes = open_indexes(params, base, size)?;
    let Some((offset_index, time_index)) = indexes.filter(|_| epochs.are_complete) else {
        return scan_segment(params, base, next_base, size, false, epochs).and_then(|scanned| match scanned
            .invalid
        {
            None => scanned.into_opened(params, size),
            Some((position, reason)) => Err(corrupt(params, base, position, scanned.end_offset, reason)),
        });
    };
    let segment = Segment::with_indexes(&params.dir, base, params.now_ms, offset_index, time_index);
    segment.set_size_bytes(size);
    if let Some(last) = segment.time_index.len().checked_sub(1)
        && let Some(entry) = segment.time_index.get(files, last)?
    {
        let (timestamp_ms, relative) = read_time_entry(&entry);
        segment.reset_timestamp(timestamp_ms, base + i64::from(relative));
    }
    let Some(next_base) = next_base else {
        return open_tail(params, segment);
    };
    Ok(Opened {
        segment,
        end_offset: next_base,
        was_cut: false,
        was_scanned: false,
        has_markers: false,
    })
}

/// Opens the last segment: walks from its last index entry to learn where the log ends.
fn open_tail(params: &OpenParams, segment: Segment) -> Result<Opened, LogError> {
    let files = &params.files;
    segment.offset_index.activate(files)?;
    segment.time_index.activate(files)?;
    let last = segment.offset_index.len().checked_sub(1);
    let from = match last {
        Some(last) => segment
            .offset_index
            .get(files, last)?
            .map_or(0, |entry| u64::from(read_offset_entry(&entry).1)),
        None => 0,
    };
    let mut end_offset = segment.base_offset;
    let file = segment.log.get(files)?;
    let mut scan = Scan::new(&file, from, segment.size_bytes());
    loop {
        match scan.next(false)? {
            Step::Batch(_, batch) => {
                end_offset = batch.next_offset();
                segment.note_timestamp(batch.max_timestamp_ms(), batch.last_offset());
            }
            Step::End => break,
            Step::Invalid(position, reason) => {
                return Err(corrupt(params, segment.base_offset, position, end_offset, reason));
            }
        }
    }
    Ok(Opened {
        segment,
        end_offset,
        was_cut: false,
        was_scanned: false,
        has_markers: false,
    })
}

fn log_size(params: &OpenParams, base: i64) -> Result<u64, LogError> {
    let path = params.dir.join(file_name(base, "log"));
    Ok(params
        .files
        .disk()
        .open(&path, crate::disk::OpenMode::Read)?
        .len()?)
}

/// Both indexes of a segment if they are whole and do not speak of more than the segment has.
fn open_indexes(
    params: &OpenParams,
    base: i64,
    size: u64,
) -> Result<Option<(IndexFile<8>, IndexFile<12>)>, LogError> {
    let (dir, files) = (&params.dir, &params.files);
    let offset_index = IndexFile::<8>::open_sealed(dir, file_name(base, "index"), files)?;
    let time_index = IndexFile::<12>::open_sealed(dir, file_name(base, "timeindex"), files)?;
    let (Some(offset_index), Some(time_index)) = (offset_index, time_index) else {
        return Ok(None);
    };
    let is_sane = offset_index_is_sane(params, &offset_index, size)?
        && last_entry_is_true(params, base, &offset_index, size)?
        && time_index_is_sane(params, &time_index, size)?;
    Ok(is_sane.then_some((offset_index, time_index)))
}

fn offset_index_is_sane(params: &OpenParams, index: &IndexFile<8>, size: u64) -> Result<bool, LogError> {
    let mut before: Option<(u32, u32)> = None;
    for position in 0..index.len() {
        let Some(entry) = index
            .get(&params.files, position)?
            .map(|entry| read_offset_entry(&entry))
        else {
            break;
        };
        if u64::from(entry.1) >= size
            || before.is_some_and(|before| entry.0 <= before.0 || entry.1 <= before.1)
        {
            return Ok(false);
        }
        before = Some(entry);
    }
    Ok(true)
}

/// Whether the last entry names a batch that stands there: an index that is not this segment's would lead readers, and the
/// walk to the log's end, into the middle of one.
fn last_entry_is_true(
    params: &OpenParams,
    base: i64,
    index: &IndexFile<8>,
    size: u64,
) -> Result<bool, LogError> {
    let last = match index.len().checked_sub(1) {
        Some(last) => index.get(&params.files, last)?,
        None => None,
    };
    let Some((relative, position)) = last.map(|entry| read_offset_entry(&entry)) else {
        return Ok(true);
    };
    if u64::from(position).saturating_add(BATCH_HEADER_BYTES as u64) > size {
        return Ok(false);
    }
    let path = params.dir.join(file_name(base, "log"));
    let mut header = [0; BATCH_HEADER_BYTES];
    let file = params.files.disk().open(&path, crate::disk::OpenMode::Read)?;
    file.read_exact_at(&mut header, u64::from(position))?;
    Ok(last_offset_of(&header) == base.saturating_add(i64::from(relative)))
}

fn time_index_is_sane(params: &OpenParams, index: &IndexFile<12>, size: u64) -> Result<bool, LogError> {
    let mut before: Option<(i64, u32)> = None;
    for position in 0..index.len() {
        let Some(entry) = index
            .get(&params.files, position)?
            .map(|entry| read_time_entry(&entry))
        else {
            break;
        };
        if before.is_some_and(|before| entry.0 <= before.0 || entry.1 < before.1) {
            return Ok(false);
        }
        before = Some(entry);
    }
    // A segment with records ends its time index with its largest timestamp.
    Ok(size == 0 || before.is_some())
}

/// Reads a segment whole after a crash and cuts what is not valid off its end.
fn recover_segment(
    params: &OpenParams,
    base: i64,
    next_base: Option<i64>,
    crash: Crash,
    epochs: &mut EpochsFound,
) -> Result<Opened, LogError> {
    let size = log_size(params, base)?;
    let scanned = scan_segment(params, base, next_base, size, true, epochs)?;
    let Some((position, reason)) = scanned.invalid.clone() else {
        return scanned.into_opened(params, size);
    };
    let path = params.dir.join(file_name(base, "log"));
    let file = params
        .files
        .disk()
        .open(&path, crate::disk::OpenMode::ReadWrite)?;
    let below_recovery_point = scanned.end_offset < params.recovery_point;
    let is_damage = below_recovery_point
        || (crash == Crash::Process
            && (next_base.is_some() || valid_batch_follows(&file, position, size, scanned.end_offset)?));
    if is_damage {
        return Err(corrupt(params, base, position, scanned.end_offset, reason));
    }
    tracing::warn!(
        log = %params.topic_partition, segment = base, position, cut_bytes = size.saturating_sub(position),
        end_offset = scanned.end_offset, "the torn tail of the log is cut off: {reason}"
    );
    // Durable at once: were the cut lost, what follows it could come back behind what is appended next.
    file.set_len(position)?;
    file.sync_data()?;
    let mut opened = scanned.into_opened(params, position)?;
    opened.was_cut = true;
    Ok(opened)
}

struct Scanned {
    segment: Segment,
    end_offset: i64,
    offset_entries: Vec<[u8; 8]>,
    time_entries: Vec<[u8; 12]>,
    has_markers: bool,
    /// Where the first invalid bytes are, and what is wrong with them.
    invalid: Option<(u64, String)>,
}

impl Scanned {
    fn into_opened(self, params: &OpenParams, size: u64) -> Result<Opened, LogError> {
        self.segment
            .offset_index
            .replace(&params.files, self.offset_entries)?;
        self.segment
            .time_index
            .replace(&params.files, self.time_entries)?;
        self.segment.append_time_entry(&params.files)?;
        self.segment.set_size_bytes(size);
        Ok(Opened {
            segment: self.segment,
            end_offset: self.end_offset,
            was_cut: false,
            was_scanned: true,
            has_markers: self.has_markers,
        })
    }
}

/// Walks a segment from its start, building what is derived from it.
fn scan_segment(
    params: &OpenParams,
    base: i64,
    next_base: Option<i64>,
    size: u64,
    verify: bool,
    epochs: &mut EpochsFound,
) -> Result<Scanned, LogError> {
    let segment = Segment::new(&params.dir, base, params.now_ms);
    let mut scanned = Scanned {
        segment,
        end_offset: base,
        offset_entries: Vec::new(),
        time_entries: Vec::new(),
        has_markers: false,
        invalid: None,
    };
    let file = scanned.segment.log.get(&params.files)?;
    let mut scan = Scan::new(&file, 0, size);
    let (mut since_index, mut last_time) = (0u64, NO_TIMESTAMP);
    loop {
        match scan.next(verify)? {
            Step::Batch(position, batch) if batch.base_offset() < scanned.end_offset => {
                let reason = format!(
                    "offset {} does not follow {}",
                    batch.base_offset(),
                    scanned.end_offset
                );
                scanned.invalid = Some((position, reason));
                return Ok(scanned);
            }
            Step::Batch(position, batch) if next_base.is_some_and(|next| batch.next_offset() > next) => {
                scanned.invalid = Some((position, PAST_SEGMENT.to_owned()));
                return Ok(scanned);
            }
            Step::Batch(position, batch) => {
                scanned
                    .segment
                    .note_timestamp(batch.max_timestamp_ms(), batch.last_offset());
                if since_index > params.config.index_interval_bytes
                    && let (Ok(relative), Ok(position)) =
                        (u32::try_from(batch.last_offset() - base), u32::try_from(position))
                {
                    scanned.offset_entries.push(offset_entry(relative, position));
                    let (timestamp_ms, at) = scanned.segment.max_timestamp();
                    if timestamp_ms > last_time {
                        let relative = u32::try_from(at - base).unwrap_or(relative);
                        scanned.time_entries.push(time_entry(timestamp_ms, relative));
                        last_time = timestamp_ms;
                    }
                    since_index = 0;
                }
                since_index += batch.size_bytes() as u64;
                epochs.note(&batch);
                scanned.has_markers |= batch.is_control() && batch.producer_id() >= 0;
                scanned.end_offset = batch.next_offset();
            }
            Step::End => return Ok(scanned),
            Step::Invalid(position, reason) => {
                scanned.invalid = Some((position, reason));
                return Ok(scanned);
            }
        }
    }
}

fn corrupt(params: &OpenParams, base: i64, position: u64, offset: i64, reason: String) -> LogError {
    let file: PathBuf = params.dir.join(file_name(base, "log"));
    LogError::Corrupt {
        file: file.display().to_string(),
        position,
        offset,
        reason,
    }
}

/// Whether the log is walked whole in no time, so that nothing is gained by files of what is derived from it.
fn is_short(segments: &[Arc<Segment>]) -> bool {
    matches!(segments, [only] if only.offset_index.is_empty())
}

/// The leader epochs: from their file, or from the batches where the file is missing or damaged.
struct EpochsFound {
    cache: LeaderEpochCache,
    /// The file could be read, so that segments below the recovery point need no walk.
    are_complete: bool,
    on_disk: String,
}

impl EpochsFound {
    fn read(params: &OpenParams) -> Result<EpochsFound, LogError> {
        let path = params.dir.join(leader_epoch_cache::FILE_NAME);
        let disk = params.files.disk();
        if !disk.exists(&path)? {
            return Ok(EpochsFound {
                cache: LeaderEpochCache::default(),
                are_complete: false,
                on_disk: String::new(),
            });
        }
        let content = disk.read(&path, EPOCH_FILE_LIMIT_BYTES)?;
        let text = String::from_utf8(content).unwrap_or_default();
        let cache = LeaderEpochCache::decode(&text);
        Ok(EpochsFound {
            are_complete: cache.is_some(),
            cache: cache.unwrap_or_default(),
            on_disk: text,
        })
    }

    fn note(&mut self, batch: &RecordBatch<'_>) {
        let known = self.cache.epoch_for(batch.base_offset());
        if known != Some(batch.partition_leader_epoch()) {
            self.cache
                .assign(batch.partition_leader_epoch(), batch.base_offset());
        }
    }

    fn finish(
        mut self,
        params: &OpenParams,
        segments: &[Arc<Segment>],
        end_offset: i64,
        is_synced: bool,
    ) -> Result<LeaderEpochCache, LogError> {
        self.cache.truncate_from_end(end_offset);
        let start = segments.first().map_or(params.log_start_offset, |s| {
            s.base_offset.max(params.log_start_offset)
        });
        self.cache.truncate_from_start(start);
        let text = self.cache.encode();
        let has_data = segments.iter().any(|segment| segment.size_bytes() > 0);
        if text != self.on_disk && (has_data || self.are_complete) {
            let disk = params.files.disk();
            let path = params.dir.join(leader_epoch_cache::FILE_NAME);
            // Epochs below the recovery point are durable in the file that is there, which must not be lost for a new one.
            if is_synced || self.are_complete {
                disk.replace(&path, text.as_bytes())?;
            } else if !is_short(segments) {
                disk.write_unsynced(&path, text.as_bytes())?;
            }
        }
        Ok(self.cache)
    }
}
