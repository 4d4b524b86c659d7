//! The index of handlers: every API key of Kafka, and the file that serves it.
//!
//! A handler is given the services it uses and nothing else. An API that is not served is answered as Kafka answers an
//! API that is switched off: the connection is closed, but where clients would then try for ever. Nothing here knows a
//! socket.

#[cfg(test)]
mod admin_tests;
pub mod alter_configs;
pub mod api_versions;
pub mod authorized_operations;
pub mod broker_address;
pub mod config_change;
pub mod consumer_group_heartbeat;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod fetch;
#[cfg(test)]
mod fetch_session_tests;
pub mod find_coordinator;
#[cfg(test)]
mod group_tests;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod metadata;
mod named_again;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
#[cfg(test)]
mod refusal_tests;
pub mod sasl_handshake;
pub mod sync_group;
pub mod topic_metadata;
mod wire_text;

use std::sync::Arc;

use ::metadata::quorum::Quorum;
use bytes::Bytes;
use protocol_compat::ApiKey;

use self::metadata::KeptAnswers;
use crate::config::NodeConfig;
use crate::controller_server::ControllerHandle;
use crate::fetch_session::FetchSessionCache;
use crate::group_coordinator::GroupCoordinator;
use crate::metadata_cache::MetadataCache;
use crate::producer_id_manager::ProducerIdManager;
use crate::replica_manager::ReplicaManager;
use crate::request::{CloseReason, Handled, RequestContext, RequestHandler};

/// What the handlers use; built from the bottom up by the server.
pub struct Services {
    /// Classic groups and their offsets.
    pub group_coordinator: Arc<GroupCoordinator>,
    /// The newest metadata image.
    pub metadata_cache: Arc<MetadataCache>,
    /// What clients are told of all topics.
    pub metadata_answers: KeptAnswers,
    /// The metadata quorum as this node sees it.
    pub quorum: Arc<Quorum>,
    /// Where decisions are asked for.
    pub controller: ControllerHandle,
    /// The node's configuration.
    pub config: Arc<NodeConfig>,
    /// Ids for idempotent producers.
    pub producer_ids: Arc<ProducerIdManager>,
    /// The partitions of this node.
    pub replicas: Arc<ReplicaManager>,
    /// Incremental fetch sessions.
    pub fetch_sessions: Arc<FetchSessionCache>,
}

