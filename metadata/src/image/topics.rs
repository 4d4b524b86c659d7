//! Topics and their partitions, found by name and by id.
//!
//! Both indexes share one `TopicImage` per topic. Changing a partition costs the depth of three trees, whatever the
//! number of topics.

use std::sync::Arc;

use protocol_compat::{BrokerId, LeaderEpoch, TopicId};
use rpds::RedBlackTreeMapSync;
use uuid::Uuid;

/// Whether the leader was elected from the in-sync replicas or must recover first (KIP-704).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaderRecoveryState {
    /// The leader held every committed record when it was elected.
    #[default]
    Recovered,
    /// The leader came from outside the in-sync replicas and may lack records.
    Recovering,
}

impl LeaderRecoveryState {
    /// The number in `PartitionRecord`.
    pub fn id(self) -> i8 {
        match self {
            LeaderRecoveryState::Recovered => 0,
            LeaderRecoveryState::Recovering => 1,
        }
    }

    /// The state with this number.
    pub fn from_id(id: i8) -> Option<LeaderRecoveryState> {
        match id {
            0 => Some(LeaderRecoveryState::Recovered),
            1 => Some(LeaderRecoveryState::Recovering),
            _ => None,
        }
    }
}

/// One partition as the controller sees it (`PartitionRegistration` in Kafka).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionImage {
    /// The brokers that hold a copy, preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// The log directory of each replica, in the order of `replicas`; empty when none was assigned.
    pub directories: Vec<Uuid>,
    /// In-sync replicas.
    pub isr: Vec<BrokerId>,
    /// Replicas that a reassignment is removing.
    pub removing_replicas: Vec<BrokerId>,
    /// Replicas that a reassignment is adding.
    pub adding_replicas: Vec<BrokerId>,
    /// Eligible leader replicas (KIP-966): out of the in-sync replicas, yet known to hold every committed record.
    pub elr: Vec<BrokerId>,
    /// The last member of the eligible leader replicas that left.
    pub last_known_elr: Vec<BrokerId>,
    /// The leader, or [`BrokerId::NONE`].
    pub leader: BrokerId,
    /// How the leader was elected.
    pub leader_recovery_state: LeaderRecoveryState,
    /// Counts the leaderships.
    pub leader_epoch: LeaderEpoch,
    /// Counts every change of the partition.
    pub partition_epoch: i32,
}

impl PartitionImage {
    /// A partition that has just been created: led by the first in-sync replica, both epochs 0.
    pub fn created(replicas: Vec<BrokerId>, directories: Vec<Uuid>, isr: Vec<BrokerId>) -> PartitionImage {
        PartitionImage {
            leader: isr.first().copied().unwrap_or(BrokerId::NONE),
            replicas,
            directories,
            isr,
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            leader_recovery_state: LeaderRecoveryState::Recovered,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: 0,
        }
    }

    /// Whether the partition has a leader.
    pub fn has_leader(&self) -> bool {
        self.leader != BrokerId::NONE
    }
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    /// The topic's name.
    pub name: Arc<str>,
    /// Its identity for life.
    pub id: TopicId,
    partitions: RedBlackTreeMapSync<i32, PartitionImage>,
}

impl TopicImage {
    /// A topic without partitions.
    pub fn new(name: Arc<str>, id: TopicId) -> TopicImage {
        TopicImage {
            name,
            id,
            partitions: RedBlackTreeMapSync::new_sync(),
        }
    }

    /// The partition with this index.
    pub fn partition(&self, index: i32) -> Option<&PartitionImage> {
        self.partitions.get(&index)
    }

    /// How many partitions the topic has.
    pub fn partition_count(&self) -> usize {
        self.partitions.size()
    }

    /// The partitions in the order of their indexes.
    pub fn partitions(&self) -> impl Iterator<Item = (i32, &PartitionImage)> {
        self.partitions
            .iter()
            .map(|(index, partition)| (*index, partition))
    }

    /// Adds or replaces a partition. Copies held elsewhere keep the old one.
    pub fn set_partition(&mut self, index: i32, partition: PartitionImage) {
        self.partitions.insert_mut(index, partition);
    }
}

/// Every topic of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicsImage {
    by_name: RedBlackTreeMapSync<Arc<str>, Arc<TopicImage>>,
    by_id: RedBlackTreeMapSync<TopicId, Arc<TopicImage>>,
    partition_count: usize,
}

impl Default for TopicsImage {
    fn default() -> TopicsImage {
        TopicsImage {
            by_name: RedBlackTreeMapSync::new_sync(),
            by_id: RedBlackTreeMapSync::new_sync(),
            partition_count: 0,
        }
    }
}

