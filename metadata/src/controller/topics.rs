//! CreateTopics and DeleteTopics.
//!
//! Every check and sentence in Kafka's order (`ReplicationControlManager`, `ControllerApis`). One bad topic does not stop
//! the others of its request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol_compat::records::metadata::{MetadataRecord, RemoveTopicRecord, TopicRecord};
use protocol_compat::{BrokerId, ErrorCode, TopicId};

use super::configs::ConfigChange;
use super::decision::{ApiError, Decision, IdSource, MAX_RECORDS_PER_REQUEST};
use super::partitions::{ReplicaAssignment, created_partition};
use super::placement::place;
use super::snapshot::partition_record;
use super::state::Controller;
use super::topic_name::{CLUSTER_METADATA_TOPIC, validate_topic_name};
use crate::configs::{ConfigResource, EffectiveConfig, effective_topic_configs};
use crate::image::PartitionImage;

/// A topic as a client wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatableTopic {
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions; -1 for the default, and with `assignments`.
    pub num_partitions: i32,
    /// How many replicas; -1 for the default, and with `assignments`.
    pub replication_factor: i16,
    /// The brokers of each partition, when the client chooses them.
    pub assignments: Vec<ReplicaAssignment>,
    /// Topic keys and values.
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic as it was created, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id.
    pub id: TopicId,
    /// How many partitions it has.
    pub num_partitions: i32,
    /// How many replicas each has.
    pub replication_factor: i16,
    /// Every topic key with its value, in the order of names.
    pub configs: Vec<EffectiveConfig>,
}

/// The outcome for one name of a CreateTopics request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTopicResult {
    /// The name that was asked for.
    pub name: Arc<str>,
    /// The topic, or why there is none.
    pub outcome: Result<CreatedTopic, ApiError>,
}

/// How a client names a topic that shall go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletableTopic {
    /// By name.
    pub name: Option<Arc<str>>,
    /// Or by id; nil means none.
    pub id: TopicId,
}

/// The outcome for one topic of a DeleteTopics request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteTopicResult {
    /// Its name, where known.
    pub name: Option<Arc<str>>,
    /// Its id, where known.
    pub id: TopicId,
    /// Why it was not deleted.
    pub error: Option<ApiError>,
}

type Partitions = BTreeMap<i32, PartitionImage>;

impl Controller {
    /// Decides about the creation of topics. Names that occur twice are refused; with `validate_only` nothing is written.
    pub fn create_topics(
        &self,
        ids: &mut dyn IdSource,
        topics: Vec<CreatableTopic>,
        validate_only: bool,
    ) -> Decision<Vec<CreateTopicResult>> {
        let (topics, refused) = without_duplicates(topics);
        let mut records = Vec::new();
        let mut results = Vec::new();
        let excess = self.excess_of_partitions(&topics);
        for topic in topics {
            let outcome = match &excess {
                Some(error) => Err(error.clone()),
                None => self.create_topic(ids, &topic, &mut records),
            };
            let name = topic.name;
            results.push(CreateTopicResult { name, outcome });
        }
        results.extend(refused);
        if records.len() > MAX_RECORDS_PER_REQUEST {
            let error = ApiError::new(
                ErrorCode::PolicyViolation,
                "Unable to perform excessively large batch operation.",
            );
            results
                .iter_mut()
                .for_each(|result| result.outcome = Err(error.clone()));
            records.clear();
        }
        if validate_only {
            records.clear();
        }
        Decision {
            records,
            response: results,
        }
    }

    fn excess_of_partitions(&self, topics: &[CreatableTopic]) -> Option<ApiError> {
        let wanted = |topic: &CreatableTopic| match (topic.assignments.len(), topic.num_partitions) {
            (0, -1) => i64::from(self.config.num_partitions),
            (0, count) => i64::from(count.max(0)),
            (assigned, _) => i64::try_from(assigned).unwrap_or(i64::MAX),
        };
        let total = topics.iter().map(wanted).fold(0i64, i64::saturating_add);
        let limit = i64::try_from(MAX_RECORDS_PER_REQUEST).unwrap_or(i64::MAX);
        (total > limit).then(|| {
            ApiError::new(
                ErrorCode::PolicyViolation,
                "Excessively large number of partitions per request.",
            )
        })
    }

