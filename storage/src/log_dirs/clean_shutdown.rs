//! The marker of a clean shutdown, as Kafka 4 writes it: `{"version":0,"brokerEpoch":14}`.

use std::io;
use std::path::Path;

use super::CleanShutdown;
use crate::disk::Disk;

/// Kafka's name of the file.
pub(super) const FILE_NAME: &str = ".kafka_cleanshutdown";
const MOST_BYTES: usize = 4096;

pub(super) fn write(disk: &Disk, dir: &Path, marker: CleanShutdown) -> io::Result<()> {
    let text = format!("{{\"version\":0,\"brokerEpoch\":{}}}", marker.broker_epoch);
    disk.replace(&dir.join(FILE_NAME), text.as_bytes())
}

/// Reads the marker and takes it away for good, so that a crash from here on looks like one (rule S8).
pub(super) fn take(disk: &Disk, dir: &Path) -> io::Result<Option<CleanShutdown>> {
    let path = dir.join(FILE_NAME);
    let text = match disk.read(&path, MOST_BYTES) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    disk.remove_file(&path)?;
    disk.sync_dir(dir)?;
    let broker_epoch = broker_epoch(&text).unwrap_or(-1);
    Ok(Some(CleanShutdown { broker_epoch }))
}

/// The marker counts by being there; older Kafka left it empty, and an epoch that cannot be read is unknown.
fn broker_epoch(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, after) = text.split_once("\"brokerEpoch\"")?;
    let number = after.trim_start().strip_prefix(':')?.trim_start();
    let end = number
        .find(|c: char| !c.is_ascii_digit() && c != '-')
        .unwrap_or(number.len());
    number.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_is_read_from_what_kafka_writes() {
        assert_eq!(broker_epoch(b"{\"version\":0,\"brokerEpoch\":14}"), Some(14));
        assert_eq!(broker_epoch(b"{ \"brokerEpoch\" : -1 , \"x\":2}"), Some(-1));
        assert_eq!(broker_epoch(b""), None);
        assert_eq!(broker_epoch(b"{\"brokerEpoch\":null}"), None);
    }
}