impl TopicsImage {
    /// The topic with this name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.by_name.get(name)
    }

    /// The topic with this id.
    pub fn by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.by_id.get(&id)
    }

    /// One partition of a topic given by name.
    pub fn partition(&self, topic: &str, index: i32) -> Option<&PartitionImage> {
        self.by_name(topic)?.partition(index)
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.by_name.size()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// How many partitions all topics have together.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// Every topic, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.by_name.values()
    }

    /// The topics whose names are at least `from`, in the order of names.
    pub fn iter_from<'a>(&'a self, from: &'a str) -> impl Iterator<Item = &'a Arc<TopicImage>> {
        self.by_name
            .range::<str, _>((std::ops::Bound::Included(from), std::ops::Bound::Unbounded))
            .map(|(_, topic)| topic)
    }

    /// Adds a topic, or replaces the one with the same name and id.
    pub fn insert(&mut self, topic: TopicImage) {
        self.remove(topic.id);
        self.partition_count += topic.partition_count();
        let topic = Arc::new(topic);
        self.by_name.insert_mut(topic.name.clone(), topic.clone());
        self.by_id.insert_mut(topic.id, topic);
    }

    /// Removes a topic and says whether it was there.
    pub fn remove(&mut self, id: TopicId) -> bool {
        let Some(topic) = self.by_id.get(&id).cloned() else {
            return false;
        };
        self.by_id.remove_mut(&id);
        self.by_name.remove_mut(&topic.name);
        self.partition_count = self.partition_count.saturating_sub(topic.partition_count());
        true
    }

    /// Adds or replaces a partition; `false` when there is no such topic.
    pub fn set_partition(&mut self, id: TopicId, index: i32, partition: PartitionImage) -> bool {
        let Some(topic) = self.by_id.get(&id) else {
            return false;
        };
        let mut changed = TopicImage::clone(topic);
        changed.set_partition(index, partition);
        self.insert_over(topic.partition_count(), changed);
        true
    }

    fn insert_over(&mut self, old_partition_count: usize, topic: TopicImage) {
        self.partition_count =
            self.partition_count.saturating_sub(old_partition_count) + topic.partition_count();
        let topic = Arc::new(topic);
        self.by_name.insert_mut(topic.name.clone(), topic.clone());
        self.by_id.insert_mut(topic.id, topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, id: u128, partitions: i32) -> TopicImage {
        let mut topic = TopicImage::new(name.into(), TopicId(Uuid::from_u128(id)));
        for index in 0..partitions {
            topic.set_partition(
                index,
                PartitionImage::created(vec![BrokerId(1)], vec![], vec![BrokerId(1)]),
            );
        }
        topic
    }

    #[test]
    fn a_topic_is_found_by_name_and_by_id_and_gone_from_both() {
        let mut topics = TopicsImage::default();
        topics.insert(topic("orders", 7, 3));
        topics.insert(topic("audit", 8, 1));
        let names: Vec<&str> = topics.iter().map(|t| &*t.name).collect();
        assert_eq!(names, ["audit", "orders"]);
        let id = topics.by_name("orders").map(|t| t.id);
        assert_eq!(id, Some(TopicId(Uuid::from_u128(7))));
        assert_eq!(topics.partition_count(), 4);
        assert!(topics.remove(TopicId(Uuid::from_u128(7))));
        assert!(!topics.remove(TopicId(Uuid::from_u128(7))));
        assert_eq!(topics.by_name("orders"), None);
        assert_eq!((topics.len(), topics.partition_count()), (1, 1));
    }

    #[test]
    fn a_changed_partition_is_seen_through_both_indexes_and_not_by_older_copies() {
        let mut topics = TopicsImage::default();
        topics.insert(topic("orders", 7, 2));
        let before = topics.clone();
        let id = TopicId(Uuid::from_u128(7));
        let mut partition = topics.partition("orders", 1).cloned().expect("just created");
        partition.leader_epoch = LeaderEpoch(9);
        assert!(topics.set_partition(id, 1, partition));
        let epoch = |image: &TopicsImage| image.partition("orders", 1).map(|p| p.leader_epoch);
        assert_eq!(epoch(&topics), Some(LeaderEpoch(9)));
        assert_eq!(topics.by_id(id), topics.by_name("orders"));
        assert_eq!(epoch(&before), Some(LeaderEpoch(0)));
        assert_eq!(topics.partition_count(), 2);
    }

    #[test]
    fn topics_are_walked_from_a_name() {
        let mut topics = TopicsImage::default();
        for (id, name) in ["a", "b", "c"].into_iter().enumerate() {
            topics.insert(topic(name, id as u128 + 1, 1));
        }
        let from: Vec<&str> = topics.iter_from("b").map(|t| &*t.name).collect();
        assert_eq!(from, ["b", "c"]);
        assert_eq!(topics.iter_from("bb").count(), 1);
    }
}