    fn create_topic(
        &self,
        ids: &mut dyn IdSource,
        topic: &CreatableTopic,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<CreatedTopic, ApiError> {
        self.check_new_name(&topic.name)?;
        let config_records = self.creation_configs(topic)?;
        let partitions = if topic.assignments.is_empty() {
            self.placed_partitions(ids, topic)?
        } else {
            self.assigned_partitions(topic)?
        };
        let id = TopicId(ids.next_id());
        records.push(
            TopicRecord {
                name: topic.name.clone(),
                topic_id: id,
            }
            .into(),
        );
        // Kafka's order: configurations before the partitions that they apply to.
        records.extend(config_records);
        records.extend(
            partitions
                .iter()
                .map(|(index, partition)| partition_record(id, *index, partition).into()),
        );
        Ok(self.created_topic(id, topic, &partitions))
    }

    fn created_topic(&self, id: TopicId, topic: &CreatableTopic, partitions: &Partitions) -> CreatedTopic {
        let own = topic
            .configs
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
            .collect();
        let replicas = partitions
            .values()
            .next()
            .map_or(0, |partition| partition.replicas.len());
        CreatedTopic {
            id,
            num_partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
            replication_factor: i16::try_from(replicas).unwrap_or(i16::MAX),
            configs: effective_topic_configs(&own, self.broker_layers()),
        }
    }

    fn check_new_name(&self, name: &str) -> Result<(), ApiError> {
        if self.image.topics.by_name(name).is_some() {
            let message = format!("Topic '{name}' already exists.");
            return Err(ApiError::new(ErrorCode::TopicAlreadyExists, message));
        }
        if let Some(other) = self.colliding_topic(name) {
            let message = format!("Topic '{name}' collides with existing topic: {other}");
            return Err(ApiError::new(ErrorCode::InvalidTopicException, message));
        }
        validate_topic_name(name).map_err(|reason| ApiError::new(ErrorCode::InvalidTopicException, reason))
    }

    fn creation_configs(&self, topic: &CreatableTopic) -> Result<Vec<MetadataRecord>, ApiError> {
        let without_value = topic.configs.iter().filter(|(_, value)| value.is_none());
        let nulls: Vec<&str> = without_value.map(|(name, _)| name.as_str()).collect();
        if !nulls.is_empty() {
            let message = format!("Null value not supported for topic configs: {}", nulls.join(","));
            return Err(ApiError::new(ErrorCode::InvalidConfig, message));
        }
        let changes: BTreeMap<String, ConfigChange> = topic
            .configs
            .iter()
            .map(|(name, value)| (name.clone(), ConfigChange::Set(value.clone().unwrap_or_default())))
            .collect();
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        self.config_records(&ConfigResource::topic(topic.name.clone()), &changes)
    }

    fn placed_partitions(
        &self,
        ids: &mut dyn IdSource,
        topic: &CreatableTopic,
    ) -> Result<Partitions, ApiError> {
        let replication_factor = match topic.replication_factor {
            -1 => self.config.default_replication_factor,
            given => given,
        };
        if topic.replication_factor < -1 || topic.replication_factor == 0 {
            return Err(ApiError::new(
                ErrorCode::InvalidReplicationFactor,
                "Replication factor must be larger than 0, or -1 to use the default value.",
            ));
        }
        if topic.num_partitions < -1 || topic.num_partitions == 0 {
            return Err(ApiError::new(
                ErrorCode::InvalidPartitions,
                "Number of partitions was set to an invalid non-positive value.",
            ));
        }
        let count = match topic.num_partitions {
            -1 => self.config.num_partitions,
            given => given,
        };
        let unable = |why: &str| {
            let message = format!("Unable to replicate the partition {replication_factor} time(s): {why}");
            ApiError::new(ErrorCode::InvalidReplicationFactor, message)
        };
        let placed = place(
            &self.image.brokers,
            usize::try_from(count).unwrap_or(0),
            usize::try_from(replication_factor).unwrap_or(0),
            ids,
        )
        .map_err(|error| unable(error.message.as_deref().unwrap_or("")))?;
        let mut partitions = Partitions::new();
        for (index, replicas) in (0i32..).zip(placed) {
            let partition = created_partition(&self.image.brokers, replicas)
                .ok_or_else(|| unable("All brokers are currently fenced or in controlled shutdown."))?;
            partitions.insert(index, partition);
        }
        Ok(partitions)
    }

    fn assigned_partitions(&self, topic: &CreatableTopic) -> Result<Partitions, ApiError> {
        let invalid_request = |message: &str| Err(ApiError::new(ErrorCode::InvalidRequest, message));
        if topic.replication_factor != -1 {
            return invalid_request(
                "A manual partition assignment was specified, but replication factor was not set to -1.",
            );
        }
        if topic.num_partitions != -1 {
            return invalid_request(
                "A manual partition assignment was specified, but numPartitions was not set to -1.",
            );
        }
        let mut partitions = Partitions::new();
        let mut replication_factor = None;
        for assignment in &topic.assignments {
            let index = assignment.partition;
            if partitions.contains_key(&index) {
                let message = format!("Found multiple manual partition assignments for partition {index}");
                return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
            }
            let partition = self.assigned_partition(index, &assignment.brokers, replication_factor)?;
            replication_factor = Some(assignment.brokers.len());
            partitions.insert(index, partition);
        }
        if (0i32..)
            .zip(partitions.keys())
            .any(|(expected, index)| expected != *index)
        {
            return Err(ApiError::new(
                ErrorCode::InvalidReplicaAssignment,
                "partitions should be a consecutive 0-based integer sequence",
            ));
        }
        Ok(partitions)
    }

    /// A partition on brokers that the client chose.
    pub(super) fn assigned_partition(
        &self,
        index: i32,
        brokers: &[BrokerId],
        replication_factor: Option<usize>,
    ) -> Result<PartitionImage, ApiError> {
        self.check_assignment(brokers, replication_factor)?;
        created_partition(&self.image.brokers, brokers.to_vec()).ok_or_else(|| {
            let message = format!(
                "All brokers specified in the manual partition assignment for partition {index} are fenced or in controlled shutdown."
            );
            ApiError::new(ErrorCode::InvalidReplicaAssignment, message)
        })
    }

    fn check_assignment(
        &self,
        brokers: &[BrokerId],
        replication_factor: Option<usize>,
    ) -> Result<(), ApiError> {
        let refuse = |rest: String| {
            let message = format!("The manual partition assignment includes {rest}");
            Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message))
        };
        if brokers.is_empty() {
            return refuse("an empty replica list.".to_owned());
        }
        let mut sorted = brokers.to_vec();
        sorted.sort_unstable();
        let mut previous = None;
        for id in sorted {
            if self.image.brokers.get(id).is_none() {
                return refuse(format!("broker {id}, but no such broker is registered."));
            }
            if previous == Some(id) {
                return refuse(format!("the broker {id} more than once."));
            }
            previous = Some(id);
        }
        match replication_factor {
            Some(expected) if expected != brokers.len() => refuse(format!(
                "a partition with {} replica(s), but this is not consistent with previous partitions, which have {expected} replica(s).",
                brokers.len()
            )),
            _ => Ok(()),
        }
    }

    /// Decides about the deletion of topics given by name or by id.
    pub fn delete_topics(&self, topics: Vec<DeletableTopic>) -> Decision<Vec<DeleteTopicResult>> {
        let mut request = DeleteRequest::default();
        for topic in topics {
            request.add(topic);
        }
        let mut results = request.refused();
        let mut deletable: BTreeMap<TopicId, Arc<str>> = BTreeMap::new();
        for id in &request.ids {
            match self.image.topics.by_id(*id) {
                Some(topic) => {
                    deletable.insert(*id, topic.name.clone());
                }
                None => results.push(failed(None, *id, code_only(ErrorCode::UnknownTopicId))),
            }
        }
        for name in &request.names {
            self.add_deletable_name(name, &request.duplicate_ids, &mut deletable, &mut results);
        }
        let records = deletable
            .keys()
            .map(|id| RemoveTopicRecord { topic_id: *id }.into())
            .collect();
        results.extend(deletable.into_iter().map(|(id, name)| DeleteTopicResult {
            name: Some(name),
            id,
            error: None,
        }));
        Decision {
            records,
            response: results,
        }
    }

    fn add_deletable_name(
        &self,
        name: &Arc<str>,
        duplicate_ids: &BTreeSet<TopicId>,
        deletable: &mut BTreeMap<TopicId, Arc<str>>,
        results: &mut Vec<DeleteTopicResult>,
    ) {
        let Some(topic) = self.image.topics.by_name(name) else {
            let error = code_only(ErrorCode::UnknownTopicOrPartition);
            results.push(failed(Some(name.clone()), TopicId::NIL, error));
            return;
        };
        if duplicate_ids.contains(&topic.id) || deletable.contains_key(&topic.id) {
            deletable.remove(&topic.id);
            let message = "The provided topic name maps to an ID that was already supplied.";
            let error = ApiError::new(ErrorCode::InvalidRequest, message);
            results.push(failed(Some(name.clone()), topic.id, error));
            return;
        }
        deletable.insert(topic.id, name.clone());
    }
}

