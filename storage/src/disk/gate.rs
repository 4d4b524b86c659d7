//! A simulated disk that stalls: writes and syncs of the files below a directory wait until it goes on.

use std::path::{Path, PathBuf};

use parking_lot::{Condvar, Mutex};

#[derive(Debug, Default)]
pub(super) struct Gate {
    closed_below: Mutex<Option<PathBuf>>,
    changed: Condvar,
}

impl Gate {
    pub(super) fn close_below(&self, directory: &Path) {
        *self.closed_below.lock() = Some(directory.to_owned());
    }

    pub(super) fn open(&self) {
        *self.closed_below.lock() = None;
        self.changed.notify_all();
    }

    /// Returns when a file at `path` may be written.
    pub(super) fn pass(&self, path: &Path) {
        let mut closed = self.closed_below.lock();
        while closed
            .as_ref()
            .is_some_and(|directory| path.starts_with(directory))
        {
            self.changed.wait(&mut closed);
        }
    }
}
