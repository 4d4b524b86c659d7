//! The shapes of the requests that the codec crate decodes, and the shape of every served request by its key.
//!
//! A shape says of each field its type and versions; the crate's own struct gives the memory it takes. Shapes of our
//! own messages come with their declaration.

mod cluster;
mod groups;
mod records;
mod topics;

use kafka_protocol::messages;

use crate::api_key::ApiKey;
use crate::guard::shape::{Kind, Shape};
use crate::messages::{DescribeLogDirsRequest, ListOffsetsRequest, OffsetCommitRequest, OffsetFetchRequest};

/// Describes the structs of one request of the codec crate, in a module named after the crate's.
macro_rules! shape {
    (
        $module:ident, flexible $flexible:tt $(+)?;
        $(
            $name:ident {
                $(
                    $field:ident : $ty:ty,
                    v($first:literal $(- $last:literal)? $(+)?)
                    $(, nullable($null_first:literal $(- $null_last:literal)? $(+)?))?
                    $(, tag($tag:literal))?;
                )*
            }
        )+
    ) => {
        pub mod $module {
            //! The structs of one request.
            #[allow(unused_imports, reason = "no request has a field of every type")]
            use {bytes::Bytes, kafka_protocol::protocol::StrBytes, uuid::Uuid};

            use crate::guard::shape::{FieldShape, Kind, Shape, Wire};
            use crate::messages::declare::{flexible_from, if_given, last_version};

            $(
                pub struct $name;

                impl Wire for $name {
                    const KIND: Kind = Kind::Struct(&Shape {
                        name: stringify!($name),
                        fields: &[$(FieldShape {
                            name: stringify!($field),
                            kind: <$ty as Wire>::KIND,
                            first: $first,
                            last: last_version!($($last)?),
                            nullable: if_given!([$($null_first)?] {
                                Some(($($null_first)?, last_version!($($($null_last)?)?)))
                            } { None }),
                            tag: if_given!([$($tag)?] { Some($($tag)?) } { None }),
                        },)*],
                        first_flexible: flexible_from!($flexible),
                        decoded_bytes: size_of::<kafka_protocol::messages::$module::$name>(),
                    });
                }
            )+
        }
    };
}

use shape;

/// A request that the guard can check.
pub trait Shaped {
    /// Its shape.
    const SHAPE: &'static Shape;
}

/// Is shown the type of a request.
#[cfg(test)]
pub(crate) trait Visitor {
    /// What it makes of it.
    type Output;

    /// Called with the request's type.
    fn visit<R: kafka_protocol::protocol::Request + Shaped>(self) -> Self::Output;
}

macro_rules! shaped {
    (own { $($own:ident = $own_key:ident;)* } codec { $($path:ident :: $name:ident = $key:ident in $file:ident;)* }) => {
        $(impl Shaped for $own {
            const SHAPE: &'static Shape = &$own::SHAPE;
        })*

        $(impl Shaped for messages::$name {
            const SHAPE: &'static Shape = struct_shape(&<$file::$path::$name as crate::guard::shape::Wire>::KIND);
        })*

        /// The shape of a served request; `None` where the API is refused.
        pub fn request_shape(key: ApiKey) -> Option<&'static Shape> {
            match key {
                $(ApiKey::$own_key => Some(<$own as Shaped>::SHAPE),)*
                $(ApiKey::$key => Some(<messages::$name as Shaped>::SHAPE),)*
                _ => None,
            }
        }

        /// Visits the request of a key; `None` where the API is refused. For tests that walk every request.
        #[cfg(test)]
        pub(crate) fn visit<V: Visitor>(key: ApiKey, visitor: V) -> Option<V::Output> {
            match key {
                $(ApiKey::$own_key => Some(visitor.visit::<$own>()),)*
                $(ApiKey::$key => Some(visitor.visit::<messages::$name>()),)*
                _ => None,
            }
        }
    };
}

shaped! {
    own {
    DescribeLogDirsRequest = DescribeLogDirs;
    ListOffsetsRequest = ListOffsets;
    OffsetCommitRequest = OffsetCommit;
    OffsetFetchRequest = OffsetFetch;
    }
    codec {
    produce_request::ProduceRequest = Produce in records;
    fetch_request::FetchRequest = Fetch in records;
    delete_records_request::DeleteRecordsRequest = DeleteRecords in records;
    init_producer_id_request::InitProducerIdRequest = InitProducerId in records;
    offset_for_leader_epoch_request::OffsetForLeaderEpochRequest = OffsetForLeaderEpoch in records;
    describe_producers_request::DescribeProducersRequest = DescribeProducers in records;
    metadata_request::MetadataRequest = Metadata in topics;
    create_topics_request::CreateTopicsRequest = CreateTopics in topics;
    delete_topics_request::DeleteTopicsRequest = DeleteTopics in topics;
    create_partitions_request::CreatePartitionsRequest = CreatePartitions in topics;
    describe_topic_partitions_request::DescribeTopicPartitionsRequest = DescribeTopicPartitions in topics;
    find_coordinator_request::FindCoordinatorRequest = FindCoordinator in groups;
    join_group_request::JoinGroupRequest = JoinGroup in groups;
    heartbeat_request::HeartbeatRequest = Heartbeat in groups;
    leave_group_request::LeaveGroupRequest = LeaveGroup in groups;
    sync_group_request::SyncGroupRequest = SyncGroup in groups;
    describe_groups_request::DescribeGroupsRequest = DescribeGroups in groups;
    list_groups_request::ListGroupsRequest = ListGroups in groups;
    delete_groups_request::DeleteGroupsRequest = DeleteGroups in groups;
    offset_delete_request::OffsetDeleteRequest = OffsetDelete in groups;
    api_versions_request::ApiVersionsRequest = ApiVersions in cluster;
    describe_configs_request::DescribeConfigsRequest = DescribeConfigs in cluster;
    alter_configs_request::AlterConfigsRequest = AlterConfigs in cluster;
    incremental_alter_configs_request::IncrementalAlterConfigsRequest = IncrementalAlterConfigs in cluster;
    describe_cluster_request::DescribeClusterRequest = DescribeCluster in cluster;
    describe_quorum_request::DescribeQuorumRequest = DescribeQuorum in cluster;
    list_config_resources_request::ListConfigResourcesRequest = ListConfigResources in cluster;
    }
}

/// The struct behind a kind; only structs are asked for.
const fn struct_shape(kind: &'static Kind) -> &'static Shape {
    match kind {
        Kind::Struct(shape) => shape,
        _ => panic!("a request is a struct"),
    }
}