/// A code for which Kafka gives its standard sentence.
fn code_only(code: ErrorCode) -> ApiError {
    let message = match code {
        ErrorCode::UnknownTopicId => "This server does not host this topic ID.",
        _ => "This server does not host this topic-partition.",
    };
    ApiError::new(code, message)
}

fn failed(name: Option<Arc<str>>, id: TopicId, error: ApiError) -> DeleteTopicResult {
    let error = Some(error);
    DeleteTopicResult { name, id, error }
}

/// Splits a request into topics that may be looked at and results for names that may not be asked for.
fn without_duplicates(topics: Vec<CreatableTopic>) -> (Vec<CreatableTopic>, Vec<CreateTopicResult>) {
    let mut seen: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    for topic in &topics {
        *seen.entry(topic.name.clone()).or_insert(0) += 1;
    }
    let refusal = |name: &Arc<str>, message: &str| CreateTopicResult {
        name: name.clone(),
        outcome: Err(ApiError::new(ErrorCode::InvalidRequest, message)),
    };
    let mut refused: Vec<CreateTopicResult> = Vec::new();
    for (name, count) in &seen {
        if *count > 1 {
            refused.push(refusal(name, "Duplicate topic name."));
        } else if &**name == CLUSTER_METADATA_TOPIC {
            let message = format!("Creation of internal topic {CLUSTER_METADATA_TOPIC} is prohibited.");
            refused.push(refusal(name, &message));
        }
    }
    let allowed =
        |topic: &CreatableTopic| seen.get(&topic.name) == Some(&1) && &*topic.name != CLUSTER_METADATA_TOPIC;
    (topics.into_iter().filter(allowed).collect(), refused)
}

