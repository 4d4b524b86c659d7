//! A disk in memory that forgets what was not synced, tears writes, fails and fills up where a test says.
//!
//! What a crash keeps: content and length as of the file's last sync, and of later writes each 512-byte or 4 KiB block by
//! the toss of a seeded coin; names as of the directory's last sync, and of later changes of names a prefix (a journal
//! keeps their order). Every call counts; a fault hits the call with its number. Deterministic for a seed and a sequence
//! of calls.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::gate::Gate;
use super::{DirEntry, OpenMode, Space};

/// What goes wrong at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimFault {
    /// The call fails with an input/output error and does nothing; later calls work.
    Error,
    /// The power goes: this call may be done in part, and every later one fails until [`SimDisk::restart`].
    PowerCut,
    /// From this call on there is no room: what needs a block more fails, new names too, and a write may be done in part,
    /// until [`SimDisk::set_capacity_bytes`] makes room. What there is can be read, overwritten, cut and removed; a name that
    /// goes makes room for another one in its directory.
    Full,
}

/// A simulated disk and its controls. Cloning yields the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    gate: Arc<Gate>,
    /// The life of the process that this handle ends with; `None` outlives every restart.
    life: Option<u64>,
}

/// An open file of a [`SimDisk`].
#[derive(Debug)]
pub(super) struct SimFile {
    disk: SimDisk,
    path: Box<Path>,
    inode: u64,
    boot: u64,
}

/// A held lock of a [`SimDisk`].
#[derive(Debug)]
pub(super) struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    boot: u64,
}

#[derive(Debug)]
struct State {
    random: u64,
    boot: u64,
    powered: bool,
    calls: u64,
    fault: Option<(u64, SimFault)>,
    is_full: bool,
    has_refused: bool,
    /// Of a full disk: how many names each directory has room for.
    free_names: BTreeMap<PathBuf, usize>,
    capacity_bytes: u64,
    next_inode: u64,
    inodes: BTreeMap<u64, Inode>,
    names: Names,
    durable_names: Names,
    pending_names: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
}

type Names = BTreeMap<PathBuf, Node>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(u64),
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Debug, Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Debug)]
enum Pending {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl SimDisk {
    /// An empty disk of `capacity_bytes`. The seed decides what crashes keep.
    pub fn new(seed: u64, capacity_bytes: u64) -> SimDisk {
        let names = Names::from([(PathBuf::from("/"), Node::Dir)]);
        SimDisk {
            state: Arc::new(Mutex::new(State {
                random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
                boot: 0,
                powered: true,
                calls: 0,
                fault: None,
                is_full: false,
                has_refused: false,
                free_names: BTreeMap::new(),
                capacity_bytes,
                next_inode: 1,
                inodes: BTreeMap::new(),
                durable_names: names.clone(),
                names,
                pending_names: Vec::new(),
                locks: BTreeSet::new(),
            })),
            gate: Arc::default(),
            life: None,
        }
    }

    /// From now on writes and syncs of files below `directory` wait, as on a disk that stalls, until [`SimDisk::go_on`].
    pub fn stall_below(&self, directory: &Path) {
        self.gate.close_below(directory);
    }

    /// Lets everything go on that waits, and whatever comes.
    pub fn go_on(&self) {
        self.gate.open();
    }

    /// A handle that dies with the next restart, as everything in a process does: a thread that a test's node left behind
    /// cannot reach into its successor's files.
    pub fn in_this_life(&self) -> SimDisk {
        let boot = self.state.lock().boot;
        SimDisk {
            state: self.state.clone(),
            gate: self.gate.clone(),
            life: Some(boot),
        }
    }

    /// How many calls the disk has answered. Reads count too.
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// Lets `fault` happen at the call with number `at` (the first call of a new disk is number 1).
    pub fn fail_at(&self, at: u64, fault: SimFault) {
        self.state.lock().fault = Some((at, fault));
    }

    /// Whether the power was cut.
    pub fn is_cut(&self) -> bool {
        !self.state.lock().powered
    }

    /// Whether a call has met [`SimFault::Full`] and found no room.
    pub fn has_refused(&self) -> bool {
        self.state.lock().has_refused
    }

    /// Cuts the power now.
    pub fn cut_power(&self) {
        self.state.lock().powered = false;
    }

