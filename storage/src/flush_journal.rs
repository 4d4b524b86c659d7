//! The flush journal: one file of a log directory that makes the ends of many logs durable with one sync.
//!
//! ```text
//!   round:   the unflushed ends of all logs that wait  ->  one group, one write, one sync  ->  they are acknowledged
//!   full:    the rounds go on in the other part; the logs of this one are synced for themselves, then it is free
//!   start:   what stands in the journal is put into the segments, synced, and the journal is empty (replay)
//! ```
//!
//! The bytes stand in their segments as always, in the page cache; only that the segments need not be on the disk before the
//! acknowledgement is different. The file has its whole length from its first use on, written with zeros, so that a round
//! changes nothing of it but content. A log whose segments change otherwise than by growing (a cut, a cleaning) leaves the
//! journal before: what is put back must never be older than what stands there.

mod group;
mod replay;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use self::group::{ALIGNMENT, GroupBuilder, Place};
use crate::disk::{Disk, File, OpenMode};
use crate::log::{BegunFlush, CachedFile, PartitionLog};

pub(crate) use self::replay::replay;

/// Its name in the log directory.
const FILE_NAME: &str = ".flush_journal";
/// So much of the file is written at a time when it is made.
const ZEROS_BYTES: u64 = 1 << 20;
/// The file is made only where it takes no more than this part of the room that is left.
const PART_OF_ROOM: u64 = 8;
/// A round takes no more than this part of a part of the file,
const ROUNDS_OF_A_PART: u64 = 4;
/// nor more than this: it is held in memory.
const MOST_ROUND_BYTES: u64 = 4 << 20;

/// The journal of one log directory. The file comes with the first round.
#[derive(Debug)]
pub(crate) struct FlushJournal {
    disk: Disk,
    dir: PathBuf,
    /// Length of the file.
    bytes: u64,
    state: Mutex<State>,
    is_free: Condvar,
}

#[derive(Debug, Default)]
struct State {
    place: FilePlace,
    group: GroupBuilder,
    /// Logs with bytes in the part that is written.
    logs: Holders,
    /// Logs of the other part, which nobody syncs yet.
    full: Option<Vec<Held>>,
    /// Somebody syncs the logs of the other part.
    is_retiring: bool,
    /// A log could not be synced: its end may stand here alone. Nothing is written over any more.
    is_kept: bool,
}

#[derive(Debug, Default)]
enum FilePlace {
    /// There was no round yet.
    #[default]
    Unmade,
    /// There was no room for it: every log is flushed for itself.
    NoRoom,
    Made(Writer),
}

#[derive(Debug)]
struct Writer {
    file: File,
    parts: [Range<u64>; 2],
    /// Which part is written.
    part: usize,
    at: u64,
    generation: u64,
    sequence: u64,
}

/// What keeps a part of the journal from being written over: a log's file that is to be synced, and up to which offset that
/// makes the log durable. The file is not kept open.
#[derive(Debug)]
struct Held {
    log: Arc<PartitionLog>,
    file: Arc<CachedFile>,
    end_offset: i64,
}

/// Each log once, in the order in which they came.
#[derive(Debug, Default)]
struct Holders {
    held: Vec<Held>,
    /// Where each stands, by its address.
    at: HashMap<usize, usize>,
}

impl Holders {
    /// Holds what the flush covered. An earlier segment of the log was synced before a later one came to the journal.
    fn insert(&mut self, flush: &BegunFlush<'_>) {
        let held = Held {
            log: flush.log().clone(),
            file: flush.segment_file().clone(),
            end_offset: flush.end_offset(),
        };
        let at = *self
            .at
            .entry(Arc::as_ptr(flush.log()) as usize)
            .or_insert(self.held.len());
        match self.held.get_mut(at) {
            Some(known) => *known = held,
            None => self.held.push(held),
        }
    }

    fn take(&mut self) -> Vec<Held> {
        self.at.clear();
        std::mem::take(&mut self.held)
    }
}

/// What became of a round.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    /// These are durable, or their sync failed, as `synced` says.
    pub covered: Vec<BegunFlush<'a>>,
    /// These are to be flushed for themselves.
    pub alone: Vec<BegunFlush<'a>>,
    /// There was no room for these: the next round takes them.
    pub later: Vec<BegunFlush<'a>>,
    /// How the sync went.
    pub synced: io::Result<()>,
    /// A part is full: somebody calls [`FlushJournal::retire`] soon.
    pub is_part_full: bool,
}

