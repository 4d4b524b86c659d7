//! OffsetCommit, OffsetFetch and OffsetDelete of one group and topic, each told to the history.

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{GroupId, OffsetDeleteRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use protocol_compat::error_code::ErrorCode;
use protocol_compat::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol_compat::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use protocol_compat::messages::{OffsetCommitRequest, OffsetFetchRequest};
use protocol_compat::types::TopicId;
use uuid::Uuid;

use super::outcomes::{self, Outcome};
use super::topics::Topic;
use crate::check::commits::{CommitKey, CommitSnapshot, CommitToken};
use crate::client::{Client, Failure};
use crate::world::World;

const FIRST_VERSION_WITH_IDS: i16 = 10;
const FIRST_FETCH_VERSION_WITH_GROUPS: i16 = 8;

/// Who commits: a member of a generation, or nobody in particular.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committing {
    /// The group.
    pub group: String,
    /// The generation; -1 for nobody in particular.
    pub generation: i32,
    /// The member; empty for nobody in particular.
    pub member: String,
    /// The static member's own name.
    pub instance: Option<String>,
    /// Version of OffsetCommit and OffsetFetch; 7 or more where there is a static member.
    pub version: i16,
}

impl Committing {
    fn key(&self, topic_id: Uuid, partition: i32) -> CommitKey {
        CommitKey {
            group: self.group.clone(),
            topic: topic_id,
            partition,
        }
    }