    /// Changes the capacity; a disk that is fuller than that only refuses to grow.
    pub fn set_capacity_bytes(&self, capacity_bytes: u64) {
        let mut state = self.state.lock();
        state.capacity_bytes = capacity_bytes;
        state.is_full = false;
        state.free_names.clear();
        state.fault.take_if(|(_, fault)| *fault == SimFault::Full);
    }

    /// Starts again after a cut: what was not synced is lost in part, open files and locks are gone, faults forgotten.
    pub fn restart(&self) {
        let mut state = self.state.lock();
        state.lose_unsynced();
        state.forget_handles();
    }

    /// Starts again after the process alone died: everything that was written is there.
    pub fn restart_process(&self) {
        self.state.lock().forget_handles();
    }

    /// Flips bit `bit` (0–7) of byte `at` of a file, in what a crash keeps as well. False if there is no such byte.
    pub fn flip_bit(&self, path: &Path, at: u64, bit: u32) -> bool {
        let mut state = self.state.lock();
        let Some(Node::File(inode)) = state.names.get(path).copied() else {
            return false;
        };
        let Some(inode) = state.inodes.get_mut(&inode) else {
            return false;
        };
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let mut flipped = false;
        for content in [&mut inode.content, &mut inode.durable] {
            if let Some(byte) = content.get_mut(at) {
                *byte ^= 1 << (bit & 7);
                flipped = true;
            }
        }
        flipped
    }

    fn call(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let mut state = self.state.lock();
        if self.life.is_some_and(|life| life != state.boot) {
            return Err(io::Error::other("the process that used this handle is gone"));
        }
        state.begin_call()?;
        Ok(state)
    }

    pub(super) fn open(&self, path: &Path, mode: OpenMode) -> io::Result<SimFile> {
        let mut state = self.call()?;
        let inode = match (state.names.get(path).copied(), mode) {
            (Some(Node::Dir), _) => return Err(io::ErrorKind::IsADirectory.into()),
            (Some(Node::File(_)), OpenMode::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(Node::File(inode)), _) => inode,
            (None, OpenMode::Read | OpenMode::ReadWrite) => return Err(io::ErrorKind::NotFound.into()),
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                state.require_parent(path)?;
                state.require_room_for(path)?;
                let inode = state.next_inode;
                state.next_inode += 1;
                state.inodes.insert(inode, Inode::default());
                state.change_names(NameChange::Add(path.to_owned(), Node::File(inode)));
                inode
            }
        };
        Ok(SimFile {
            disk: self.clone(),
            path: path.into(),
            inode,
            boot: state.boot,
        })
    }

    pub(super) fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        let missing: Vec<PathBuf> = path
            .ancestors()
            .take_while(|p| !state.names.contains_key(*p))
            .map(Path::to_owned)
            .collect();
        if state.is_full && !missing.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        for directory in missing.into_iter().rev().filter(|p| !p.as_os_str().is_empty()) {
            state.change_names(NameChange::Add(directory, Node::Dir));
        }
        Ok(())
    }

    pub(super) fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.call()?;
        if state.names.get(path) != Some(&Node::Dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let children = state
            .names
            .iter()
            .filter(|(child, _)| child.parent() == Some(path));
        Ok(children
            .filter_map(|(child, node)| {
                let name = child.file_name()?.to_str()?.to_owned();
                Some(DirEntry {
                    name,
                    is_dir: *node == Node::Dir,
                })
            })
            .collect())
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.require_parent(to)?;
        if !state.names.contains_key(to) {
            state.require_room_for(to)?;
        }
        state.change_names(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    pub(super) fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        match state.names.get(path) {
            Some(Node::File(_)) => state.change_names(NameChange::Remove(path.to_owned())),
            Some(Node::Dir) => return Err(io::ErrorKind::IsADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        Ok(())
    }

    pub(super) fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        if state.names.get(path) != Some(&Node::Dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        // One change per name, innermost first, as the real call does it: a crash may stop between them.
        let inside: Vec<PathBuf> = state
            .names
            .keys()
            .filter(|p| p.starts_with(path))
            .cloned()
            .collect();
        for name in inside.into_iter().rev() {
            state.change_names(NameChange::Remove(name));
        }
        Ok(())
    }

    pub(super) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        if state.names.get(path) != Some(&Node::Dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (touching, others) = std::mem::take(&mut state.pending_names)
            .into_iter()
            .partition(|c| c.touches(path));
        state.pending_names = others;
        let touching: Vec<NameChange> = touching;
        for change in &touching {
            apply_change(&mut state.durable_names, change);
        }
        Ok(())
    }

    pub(super) fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.call()?.names.contains_key(path))
    }

    pub(super) fn try_lock(&self, path: &Path) -> io::Result<Option<SimLock>> {
        self.open(path, OpenMode::Create)?;
        let mut state = self.state.lock();
        let boot = state.boot;
        Ok(state.locks.insert(path.to_owned()).then(|| SimLock {
            disk: self.clone(),
            path: path.to_owned(),
            boot,
        }))
    }

    pub(super) fn space(&self) -> io::Result<Space> {
        let state = self.call()?;
        let usable_bytes = state.room_bytes();
        Ok(Space {
            total_bytes: state.capacity_bytes,
            usable_bytes,
        })
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        if state.boot == self.boot {
            state.locks.remove(&self.path);
        }
    }
}