/// A DeleteTopics request sorted into what can be looked up and what cannot.
#[derive(Default)]
struct DeleteRequest {
    names: BTreeSet<Arc<str>>,
    duplicate_names: BTreeSet<Arc<str>>,
    ids: BTreeSet<TopicId>,
    duplicate_ids: BTreeSet<TopicId>,
    contradictions: Vec<DeleteTopicResult>,
}

impl DeleteRequest {
    fn add(&mut self, topic: DeletableTopic) {
        let contradiction = |message: &str| ApiError::new(ErrorCode::InvalidRequest, message);
        match (topic.name, topic.id) {
            (None, id) if id.is_nil() => {
                let error = contradiction("Neither topic name nor id were specified.");
                self.contradictions.push(failed(None, id, error));
            }
            (None, id) => add_once(id, &mut self.ids, &mut self.duplicate_ids),
            (Some(name), id) if id.is_nil() => add_once(name, &mut self.names, &mut self.duplicate_names),
            (Some(name), id) => {
                let error = contradiction("You may not specify both topic name and topic id.");
                self.contradictions.push(failed(Some(name), id, error));
            }
        }
    }

    fn refused(&mut self) -> Vec<DeleteTopicResult> {
        let mut results = std::mem::take(&mut self.contradictions);
        let error = |message: &str| ApiError::new(ErrorCode::InvalidRequest, message);
        for name in &self.duplicate_names {
            results.push(failed(
                Some(name.clone()),
                TopicId::NIL,
                error("Duplicate topic name."),
            ));
        }
        for id in &self.duplicate_ids {
            results.push(failed(None, *id, error("Duplicate topic id.")));
        }
        results
    }
}

fn add_once<T: Ord + Clone>(item: T, once: &mut BTreeSet<T>, twice: &mut BTreeSet<T>) {
    if twice.contains(&item) || !once.insert(item.clone()) {
        once.remove(&item);
        twice.insert(item);
    }
}
