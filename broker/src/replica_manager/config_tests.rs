//! Which partitions a change of configuration reaches.

use std::path::PathBuf;
use std::sync::Arc;

use metadata::configs::ConfigResource;
use metadata::image::{MetadataImage, PartitionImage, TopicImage};
use protocol_compat::{BrokerId, ErrorCode, TopicId, TopicPartition};
use storage::disk::{Disk, SimDisk};
use storage::log_dirs::{NodeIdentity, OpenError};
use storage::log_manager::{LogManager, LogManagerConfig, LogOwner};
use uuid::Uuid;

use super::ReplicaManager;
use crate::clock::Clock;
use crate::config::Settings;
use crate::metadata_cache::MetadataCache;

const NODE: BrokerId = BrokerId(1);

/// A node that leads `orders` and `payments` with two partitions each.
pub(crate) struct Node {
    pub cache: MetadataCache,
    pub replicas: Arc<ReplicaManager>,
}

impl Node {
    fn start() -> Node {
        let disk = Disk::simulated(&SimDisk::new(7, 64 << 20));
        Node::on(&disk, &["/data"]).expect("an empty disk")
    }

    pub(crate) fn on(disk: &Disk, dirs: &[&str]) -> Result<Node, OpenError> {
        let mut image = MetadataImage::empty("a-cluster");
        for (number, name) in [(600, "orders"), (601, "payments")] {
            let mut topic = TopicImage::new(name.into(), TopicId(Uuid::from_u128(number)));
            for index in 0..2 {
                topic.set_partition(index, PartitionImage::created(vec![NODE], Vec::new(), vec![NODE]));
            }
            image.topics.insert(topic);
        }
        let config = LogManagerConfig {
            identity: NodeIdentity {
                node_id: NODE.0,
                cluster_id: Some("a-cluster".to_owned()),
            },
            boot_id: None,
            max_open_files: 8,
            flush_threads: 1,
            flush_journal_bytes: 1 << 20,
            reserve_bytes: 0,
            append_watch: None,
        };
        let mut next_id = 500;
        let ids = Box::new(move || {
            next_id += 1;
            Uuid::from_u128(next_id)
        });
        let dirs: Vec<PathBuf> = dirs.iter().map(PathBuf::from).collect();
        let logs = LogManager::open(disk, &dirs, config, ids)?;
        let cache = MetadataCache::new(Arc::new(image));
        let replicas = ReplicaManager::new(
            NODE,
            cache.clone(),
            Arc::new(logs),
            &Settings::default(),
            Clock::real(),
            crate::disk_stalls::DiskStalls::unwatched(),
        );
        let replicas = Arc::new(replicas);
        Ok(Node { cache, replicas })
    }

    /// Publishes an image that `change` made of the newest.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut MetadataImage)) {
        let mut image = (*self.cache.image()).clone();
        image.offset += 1;
        change(&mut image);
        let before = self.cache.replace(Arc::new(image));
        self.replicas.image_changed(&before, &self.cache.image());
    }

    fn set(&self, resource: &ConfigResource, key: &str, value: Option<&str>) {
        self.publish(|image| image.configs.set(resource, key, value.map(Into::into)));
    }

    fn retention_ms(&self) -> Vec<i64> {
        let configs = self.configs();
        configs.iter().map(|config| config.retention_ms).collect()
    }

    /// Of both partitions of `orders`, then of both of `payments`.
    fn configs(&self) -> Vec<Arc<storage::log::LogConfig>> {
        let topics = ["orders", "payments"];
        let all = topics.iter().flat_map(|topic| [(topic, 0), (topic, 1)]);
        all.map(|(topic, index)| {
            let partition = self.replicas.partition(topic, index).expect("led by this node");
            partition.log().config()
        })
        .collect()
    }
}

#[test]
fn a_change_reaches_the_partitions_of_its_topic_and_leaves_the_others_alone() {
    let node = Node::start();
    let before = node.configs();
    assert!(
        Arc::ptr_eq(&before[0], &before[1]),
        "partitions of a topic share it"
    );
    node.set(&ConfigResource::topic("orders"), "retention.ms", Some("5"));
    let after = node.configs();
    assert_eq!([after[0].retention_ms, after[1].retention_ms], [5, 5]);
    assert!(Arc::ptr_eq(&before[2], &after[2]) && Arc::ptr_eq(&before[3], &after[3]));
    node.set(&ConfigResource::topic("orders"), "retention.ms", None);
    assert_eq!(node.retention_ms()[..2], [before[0].retention_ms; 2]);
}

#[test]
fn a_broker_s_default_reaches_every_topic_that_does_not_set_the_key() {
    let node = Node::start();
    node.set(&ConfigResource::topic("orders"), "retention.ms", Some("5"));
    assert_eq!(node.retention_ms()[..2], [5, 5]);
    let key = "log.retention.ms";
    node.set(&ConfigResource::cluster_default(), key, Some("7"));
    assert_eq!(node.retention_ms(), [5, 5, 7, 7]);
    node.set(&ConfigResource::broker(NODE), key, Some("8"));
    assert_eq!(node.retention_ms(), [5, 5, 8, 8]);
    let before = node.configs();
    node.set(&ConfigResource::broker(BrokerId(2)), key, Some("9"));
    let after = node.configs();
    assert!(
        before
            .iter()
            .zip(&after)
            .all(|(before, after)| Arc::ptr_eq(before, after))
    );
}

#[test]
fn a_change_reaches_a_log_that_is_open_though_its_partition_is_not() {
    let node = Node::start();
    let place = TopicPartition::new("orders", 0);
    let (id, config) = node.replicas.settings(&place).expect("led by this node");
    let log = node.replicas.logs().get_or_open(&place, id, config, None, 0);
    node.set(&ConfigResource::topic("orders"), "retention.ms", Some("5"));
    assert_eq!(log.expect("an empty log").config().retention_ms, 5);
}

#[test]
fn a_partition_that_is_opened_after_a_change_has_it() {
    let node = Node::start();
    node.replicas.partition("orders", 0).expect("led by this node");
    node.set(&ConfigResource::topic("orders"), "retention.ms", Some("5"));
    node.set(&ConfigResource::topic("payments"), "retention.ms", Some("6"));
    assert_eq!(node.retention_ms(), [5, 5, 6, 6]);
}

#[test]
fn a_topic_created_again_under_its_name_has_none_of_the_old_configuration() {
    let node = Node::start();
    let default = node.retention_ms()[0];
    node.set(&ConfigResource::topic("orders"), "retention.ms", Some("5"));
    let old = node.replicas.partition("orders", 0).expect("led by this node");
    node.publish(|image| {
        assert!(image.topics.remove(TopicId(Uuid::from_u128(600))));
        image.configs.remove_resource(&ConfigResource::topic("orders"));
    });
    assert!(old.is_gone());
    let missing = node.replicas.partition("orders", 0).err();
    assert_eq!(missing, Some(ErrorCode::UnknownTopicOrPartition));
    node.publish(|image| {
        let mut topic = TopicImage::new("orders".into(), TopicId(Uuid::from_u128(602)));
        for index in 0..2 {
            topic.set_partition(index, PartitionImage::created(vec![NODE], Vec::new(), vec![NODE]));
        }
        image.topics.insert(topic);
    });
    assert_eq!(node.retention_ms()[0], default);
}