impl NameChange {
    fn touches(&self, directory: &Path) -> bool {
        match self {
            NameChange::Add(path, _) | NameChange::Remove(path) => path.parent() == Some(directory),
            NameChange::Rename(from, to) => {
                from.parent() == Some(directory) || to.parent() == Some(directory)
            }
        }
    }
}

fn apply_change(names: &mut Names, change: &NameChange) {
    match change {
        NameChange::Add(path, node) => {
            names.insert(path.clone(), *node);
        }
        NameChange::Remove(path) => {
            names.remove(path);
        }
        NameChange::Rename(from, to) => {
            // In the order of paths all that is inside stands right behind.
            let moved: Vec<(PathBuf, Node)> = names
                .range(from.clone()..)
                .take_while(|(p, _)| p.starts_with(from))
                .map(|(p, n)| (p.clone(), *n))
                .collect();
            for (path, node) in moved {
                names.remove(&path);
                let inside = path.strip_prefix(from).unwrap_or(Path::new(""));
                let target = if inside.as_os_str().is_empty() {
                    to.clone()
                } else {
                    to.join(inside)
                };
                names.insert(target, node);
            }
        }
    }
}

impl State {
    fn begin_call(&mut self) -> io::Result<()> {
        if !self.powered {
            return Err(io::Error::other("the power is cut"));
        }
        self.calls += 1;
        match self.fault {
            Some((at, SimFault::Error)) if at == self.calls => {
                Err(io::Error::other("injected input/output error"))
            }
            Some((at, SimFault::PowerCut)) if at == self.calls => {
                self.powered = false;
                Err(io::Error::other("the power is cut"))
            }
            Some((at, SimFault::Full)) if at <= self.calls => {
                self.is_full = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// xorshift64*: small, seeded, good enough for tossing coins.
    fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn change_names(&mut self, change: NameChange) {
        if let (true, NameChange::Remove(path) | NameChange::Rename(path, _)) = (self.is_full, &change) {
            let parent = path.parent().unwrap_or(Path::new("/"));
            *self.free_names.entry(parent.to_owned()).or_default() += 1;
        }
        apply_change(&mut self.names, &change);
        self.pending_names.push(change);
    }

    fn require_parent(&self, path: &Path) -> io::Result<()> {
        let there = path
            .parent()
            .is_some_and(|parent| self.names.get(parent) == Some(&Node::Dir));
        if there {
            Ok(())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// Takes the room for a new name.
    fn require_room_for(&mut self, path: &Path) -> io::Result<()> {
        if !self.is_full {
            return Ok(());
        }
        let parent = path.parent().unwrap_or(Path::new("/"));
        match self.free_names.get_mut(parent) {
            Some(free) if *free > 0 => {
                *free -= 1;
                Ok(())
            }
            _ => {
                self.has_refused = true;
                Err(io::ErrorKind::StorageFull.into())
            }
        }
    }

    fn room_bytes(&self) -> u64 {
        if self.is_full {
            0
        } else {
            self.capacity_bytes.saturating_sub(self.used_bytes())
        }
    }

    fn used_bytes(&self) -> u64 {
        let named = self.names.values().filter_map(|node| match node {
            Node::File(inode) => self.inodes.get(inode),
            Node::Dir => None,
        });
        named.map(|inode| inode.content.len() as u64).sum()
    }

    fn forget_handles(&mut self) {
        self.boot += 1;
        self.powered = true;
        self.fault = None;
        self.locks.clear();
    }

    fn lose_unsynced(&mut self) {
        let kept = if self.pending_names.is_empty() {
            0
        } else {
            self.random() as usize % (self.pending_names.len() + 1)
        };
        let pending = std::mem::take(&mut self.pending_names);
        for change in pending.iter().take(kept) {
            apply_change(&mut self.durable_names, change);
        }
        self.names = self.durable_names.clone();
        // A name whose directory did not survive is gone with it.
        let orphans: Vec<PathBuf> = self
            .names
            .keys()
            .filter(|p| !self.has_parents(p))
            .cloned()
            .collect();
        for orphan in orphans {
            self.names.remove(&orphan);
        }
        self.durable_names = self.names.clone();
        let inodes: Vec<u64> = self.inodes.keys().copied().collect();
        for inode in inodes {
            self.crash_inode(inode);
        }
    }

    fn has_parents(&self, path: &Path) -> bool {
        path.ancestors()
            .skip(1)
            .all(|parent| self.names.get(parent) == Some(&Node::Dir))
    }

    fn crash_inode(&mut self, number: u64) {
        let Some(mut inode) = self.inodes.remove(&number) else {
            return;
        };
        let mut content = std::mem::take(&mut inode.durable);
        for pending in std::mem::take(&mut inode.pending) {
            let coin = self.random() % 4;
            match pending {
                _ if coin == 0 => {}
                Pending::Length(length) => content.resize(length, 0),
                Pending::Write { at, bytes } => {
                    let block = if self.random().is_multiple_of(2) {
                        512
                    } else {
                        4096
                    };
                    for (start, piece) in blocks(at, &bytes, block) {
                        if coin != 1 || self.random().is_multiple_of(2) {
                            put(&mut content, start, piece);
                        }
                    }
                }
            }
        }
        inode.content = content.clone();
        inode.durable = content;
        self.inodes.insert(number, inode);
    }
}

/// The pieces of a write that lie in different blocks of the disk.
fn blocks(at: usize, bytes: &[u8], block: usize) -> Vec<(usize, &[u8])> {
    let mut pieces = Vec::new();
    let (mut at, mut rest) = (at, bytes);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(block - at % block));
        pieces.push((at, piece));
        at += piece.len();
        rest = after;
    }
    pieces
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

impl SimFile {
    fn call(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let mut state = self.disk.state.lock();
        if state.boot != self.boot {
            return Err(io::Error::other("the file was opened before the restart"));
        }
        state.begin_call()?;
        Ok(state)
    }

    fn with_inode<T>(&self, action: impl FnOnce(&mut Inode) -> T) -> io::Result<T> {
        let mut state = self.call()?;
        state
            .inodes
            .get_mut(&self.inode)
            .map(action)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.with_inode(|inode| {
            let from = usize::try_from(at).unwrap_or(usize::MAX);
            let rest = inode.content.get(from..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            count
        })
    }

    pub(super) fn append_at(&self, content: &mut Vec<u8>, length: usize, at: u64) -> io::Result<usize> {
        let mut piece = vec![0; length - content.len()];
        let count = self.read_at(&mut piece, at)?;
        content.extend_from_slice(&piece[..count]);
        Ok(count)
    }

    pub(super) fn write_all_vectored_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let at = usize::try_from(at).map_err(io::Error::other)?;
        self.disk.gate.pass(&self.path);
        let mut state = self.disk.state.lock();
        if state.boot != self.boot {
            return Err(io::Error::other("the file was opened before the restart"));
        }
        let was_powered = state.powered;
        let begun = state.begin_call();
        // What is written as the power goes may have reached the disk in part, what comes behind it has not.
        let cut_here = was_powered && !state.powered;
        if let (Err(error), false) = (&begun, cut_here) {
            return Err(io::Error::new(error.kind(), error.to_string()));
        }
        let inode = state.inodes.get(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        let growth = (at + bytes.len()).saturating_sub(inode.content.len()) as u64;
        let is_too_much = growth > 0 && growth > state.room_bytes();
        let is_full = state.is_full;
        state.has_refused |= is_too_much && is_full;
        let inode = state.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        if is_too_much {
            if is_full {
                let kept = bytes.len() / 2;
                let part = bytes.get(..kept).unwrap_or_default().to_vec();
                put(&mut inode.content, at, &part);
                inode.pending.push(Pending::Write { at, bytes: part });
            }
            return Err(io::ErrorKind::StorageFull.into());
        }
        put(&mut inode.content, at, &bytes);
        inode.pending.push(Pending::Write { at, bytes });
        begun
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.gate.pass(&self.path);
        self.with_inode(|inode| {
            inode.pending.clear();
            inode.durable.clone_from(&inode.content);
        })
    }

    pub(super) fn set_len(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.with_inode(|inode| {
            inode.content.resize(length, 0);
            inode.pending.push(Pending::Length(length));
        })
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        self.with_inode(|inode| inode.content.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Disk;
    use super::*;

    fn disk_with_directory(seed: u64) -> (SimDisk, Disk) {
        let sim = SimDisk::new(seed, 1 << 20);
        let disk = Disk::simulated(&sim);
        disk.create_dir_all(Path::new("/data")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        (sim, disk)
    }

    #[test]
    fn what_was_synced_survives_every_crash_and_what_was_not_survives_some() {
        let mut kept = 0;
        for seed in 0..64 {
            let (sim, disk) = disk_with_directory(seed);
            let file = disk.open(Path::new("/data/a"), OpenMode::Create).unwrap();
            file.write_all_at(b"synced", 0).unwrap();
            file.sync_all().unwrap();
            disk.sync_dir(Path::new("/data")).unwrap();
            file.write_all_at(b" and not", 6).unwrap();
            sim.cut_power();
            assert!(file.write_all_at(b"x", 0).is_err());
            sim.restart();
            let content = disk.read(Path::new("/data/a"), 100).unwrap();
            assert!(content.starts_with(b"synced"), "seed {seed}");
            kept += usize::from(content == b"synced and not");
        }
        assert!(
            (1..64).contains(&kept),
            "{kept} of 64 crashes kept the unsynced write"
        );
    }

    #[test]
    fn a_name_is_durable_only_after_its_directory_was_synced() {
        let lost = (0..64).filter(|&seed| {
            let (sim, disk) = disk_with_directory(seed);
            let file = disk.open(Path::new("/data/a"), OpenMode::Create).unwrap();
            file.write_all_at(b"content", 0).unwrap();
            file.sync_all().unwrap();
            sim.restart();
            !disk.exists(Path::new("/data/a")).unwrap()
        });
        assert!((1..64).contains(&lost.count()));
    }

    #[test]
    fn a_replaced_file_is_old_or_new_at_every_cut() {
        let (sim, disk) = disk_with_directory(1);
        let path = Path::new("/data/state");
        disk.replace(path, b"old").unwrap();
        let before = sim.calls();
        disk.replace(path, b"new!").unwrap();
        let calls = sim.calls() - before;
        for cut in 1..=calls {
            for seed in 0..16 {
                let (sim, disk) = disk_with_directory(seed);
                disk.replace(path, b"old").unwrap();
                sim.fail_at(sim.calls() + cut, SimFault::PowerCut);
                assert!(disk.replace(path, b"new!").is_err());
                sim.restart();
                let content = disk.read(path, 100).unwrap();
                assert!(
                    content == b"old" || content == b"new!",
                    "cut {cut}, seed {seed}: {content:?}"
                );
            }
        }
    }

    #[test]
    fn a_full_disk_refuses_to_grow_and_works_again_when_there_is_room() {
        let (sim, disk) = disk_with_directory(1);
        sim.set_capacity_bytes(4);
        let file = disk.open(Path::new("/data/a"), OpenMode::Create).unwrap();
        file.write_all_at(b"1234", 0).unwrap();
        assert_eq!(
            file.write_all_at(b"5", 4).unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
        sim.set_capacity_bytes(5);
        file.write_all_at(b"5", 4).unwrap();
    }

    #[test]
    fn a_lock_has_one_holder() {
        let (_, disk) = disk_with_directory(1);
        let first = disk.try_lock(Path::new("/data/.lock")).unwrap();
        assert!(first.is_some() && disk.try_lock(Path::new("/data/.lock")).unwrap().is_none());
        drop(first);
        assert!(disk.try_lock(Path::new("/data/.lock")).unwrap().is_some());
    }

    #[test]
    fn a_handle_of_one_life_reaches_nothing_after_a_restart() {
        let sim = SimDisk::new(1, u64::MAX);
        let (always, before) = (Disk::simulated(&sim), Disk::simulated(&sim.in_this_life()));
        before.create_dir_all(Path::new("/data")).unwrap();
        sim.restart_process();
        assert!(before.exists(Path::new("/data")).is_err());
        assert!(before.remove_dir_all(Path::new("/data")).is_err());
        assert!(always.exists(Path::new("/data")).unwrap());
    }
}
