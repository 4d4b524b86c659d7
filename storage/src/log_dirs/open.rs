//! Taking the log directories at start: lock, whose they are, marker, format.

use std::io;
use std::path::{Path, PathBuf};

use protocol_compat::types::encode_base64_id;
use uuid::Uuid;

use super::{CleanShutdown, LOCK_FILE, LogDir, LogDirs, OpenError, clean_shutdown};
use crate::disk::{DirLock, Disk};
use crate::meta_properties::{self, MetaProperties, MetaPropertiesError};

/// Who wants the directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// `node.id`.
    pub node_id: i32,
    /// The cluster's id if the operator names one; else that of the directories, else a new one.
    pub cluster_id: Option<String>,
}

/// Takes all directories, or none.
///
/// Missing ones are created, empty ones formatted with an id from `new_id`, which also gives a new cluster its id. A
/// directory whose file system fails is offline in the result.
///
/// # Errors
/// A directory that is in use, foreign, unowned or a copy, and when none works.
pub fn open(
    disk: &Disk,
    paths: &[PathBuf],
    identity: &NodeIdentity,
    new_id: &mut dyn FnMut() -> Uuid,
) -> Result<LogDirs, OpenError> {
    if paths.is_empty() {
        return Err(OpenError::NoDirectory);
    }
    let mut taken = Vec::new();
    for path in paths {
        taken.push((path, online(take(disk, path))?));
    }
    let cluster_id = cluster_id(&taken, identity, new_id)?;
    let mut dirs: Vec<LogDir> = Vec::new();
    for (path, found) in taken {
        let prepared = match found {
            Ok(found) => online(prepare(disk, path, &found, &cluster_id, identity.node_id, new_id))?
                .map(|(id, clean)| (id, clean, found.lock)),
            Err(reason) => Err(reason),
        };
        let dir = log_dir(disk, path, prepared);
        if let Some(twin) = dirs.iter().find(|twin| !dir.id.is_nil() && twin.id == dir.id) {
            let (first, second) = (twin.path.clone(), dir.path);
            return Err(OpenError::SameId { first, second });
        }
        dirs.push(dir);
    }
    if let Some(reason) = dirs.iter().map(LogDir::failure).collect::<Option<Vec<_>>>() {
        return Err(OpenError::AllFailed(
            reason.last().copied().unwrap_or_default().to_owned(),
        ));
    }
    Ok(LogDirs {
        cluster_id,
        node_id: identity.node_id,
        dirs,
    })
}

struct Taken {
    lock: DirLock,
    properties: Option<MetaProperties>,
}

/// What stops the node, and what only takes a directory offline.
enum Refusal {
    Node(OpenError),
    Dir(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Dir(error)
    }
}

fn online<T>(result: Result<T, Refusal>) -> Result<Result<T, String>, OpenError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Refusal::Dir(error)) => Ok(Err(error.to_string())),
        Err(Refusal::Node(error)) => Err(error),
    }
}

/// Nothing of the directory's content changes here: it may turn out to be somebody else's.
fn take(disk: &Disk, path: &Path) -> Result<Taken, Refusal> {
    create_durably(disk, path)?;
    let lock = disk
        .try_lock(&path.join(LOCK_FILE))?
        .ok_or_else(|| Refusal::Node(OpenError::InUse(path.to_owned())))?;
    let properties = match meta_properties::read(disk, path) {
        Ok(properties) => properties,
        Err(MetaPropertiesError::Io(error)) => return Err(Refusal::Dir(error)),
        Err(error) => return Err(Refusal::Node(error.into())),
    };
    if properties.is_none()
        && disk
            .read_dir(path)?
            .iter()
            .any(|entry| entry.is_dir && names_partition(&entry.name))
    {
        return Err(Refusal::Node(OpenError::Unowned(path.to_owned())));
    }
    Ok(Taken { lock, properties })
}

/// Creates what is missing of the path, and makes each new name durable in its parent.
fn create_durably(disk: &Disk, path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for ancestor in path.ancestors() {
        if ancestor.as_os_str().is_empty() || disk.exists(ancestor)? {
            break;
        }
        missing.push(ancestor);
    }
    if missing.is_empty() {
        return Ok(());
    }
    disk.create_dir_all(path)?;
    for created in missing.into_iter().rev() {
        match created.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => disk.sync_dir(parent)?,
            _ => disk.sync_dir(Path::new("."))?,
        }
    }
    Ok(())
}

/// `<topic>-<partition>`.
fn names_partition(name: &str) -> bool {
    name.rsplit_once('-')
        .is_some_and(|(topic, partition)| !topic.is_empty() && partition.parse::<u32>().is_ok())
}

/// The one cluster of all directories and of the operator; a new one if nobody names any.
fn cluster_id(
    taken: &[(&PathBuf, Result<Taken, String>)],
    identity: &NodeIdentity,
    new_id: &mut dyn FnMut() -> Uuid,
) -> Result<String, OpenError> {
    let operator = identity.cluster_id.clone();
    let mut known = operator.map(|id| (id, "the configured cluster id".to_owned()));
    for (dir, taken) in taken {
        let Ok(Taken {
            properties: Some(properties),
            ..
        }) = taken
        else {
            continue;
        };
        let file = dir.join(meta_properties::FILE_NAME).display().to_string();
        let (expected, expected_by) = known.get_or_insert_with(|| (properties.cluster_id.clone(), file));
        let foreign = |what, found: String, expected: String, expected_by: &str| {
            let dir = PathBuf::clone(dir);
            Err(OpenError::Foreign {
                dir,
                what,
                found,
                expected,
                expected_by: expected_by.to_owned(),
            })
        };
        if *expected != properties.cluster_id {
            let found = properties.cluster_id.clone();
            return foreign("cluster", found, expected.clone(), expected_by);
        }
        if properties.node_id != identity.node_id {
            return foreign(
                "node",
                properties.node_id.to_string(),
                identity.node_id.to_string(),
                "node.id",
            );
        }
    }
    Ok(known.map_or_else(|| encode_base64_id(new_id()), |(id, _)| id))
}

/// Takes the clean-shutdown marker away, then writes what `meta.properties` lacks.
fn prepare(
    disk: &Disk,
    path: &Path,
    taken: &Taken,
    cluster_id: &str,
    node_id: i32,
    new_id: &mut dyn FnMut() -> Uuid,
) -> Result<(Uuid, Option<CleanShutdown>), Refusal> {
    let clean = clean_shutdown::take(disk, path)?;
    let known = taken
        .properties
        .as_ref()
        .and_then(|properties| properties.directory_id);
    let id = match known {
        Some(id) => id,
        None => {
            let directory_id = new_id();
            let properties = MetaProperties {
                cluster_id: cluster_id.to_owned(),
                node_id,
                directory_id: Some(directory_id),
            };
            meta_properties::write(disk, path, &properties)?;
            directory_id
        }
    };
    Ok((id, clean))
}

fn log_dir(
    disk: &Disk,
    path: &Path,
    prepared: Result<(Uuid, Option<CleanShutdown>, DirLock), String>,
) -> LogDir {
    let mut dir = LogDir {
        path: path.to_owned(),
        id: Uuid::nil(),
        disk: disk.clone(),
        failure: std::sync::OnceLock::new(),
        clean_shutdown: None,
        _lock: None,
    };
    match prepared {
        Ok((id, clean_shutdown, lock)) => {
            (dir.id, dir.clean_shutdown, dir._lock) = (id, clean_shutdown, Some(lock));
        }
        Err(reason) => {
            dir.fail(reason);
        }
    }
    dir
}
