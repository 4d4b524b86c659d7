//! `partition.metadata`: the topic id of a partition's directory, in Kafka's text format.
//!
//! A third line, which Kafka does not read, has the CRC-32C of the two before it: an id that was damaged must not be taken
//! for that of an earlier topic, whose records would be removed.

use std::io;
use std::path::Path;

use protocol_compat::TopicId;
use protocol_compat::record_batch::batch::checksum;
use protocol_compat::types::decode_base64_id;

use super::error::LogError;
use crate::disk::{Disk, OpenMode};

/// Name of the file in the partition's directory.
pub(crate) const FILE_NAME: &str = "partition.metadata";
const LIMIT_BYTES: usize = 4096;

/// What Kafka calls these lines, and ours.
const ID_LINE: &str = "topic_id:";
const CHECKSUM_LINE: &str = "\ncrc32c: ";

/// Kafka's text and the checksum.
pub(super) fn encode(topic_id: TopicId) -> String {
    let text = format!("version: 0\n{ID_LINE} {topic_id}");
    let crc = checksum(text.as_bytes());
    format!("{text}{CHECKSUM_LINE}{crc:08x}")
}

/// Writes the file of a new directory. It is synced with the first flush of the log: before that nothing is promised.
pub(super) fn write_unsynced(disk: &Disk, dir: &Path, topic_id: TopicId) -> Result<(), LogError> {
    let path = dir.join(FILE_NAME);
    if disk.exists(&path)? {
        return Ok(());
    }
    let written = disk
        .open(&path, OpenMode::Create)?
        .write_all_at(encode(topic_id).as_bytes(), 0);
    if let Err(error) = written {
        // A later attempt must not take what is left of this one for the file.
        disk.remove_file(&path)?;
        return Err(error.into());
    }
    Ok(())
}

/// Makes the file durable; a directory from an older broker may lack it.
pub(super) fn sync(disk: &Disk, dir: &Path, topic_id: TopicId) -> Result<(), LogError> {
    write_unsynced(disk, dir, topic_id)?;
    Ok(disk.open(&dir.join(FILE_NAME), OpenMode::ReadWrite)?.sync_all()?)
}

/// `None` for what is torn or damaged. Kafka's own files have no checksum.
fn decode(text: &str) -> Option<TopicId> {
    if let Some((text, crc)) = text.split_once(CHECKSUM_LINE)
        && crc != format!("{:08x}", checksum(text.as_bytes()))
    {
        return None;
    }
    let id = text.lines().find_map(|line| line.strip_prefix(ID_LINE))?;
    decode_base64_id(id.trim()).map(TopicId)
}

/// The topic id of a partition's directory; `None` where the file is missing, torn or damaged.
pub(crate) fn read(disk: &Disk, dir: &Path) -> io::Result<Option<TopicId>> {
    Ok(read_file(disk, dir)?.flatten())
}

/// What the file says; `None` where it is missing, `Some(None)` where it is torn or damaged.
fn read_file(disk: &Disk, dir: &Path) -> io::Result<Option<Option<TopicId>>> {
    let path = dir.join(FILE_NAME);
    if !disk.exists(&path)? {
        return Ok(None);
    }
    let found = disk.read(&path, LIMIT_BYTES)?;
    Ok(Some(std::str::from_utf8(&found).ok().and_then(decode)))
}

/// Compares the directory's topic id with `expected`; a directory without the file has none.
pub(super) fn check(disk: &Disk, dir: &Path, expected: Option<TopicId>) -> Result<(), LogError> {
    let Some(expected) = expected else { return Ok(()) };
    let Some(found) = read_file(disk, dir)? else {
        return Ok(());
    };
    match found {
        Some(found) if found != expected => Err(LogError::ForeignTopic {
            dir: dir.display().to_string(),
            found: found.to_string(),
            expected: expected.to_string(),
        }),
        Some(_) => Ok(()),
        // Torn before any acknowledgement, or damaged since: whose directory it is, its name says.
        None => Ok(disk.replace(&dir.join(FILE_NAME), encode(expected).as_bytes())?),
    }
}
