//! The quorum's small files and snapshots in `__cluster_metadata-0`, through the one door to the file system.
//!
//! Every file is replaced whole (temporary file, sync, rename, sync of the directory, rule S6). What the bytes mean, and
//! whether they are whole, is for `metadata::quorum`; names are Kafka's where Kafka has the file.

use std::io;
use std::path::{Path, PathBuf};

use metadata::quorum::{SnapshotFiles, SnapshotName, StateFile, StoredSnapshot};
use storage::disk::Disk;

/// The quorum's state files are a few dozen bytes, and the cluster's id, of at most 64 KiB; a longer one is not ours.
const STATE_FILE_LIMIT_BYTES: usize = 66 << 10;
/// The suffix of Kafka's metadata snapshots (`org.apache.kafka.snapshot.Snapshots`).
const SNAPSHOT_SUFFIX: &str = ".checkpoint";

/// One small record in a file of its own.
pub struct DiskStateFile {
    disk: Disk,
    path: PathBuf,
}

impl DiskStateFile {
    /// The file `name` of `directory`, which exists.
    pub fn new(disk: &Disk, directory: &Path, name: &str) -> DiskStateFile {
        DiskStateFile {
            disk: disk.clone(),
            path: directory.join(name),
        }
    }
}

impl StateFile for DiskStateFile {
    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        if self.disk.exists(&self.path)? {
            self.disk.read(&self.path, STATE_FILE_LIMIT_BYTES).map(Some)
        } else {
            Ok(None)
        }
    }

    fn replace(&self, record: &[u8]) -> io::Result<()> {
        self.disk.replace(&self.path, record)
    }
}

/// The snapshots of a metadata log directory.
pub struct DiskSnapshotFiles {
    disk: Disk,
    directory: PathBuf,
}

impl DiskSnapshotFiles {
    /// The snapshots in `directory`, which exists.
    pub fn new(disk: &Disk, directory: &Path) -> DiskSnapshotFiles {
        DiskSnapshotFiles {
            disk: disk.clone(),
            directory: directory.to_owned(),
        }
    }

    fn names(&self) -> io::Result<Vec<SnapshotName>> {
        let entries = self.disk.read_dir(&self.directory)?;
        let mut names: Vec<SnapshotName> = entries
            .iter()
            .filter_map(|entry| parse_name(&entry.name))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn path(&self, name: SnapshotName) -> PathBuf {
        self.directory.join(file_name(name))
    }
}

/// Twenty digits of end offset and ten of epoch, so that names sort as offsets do.
fn file_name(name: SnapshotName) -> String {
    format!("{:020}-{:010}{SNAPSHOT_SUFFIX}", name.end_offset, name.epoch)
}

/// `None` for whatever else lies in the directory.
fn parse_name(name: &str) -> Option<SnapshotName> {
    let (end_offset, epoch) = name.strip_suffix(SNAPSHOT_SUFFIX)?.split_once('-')?;
    Some(SnapshotName {
        end_offset: end_offset.parse().ok()?,
        epoch: epoch.parse().ok()?,
    })
}

impl SnapshotFiles for DiskSnapshotFiles {
    fn newest(&self) -> io::Result<Option<StoredSnapshot>> {
        let Some(&name) = self.names()?.last() else {
            return Ok(None);
        };
        let path = self.path(name);
        let content = self.disk.read(&path, usize::MAX)?;
        Ok(Some(StoredSnapshot {
            location: path.display().to_string(),
            content: content.into(),
        }))
    }

    fn install(&self, name: SnapshotName, content: &[u8]) -> io::Result<()> {
        self.disk.replace(&self.path(name), content)?;
        for older in self.names()?.into_iter().filter(|&other| other < name) {
            self.disk.remove_file(&self.path(older))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use storage::disk::{SimDisk, SimFault};

    use super::*;

    const DIRECTORY: &str = "/data/__cluster_metadata-0";

    fn formatted() -> (SimDisk, Disk) {
        let sim = SimDisk::new(7, u64::MAX);
        let disk = Disk::simulated(&sim);
        disk.create_dir_all(Path::new(DIRECTORY)).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk.sync_dir(Path::new("/data")).unwrap();
        (sim, disk)
    }

    fn snapshot(end_offset: u64) -> SnapshotName {
        SnapshotName { end_offset, epoch: 3 }
    }

    #[test]
    fn snapshots_are_named_as_kafka_names_them() {
        let name = file_name(snapshot(900));
        assert_eq!(name, "00000000000000000900-0000000003.checkpoint");
        assert_eq!(parse_name(&name), Some(snapshot(900)));
        assert_eq!(parse_name("00000000000000000900-0000000003.checkpoint.tmp"), None);
        assert_eq!(parse_name("00000000000000000000.log"), None);
    }

    #[test]
    fn a_power_cut_at_any_call_leaves_the_old_record_or_the_new_one() {
        for cut in 1.. {
            let (sim, disk) = formatted();
            let vote = DiskStateFile::new(&disk, Path::new(DIRECTORY), "quorum-vote");
            vote.replace(b"old").unwrap();
            sim.fail_at(sim.calls() + cut, SimFault::PowerCut);
            let outcome = vote.replace(b"new");
            let whole = !sim.is_cut();
            sim.restart();
            let found = vote.read().unwrap().unwrap();
            if outcome.is_ok() {
                assert_eq!(found, b"new", "cut {cut}");
            } else {
                assert!(found == b"old" || found == b"new", "cut {cut}: {found:?}");
            }
            if whole {
                break;
            }
        }
    }

    #[test]
    fn a_power_cut_at_any_call_leaves_a_whole_snapshot_and_an_acknowledged_one_is_the_newest() {
        for cut in 1.. {
            let (sim, disk) = formatted();
            let snapshots = DiskSnapshotFiles::new(&disk, Path::new(DIRECTORY));
            assert_eq!(snapshots.newest().unwrap(), None);
            let (old, new) = (vec![1; 9_000], vec![2; 9_000]);
            snapshots.install(snapshot(10), &old).unwrap();
            sim.fail_at(sim.calls() + cut, SimFault::PowerCut);
            let outcome = snapshots.install(snapshot(20), &new);
            let whole = !sim.is_cut();
            sim.restart();
            let found = snapshots.newest().unwrap().unwrap().content;
            assert!(found == new || (outcome.is_err() && found == old), "cut {cut}");
            if whole {
                break;
            }
        }
    }
}
