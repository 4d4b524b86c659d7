//! One log directory for those who work in it and know no other.

use std::path::Path;
use std::sync::Arc;

use super::{DirectoryIndex, DiskStalls, Inside};

/// The log directory of a partition.
#[derive(Clone, Debug)]
pub struct DirectoryWatch {
    stalls: Arc<DiskStalls>,
    directory: Option<DirectoryIndex>,
}

impl DirectoryWatch {
    /// That at `path`, or one that is not known.
    pub fn new(stalls: &Arc<DiskStalls>, path: Option<&Path>) -> DirectoryWatch {
        DirectoryWatch {
            stalls: stalls.clone(),
            directory: path.and_then(|path| stalls.directory(path)),
        }
    }

    /// Nobody watches it.
    pub fn unwatched() -> DirectoryWatch {
        DirectoryWatch::new(&DiskStalls::unwatched(), None)
    }

    /// Its place in the table, if it is watched.
    pub fn directory(&self) -> Option<DirectoryIndex> {
        self.directory
    }

    /// The calling thread touches it until the result is dropped; see [`DiskStalls::enter`].
    pub fn enter(&self) -> Inside<'_> {
        self.stalls.enter(self.directory)
    }

    /// Whether its disk stalls.
    pub fn is_stalling(&self) -> bool {
        !self.stalls.stalling_among([self.directory]).is_empty()
    }

    /// Does `work`, which touches it, here, or aside while its disk stalls.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let stalling = self.stalls.stalling_among([self.directory]);
        if stalling.is_empty() {
            work()
        } else {
            self.stalls.aside(stalling, work).await
        }
    }
}