impl FlushJournal {
    /// Of a log directory; the file will have `bytes` bytes.
    pub fn new(disk: &Disk, dir: &Path, bytes: u64) -> FlushJournal {
        FlushJournal {
            disk: disk.clone(),
            dir: dir.to_owned(),
            bytes,
            state: Mutex::default(),
            is_free: Condvar::new(),
        }
    }

    /// Makes durable what these flushes cover. One round at a time. After a log could not be synced every round fails, until a
    /// start has put back what the journal holds.
    pub fn write<'a>(self: &Arc<Self>, begun: Vec<BegunFlush<'a>>) -> Round<'a> {
        let mut state = self.state.lock();
        let mut round = Round {
            covered: Vec::with_capacity(begun.len()),
            alone: Vec::new(),
            later: Vec::new(),
            synced: Ok(()),
            is_part_full: false,
        };
        if let Err(error) = self.make(&mut state) {
            round.synced = Err(error);
            round.covered = begun;
            return round;
        }
        let FilePlace::Made(writer) = &state.place else {
            round.alone = begun;
            return round;
        };
        let most_bytes = (writer.part_bytes() / ROUNDS_OF_A_PART).min(MOST_ROUND_BYTES);
        let inner = &mut *state;
        inner.group.clear();
        for flush in begun {
            let (_, length) = flush.range();
            if length > most_bytes {
                round.alone.push(flush);
            } else if !inner.group.is_empty() && inner.group.len() + length > most_bytes {
                round.later.push(flush);
            } else if add(&mut inner.group, &flush).is_ok() {
                round.covered.push(flush);
            } else {
                round.alone.push(flush);
            }
        }
        if state.group.is_empty() {
            return round;
        }
        match self.make_way(&mut state) {
            Ok(is_part_full) => round.is_part_full = is_part_full,
            Err(error) => round.synced = Err(error),
        }
        let inner = &mut *state;
        if let (FilePlace::Made(writer), true) = (&mut inner.place, round.synced.is_ok()) {
            round.synced = writer.append(&mut inner.group);
        }
        if round.synced.is_ok() {
            for flush in &round.covered {
                flush.log().joined(self);
                inner.logs.insert(flush);
            }
        }
        round
    }

    /// Makes the file if there is none yet.
    fn make(&self, state: &mut State) -> io::Result<()> {
        if !matches!(state.place, FilePlace::Unmade) {
            return Ok(());
        }
        if self.disk.space(&self.dir)?.usable_bytes / PART_OF_ROOM < self.bytes {
            self.do_without(state, "it would take too much of the room that is left");
            return Ok(());
        }
        match Writer::create(&self.disk, &self.dir, self.bytes) {
            Ok(writer) => state.place = FilePlace::Made(writer),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.disk.remove_file(&self.dir.join(FILE_NAME))?;
                self.do_without(state, &error.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn do_without(&self, state: &mut State, reason: &str) {
        let dir = self.dir.display();
        tracing::warn!(%dir, "no flush journal, each log is flushed for itself: {reason}");
        state.place = FilePlace::NoRoom;
    }

    /// Goes on in the other part if the group has no room in this one. Whether it did.
    fn make_way(&self, state: &mut MutexGuard<'_, State>) -> io::Result<bool> {
        let needed = state.group.len().next_multiple_of(ALIGNMENT);
        match &state.place {
            FilePlace::Made(writer) if !writer.has_room(needed) => {}
            _ => return state.require_usable().map(|()| false),
        }
        self.free_other_part(state)?;
        state.full = Some(state.logs.take());
        if let FilePlace::Made(writer) = &mut state.place {
            writer.begin_part(1 - writer.part);
        }
        Ok(true)
    }

    /// Returns when the part that is not written may be.
    fn free_other_part(&self, state: &mut MutexGuard<'_, State>) -> io::Result<()> {
        if let Some(full) = state.full.take() {
            state.is_kept |= !sync_all(&full);
        }
        while state.is_retiring {
            self.is_free.wait(state);
        }
        state.require_usable()
    }

    /// Syncs the logs that keep the part before the one that is written, if there are any.
    pub fn retire(&self) {
        let full = {
            let mut state = self.state.lock();
            let full = state.full.take();
            state.is_retiring |= full.is_some();
            full
        };
        if let Some(full) = full {
            let are_synced = sync_all(&full);
            let mut state = self.state.lock();
            state.is_kept |= !are_synced;
            state.is_retiring = false;
            self.is_free.notify_all();
        }
    }

    /// Makes every log durable that has bytes in the journal, and the journal empty. Afterwards a start puts nothing back
    /// that was written before.
    ///
    /// # Errors
    /// The file system's; a log that could not be synced is offline.
    pub fn leave(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        self.free_other_part(&mut state)?;
        state.is_kept = !sync_all(&state.logs.take());
        state.require_usable()?;
        match &mut state.place {
            FilePlace::Made(writer) => writer.empty(),
            FilePlace::Unmade | FilePlace::NoRoom => Ok(()),
        }
    }

    /// Removes the file behind the last log that was closed.
    ///
    /// # Errors
    /// The file system's.
    pub fn remove(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        self.free_other_part(&mut state)?;
        state.logs.take();
        match std::mem::take(&mut state.place) {
            FilePlace::Made(_) => self.disk.remove_file(&self.dir.join(FILE_NAME)),
            FilePlace::Unmade | FilePlace::NoRoom => Ok(()),
        }
    }
}

fn add(group: &mut GroupBuilder, flush: &BegunFlush<'_>) -> io::Result<()> {
    let (topic_id, partition) = flush.topic_partition();
    let (position, length) = flush.range();
    let place = Place {
        topic_id,
        partition: partition.clone(),
        base_offset: flush.base_offset(),
        position,
    };
    group.add(
        &place,
        flush.file(),
        usize::try_from(length).unwrap_or(usize::MAX),
    )
}

impl State {
    fn require_usable(&self) -> io::Result<()> {
        match self.is_kept {
            true => Err(io::Error::other("the flush journal is kept for the next start")),
            false => Ok(()),
        }
    }
}

/// Each for itself, one after the other: appends and rounds go on beside it. Whether all are synced; the first that fails ends
/// it, since its directory is offline then.
fn sync_all(held: &[Held]) -> bool {
    held.iter()
        .all(|held| held.log.sync_journaled(&held.file, held.end_offset))
}

impl Writer {
    /// Makes the file anew: a start has emptied what was there.
    fn create(disk: &Disk, dir: &Path, bytes: u64) -> io::Result<Writer> {
        let file = disk.open(&dir.join(FILE_NAME), OpenMode::Create)?;
        file.set_len(0)?;
        let parts = parts_of(bytes);
        let end = parts[1].end;
        let zeros = vec![0; usize::try_from(ZEROS_BYTES.min(end)).unwrap_or_default()];
        let mut at = 0;
        while at < end {
            let rest = usize::try_from(end - at).unwrap_or(usize::MAX);
            let piece = zeros.get(..rest).unwrap_or(&zeros);
            file.write_all_at(piece, at)?;
            at += piece.len() as u64;
        }
        file.sync_all()?;
        disk.sync_dir(dir)?;
        let at = parts[0].start;
        Ok(Writer {
            file,
            parts,
            part: 0,
            at,
            generation: 1,
            sequence: 0,
        })
    }

    fn part_bytes(&self) -> u64 {
        self.parts[0].end - self.parts[0].start
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.parts
            .get(self.part)
            .is_some_and(|part| self.at + bytes <= part.end)
    }

    fn begin_part(&mut self, part: usize) {
        self.part = part;
        self.at = self.parts.get(part).map_or(0, |part| part.start);
        self.generation += 1;
        self.sequence = 0;
    }

    fn append(&mut self, group: &mut GroupBuilder) -> io::Result<()> {
        let bytes = group.finish(self.generation, self.sequence);
        self.file.write_all_at(bytes, self.at)?;
        self.file.sync_data()?;
        self.at += bytes.len() as u64;
        self.sequence += 1;
        Ok(())
    }

    fn empty(&mut self) -> io::Result<()> {
        empty_parts(&self.file, &self.parts)?;
        self.begin_part(0);
        Ok(())
    }
}

/// Both parts of a file of so many bytes.
fn parts_of(bytes: u64) -> [Range<u64>; 2] {
    let part = bytes / 2 / ALIGNMENT * ALIGNMENT;
    [0..part, part..part * 2]
}

/// Leaves no first group in any part, durably.
fn empty_parts(file: &File, parts: &[Range<u64>]) -> io::Result<()> {
    for part in parts.iter().filter(|part| !part.is_empty()) {
        file.write_all_at(&[0; ALIGNMENT as usize], part.start)?;
    }
    file.sync_data()
}
