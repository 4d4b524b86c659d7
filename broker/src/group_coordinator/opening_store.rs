//! The store of committed offsets while it opens.
//!
//! Opening it takes a dozen syncs and nobody but the group coordinator needs it, so a node serves before it is open. Whoever
//! needs it waits for it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use protocol_compat::ErrorCode;
use storage::offset_store::{OffsetStore, OffsetStoreError, OffsetStoreOptions};
use tokio::task::JoinHandle;

/// A store that is open or will be.
#[derive(Clone, Debug)]
pub struct OpeningStore(Arc<OnceLock<Option<Arc<OffsetStore>>>>);

impl OpeningStore {
    /// Opens the store at `path` on a thread of its own. The handle gives the outcome to whoever starts the node.
    pub fn begin(
        path: PathBuf,
        options: OffsetStoreOptions,
    ) -> (OpeningStore, JoinHandle<Result<(), OffsetStoreError>>) {
        let opening = OpeningStore(Arc::default());
        let opened = opening.clone();
        let task = tokio::task::spawn_blocking(move || {
            let (store, outcome) = match OffsetStore::open(&path, &options) {
                Ok(store) => (Some(Arc::new(store)), Ok(())),
                Err(error) => (None, Err(error)),
            };
            opened.0.get_or_init(|| store);
            outcome
        });
        (opening, task)
    }

    /// The open store; waits for it in a node's first milliseconds.
    ///
    /// # Errors
    /// `KAFKA_STORAGE_ERROR` if it could not be opened, which ends the node.
    pub fn wait(&self) -> Result<Arc<OffsetStore>, ErrorCode> {
        self.0.wait().clone().ok_or(ErrorCode::KafkaStorageError)
    }
}

impl From<Arc<OffsetStore>> for OpeningStore {
    fn from(store: Arc<OffsetStore>) -> OpeningStore {
        OpeningStore(Arc::new(OnceLock::from(Some(store))))
    }
}
