//! The partitions of this node: opened when first touched, found by name or by topic id, gone when their topic is.
//!
//! Metadata says which partitions this node leads; a partition that is not open costs nothing. Records are appended and read
//! through [`Partition`]; who may do so and in which format is for the handlers.

#[cfg(test)]
pub(crate) mod config_tests;
mod leadership;
mod log_config;
#[cfg(test)]
mod offline_tests;
mod partition;
#[cfg(test)]
mod partition_tests;
mod partition_watch;
mod purgatory;
mod read;
mod recovery;
mod topic_configs;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use metadata::configs::{BrokerLayers, ConfigResource, ConfigValue, parse_value, topic_config_values};
use metadata::image::{MetadataImage, PartitionImage, TopicImage};
use parking_lot::{Mutex, RwLock};
use protocol_compat::{BrokerId, ErrorCode, LeaderEpoch, TopicId, TopicPartition};
use storage::log::{LogConfig, LogError, PartitionLog};
use storage::log_manager::LogManager;
use tracing::{error, info};

use self::partition::PartitionEvents;
pub use self::partition::{Acknowledgement, Partition, RequiredAcks};
pub use self::partition_watch::PartitionWatch;
pub use self::read::{
    FetchLimits, FetchWait, Isolation, PartitionFetch, PartitionRead, Renewal, read_or_wait,
    stalling_directories,
};
use self::topic_configs::TopicConfigs;
pub use self::watch::ChangedPartitions;
use crate::clock::Clock;
use crate::config::{Settings, table};
use crate::disk_stalls::{DirectoryIndex, DiskStalls};
use crate::metadata_cache::MetadataCache;

/// How many partitions may be opening at one time before two of them can wait for each other by chance.
const OPENING_TURNS: usize = 64;

/// The partitions of this node.
pub struct ReplicaManager {
    node_id: BrokerId,
    cache: MetadataCache,
    logs: Arc<LogManager>,
    from_file: BTreeMap<String, String>,
    clock: Clock,
    disk_stalls: Arc<DiskStalls>,
    configs: TopicConfigs,
    /// The metadata of the start, kept while a log directory is unread.
    at_start: OnceLock<Arc<MetadataImage>>,
    open: RwLock<HashMap<(TopicId, i32), Arc<Partition>>>,
    opening: [Mutex<()>; OPENING_TURNS],
}

impl ReplicaManager {
    /// The partitions that `logs` holds for this node.
    pub fn new(
        node_id: BrokerId,
        cache: MetadataCache,
        logs: Arc<LogManager>,
        settings: &Settings,
        clock: Clock,
        disk_stalls: Arc<DiskStalls>,
    ) -> ReplicaManager {
        ReplicaManager {
            node_id,
            cache,
            logs,
            from_file: settings.from_file(),
            clock,
            disk_stalls,
            configs: TopicConfigs::default(),
            at_start: OnceLock::new(),
            open: RwLock::default(),
            opening: std::array::from_fn(|_| Mutex::new(())),
        }
    }

    /// Tells the partitions that were there before the node from those that it sees created: the newest metadata is that of
    /// the start. To be called once, before clients are served.
    pub fn started(&self) {
        if self.logs.has_unread_directory() {
            self.at_start.get_or_init(|| self.cache.image());
        }
    }

    /// The partition of a topic by name, opened if it is not.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION` where it does not exist, `NOT_LEADER_OR_FOLLOWER` where another node leads it,
    /// `KAFKA_STORAGE_ERROR` where its log cannot be opened.
    pub fn partition(&self, topic: &str, index: i32) -> Result<Arc<Partition>, ErrorCode> {
        let image = self.cache.image();
        let topic = image
            .topics
            .by_name(topic)
            .ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.partition_of(topic, index)
    }

    /// The partition of a topic by id, opened if it is not.
    ///
    /// # Errors
    /// As [`ReplicaManager::partition`], and `UNKNOWN_TOPIC_ID` where no topic has this id.
    pub fn partition_by_id(&self, topic: TopicId, index: i32) -> Result<Arc<Partition>, ErrorCode> {
        let image = self.cache.image();
        let topic = image.topics.by_id(topic).ok_or(ErrorCode::UnknownTopicId)?;
        self.partition_of(topic, index)
    }

