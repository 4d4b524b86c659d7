//! The pure controller as the quorum's state machine.
//!
//! Committed entries are replayed into the controller here and nowhere else (live, at a start, and from a snapshot
//! alike), and every entry gives one published image. What is decided, and in what order, is `controller_server`'s.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use metadata::controller::{Controller, ControllerConfig, snapshot_records};
use metadata::quorum::{ApplySink, ImageView};
use protocol_compat::records::metadata::MetadataRecord;

use crate::metadata_publisher::MetadataPublisher;

/// The controller, replayed.
pub struct ControllerState {
    config: ControllerConfig,
    controller: Mutex<Controller>,
    publisher: Arc<MetadataPublisher>,
}

impl ControllerState {
    /// The state before the first entry.
    pub fn new(config: ControllerConfig, publisher: Arc<MetadataPublisher>) -> ControllerState {
        ControllerState {
            controller: Mutex::new(Controller::new(config.clone())),
            config,
            publisher,
        }
    }

    /// The controller as of the last applied entry. Hold it for a decision, not for a wait.
    pub fn controller(&self) -> MutexGuard<'_, Controller> {
        // A replay that panicked has ended the Raft core, and with it the process.
        self.controller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, controller: MutexGuard<'_, Controller>) {
        let image = controller.image();
        drop(controller);
        self.publisher.publish(image);
    }
}

impl ApplySink for ControllerState {
    fn replay(&self, offset: u64, records: &[Bytes]) -> Result<(), String> {
        let offset = i64::try_from(offset).map_err(|error| error.to_string())?;
        let mut controller = self.controller();
        for record in records {
            let record = decode(record)?;
            controller
                .replay(offset, &record)
                .map_err(|error| error.to_string())?;
        }
        self.publish(controller);
        Ok(())
    }

    fn install(&self, offset: u64, records: &[Bytes]) -> Result<(), String> {
        let offset = i64::try_from(offset).map_err(|error| error.to_string())?;
        let records = records.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
        let restored =
            Controller::restore(self.config.clone(), offset, records).map_err(|error| error.to_string())?;
        let mut controller = self.controller();
        *controller = restored;
        self.publish(controller);
        Ok(())
    }

    fn view(&self) -> ImageView {
        let image = self.controller().image();
        Box::new(move || {
            let records = snapshot_records(&image);
            records
                .iter()
                .map(MetadataRecord::encode)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| error.to_string())
        })
    }
}

fn decode(record: &Bytes) -> Result<MetadataRecord, String> {
    MetadataRecord::decode(record).map_err(|error| format!("a metadata record cannot be read: {error}"))
}
