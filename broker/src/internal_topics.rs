//! What a topic looks like when it is created because somebody uses it: internal topics by their own keys, others by the
//! broker's defaults.
//!
//! Unlike Apache Kafka, an internal topic never waits for brokers that do not exist: on one node it has one replica.

use metadata::controller::{CreatableTopic, GROUP_METADATA_TOPIC};
use metadata::image::BrokersImage;

use crate::config::NodeConfig;

/// The topic `name` as it is created on first use (`DefaultAutoTopicCreationManager.creatableTopic`).
pub fn creatable_topic(config: &NodeConfig, brokers: &BrokersImage, name: &str) -> CreatableTopic {
    if name == GROUP_METADATA_TOPIC {
        return group_metadata_topic(config, brokers);
    }
    CreatableTopic {
        name: name.into(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

/// The topic of committed offsets: compacted, so that the newest offset of each partition stays.
fn group_metadata_topic(config: &NodeConfig, brokers: &BrokersImage) -> CreatableTopic {
    let active = brokers.iter().filter(|broker| broker.is_active()).count();
    let active = i16::try_from(active.max(1)).unwrap_or(i16::MAX);
    let configs = [
        ("cleanup.policy", "compact".to_owned()),
        ("compression.type", "producer".to_owned()),
        (
            "segment.bytes",
            config.log.offsets_topic_segment_bytes.to_string(),
        ),
    ];
    CreatableTopic {
        name: GROUP_METADATA_TOPIC.into(),
        num_partitions: config.log.offsets_topic_num_partitions,
        replication_factor: config.log.offsets_topic_replication_factor.min(active),
        assignments: Vec::new(),
        configs: configs.map(|(key, value)| (key.to_owned(), Some(value))).into(),
    }
}