    fn partition_of(&self, topic: &TopicImage, index: i32) -> Result<Arc<Partition>, ErrorCode> {
        let registration = topic.partition(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if registration.leader != self.node_id {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        if let Some(partition) = self.open.read().get(&(topic.id, index)) {
            return match partition.log().is_failed() {
                true => Err(ErrorCode::KafkaStorageError),
                false => Ok(partition.clone()),
            };
        }
        self.open_partition(topic, index, registration)
    }

    /// Opens the log, which recovers what an unclean stop left, and takes the partition into the map. Two that open the
    /// same partition wait for each other; others do not.
    fn open_partition(
        &self,
        topic: &TopicImage,
        index: i32,
        registration: &PartitionImage,
    ) -> Result<Arc<Partition>, ErrorCode> {
        let key = (topic.id, index);
        let _inside = self.disk_stalls.enter(None);
        let _turn = self.turn_of(&key).lock();
        if let Some(partition) = self.open.read().get(&key) {
            return Ok(partition.clone());
        }
        let topic_partition = TopicPartition::new(topic.name.clone(), index);
        if self.may_be_offline(&topic_partition, topic.id) {
            return Err(ErrorCode::KafkaStorageError);
        }
        let events = PartitionEvents::new();
        let config = self.log_config(&topic.name);
        let log = self
            .open_log(&topic_partition, topic.id, config, &events)
            .map_err(|cause| {
                error!(partition = %topic_partition, %cause, "could not open a partition");
                ErrorCode::KafkaStorageError
            })?;
        let partition = Partition::new(
            topic.id,
            registration,
            log,
            self.logs.clone(),
            &self.disk_stalls,
            &events,
        );
        self.open.write().insert(key, partition.clone());
        // An image that came while the log was opened did not find the partition among the open ones.
        self.follow(&partition, &self.cache.image());
        let config = self.log_config(&topic.name);
        partition.update_config(config);
        if partition.is_gone() {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        Ok(partition)
    }

    /// A partition that was there before the node and has no place may have one in a directory that could not be read: an
    /// empty log instead would hide its records, and take others at the same offsets.
    fn may_be_offline(&self, place: &TopicPartition, id: TopicId) -> bool {
        if !self.logs.has_unread_directory() || self.logs.has_place(place) {
            return false;
        }
        let existed = |image: &Arc<MetadataImage>| {
            let topic = image.topics.by_id(id);
            topic.is_some_and(|topic| topic.partition(place.partition).is_some())
        };
        self.at_start.get().is_none_or(existed)
    }

    /// Opens the log of a topic. What lies there of an earlier topic of the same name makes room: a node that was killed
    /// while it deleted a topic has not got round to it.
    fn open_log(
        &self,
        place: &TopicPartition,
        id: TopicId,
        config: Arc<LogConfig>,
        events: &Arc<PartitionEvents>,
    ) -> Result<Arc<PartitionLog>, LogError> {
        let now_ms = self.clock.wall_ms();
        let open = || {
            self.logs
                .get_or_open(place, id, config.clone(), Some(events.clone()), now_ms)
        };
        match open() {
            Err(LogError::ForeignTopic { found, .. }) => {
                info!(partition = %place, topic_id = found, "removing what is left of an earlier topic");
                self.logs.delete(place, now_ms)?;
                open()
            }
            opened => opened,
        }
    }

    fn turn_of(&self, key: &(TopicId, i32)) -> &Mutex<()> {
        let mut hasher = std::hash::DefaultHasher::new();
        key.hash(&mut hasher);
        let slot = usize::try_from(hasher.finish() % OPENING_TURNS as u64).unwrap_or(0);
        &self.opening[slot]
    }

    /// The values of the topic keys on a topic: its own, else the broker's, else Kafka's. Its partitions share them.
    fn log_config(&self, topic: &str) -> Arc<LogConfig> {
        self.configs.get(topic, || {
            let image = self.cache.image();
            self.effective_config(&image, topic)
        })
    }

    fn effective_config(&self, image: &MetadataImage, topic: &str) -> LogConfig {
        let own = image
            .configs
            .entries(&ConfigResource::topic(topic))
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        log_config::from_values(&topic_config_values(&own, self.layers(image)))
    }

    fn layers<'a>(&'a self, image: &'a MetadataImage) -> BrokerLayers<'a> {
        BrokerLayers {
            node_id: self.node_id,
            from_file: &self.from_file,
            dynamic: &image.configs,
        }
    }

    /// The value in force of a broker key that can change while the node runs; `None` for one that has none.
    pub fn broker_key(&self, key: &str) -> Option<ConfigValue> {
        let row = table::find(key)?;
        let set = self.layers(&self.image()).broker_key(row.name);
        let text = set.as_deref().or(row.default)?;
        // Texts that are no value of the key were refused when they were set.
        parse_value(key, row.key_type, text).ok()
    }

    /// `producer.id.expiration.ms` in force.
    pub fn producer_id_expiration_ms(&self) -> i64 {
        match self.broker_key("producer.id.expiration.ms") {
            Some(ConfigValue::Integer(value)) => value,
            _ => i64::MAX,
        }
    }

    /// The partitions that are open.
    pub fn open_partitions(&self) -> Vec<Arc<Partition>> {
        self.open.read().values().cloned().collect()
    }

    /// Leader and leader epoch of a partition, by topic id or, where that is nil, by name.
    pub fn leader(&self, name: &str, id: TopicId, index: i32) -> Option<(BrokerId, LeaderEpoch)> {
        let image = self.cache.image();
        let partition = named(&image, name, id)?.partition(index)?;
        Some((partition.leader, partition.leader_epoch))
    }

    /// The monotonic clock in milliseconds, for ages.
    pub fn monotonic_ms(&self) -> i64 {
        self.clock.monotonic_ms()
    }

    /// The newest metadata.
    pub fn image(&self) -> Arc<MetadataImage> {
        self.cache.image()
    }

    /// What the runtime's workers do on the disks.
    pub fn disk_stalls(&self) -> &Arc<DiskStalls> {
        &self.disk_stalls
    }

    /// The directory of a partition, by topic id or, where that is nil, by name; `None` where it is not open.
    pub fn directory_of(&self, name: &str, id: TopicId, index: i32) -> Option<DirectoryIndex> {
        let id = named(&self.cache.image(), name, id)?.id;
        self.open.read().get(&(id, index))?.directory()
    }

    /// The logs below the partitions.
    pub fn logs(&self) -> &Arc<LogManager> {
        &self.logs
    }

    /// Acts on a new image: closes and deletes what is no longer there, takes over leader epochs and configurations. The
    /// cache of images has it already.
    pub fn image_changed(&self, before: &MetadataImage, now: &MetadataImage) {
        for partition in self.open_partitions() {
            self.follow(&partition, now);
        }
        self.delete_unopened(before, now);
        let changed = self.configs.forget_changed(self.node_id, before, now);
        if changed.is_empty() {
            return;
        }
        // Some logs are open although nobody uses their partition.
        self.logs.update_configs(|partition| {
            let topic = &partition.topic;
            let is_there = changed.concerns(topic) && now.topics.by_name(topic).is_some();
            is_there.then(|| self.log_config(topic))
        });
        for partition in self.open_partitions() {
            let topic = &partition.topic_partition().topic;
            if changed.concerns(topic) {
                partition.update_config(self.log_config(topic));
            }
        }
    }

    /// Takes over what an image says of an open partition.
    fn follow(&self, partition: &Arc<Partition>, image: &MetadataImage) {
        let index = partition.topic_partition().partition;
        let topic = image.topics.by_id(partition.topic_id());
        match topic.and_then(|topic| topic.partition(index)) {
            None => self.delete(partition),
            Some(registration) => partition.follow(registration),
        }
    }

    fn delete(&self, partition: &Arc<Partition>) {
        self.open
            .write()
            .remove(&(partition.topic_id(), partition.topic_partition().partition));
        partition.set_gone();
        self.delete_log(partition.topic_partition());
    }

    /// Partitions of deleted topics that were never opened still have their directories.
    fn delete_unopened(&self, before: &MetadataImage, now: &MetadataImage) {
        if before.topics == now.topics {
            return;
        }
        for topic in before
            .topics
            .iter()
            .filter(|topic| now.topics.by_id(topic.id).is_none())
        {
            for (index, _) in topic.partitions() {
                self.delete_log(&TopicPartition::new(topic.name.clone(), index));
            }
        }
    }

    fn delete_log(&self, place: &TopicPartition) {
        if let Err(cause) = self.logs.delete(place, self.clock.deletion_ms()) {
            error!(partition = %place, %cause, "could not delete a partition");
        }
    }
}

/// A topic by its id or, where that is nil, by name.
fn named<'a>(image: &'a MetadataImage, name: &str, id: TopicId) -> Option<&'a Arc<TopicImage>> {
    if id.is_nil() {
        image.topics.by_name(name)
    } else {
        image.topics.by_id(id)
    }
}
