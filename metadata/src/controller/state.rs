//! The controller's state: the image, and what is derived from it for decisions.
//!
//! State changes only in `replay`. The decisions themselves are in one file per kind of object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol_compat::BrokerId;
use protocol_compat::records::metadata::MetadataRecord;

use super::apply::apply_record;
use super::topic_name::collision_key;
use crate::configs::{BrokerLayers, ConfigResource};
use crate::image::MetadataImage;

/// What the node's configuration says to the controller.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// The cluster's id.
    pub cluster_id: Arc<str>,
    /// The node that this controller runs on.
    pub node_id: BrokerId,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// Broker keys that the configuration file sets, as they stand there.
    pub broker_configs: Arc<BTreeMap<String, String>>,
}

/// A record that cannot follow what was replayed before it: the log is not what a controller wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not replay the metadata record at offset {offset}: {reason}")]
pub struct ReplayError {
    /// The record's offset.
    pub offset: i64,
    /// What is wrong.
    pub reason: String,
}

/// The pure controller: decides, and changes only by replay.
#[derive(Clone, Debug)]
pub struct Controller {
    pub(super) config: ControllerConfig,
    pub(super) image: MetadataImage,
    /// Existing topics by the name that they would have in metrics.
    collisions: BTreeMap<String, BTreeSet<Arc<str>>>,
}

impl Controller {
    /// The controller before the first record.
    pub fn new(config: ControllerConfig) -> Controller {
        Controller {
            image: MetadataImage::empty(config.cluster_id.clone()),
            config,
            collisions: BTreeMap::new(),
        }
    }

    /// The controller that a snapshot describes: `records` are what [`super::snapshot_records`] wrote of the image at
    /// `offset`.
    ///
    /// # Errors
    /// [`ReplayError`] when the records contradict each other.
    pub fn restore(
        config: ControllerConfig,
        offset: i64,
        records: impl IntoIterator<Item = MetadataRecord>,
    ) -> Result<Controller, ReplayError> {
        let mut controller = Controller::new(config);
        for record in records {
            controller.replay(offset, &record)?;
        }
        controller.image.offset = offset;
        Ok(controller)
    }

    /// The image as of the last replayed record.
    pub fn image(&self) -> Arc<MetadataImage> {
        Arc::new(self.image.clone())
    }

    /// The configuration that decisions are based on.
    pub fn config(&self) -> &ControllerConfig {
        &self.config
    }

    /// Takes over a committed record.
    ///
    /// # Errors
    /// [`ReplayError`] when it contradicts what came before; the state is unusable then and the node must stop.
    pub fn replay(&mut self, offset: i64, record: &MetadataRecord) -> Result<(), ReplayError> {
        self.forget_removed_name(record);
        apply_record(&mut self.image, offset, record).map_err(|reason| ReplayError { offset, reason })?;
        self.remember_new_name(record);
        self.image.offset = offset;
        Ok(())
    }

    /// An existing topic whose name differs from `name` only in dots and underscores, or is the same.
    pub(super) fn colliding_topic(&self, name: &str) -> Option<&Arc<str>> {
        self.collisions.get(&collision_key(name)?)?.first()
    }

    /// The values of broker keys that stand behind topic keys.
    pub(super) fn broker_layers(&self) -> BrokerLayers<'_> {
        BrokerLayers {
            node_id: self.config.node_id,
            from_file: &self.config.broker_configs,
            dynamic: &self.image.configs,
        }
    }

    /// What a resource sets itself, as plain text.
    pub(super) fn own_configs(&self, resource: &ConfigResource) -> BTreeMap<String, String> {
        let entries = self.image.configs.entries(resource);
        entries
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }

    fn forget_removed_name(&mut self, record: &MetadataRecord) {
        let MetadataRecord::RemoveTopic(removed) = record else {
            return;
        };
        let Some(topic) = self.image.topics.by_id(removed.topic_id) else {
            return;
        };
        let Some(key) = collision_key(&topic.name) else {
            return;
        };
        if let Some(names) = self.collisions.get_mut(&key) {
            names.remove(&topic.name);
            if names.is_empty() {
                self.collisions.remove(&key);
            }
        }
    }

    fn remember_new_name(&mut self, record: &MetadataRecord) {
        let MetadataRecord::Topic(created) = record else {
            return;
        };
        if let Some(key) = collision_key(&created.name) {
            self.collisions
                .entry(key)
                .or_default()
                .insert(created.name.clone());
        }
    }
}
