//! The answer to a Metadata request, from one image.

use std::collections::BTreeSet;

use metadata::controller::{is_internal_topic, validate_topic_name};
use metadata::image::{BrokerImage, MetadataImage, PartitionImage, TopicImage};
use protocol_compat::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use protocol_compat::messages::{MetadataRequest, MetadataResponse, StrBytes, TopicName};
use protocol_compat::{BrokerId, ErrorCode, TopicId};
use uuid::Uuid;

use crate::handlers::authorized_operations::{CLUSTER_OPERATIONS, TOPIC_OPERATIONS};
use crate::handlers::broker_address::broker_address;
use crate::handlers::topic_metadata::{is_reachable, offline_replicas, reachable_leader, wire_ids};
use crate::request::RequestContext;

/// The first version that tells a leader without the client's listener from a missing leader.
const FIRST_WITH_LISTENER_NOT_FOUND: i16 = 6;

/// A request that fails as a whole: every topic gets the error, and from version 13 on the answer has it too.
pub(super) fn refused(request: &MetadataRequest, error: ErrorCode) -> MetadataResponse {
    let topics = request.topics.iter().flatten().map(|topic| {
        MetadataResponseTopic::default()
            .with_error_code(error.code())
            .with_name(Some(topic.name.clone().unwrap_or_default()))
            .with_topic_id(topic.topic_id)
    });
    MetadataResponse::default()
        .with_controller_id((-1).into())
        .with_error_code(error.code())
        .with_topics(topics.collect())
}

/// What an answer is made of.
pub(super) struct Answer<'a> {
    pub(super) image: &'a MetadataImage,
    pub(super) request: &'a MetadataRequest,
    pub(super) context: &'a RequestContext,
}

impl Answer<'_> {
    /// The answer, with every topic or with the requested ones.
    pub(super) fn response(&self, all: bool) -> MetadataResponse {
        let topics = if all {
            self.image.topics.iter().map(|topic| self.topic(topic)).collect()
        } else {
            self.requested_topics()
        };
        let brokers = self.image.brokers.iter().filter(|broker| !broker.fenced);
        let controller = self.image.brokers.iter().find(|broker| !broker.fenced);
        let mut response = MetadataResponse::default()
            .with_brokers(brokers.filter_map(|broker| self.broker(broker)).collect())
            .with_cluster_id(Some(StrBytes::from_string(self.image.cluster_id.to_string())))
            .with_controller_id(controller.map_or(-1, |broker| broker.id.0).into())
            .with_topics(topics);
        if self.request.include_cluster_authorized_operations {
            response.cluster_authorized_operations = CLUSTER_OPERATIONS;
        }
        response
    }

    fn broker(&self, broker: &BrokerImage) -> Option<MetadataResponseBroker> {
        let (host, port) = broker_address(broker, self.context)?;
        let rack = broker
            .rack
            .as_ref()
            .map(|rack| StrBytes::from_string(rack.to_string()));
        Some(
            MetadataResponseBroker::default()
                .with_node_id(broker.id.0.into())
                .with_host(StrBytes::from_string(host))
                .with_port(port)
                .with_rack(rack),
        )
    }

    /// Requested topics once each: by id when any id is given, else by name.
    fn requested_topics(&self) -> Vec<MetadataResponseTopic> {
        let asked = || self.request.topics.iter().flatten();
        let mut ids: BTreeSet<Uuid> = BTreeSet::new();
        let mut rows = Vec::new();
        for topic in asked().filter(|topic| !topic.topic_id.is_nil()) {
            if ids.insert(topic.topic_id) {
                rows.push(match self.image.topics.by_id(TopicId(topic.topic_id)) {
                    Some(known) => self.topic(known),
                    None => self.unknown_id(topic.topic_id),
                });
            }
        }
        if !ids.is_empty() {
            return rows;
        }
        let mut names: BTreeSet<&TopicName> = BTreeSet::new();
        for name in asked().filter_map(|topic| topic.name.as_ref()) {
            if names.insert(name) {
                rows.push(match self.image.topics.by_name(name.0.as_str()) {
                    Some(known) => self.topic(known),
                    None => self.unknown_name(name),
                });
            }
        }
        rows
    }

    fn row(&self, name: &str) -> MetadataResponseTopic {
        let mut row = MetadataResponseTopic::default()
            .with_name(Some(StrBytes::from_string(name.to_owned()).into()))
            .with_is_internal(is_internal_topic(name));
        if self.request.include_topic_authorized_operations {
            row.topic_authorized_operations = TOPIC_OPERATIONS;
        }
        row
    }

    fn unknown_name(&self, name: &TopicName) -> MetadataResponseTopic {
        let code = match validate_topic_name(name.0.as_str()) {
            Ok(()) => ErrorCode::UnknownTopicOrPartition,
            Err(_) => ErrorCode::InvalidTopicException,
        };
        self.row(name.0.as_str()).with_error_code(code.code())
    }

    fn unknown_id(&self, id: Uuid) -> MetadataResponseTopic {
        MetadataResponseTopic::default()
            .with_error_code(ErrorCode::UnknownTopicId.code())
            .with_name(None)
            .with_topic_id(id)
    }

    fn topic(&self, topic: &TopicImage) -> MetadataResponseTopic {
        let partitions = topic
            .partitions()
            .map(|(index, partition)| self.partition(index, partition));
        self.row(&topic.name)
            .with_topic_id(topic.id.0)
            .with_partitions(partitions.collect())
    }

    fn partition(&self, index: i32, partition: &PartitionImage) -> MetadataResponsePartition {
        let brokers = &self.image.brokers;
        let listener = &self.context.listener;
        let leader = reachable_leader(brokers, partition, listener);
        let replicas = self.shown(&partition.replicas);
        let isr = self.shown(&partition.isr);
        let complete = replicas.len() == partition.replicas.len() && isr.len() == partition.isr.len();
        let code = match leader {
            None => self.missing_leader(partition.leader),
            Some(_) if !complete => ErrorCode::ReplicaNotAvailable,
            Some(_) => ErrorCode::None,
        };
        MetadataResponsePartition::default()
            .with_error_code(code.code())
            .with_partition_index(index)
            .with_leader_id(leader.unwrap_or((-1).into()))
            .with_leader_epoch(partition.leader_epoch.0)
            .with_replica_nodes(wire_ids(&replicas))
            .with_isr_nodes(wire_ids(&isr))
            .with_offline_replicas(offline_replicas(brokers, partition, listener))
    }

    /// Version 0 leaves out brokers that cannot be reached.
    fn shown(&self, ids: &[BrokerId]) -> Vec<BrokerId> {
        let reachable = |id: &&BrokerId| is_reachable(&self.image.brokers, **id, &self.context.listener);
        match self.context.version {
            0 => ids.iter().filter(reachable).copied().collect(),
            _ => ids.to_vec(),
        }
    }

    fn missing_leader(&self, leader: BrokerId) -> ErrorCode {
        let is_registered = self.image.brokers.get(leader).is_some();
        if is_registered && self.context.version >= FIRST_WITH_LISTENER_NOT_FOUND {
            ErrorCode::ListenerNotFound
        } else {
            ErrorCode::LeaderNotAvailable
        }
    }
}
