//! The index of handlers: every API key of Kafka, and the file that serves it.
//!
//! A handler is given the services it uses and nothing else. An API that is not served is answered as Kafka answers an
//! API that is switched off: the connection is closed. Nothing here knows a socket.

pub mod api_versions;
pub mod describe_quorum;

use std::sync::Arc;

use bytes::Bytes;
use metadata::quorum::Quorum;
use protocol_compat::ApiKey;

use crate::metadata_cache::MetadataCache;
use crate::request::{CloseReason, Handled, RequestContext, RequestHandler};

/// What the handlers use; built from the bottom up by the server.
pub struct Services {
    /// The newest metadata image.
    pub metadata_cache: Arc<MetadataCache>,
    /// The metadata quorum as this node sees it.
    pub quorum: Arc<Quorum>,
}

impl RequestHandler for Services {
    fn handle(&self, context: &RequestContext, body: Bytes) -> Handled {
        match context.api_key {
            ApiKey::ApiVersions => api_versions::handle(&self.metadata_cache.image(), context, body),
            ApiKey::DescribeQuorum => {
                describe_quorum::handle(&self.quorum, &self.metadata_cache.image(), context, body)
            }
            ApiKey::Produce
            | ApiKey::Fetch
            | ApiKey::ListOffsets
            | ApiKey::Metadata
            | ApiKey::OffsetCommit
            | ApiKey::OffsetFetch
            | ApiKey::FindCoordinator
            | ApiKey::JoinGroup
            | ApiKey::Heartbeat
            | ApiKey::LeaveGroup
            | ApiKey::SyncGroup
            | ApiKey::DescribeGroups
            | ApiKey::ListGroups
            | ApiKey::CreateTopics
            | ApiKey::DeleteTopics
            | ApiKey::DeleteRecords
            | ApiKey::InitProducerId
            | ApiKey::OffsetForLeaderEpoch
            | ApiKey::DescribeConfigs
            | ApiKey::AlterConfigs
            | ApiKey::DescribeLogDirs
            | ApiKey::CreatePartitions
            | ApiKey::DeleteGroups
            | ApiKey::IncrementalAlterConfigs
            | ApiKey::OffsetDelete
            | ApiKey::DescribeCluster
            | ApiKey::DescribeProducers
            | ApiKey::ListConfigResources
            | ApiKey::DescribeTopicPartitions => not_served(context),
            ApiKey::SaslHandshake
            | ApiKey::AddPartitionsToTxn
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
            | ApiKey::ConsumerGroupHeartbeat
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
