//! The log configuration of each topic, computed once and shared by the topic's partitions.
//!
//! To put the layers of a topic's keys together takes tens of microseconds, so that a change is followed where it
//! matters only: on the topics that it names, or on all where it names a broker. What is kept is never older than the last
//! image that [`TopicConfigs::forget_changed`] was told of.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use metadata::configs::{ConfigResource, ConfigResourceType};
use metadata::image::MetadataImage;
use parking_lot::Mutex;
use protocol_compat::BrokerId;
use storage::log::LogConfig;

/// Configurations by topic.
#[derive(Default)]
pub(super) struct TopicConfigs {
    by_topic: Mutex<HashMap<Arc<str>, Arc<LogConfig>>>,
}

/// The topics that an image gives other configurations.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ChangedTopics {
    /// A broker's value, which any topic may have as its default.
    All,
    /// Their own values.
    Named(BTreeSet<Arc<str>>),
}

impl ChangedTopics {
    fn between(node_id: BrokerId, before: &MetadataImage, now: &MetadataImage) -> ChangedTopics {
        let (node, every_node) = (ConfigResource::broker(node_id), ConfigResource::cluster_default());
        let mut named = BTreeSet::new();
        for resource in now.configs.changed_since(&before.configs) {
            if *resource == node || *resource == every_node {
                return ChangedTopics::All;
            }
            if resource.kind == ConfigResourceType::Topic {
                named.insert(resource.name.clone());
            }
        }
        ChangedTopics::Named(named)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        matches!(self, ChangedTopics::Named(topics) if topics.is_empty())
    }

    /// Whether the topic is one of them.
    pub fn concerns(&self, topic: &str) -> bool {
        match self {
            ChangedTopics::All => true,
            ChangedTopics::Named(topics) => topics.contains(topic),
        }
    }
}

impl TopicConfigs {
    /// What is kept for a topic, or what `compute` finds. It looks at the newest image, under the lock: an image that comes
    /// later is followed by [`TopicConfigs::forget_changed`] afterwards.
    pub fn get(&self, topic: &str, compute: impl FnOnce() -> LogConfig) -> Arc<LogConfig> {
        let mut by_topic = self.by_topic.lock();
        if let Some(known) = by_topic.get(topic) {
            return known.clone();
        }
        let config = Arc::new(compute());
        by_topic.insert(topic.into(), config.clone());
        config
    }

    /// Forgets what `now` no longer gives: changed topics, and those that are gone.
    pub fn forget_changed(
        &self,
        node_id: BrokerId,
        before: &MetadataImage,
        now: &MetadataImage,
    ) -> ChangedTopics {
        let changed = ChangedTopics::between(node_id, before, now);
        let mut by_topic = self.by_topic.lock();
        match &changed {
            ChangedTopics::All => by_topic.clear(),
            ChangedTopics::Named(topics) => topics.iter().for_each(|topic| {
                by_topic.remove(topic);
            }),
        }
        if by_topic.len() > now.topics.len() {
            by_topic.retain(|topic, _| now.topics.by_name(topic).is_some());
        }
        changed
    }
}
