//! A whole file system, synced with one call: for many files that wait at the same time.
//!
//! One sync per file costs each of them a write of its own for its attributes and a flush of the disk's cache. `syncfs` writes
//! all of them side by side. It is used where it can be trusted, and nowhere else:
//!
//! - Linux tells of failed writes by it since 5.8: of any on the file system since the handle was opened or last asked.
//! - ext4 without a journal writes attributes behind its flush of the disk's cache, and XFS may have nothing to write to its
//!   log and flush nothing. A sync of one of the files afterwards flushes the cache on both, whatever it has left to write.
//! - It writes what everybody left in the page cache of that file system. Who calls it looks at
//!   [`Volume::unwritten_bytes`] before.

use std::io;
use std::path::{Path, PathBuf};

use super::{Disk, File, Kind, SimDisk, failed_sync};

/// What `statfs` says of ext4 (and of ext2 and ext3, which the same code serves) and of XFS.
const TRUSTED_FILE_SYSTEMS: [u64; 2] = [0xef53, 0x5846_5342];
const FIRST_KERNEL_THAT_TELLS: (u32, u32) = (5, 8);

/// The file system that holds a directory.
#[derive(Debug)]
pub struct Volume {
    dir: PathBuf,
    kind: VolumeKind,
}

#[derive(Debug)]
enum VolumeKind {
    /// To sync by, and to write back by: each handle tells of a failed write once.
    Real {
        sync: std::fs::File,
        write_back: std::fs::File,
    },
    Simulated(SimDisk),
}

impl Disk {
    /// The file system that holds `dir`, if it can be synced as a whole.
    pub fn volume(&self, dir: &Path) -> Option<Volume> {
        let kind = match &self.0 {
            Kind::Real => VolumeKind::Real {
                sync: open_trusted(dir)?,
                write_back: open_trusted(dir)?,
            },
            Kind::Simulated(disk) => VolumeKind::Simulated(disk.clone()),
        };
        Some(Volume {
            dir: dir.to_owned(),
            kind,
        })
    }
}

impl Volume {
    /// Makes the content and the length of every file durable that was written before the call. `one` is any of those that
    /// matter. What is known of names stays as it was: they are synced with their directory.
    ///
    /// # Errors
    /// The file system's, whoever's write failed; final for every file (rule S1).
    pub fn sync(&self, one: &File) -> io::Result<()> {
        match &self.kind {
            VolumeKind::Real { sync, .. } => rustix::fs::syncfs(sync).map_err(io::Error::from),
            VolumeKind::Simulated(disk) => disk.sync_contents(),
        }
        .map_err(|error| failed_sync("sync the file system of", &self.dir, &error))?;
        one.sync_data()
    }

    /// Writes what is left to write, so that the next sync is short. Promises nothing: of a failure that sync tells as well.
    pub fn write_back(&self) {
        if let VolumeKind::Real { write_back, .. } = &self.kind
            && let Err(error) = rustix::fs::syncfs(write_back)
        {
            tracing::warn!(dir = %self.dir.display(), %error, "could not write the page cache back");
        }
    }

    /// How much of the machine's page cache, whosever it is, is not on a disk yet. `None` where the system does not tell.
    pub fn unwritten_bytes(&self) -> Option<u64> {
        match &self.kind {
            VolumeKind::Real { .. } => unwritten_bytes(&std::fs::read_to_string("/proc/meminfo").ok()?),
            VolumeKind::Simulated(_) => Some(0),
        }
    }
}

fn open_trusted(dir: &Path) -> Option<std::fs::File> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    if kernel_version(&release)? < FIRST_KERNEL_THAT_TELLS {
        return None;
    }
    let dir = std::fs::File::open(dir).ok()?;
    let kind = u64::try_from(rustix::fs::fstatfs(&dir).ok()?.f_type).ok()?;
    TRUSTED_FILE_SYSTEMS.contains(&kind).then_some(dir)
}

/// Major and minor number of a release such as `6.1.0-18-amd64`.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn unwritten_bytes(meminfo: &str) -> Option<u64> {
    let kib = |name| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some((kib("Dirty:")?.saturating_add(kib("Writeback:")?)).saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read_as_it_is_meant() {
        assert_eq!(kernel_version("5.8.0-rc1"), Some((5, 8)));
        assert_eq!(kernel_version("6.18.44-fc\n"), Some((6, 18)));
        assert_eq!(kernel_version("unknown"), None);
        assert!(kernel_version("5.10.1") > Some(FIRST_KERNEL_THAT_TELLS));
        let meminfo =
            "MemFree:  7 kB\nDirty:               120 kB\nWriteback:             3 kB\nWritebackTmp: 9 kB\n";
        assert_eq!(unwritten_bytes(meminfo), Some(123 << 10));
        assert_eq!(unwritten_bytes("MemFree:  7 kB\n"), None);
    }

    #[test]
    fn a_volume_of_this_machine_is_synced_with_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::real();
        let file = disk
            .open(&dir.path().join("file"), super::super::OpenMode::Create)
            .unwrap();
        file.write_all_at(b"content", 0).unwrap();
        if let Some(volume) = disk.volume(dir.path()) {
            volume.sync(&file).unwrap();
            assert!(volume.unwritten_bytes().is_some());
        }
        assert!(disk.volume(Path::new("/proc")).is_none());
    }
}
