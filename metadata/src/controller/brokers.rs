//! Brokers: registration, fencing, unfencing, controlled shutdown.
//!
//! A registration's epoch is its offset in the log, so a later life of a broker always has the larger one and every
//! message of an earlier life is refused. What a former life led starts a new leader epoch.

use std::sync::Arc;

use protocol_compat::records::metadata::{
    BrokerRegistrationChangeRecord, MetadataRecord, UnregisterBrokerRecord,
};
use protocol_compat::{BrokerId, ErrorCode};
use uuid::Uuid;

use super::decision::{ApiError, Decision};
use super::snapshot::broker_record;
use super::state::Controller;
use crate::image::{BrokerEndpoint, BrokerImage, BrokersImage, VersionRange};

/// The epoch of a registration whose offset is not known yet; replay puts the offset in its place.
const EPOCH_IS_OFFSET: i64 = -1;

/// What a broker says when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// Its node id.
    pub id: BrokerId,
    /// The cluster that it believes it belongs to.
    pub cluster_id: Arc<str>,
    /// Differs at every start of the process.
    pub incarnation_id: Uuid,
    /// Its listeners.
    pub endpoints: Vec<BrokerEndpoint>,
    /// The feature levels that it can run.
    pub features: Vec<VersionRange>,
    /// Its rack.
    pub rack: Option<Arc<str>>,
    /// Its log directories.
    pub directories: Vec<Uuid>,
    /// Whether it is ready at once. The broker inside a single-node cluster is; others unfence themselves by heartbeat.
    pub ready: bool,
}

impl Controller {
    /// Registers a broker, or a new life of one. Its epoch is in the image once the records are replayed.
    pub fn register_broker(&self, registration: BrokerRegistration) -> Decision<Result<(), ApiError>> {
        if let Err(error) = self.check_registration(&registration) {
            return Decision::unchanged(Err(error));
        }
        let existing = self.image.brokers.get(registration.id);
        let same_life = existing.filter(|broker| broker.incarnation_id == registration.incarnation_id);
        let broker = BrokerImage {
            id: registration.id,
            epoch: same_life.map_or(EPOCH_IS_OFFSET, |broker| broker.epoch),
            incarnation_id: registration.incarnation_id,
            endpoints: registration.endpoints,
            features: registration.features,
            rack: registration.rack,
            fenced: same_life.map_or(!registration.ready, |broker| broker.fenced),
            in_controlled_shutdown: same_life.is_some_and(|broker| broker.in_controlled_shutdown),
            directories: registration.directories,
            cordoned_directories: existing
                .map(|broker| broker.cordoned_directories.clone())
                .unwrap_or_default(),
        };
        let mut records: Vec<MetadataRecord> = vec![broker_record(&broker).into()];
        if same_life.is_none() {
            let restarted = broker.id;
            let brokers = with_broker(&self.image.brokers, broker);
            records.extend(self.election_records(&brokers, Some(restarted)));
        }
        Decision {
            records,
            response: Ok(()),
        }
    }

    fn check_registration(&self, registration: &BrokerRegistration) -> Result<(), ApiError> {
        if registration.cluster_id != self.config.cluster_id {
            let message = format!(
                "Expected cluster ID {}, but got cluster ID {}",
                self.config.cluster_id, registration.cluster_id
            );
            return Err(ApiError::new(ErrorCode::InconsistentClusterId, message));
        }
        let invalid = |message: String| Err(ApiError::new(ErrorCode::InvalidRegistration, message));
        let directories = &registration.directories;
        if directories.is_empty() {
            return invalid("No directories specified in request".to_owned());
        }
        let distinct: std::collections::BTreeSet<&Uuid> = directories.iter().collect();
        if distinct.len() != directories.len() {
            return invalid("Duplicate directory ID in request".to_owned());
        }
        for broker in self
            .image
            .brokers
            .iter()
            .filter(|broker| broker.id != registration.id)
        {
            if let Some(taken) = directories.iter().find(|id| broker.directories.contains(id)) {
                let taken = protocol_compat::types::encode_base64_id(*taken);
                return invalid(format!(
                    "Broker {} is already registered with directory {taken}",
                    broker.id
                ));
            }
        }
        Ok(())
    }

