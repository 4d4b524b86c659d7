//! What a start does with the journal that the process before left: its bytes go where they belong, durably, and the journal
//! is empty.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::group::{self, Place};
use super::{FILE_NAME, empty_parts, parts_of};
use crate::disk::{Disk, File, OpenMode};
use crate::log::{read_topic_id, segment_file_name};

/// Puts everything that is whole in the journal of `dir` into the segments that it belongs to. Those of a topic that is gone
/// or of a segment that was deleted are left out.
///
/// # Errors
/// The file system's.
pub(crate) fn replay(disk: &Disk, dir: &Path) -> io::Result<()> {
    let path = dir.join(FILE_NAME);
    if !disk.exists(&path)? {
        return Ok(());
    }
    let journal = disk.open(&path, OpenMode::ReadWrite)?;
    let parts = parts_of(journal.len()?);
    // The part that was begun first has what came first.
    let mut begun = Vec::with_capacity(parts.len());
    for part in &parts {
        if let Some(first) = group::read(&journal, part.start, part.end)? {
            begun.push((first.generation, part));
        }
    }
    begun.sort_by_key(|(generation, _)| *generation);
    let mut files = Segments::new(disk, dir);
    let (mut pieces, mut bytes) = (0_u64, 0);
    for (generation, part) in begun {
        let mut at = part.start;
        let mut sequence = 0;
        while let Some(group) = group::read(&journal, at, part.end)?
            && (group.generation, group.sequence) == (generation, sequence)
        {
            for (place, content) in &group.pieces {
                if files.write(place, content)? {
                    pieces += 1;
                    bytes += content.len() as u64;
                }
            }
            at += group.size;
            sequence += 1;
        }
    }
    files.sync()?;
    if pieces > 0 {
        tracing::info!(dir = %dir.display(), pieces, bytes, "put back what was acknowledged and only in the flush journal");
    }
    empty_parts(&journal, &parts)
}

/// The segments' files that pieces go to, opened once.
struct Segments<'a> {
    disk: &'a Disk,
    dir: &'a Path,
    open: BTreeMap<PathBuf, Option<File>>,
}

impl<'a> Segments<'a> {
    fn new(disk: &'a Disk, dir: &'a Path) -> Segments<'a> {
        Segments {
            disk,
            dir,
            open: BTreeMap::new(),
        }
    }

    /// Whether there is such a segment, which has the bytes now.
    fn write(&mut self, place: &Place, content: &[u8]) -> io::Result<bool> {
        let partition_dir = self.dir.join(place.partition.to_string());
        let path = partition_dir.join(segment_file_name(place.base_offset, "log"));
        if !self.open.contains_key(&path) {
            let file = self.find(place, &partition_dir, &path)?;
            self.open.insert(path.clone(), file);
        }
        let Some(file) = self.open.get(&path).and_then(Option::as_ref) else {
            return Ok(false);
        };
        let length = file.len()?;
        if place.position > length {
            // All bytes before were synced or stand in the journal: this is no segment that the node wrote.
            tracing::warn!(path = %path.display(), length, position = place.position, "a segment lacks what comes before the flush journal");
            return Ok(false);
        }
        file.write_all_at(content, place.position)?;
        Ok(true)
    }

    fn find(&self, place: &Place, partition_dir: &Path, path: &Path) -> io::Result<Option<File>> {
        // The id was durable before the log had a byte in the journal; where it is torn the directory is another topic's.
        let is_there =
            self.disk.exists(path)? && read_topic_id(self.disk, partition_dir)? == Some(place.topic_id);
        is_there
            .then(|| self.disk.open(path, OpenMode::ReadWrite))
            .transpose()
    }

    fn sync(&self) -> io::Result<()> {
        self.open.values().flatten().try_for_each(File::sync_data)
    }
}
