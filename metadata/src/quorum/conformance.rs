//! Upstream's storage conformance suite over any implementation of the seams (rule O14).
//!
//! It is here, and not with the tests of each implementation, because only this module may name openraft.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use openraft::StorageError;
use openraft::errors::ErrorSource;
use openraft::impls::BoxedErrorSource;
use openraft::testing::log::{StoreBuilder, Suite};
use tokio::sync::Notify;

use super::log_store::{Home, LogStore};
use super::log_writer::Stopping;
use super::seams::{ApplySink, ImageView, QuorumStorage};
use super::state_machine::{SnapshotHome, SnapshotTrigger, StateMachine};
use super::types::TypeConfig;

/// Runs upstream's suite. `fresh` gives an empty storage at each call, and something that keeps it alive.
///
/// # Errors
/// What the suite found. A broken expectation of the suite panics.
pub async fn run_conformance_suite<Guard: Send + Sync>(
    fresh: impl Fn() -> (Guard, QuorumStorage) + Send + Sync,
) -> Result<(), String> {
    Suite::test_all(Fresh(fresh))
        .await
        .map_err(|error| error.to_string())
}

struct Fresh<F>(F);

impl<Guard, F> StoreBuilder<TypeConfig, LogStore, StateMachine, Guard> for Fresh<F>
where
    Guard: Send + Sync,
    F: Fn() -> (Guard, QuorumStorage) + Send + Sync,
{
    async fn build(&self) -> Result<(Guard, LogStore, StateMachine), StorageError<TypeConfig>> {
        let (guard, storage) = (self.0)();
        // The suite purges without a snapshot.
        let bound = Arc::new(AtomicU64::new(u64::MAX));
        let failed = |error: std::io::Error| StorageError::read(BoxedErrorSource::from_error(&error));
        let home = SnapshotHome::open(
            storage.snapshots.clone(),
            "conformance".into(),
            bound.clone(),
            Stopping::default(),
        )
        .map_err(failed)?;
        let log = LogStore::open(storage, Home::unknown(), bound).map_err(failed)?;
        let trigger = SnapshotTrigger {
            after_bytes: u64::MAX,
            due: Arc::new(Notify::new()),
        };
        Ok((guard, log, StateMachine::new(Arc::new(NoState), home, trigger)))
    }
}

/// The suite looks at log ids and voters only.
struct NoState;

impl ApplySink for NoState {
    fn replay(&self, _offset: u64, _records: &[Bytes]) -> Result<(), String> {
        Ok(())
    }

    fn install(&self, _offset: u64, _records: &[Bytes]) -> Result<(), String> {
        Ok(())
    }

    fn view(&self) -> ImageView {
        Box::new(|| Ok(Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryDisk;
    use super::super::seams::WriterMode;
    use super::*;

    #[tokio::test]
    async fn the_seams_in_memory_pass_upstreams_suite() {
        run_conformance_suite(|| ((), MemoryDisk::new().storage(WriterMode::Thread)))
            .await
            .unwrap();
    }
}