    /// Takes a broker out: it leads nothing until it is unfenced.
    pub fn fence_broker(&self, id: BrokerId, epoch: i64) -> Decision<Result<(), ApiError>> {
        self.change_registration(id, epoch, |broker| broker.fenced = true)
    }

    /// Lets a broker in: partitions without a leader that it is in sync with get it as leader.
    pub fn unfence_broker(&self, id: BrokerId, epoch: i64) -> Decision<Result<(), ApiError>> {
        self.change_registration(id, epoch, |broker| broker.fenced = false)
    }

    /// A broker is about to stop: its leaderships go to others where there are others.
    pub fn begin_controlled_shutdown(&self, id: BrokerId, epoch: i64) -> Decision<Result<(), ApiError>> {
        self.change_registration(id, epoch, |broker| broker.in_controlled_shutdown = true)
    }

    fn change_registration(
        &self,
        id: BrokerId,
        epoch: i64,
        change: impl FnOnce(&mut BrokerImage),
    ) -> Decision<Result<(), ApiError>> {
        let old = match self.check_broker_epoch(id, epoch) {
            Ok(old) => old,
            Err(error) => return Decision::unchanged(Err(error)),
        };
        let mut new = BrokerImage::clone(&old);
        change(&mut new);
        if new == *old {
            return Decision::unchanged(Ok(()));
        }
        let record = BrokerRegistrationChangeRecord {
            broker_id: id,
            broker_epoch: epoch,
            fenced: match (old.fenced, new.fenced) {
                (false, true) => 1,
                (true, false) => -1,
                _ => 0,
            },
            in_controlled_shutdown: i8::from(new.in_controlled_shutdown && !old.in_controlled_shutdown),
            ..BrokerRegistrationChangeRecord::default()
        };
        let mut records = vec![record.into()];
        records.extend(self.election_records(&with_broker(&self.image.brokers, new), None));
        Decision {
            records,
            response: Ok(()),
        }
    }

    /// Forgets a broker that will not come back.
    pub fn unregister_broker(&self, id: BrokerId) -> Decision<Result<(), ApiError>> {
        let Some(broker) = self.image.brokers.get(id) else {
            let message = format!("Broker ID {id} is not currently registered");
            return Decision::unchanged(Err(ApiError::new(ErrorCode::BrokerIdNotRegistered, message)));
        };
        let record = UnregisterBrokerRecord {
            broker_id: id,
            broker_epoch: broker.epoch,
        };
        let mut remaining = self.image.brokers.clone();
        remaining.remove(id);
        let mut records = self.election_records(&remaining, None);
        records.push(record.into());
        Decision {
            records,
            response: Ok(()),
        }
    }

    /// The broker, if `epoch` is its present life.
    pub(super) fn check_broker_epoch(&self, id: BrokerId, epoch: i64) -> Result<Arc<BrokerImage>, ApiError> {
        match self.image.brokers.get(id) {
            None => Err(ApiError::new(
                ErrorCode::BrokerIdNotRegistered,
                format!("No broker registration found for broker id {id}"),
            )),
            Some(broker) if broker.epoch != epoch => Err(ApiError::new(
                ErrorCode::StaleBrokerEpoch,
                format!(
                    "Expected broker epoch {}, but got broker epoch {epoch}",
                    broker.epoch
                ),
            )),
            Some(broker) => Ok(broker.clone()),
        }
    }
}

fn with_broker(brokers: &BrokersImage, broker: BrokerImage) -> BrokersImage {
    let mut brokers = brokers.clone();
    brokers.insert(broker);
    brokers
}
