//! Directories as a sound broker leaves them, with one file's bytes replaced: what a damaged disk gives a start to read.

pub mod manager;
pub mod partition;
pub mod quorum;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use protocol_compat::record_batch::batch::{CHECKSUM_START, RecordBatch, checksum};
use storage::disk::{Disk, OpenMode, SimDisk};

use crate::samples;

/// What compaction calls a file that is ready to take its place.
const LEFTOVER_SUFFIX: &str = ".swap";
const CAPACITY_BYTES: u64 = 64 << 20;
/// The time at which everything is opened, ms since the epoch.
pub const NOW_MS: i64 = 1_700_000_000_000;
/// What a start may hold for some kilobytes on disk: buffers of a fixed size and copies of the files.
pub const MEMORY_BYTES: usize = 8 << 20;

/// Every file below a directory.
pub struct Stored {
    root: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// What a run changes.
pub struct Damage<'a> {
    /// Which file, counted round.
    pub which: u8,
    /// Its new bytes.
    pub bytes: &'a [u8],
    /// Whether they get the checksum that fits them.
    pub sealed: bool,
    /// Whether they stand beside the file, as what a compaction that was cut off left to take its place.
    pub is_leftover: bool,
}

impl Stored {
    /// What lies below `root`.
    pub fn harvest(disk: &Disk, root: &Path) -> Stored {
        let mut files = Vec::new();
        collect(disk, root, &mut files);
        Stored {
            root: root.to_owned(),
            files,
        }
    }

    /// The files, in the order in which [`Damage::which`] counts them.
    pub fn files(&self) -> &[(PathBuf, Vec<u8>)] {
        &self.files
    }

    /// A disk with these files and the damaged one, and that one's path.
    pub fn damaged(&self, damage: &Damage<'_>) -> (Disk, PathBuf) {
        let disk = Disk::simulated(&SimDisk::new(1, CAPACITY_BYTES));
        disk.create_dir_all(&self.root).expect("a directory");
        let which = usize::from(damage.which) % self.files.len();
        for (number, (path, content)) in self.files.iter().enumerate() {
            if number != which || damage.is_leftover {
                put(&disk, path, content);
            }
        }
        let path = &self.files[which].0;
        let mut bytes = damage.bytes.to_vec();
        if damage.sealed {
            seal(path, &mut bytes);
        }
        let path = match damage.is_leftover {
            true => with_suffix(path, LEFTOVER_SUFFIX),
            false => path.clone(),
        };
        put(&disk, &path, &bytes);
        (disk, path)
    }
}

fn collect(disk: &Disk, directory: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in disk.read_dir(directory).expect("a directory") {
        let path = directory.join(&entry.name);
        if entry.is_dir {
            collect(disk, &path, files);
        } else if entry.name != ".lock" {
            let content = disk.read(&path, CAPACITY_BYTES as usize).expect("a file");
            files.push((path, content));
        }
    }
}

fn put(disk: &Disk, path: &Path, content: &[u8]) {
    disk.create_dir_all(path.parent().expect("a file lies in a directory"))
        .expect("a directory");
    let file = disk.open(path, OpenMode::Create).expect("a new file");
    file.write_all_at(content, 0).expect("the disk takes it");
    file.sync_all().expect("the disk takes it");
}

/// The end of a path, by which a file's kind is known.
pub fn ends_with(path: &Path, suffix: &str) -> bool {
    path.to_string_lossy().ends_with(suffix)
}

/// Whether a file holds batches: a segment, or what is to become one.
fn is_log(path: &Path) -> bool {
    ends_with(path, ".log") || ends_with(path, ".log.swap")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn seal(path: &Path, bytes: &mut [u8]) {
    if ends_with(path, ".log") || ends_with(path, ".checkpoint") {
        samples::seal(bytes);
    } else if ends_with(path, ".snapshot") {
        if let Some((head, body)) = bytes.split_first_chunk_mut::<6>() {
            head[2..].copy_from_slice(&checksum(body).to_be_bytes());
        }
    } else if (ends_with(path, "quorum-vote") || ends_with(path, "quorum-purged"))
        && let Some((body, end)) = bytes.split_last_chunk_mut::<4>()
    {
        *end = checksum(body).to_be_bytes();
    }
}

/// Whole batches one by one.
///
/// # Panics
/// If there is anything else among them: nothing but whole batches is ever handed out.
pub fn batches(mut bytes: Bytes) -> Vec<Bytes> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (batch, _) = RecordBatch::split_first(&bytes).expect("whole batches are handed out");
        let size = batch.size_bytes();
        found.push(bytes.split_to(size));
    }
    found
}

/// The part of a batch that its checksum speaks for, and the checksum.
pub fn signed(batch: &Bytes) -> &[u8] {
    &batch[CHECKSUM_START - 4..]
}