impl RequestHandler for Services {
    fn handle(&self, context: &RequestContext, body: Bytes) -> Handled {
        match context.api_key {
            ApiKey::ApiVersions => api_versions::handle(&self.metadata_cache.image(), context, body),
            ApiKey::Produce => produce::handle(&self.replicas, context, body),
            ApiKey::Fetch => {
                let max_bytes = self.config.network.fetch_max_bytes;
                fetch::handle(&self.replicas, &self.fetch_sessions, max_bytes, context, body)
            }
            ApiKey::ListOffsets => list_offsets::handle(&self.replicas, context, body),
            ApiKey::DeleteRecords => delete_records::handle(&self.replicas, context, body),
            ApiKey::OffsetForLeaderEpoch => offset_for_leader_epoch::handle(&self.replicas, context, body),
            ApiKey::DescribeLogDirs => describe_log_dirs::handle(&self.replicas, context, body),
            ApiKey::DescribeProducers => describe_producers::handle(&self.replicas, context, body),
            ApiKey::DescribeQuorum => {
                describe_quorum::handle(&self.quorum, &self.metadata_cache.image(), context, body)
            }
            ApiKey::Metadata => metadata::handle(
                &self.metadata_cache,
                &self.metadata_answers,
                &self.controller,
                &self.config,
                context,
                body,
            ),
            ApiKey::DescribeCluster => describe_cluster::handle(&self.metadata_cache.image(), context, body),
            ApiKey::DescribeTopicPartitions => {
                describe_topic_partitions::handle(&self.metadata_cache.image(), &self.config, context, body)
            }
            ApiKey::DescribeConfigs => {
                describe_configs::handle(&self.metadata_cache.image(), &self.config, context, body)
            }
            ApiKey::ListConfigResources => {
                list_config_resources::handle(&self.metadata_cache.image(), context, body)
            }
            ApiKey::CreateTopics => create_topics::handle(&self.controller, context, body),
            ApiKey::DeleteTopics => delete_topics::handle(&self.controller, &self.config, context, body),
            ApiKey::CreatePartitions => create_partitions::handle(&self.controller, context, body),
            ApiKey::AlterConfigs => alter_configs::handle(&self.controller, &self.config, context, body),
            ApiKey::IncrementalAlterConfigs => {
                let image = self.metadata_cache.image();
                incremental_alter_configs::handle(&image, &self.controller, &self.config, context, body)
            }
            ApiKey::InitProducerId => init_producer_id::handle(&self.producer_ids, context, body),
            ApiKey::OffsetCommit => offset_commit::handle(
                &self.group_coordinator,
                &self.metadata_cache.image(),
                context,
                body,
            ),
            ApiKey::OffsetFetch => offset_fetch::handle(
                &self.group_coordinator,
                self.metadata_cache.image(),
                context,
                body,
            ),
            ApiKey::FindCoordinator => {
                find_coordinator::handle(&self.group_coordinator, &self.metadata_cache, context, body)
            }
            ApiKey::JoinGroup => join_group::handle(&self.group_coordinator, context, body),
            ApiKey::Heartbeat => heartbeat::handle(&self.group_coordinator, context, body),
            ApiKey::LeaveGroup => leave_group::handle(&self.group_coordinator, context, body),
            ApiKey::SyncGroup => sync_group::handle(&self.group_coordinator, context, body),
            ApiKey::DescribeGroups => describe_groups::handle(&self.group_coordinator, context, body),
            ApiKey::ListGroups => list_groups::handle(&self.group_coordinator, context, body),
            ApiKey::DeleteGroups => delete_groups::handle(&self.group_coordinator, context, body),
            ApiKey::OffsetDelete => offset_delete::handle(
                &self.group_coordinator,
                &self.metadata_cache.image(),
                context,
                body,
            ),
            ApiKey::SaslHandshake => sasl_handshake::handle(context),
            ApiKey::ConsumerGroupHeartbeat => consumer_group_heartbeat::handle(context),
            ApiKey::AddPartitionsToTxn
            | ApiKey::AddOffsetsToTxn
            | ApiKey::EndTxn
            | ApiKey::WriteTxnMarkers
            | ApiKey::TxnOffsetCommit
            | ApiKey::DescribeAcls
            | ApiKey::CreateAcls
            | ApiKey::DeleteAcls
            | ApiKey::AlterReplicaLogDirs
            | ApiKey::SaslAuthenticate
            | ApiKey::CreateDelegationToken
            | ApiKey::RenewDelegationToken
            | ApiKey::ExpireDelegationToken
            | ApiKey::DescribeDelegationToken
            | ApiKey::ElectLeaders
            | ApiKey::AlterPartitionReassignments
            | ApiKey::ListPartitionReassignments
            | ApiKey::DescribeClientQuotas
            | ApiKey::AlterClientQuotas
            | ApiKey::DescribeUserScramCredentials
            | ApiKey::AlterUserScramCredentials
            | ApiKey::Vote
            | ApiKey::BeginQuorumEpoch
            | ApiKey::EndQuorumEpoch
            | ApiKey::AlterPartition
            | ApiKey::UpdateFeatures
            | ApiKey::Envelope
            | ApiKey::FetchSnapshot
            | ApiKey::BrokerRegistration
            | ApiKey::BrokerHeartbeat
            | ApiKey::UnregisterBroker
            | ApiKey::DescribeTransactions
            | ApiKey::ListTransactions
            | ApiKey::AllocateProducerIds
            | ApiKey::ConsumerGroupDescribe
            | ApiKey::ControllerRegistration
            | ApiKey::GetTelemetrySubscriptions
            | ApiKey::PushTelemetry
            | ApiKey::AssignReplicasToDirs
            | ApiKey::ShareGroupHeartbeat
            | ApiKey::ShareGroupDescribe
            | ApiKey::ShareFetch
            | ApiKey::ShareAcknowledge
            | ApiKey::AddRaftVoter
            | ApiKey::RemoveRaftVoter
            | ApiKey::UpdateRaftVoter
            | ApiKey::InitializeShareGroupState
            | ApiKey::ReadShareGroupState
            | ApiKey::WriteShareGroupState
            | ApiKey::DeleteShareGroupState
            | ApiKey::ReadShareGroupStateSummary
            | ApiKey::StreamsGroupHeartbeat
            | ApiKey::StreamsGroupDescribe
            | ApiKey::DescribeShareGroupOffsets
            | ApiKey::AlterShareGroupOffsets
            | ApiKey::DeleteShareGroupOffsets => not_served(context),
        }
    }
}

fn not_served(context: &RequestContext) -> Handled {
    Handled::Close(CloseReason::NotServed {
        api_key: context.api_key,
        version: context.version,
    })
}
