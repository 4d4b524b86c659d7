//! The seams in memory: what a disk does, without one.
//!
//! A simulated cluster and the tests of this crate run on it. It forgets at a crash what was not flushed, keeps a part
//! of it as a disk may, and can fail at any chosen call.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use protocol_compat::record_batch::batch::RecordBatch;

use super::seams::{
    QuorumStorage, RaftLog, SnapshotFiles, SnapshotName, StateFile, StoredSnapshot, WriterMode,
};

#[derive(Clone, Default)]
struct Contents {
    log: BTreeMap<u64, Bytes>,
    log_start: u64,
    log_end: u64,
    files: BTreeMap<&'static str, Vec<u8>>,
    snapshots: BTreeMap<SnapshotName, Bytes>,
}

#[derive(Default)]
struct Disk {
    seen: Contents,
    durable: Contents,
    writes: u64,
    power_cut_at: Option<u64>,
    /// From this writing call on there is no room.
    full_at: Option<u64>,
    has_refused: bool,
    restarts: u64,
}

/// A disk in memory that several opens share. Cloning it does not copy it.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    disk: Arc<Mutex<Disk>>,
    /// The life of the process that opened it: what a crashed one still does reaches no disk.
    life: u64,
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// The seams over this disk.
    pub fn storage(&self, writer: WriterMode) -> QuorumStorage {
        let opened = MemoryDisk {
            disk: self.disk.clone(),
            life: self.lock().restarts,
        };
        QuorumStorage {
            vote: Arc::new(MemoryFile::new(&opened, "vote")),
            purged: Arc::new(MemoryFile::new(&opened, "purged")),
            snapshots: Arc::new(opened.clone()),
            log: Arc::new(opened),
            writer,
        }
    }

    /// How many writing calls there were.
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// Cuts the power at writing call `call` (counted from 0): that call and all later ones fail.
    pub fn cut_power_at(&self, call: u64) {
        self.lock().power_cut_at = Some(call);
    }

    /// Lets the disk be full from writing call `call` (counted from 0) on: what adds something fails.
    pub fn fill_at(&self, call: u64) {
        self.lock().full_at = Some(call);
    }

    /// Whether a call has met the full disk.
    pub fn has_refused(&self) -> bool {
        self.lock().has_refused
    }

    /// Lets the disk have room again.
    pub fn make_room(&self) {
        self.lock().full_at = None;
    }

    /// What a start after a power cut finds: what was flushed, and of the appends behind it the first `kept`.
    pub fn restart(&self, kept: usize) {
        let mut disk = self.lock();
        let disk = &mut *disk;
        let mut found = disk.durable.clone();
        for (&index, batch) in disk.seen.log.range(found.log_end..).take(kept) {
            if index != found.log_end {
                break;
            }
            found.log.insert(index, batch.clone());
            found.log_end = index + 1;
        }
        disk.seen = found.clone();
        disk.durable = found;
        disk.power_cut_at = None;
        disk.restarts += 1;
    }

    /// Changes what is stored under the vote's name.
    pub fn damage_vote(&self, damage: impl FnOnce(&mut Vec<u8>)) {
        if let Some(vote) = self.lock().seen.files.get_mut("vote") {
            damage(vote);
        }
    }

    /// Flips a bit in the batch at `index`.
    pub fn damage_entry(&self, index: u64) {
        let mut disk = self.lock();
        if let Some(batch) = disk.seen.log.get_mut(&index) {
            let mut bytes = batch.to_vec();
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            *batch = bytes.into();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One writing call: counted, and refused from the power cut on.
    fn write(&self, change: impl FnOnce(&mut Disk) -> io::Result<()>) -> io::Result<()> {
        let mut disk = self.lock();
        if disk.restarts != self.life {
            return Err(io::Error::other("a crashed process writes nothing"));
        }
        let call = disk.writes;
        disk.writes += 1;
        if disk.power_cut_at.is_some_and(|cut| call >= cut) {
            return Err(io::Error::other(format!("the power went at call {call}")));
        }
        change(&mut disk)
    }

    /// One writing call that needs room.
    fn add(&self, change: impl FnOnce(&mut Disk) -> io::Result<()>) -> io::Result<()> {
        self.write(|disk| {
            if disk.full_at.is_some_and(|full| disk.writes > full) {
                disk.has_refused = true;
                return Err(io::ErrorKind::StorageFull.into());
            }
            change(disk)
        })
    }
}

impl RaftLog for MemoryDisk {
    fn start(&self) -> u64 {
        self.lock().seen.log_start
    }

    fn end(&self) -> u64 {
        self.lock().seen.log_end
    }

    fn append(&self, batches: Bytes) -> io::Result<()> {
        self.add(|disk| {
            let mut rest = batches;
            while !rest.is_empty() {
                let (size, offset) = {
                    let (batch, _) = RecordBatch::split_first(&rest).map_err(io::Error::other)?;
                    (batch.size_bytes(), batch.base_offset().cast_unsigned())
                };
                if offset != disk.seen.log_end {
                    return Err(io::Error::other(format!(
                        "{offset} does not follow {}",
                        disk.seen.log_end
                    )));
                }
                disk.seen.log.insert(offset, rest.split_to(size));
                disk.seen.log_end = offset + 1;
            }
            Ok(())
        })
    }

    fn flush(&self) -> io::Result<()> {
        self.write(|disk| {
            disk.durable.log = disk.seen.log.clone();
            disk.durable.log_start = disk.seen.log_start;
            disk.durable.log_end = disk.seen.log_end;
            Ok(())
        })
    }

    fn read(&self, from: u64, max_bytes: usize) -> io::Result<Bytes> {
        let disk = self.lock();
        let mut bytes = BytesMut::new();
        for batch in disk.seen.log.range(from..).map(|(_, batch)| batch) {
            if !bytes.is_empty() && bytes.len() + batch.len() > max_bytes {
                break;
            }
            bytes.extend_from_slice(batch);
        }
        Ok(bytes.freeze())
    }

    fn truncate_to(&self, end: u64) -> io::Result<()> {
        self.write(|disk| {
            for contents in [&mut disk.seen, &mut disk.durable] {
                contents.log.split_off(&end);
                contents.log_end = contents.log_end.min(end.max(contents.log_start));
            }
            Ok(())
        })
    }

    fn purge_to(&self, start: u64) -> io::Result<()> {
        self.write(|disk| {
            for contents in [&mut disk.seen, &mut disk.durable] {
                contents.log = contents.log.split_off(&start);
                contents.log_start = contents.log_start.max(start);
                contents.log_end = contents.log_end.max(start);
            }
            Ok(())
        })
    }
}

impl SnapshotFiles for MemoryDisk {
    fn newest(&self) -> io::Result<Option<StoredSnapshot>> {
        let disk = self.lock();
        let newest = disk.seen.snapshots.last_key_value();
        Ok(newest.map(|(name, content)| StoredSnapshot {
            location: format!("snapshot {}-{} in memory", name.end_offset, name.epoch),
            content: content.clone(),
        }))
    }

    fn install(&self, name: SnapshotName, content: &[u8]) -> io::Result<()> {
        let content = Bytes::copy_from_slice(content);
        self.add(|disk| {
            for contents in [&mut disk.seen, &mut disk.durable] {
                contents.snapshots = BTreeMap::from([(name, content.clone())]);
            }
            Ok(())
        })
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    name: &'static str,
}

impl MemoryFile {
    fn new(disk: &MemoryDisk, name: &'static str) -> MemoryFile {
        MemoryFile {
            disk: disk.clone(),
            name,
        }
    }
}

impl StateFile for MemoryFile {
    fn location(&self) -> String {
        format!("{} in memory", self.name)
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.disk.lock().seen.files.get(self.name).cloned())
    }

    fn replace(&self, record: &[u8]) -> io::Result<()> {
        self.disk.add(|disk| {
            for contents in [&mut disk.seen, &mut disk.durable] {
                contents.files.insert(self.name, record.to_vec());
            }
            Ok(())
        })
    }
}
