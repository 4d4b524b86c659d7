//! Partitions that stand in two log directories at start.
//!
//! A topic may be deleted and created again while one of the directories is offline: what that one has of the former topic
//! is still there at the next start. The topic's id, once somebody asks for the partition, tells which directory counts;
//! what the others have leaves the disk. Until then such a partition has no place in the manager.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use protocol_compat::{TopicId, TopicPartition};

use super::LogManager;
use super::opening::Slot;
use crate::disk::Disk;
use crate::log::{LogError, read_topic_id};
use crate::log_dirs::OpenError;

type Slots = BTreeMap<TopicPartition, Arc<Slot>>;

/// The places of the partitions that have several.
#[derive(Default)]
pub(super) struct Twins {
    places: Mutex<BTreeMap<TopicPartition, Vec<Twin>>>,
}

struct Twin {
    slot: Arc<Slot>,
    /// `None` for one whose log was never flushed, so that nothing was promised of it.
    topic_id: Option<TopicId>,
}

impl Twins {
    /// Takes a place that was found besides the one in `slots`.
    pub fn add(&mut self, partition: &TopicPartition, slots: &mut Slots, slot: Arc<Slot>) {
        let unknown = |slot| Twin { slot, topic_id: None };
        let twins = self.places.get_mut().entry(partition.clone()).or_default();
        twins.extend(slots.remove(partition).map(unknown));
        twins.push(unknown(slot));
    }

    /// Reads whose the places are.
    ///
    /// # Errors
    /// [`OpenError::PartitionTwice`] where that does not tell them apart.
    pub fn tell_apart(&mut self, disk: &Disk) -> Result<(), OpenError> {
        for (partition, twins) in self.places.get_mut() {
            twins.retain_mut(|twin| {
                let directory = twin.slot.directory();
                match read_topic_id(disk, &directory.path().join(partition.to_string())) {
                    Ok(topic_id) => twin.topic_id = topic_id,
                    Err(error) => directory.fail(error.to_string()),
                }
                directory.failure().is_none()
            });
            for (at, twin) in twins.iter().enumerate() {
                if let Some(same) = twins[..at].iter().find(|known| known.topic_id == twin.topic_id) {
                    return Err(OpenError::PartitionTwice {
                        partition: partition.clone(),
                        first: same.slot.directory().path().to_owned(),
                        second: twin.slot.directory().path().to_owned(),
                    });
                }
            }
        }
        Ok(())
    }

    /// The partitions that have several places.
    pub fn partitions(&mut self) -> Vec<TopicPartition> {
        self.places.get_mut().keys().cloned().collect()
    }

    pub fn contains(&self, partition: &TopicPartition) -> bool {
        self.places.lock().contains_key(partition)
    }

    /// All places of a partition, which has none from here on.
    pub fn take(&self, partition: &TopicPartition) -> Vec<Arc<Slot>> {
        let taken = self.places.lock().remove(partition).unwrap_or_default();
        taken.into_iter().map(|twin| twin.slot).collect()
    }
}

impl LogManager {
    /// Gives a partition that has several places the one of its topic, and deletes the others. Nothing is done for one
    /// that has none or one.
    ///
    /// # Errors
    /// Those of [`LogManager::delete`]; the place counts all the same.
    pub(super) fn settle_twins(
        &self,
        partition: &TopicPartition,
        topic_id: Option<TopicId>,
        now_ms: i64,
    ) -> Result<(), LogError> {
        let mut places = self.twins.places.lock();
        let Some(mut twins) = places.remove(partition) else {
            return Ok(());
        };
        let of_topic = twins
            .iter()
            .position(|twin| topic_id.is_some() && twin.topic_id == topic_id);
        let unowned = || twins.iter().position(|twin| twin.topic_id.is_none());
        if let Some(at) = of_topic.or_else(unowned) {
            let twin = twins.swap_remove(at);
            self.slots.write().insert(partition.clone(), twin.slot);
        }
        drop(places);
        let mut result = Ok(());
        for twin in twins {
            let dir = twin.slot.directory().path().display();
            tracing::info!(%partition, %dir, "removing what is left of an earlier topic");
            result = result.and(self.delete_place(partition, &twin.slot, now_ms));
        }
        result
    }
}