    /// Commits `offsets` by partition. Gives the first error that is not none.
    ///
    /// # Errors
    /// No answer.
    pub async fn commit(
        &self,
        client: &mut Client,
        world: &World,
        topic: &Topic,
        topic_id: Uuid,
        offsets: &BTreeMap<i32, i64>,
    ) -> Result<ErrorCode, Failure> {
        let partition = |(index, offset): (&i32, &i64)| OffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: *offset,
            committed_metadata: Some(StrBytes::from_static_str("")),
            ..OffsetCommitRequestPartition::default()
        };
        let has_ids = self.version >= FIRST_VERSION_WITH_IDS;
        let request = OffsetCommitRequest {
            group_id: StrBytes::from_string(self.group.clone()),
            generation_id_or_member_epoch: self.generation,
            member_id: StrBytes::from_string(self.member.clone()),
            group_instance_id: self.instance.clone().map(StrBytes::from_string),
            topics: vec![OffsetCommitRequestTopic {
                name: StrBytes::from_string(topic.name.clone()),
                topic_id: if has_ids { TopicId(topic_id) } else { TopicId::NIL },
                partitions: offsets.iter().map(partition).collect(),
            }],
            ..OffsetCommitRequest::default()
        };
        let (floor, tokens) = self.sent(
            world,
            topic_id,
            offsets.iter().map(|(index, offset)| (*index, Some(*offset))),
        );
        let answer = client.call(self.version, &request).await?;
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let codes = partitions.map(|one| (one.partition_index, ErrorCode::from_code(one.error_code)));
        Ok(self.answered(world, topic_id, floor, &tokens, codes))
    }

    /// Deletes the committed offsets of `indexes`. Gives the first error that is not none.
    ///
    /// # Errors
    /// No answer.
    pub async fn delete(
        &self,
        client: &mut Client,
        world: &World,
        topic: &Topic,
        topic_id: Uuid,
        indexes: &[i32],
    ) -> Result<ErrorCode, Failure> {
        let partition = |index: &i32| OffsetDeleteRequestPartition::default().with_partition_index(*index);
        let request = OffsetDeleteRequest::default()
            .with_group_id(GroupId(StrBytes::from_string(self.group.clone())))
            .with_topics(vec![
                OffsetDeleteRequestTopic::default()
                    .with_name(TopicName::from(StrBytes::from_string(topic.name.clone())))
                    .with_partitions(indexes.iter().map(partition).collect()),
            ]);
        let (floor, tokens) = self.sent(world, topic_id, indexes.iter().map(|index| (*index, None)));
        let answer = client.call(0, &request).await?;
        let whole = ErrorCode::from_code(answer.error_code);
        let codes: Vec<(i32, ErrorCode)> = match whole {
            ErrorCode::None => {
                let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
                partitions
                    .map(|one| (one.partition_index, ErrorCode::from_code(one.error_code)))
                    .collect()
            }
            code => indexes.iter().map(|index| (*index, code)).collect(),
        };
        Ok(self.answered(world, topic_id, floor, &tokens, codes.into_iter()))
    }

    fn sent(
        &self,
        world: &World,
        topic_id: Uuid,
        values: impl Iterator<Item = (i32, Option<i64>)>,
    ) -> (i32, BTreeMap<i32, CommitToken>) {
        let mut history = world.history().borrow_mut();
        let floor = history.stable_generation(&self.group);
        let tokens = values.map(|(index, value)| {
            let token = history.commit_sent(&self.key(topic_id, index), value, self.generation);
            (index, token)
        });
        (floor, tokens.collect())
    }

    fn answered(
        &self,
        world: &World,
        topic_id: Uuid,
        floor: i32,
        tokens: &BTreeMap<i32, CommitToken>,
        codes: impl Iterator<Item = (i32, ErrorCode)>,
    ) -> ErrorCode {
        let mut history = world.history().borrow_mut();
        let mut first = ErrorCode::None;
        for (index, code) in codes {
            let Some(token) = tokens.get(&index) else {
                continue;
            };
            let key = self.key(topic_id, index);
            match outcomes::of_commit(code) {
                Outcome::Acked => {
                    history.commit_acked(&key, *token);
                    if self.generation >= 0 {
                        history.accepted(&self.group, "a commit", self.generation, floor);
                    }
                }
                Outcome::Refused => history.commit_refused(&key, *token),
                Outcome::Unknown => {}
            }
            if first == ErrorCode::None {
                first = code;
            }
        }
        first
    }

    /// Fetches the committed offsets of `indexes`; those without one are left out.
    ///
    /// # Errors
    /// No answer, or the group cannot be read now.
    pub async fn fetch(
        &self,
        client: &mut Client,
        world: &World,
        topic: &Topic,
        topic_id: Uuid,
        indexes: &[i32],
    ) -> Result<BTreeMap<i32, i64>, Failure> {
        let request = self.fetch_request(topic, topic_id, indexes);
        let snapshots: BTreeMap<i32, CommitSnapshot> = {
            let history = world.history().borrow();
            let snapshots = indexes
                .iter()
                .map(|index| (*index, history.commit_snapshot(&self.key(topic_id, *index))));
            snapshots.collect()
        };
        let answer = client.call(self.version, &request).await?;
        let of_groups = answer
            .groups
            .iter()
            .filter(|group| group.error_code == 0)
            .flat_map(|group| &group.topics);
        let of_groups = of_groups
            .flat_map(|topic| &topic.partitions)
            .map(|one| (one.partition_index, one.error_code, one.committed_offset));
        let of_old = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let of_old = of_old.map(|one| (one.partition_index, one.error_code, one.committed_offset));
        let mut history = world.history().borrow_mut();
        let mut found = BTreeMap::new();
        for (index, code, offset) in of_groups.chain(of_old.filter(|_| answer.error_code == 0)) {
            let Some(snapshot) = snapshots.get(&index).filter(|_| code == 0) else {
                return Err(Failure::Unknown);
            };
            let value = Some(offset).filter(|offset| *offset >= 0);
            history.commit_fetched(&self.key(topic_id, index), snapshot, value);
            found.extend(value.map(|offset| (index, offset)));
        }
        let is_refused = answer.error_code != 0 || answer.groups.iter().any(|group| group.error_code != 0);
        if is_refused {
            Err(Failure::Unknown)
        } else {
            Ok(found)
        }
    }

    fn fetch_request(&self, topic: &Topic, topic_id: Uuid, indexes: &[i32]) -> OffsetFetchRequest {
        let group_id = StrBytes::from_string(self.group.clone());
        let name = StrBytes::from_string(topic.name.clone());
        if self.version < FIRST_FETCH_VERSION_WITH_GROUPS {
            return OffsetFetchRequest {
                group_id,
                topics: Some(vec![OffsetFetchRequestTopic {
                    name,
                    partition_indexes: indexes.to_vec(),
                }]),
                ..OffsetFetchRequest::default()
            };
        }
        let has_ids = self.version >= FIRST_VERSION_WITH_IDS;
        OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id,
                topics: Some(vec![OffsetFetchRequestTopics {
                    name,
                    topic_id: if has_ids { TopicId(topic_id) } else { TopicId::NIL },
                    partition_indexes: indexes.to_vec(),
                }]),
                ..OffsetFetchRequestGroup::default()
            }],
            ..OffsetFetchRequest::default()
        }
    }
}
