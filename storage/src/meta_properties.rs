//! `meta.properties`: whose log directory this is (version 1, as Kafka writes it since KRaft).
//!
//! A properties file of cluster id, node id and directory id (KIP-858). It has no checksum in Kafka's format, so that
//! every key and value is checked, and a file that is not sound is refused rather than replaced (rules S7, S17).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use protocol_compat::types::{decode_base64_id, encode_base64_id};
use thiserror::Error;
use uuid::Uuid;

use crate::disk::Disk;

/// Kafka's name of the file.
pub const FILE_NAME: &str = "meta.properties";
const MOST_BYTES: usize = 64 << 10;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster that the directory belongs to: by custom 22 characters of base64, but any text.
    pub cluster_id: String,
    /// The node that the directory belongs to, at least 0.
    pub node_id: i32,
    /// The directory's own id; Kafka before 3.7 did not write one.
    pub directory_id: Option<Uuid>,
}

/// The file cannot be read.
#[derive(Debug, Error)]
pub enum MetaPropertiesError {
    /// The file system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is not one of version 1.
    #[error("{path} is not usable: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads the file of a log directory; `None` if there is none.
///
/// # Errors
/// The file system's, or what is wrong with the content.
pub fn read(disk: &Disk, dir: &Path) -> Result<Option<MetaProperties>, MetaPropertiesError> {
    let path = dir.join(FILE_NAME);
    match disk.read(&path, MOST_BYTES) {
        Ok(bytes) => parse(&bytes)
            .map(Some)
            .map_err(|reason| MetaPropertiesError::Malformed { path, reason }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Replaces the file of a log directory in one step (rule S6).
///
/// # Errors
/// The file system's; the old or the new content stands.
pub fn write(disk: &Disk, dir: &Path, properties: &MetaProperties) -> io::Result<()> {
    let mut text = format!("#\nnode.id={}\n", properties.node_id);
    if let Some(id) = properties.directory_id {
        text.push_str(&format!("directory.id={}\n", encode_base64_id(id)));
    }
    text.push_str(&format!(
        "version=1\ncluster.id={}\n",
        escape(&properties.cluster_id)
    ));
    disk.replace(&dir.join(FILE_NAME), text.as_bytes())
}

fn parse(bytes: &[u8]) -> Result<MetaProperties, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let values = properties(text)?;
    let value = |key: &str| values.get(key).ok_or_else(|| format!("{key} is missing"));
    let version = value("version")?;
    if version != "1" {
        return Err(format!("version {version} is not supported, only 1 is"));
    }
    let cluster_id = value("cluster.id")?.clone();
    if cluster_id.is_empty() {
        return Err("cluster.id is empty".to_owned());
    }
    let node_id = value("node.id")?;
    let node_id: i32 = node_id
        .parse()
        .ok()
        .filter(|&id| id >= 0)
        .ok_or_else(|| format!("node.id {node_id} is not a node id"))?;
    let directory_id = values.get("directory.id").map(|id| {
        decode_base64_id(id)
            .filter(|id| !id.is_nil())
            .ok_or_else(|| format!("directory.id {id} is not an id"))
    });
    Ok(MetaProperties {
        cluster_id,
        node_id,
        directory_id: directory_id.transpose()?,
    })
}

/// The part of Java's format that such files use: comments, `=` or `:`, backslash before a special character.
fn properties(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    for line in text.lines().map(str::trim_start) {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let (key, value) = line
            .split_once(['=', ':'])
            .ok_or_else(|| format!("line {line:?} is not a key and a value"))?;
        let key = key.trim().to_owned();
        if values.insert(key.clone(), unescape(value.trim())).is_some() {
            return Err(format!("{key} stands there twice"));
        }
    }
    Ok(values)
}

fn escape(value: &str) -> String {
    let special = ['\\', '=', ':', '#', '!'];
    value
        .chars()
        .flat_map(|c| special.contains(&c).then_some('\\').into_iter().chain([c]))
        .collect()
}

fn unescape(value: &str) -> String {
    let mut escaped = false;
    value
        .chars()
        .filter(|&c| {
            escaped = c == '\\' && !escaped;
            !escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;

    #[test]
    fn what_kafka_wrote_is_read() {
        // Of Apache Kafka 4.3.1.
        let captured = b"#\n#Sat Nov 21 11:51:46 UTC 2026\nnode.id=1\ndirectory.id=SUCugdRfQemwTEZK7DlrwQ\nversion=1\ncluster.id=AAECAwQFBgcICQoLDA0ODw\n";
        let found = parse(captured).unwrap();
        assert_eq!(
            (found.node_id, found.cluster_id.as_str()),
            (1, "AAECAwQFBgcICQoLDA0ODw")
        );
        assert_eq!(
            encode_base64_id(found.directory_id.unwrap()),
            "SUCugdRfQemwTEZK7DlrwQ"
        );
    }

    #[test]
    fn a_file_comes_back_whatever_the_cluster_is_called() {
        let disk = Disk::simulated(&SimDisk::new(1, 1 << 20));
        assert_eq!(read(&disk, Path::new("/")).unwrap(), None);
        for (cluster_id, directory_id) in [("a=b:c#d\\e!", None), ("plain", Some(Uuid::from_u128(7)))] {
            let properties = MetaProperties {
                cluster_id: cluster_id.to_owned(),
                node_id: 3,
                directory_id,
            };
            write(&disk, Path::new("/"), &properties).unwrap();
            assert_eq!(read(&disk, Path::new("/")).unwrap(), Some(properties));
        }
    }

    #[test]
    fn what_is_not_sound_is_refused_with_the_key() {
        for (text, word) in [
            ("", "version"),
            ("version=0\nbroker.id=1\n", "version 0"),
            ("version=1\nnode.id=1\n", "cluster.id"),
            ("version=1\ncluster.id=\nnode.id=1\n", "cluster.id"),
            ("version=1\ncluster.id=x\n", "node.id"),
            ("version=1\ncluster.id=x\nnode.id=-1\n", "node.id"),
            (
                "version=1\ncluster.id=x\nnode.id=1\ndirectory.id=short\n",
                "directory.id",
            ),
            ("version=1\ncluster.id=x\nnode.id=1\nnode.id=2\n", "twice"),
            ("version", "line"),
        ] {
            let reason = parse(text.as_bytes()).unwrap_err();
            assert!(reason.contains(word), "{text:?}: {reason}");
        }
    }
}
