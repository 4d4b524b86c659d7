//! The store of committed offsets while it opens, and after it was found damaged.
//!
//! Opening it takes a dozen syncs and nobody but the group coordinator needs it, so a node serves before it is open. Whoever
//! needs it waits for it. A store that was given up is replaced by an empty one when somebody asks for it next; who still
//! has the old one gets no answer from it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use protocol_compat::ErrorCode;
use storage::offset_store::{OffsetStore, OffsetStoreError, OffsetStoreOptions};
use tokio::task::JoinHandle;
use tracing::error;

use crate::blocking;

/// A store that is open or will be.
#[derive(Clone, Debug)]
pub struct OpeningStore(Arc<OnceLock<Option<Mutex<Arc<OffsetStore>>>>>);

impl OpeningStore {
    /// Opens the store at `path` on a thread of its own. The handle gives the outcome to whoever starts the node.
    pub fn begin(
        path: PathBuf,
        options: OffsetStoreOptions,
    ) -> (OpeningStore, JoinHandle<Result<(), OffsetStoreError>>) {
        let opening = OpeningStore(Arc::default());
        let opened = opening.clone();
        let task = blocking::spawn(move || {
            let (store, outcome) = match OffsetStore::open(&path, &options) {
                Ok(store) => (Some(Mutex::new(Arc::new(store))), Ok(())),
                Err(error) => (None, Err(error)),
            };
            opened.0.get_or_init(|| store);
            outcome
        });
        (opening, task)
    }

    /// The open store; waits for it in a node's first milliseconds. Blocks.
    ///
    /// # Errors
    /// `KAFKA_STORAGE_ERROR` if it could not be opened, which ends the node, or not be replaced, which the next call tries
    /// again.
    pub fn wait(&self) -> Result<Arc<OffsetStore>, ErrorCode> {
        let store = self.0.wait().as_ref().ok_or(ErrorCode::KafkaStorageError)?;
        let mut store = store.lock();
        if store.is_lost() {
            let replaced = store.replace().map_err(|cause| {
                error!(%cause, "could not replace the damaged offset store");
                ErrorCode::KafkaStorageError
            });
            *store = Arc::new(replaced?);
        }
        Ok(store.clone())
    }

    /// Whether the store was given up and nobody has asked for the next one.
    pub fn is_lost(&self) -> bool {
        self.get().is_some_and(|store| store.is_lost())
    }

    /// The store, if it is open.
    pub fn get(&self) -> Option<Arc<OffsetStore>> {
        let store = self.0.get()?.as_ref()?;
        // Whoever replaces a store holds the lock for as long as RocksDB needs.
        store.try_lock().map(|store| store.clone())
    }
}

impl From<Arc<OffsetStore>> for OpeningStore {
    fn from(store: Arc<OffsetStore>) -> OpeningStore {
        OpeningStore(Arc::new(OnceLock::from(Some(Mutex::new(store)))))
    }
}
