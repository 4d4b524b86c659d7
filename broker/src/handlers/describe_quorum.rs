//! DescribeQuorum, API key 55, versions 0–2. Says who leads the metadata quorum, how far each voter and observer is, and
//! where the voters listen; `kafka-metadata-quorum.sh describe` asks for it.
//!
//! Version 1 adds the times of the last fetch and of being caught up (KIP-836); version 2 error messages, directory ids
//! and the voters' endpoints (KIP-853). Only `__cluster_metadata-0`, alone, can be asked for: anything else, or more, is
//! answered with UNKNOWN_TOPIC_OR_PARTITION for every partition, and a node that does not lead answers
//! NOT_LEADER_OR_FOLLOWER.
//!
//! Where we differ: a node without a controller listener shows its client listeners as the voter's endpoints, since the
//! quorum of one has no endpoint of its own.

use bytes::Bytes;
use metadata::image::MetadataImage;
use metadata::quorum::{Quorum, QuorumStatus, ReplicaStatus};
use protocol_compat::messages::describe_quorum_request::DescribeQuorumRequest;
use protocol_compat::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};
use protocol_compat::messages::{BrokerId as WireBrokerId, StrBytes, TopicName};
use protocol_compat::{BrokerId, ErrorCode};

use crate::request::{Handled, RequestContext};

const TOPIC: &str = "__cluster_metadata";
const PARTITION: i32 = 0;

/// Answers at once from what the quorum knows now.
pub fn handle(quorum: &Quorum, image: &MetadataImage, context: &RequestContext, body: Bytes) -> Handled {
    let request: DescribeQuorumRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let local_host = context.local.ip().to_string();
    let (status, now_ms) = (quorum.describe(), context.received_ms);
    let response = respond(&request, context.version, &status, image, &local_host, now_ms);
    Handled::Now(context.respond(&response))
}

/// What the versions differ in.
struct Shows {
    directory_ids: bool,
    nodes: bool,
}

impl Shows {
    fn of(version: i16) -> Shows {
        Shows {
            directory_ids: version >= 2,
            nodes: version >= 2,
        }
    }
}

/// `local_host` stands in where a broker advertises no host: the address that the client used.
fn respond(
    request: &DescribeQuorumRequest,
    version: i16,
    status: &QuorumStatus,
    image: &MetadataImage,
    local_host: &str,
    now_ms: i64,
) -> DescribeQuorumResponse {
    if !asks_for_the_quorum(request) {
        return refuse(request);
    }
    if status.leader != Some(status.node_id) {
        let partition = failed(PARTITION, ErrorCode::NotLeaderOrFollower);
        return DescribeQuorumResponse::default().with_topics(vec![topic(name(TOPIC), vec![partition])]);
    }
    let shows = Shows::of(version);
    let states = |replicas: &[ReplicaStatus]| -> Vec<ReplicaState> {
        let leads = |replica: &ReplicaStatus| replica.node_id == status.node_id;
        replicas
            .iter()
            .map(|replica| state(replica, leads(replica), &shows, now_ms))
            .collect()
    };
    let partition = PartitionData::default()
        .with_partition_index(PARTITION)
        .with_leader_id(WireBrokerId(status.node_id))
        .with_leader_epoch(status.leader_epoch)
        .with_high_watermark(status.high_watermark)
        .with_current_voters(states(&status.voters))
        .with_observers(states(&status.observers));
    let response = DescribeQuorumResponse::default().with_topics(vec![topic(name(TOPIC), vec![partition])]);
    if shows.nodes {
        let nodes = status.voters.iter().map(|voter| node(voter, image, local_host));
        response.with_nodes(nodes.collect())
    } else {
        response
    }
}

fn asks_for_the_quorum(request: &DescribeQuorumRequest) -> bool {
    match request.topics.as_slice() {
        [topic] => {
            let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
            topic.topic_name.as_str() == TOPIC && partitions.eq([PARTITION])
        }
        _ => false,
    }
}

fn refuse(request: &DescribeQuorumRequest) -> DescribeQuorumResponse {
    let topics = request.topics.iter().map(|asked| {
        let partitions = asked.partitions.iter();
        let refused =
            partitions.map(|partition| failed(partition.partition_index, ErrorCode::UnknownTopicOrPartition));
        topic(asked.topic_name.clone(), refused.collect())
    });
    DescribeQuorumResponse::default().with_topics(topics.collect())
}

fn name(topic: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(topic))
}

fn topic(name: TopicName, partitions: Vec<PartitionData>) -> TopicData {
    TopicData::default()
        .with_topic_name(name)
        .with_partitions(partitions)
}

fn failed(partition: i32, error: ErrorCode) -> PartitionData {
    PartitionData::default()
        .with_partition_index(partition)
        .with_error_code(error.code())
        .with_error_message(Some(StrBytes::from_static_str(message(error))))
}

/// Kafka's own text for the two errors of this API (`org.apache.kafka.common.protocol.Errors`).
fn message(error: ErrorCode) -> &'static str {
    match error {
        ErrorCode::UnknownTopicOrPartition => "This server does not host this topic-partition.",
        ErrorCode::NotLeaderOrFollower => {
            "For requests intended only for the leader, this error indicates that the broker is not the current leader. \
             For requests intended for any replica, this error indicates that the broker is not a replica of the topic \
             partition."
        }
        other => other.name(),
    }
}

/// The leader has fetched and caught up now, by definition; what others did is not known before they replicate.
fn state(replica: &ReplicaStatus, leads: bool, shows: &Shows, now_ms: i64) -> ReplicaState {
    let seen_ms = if leads { now_ms } else { -1 };
    let state = ReplicaState::default()
        .with_replica_id(WireBrokerId(replica.node_id))
        .with_log_end_offset(replica.log_end_offset)
        .with_last_fetch_timestamp(seen_ms)
        .with_last_caught_up_timestamp(seen_ms);
    if shows.directory_ids {
        state.with_replica_directory_id(replica.directory_id)
    } else {
        state
    }
}

fn node(voter: &ReplicaStatus, image: &MetadataImage, local_host: &str) -> Node {
    let broker = image.brokers.get(BrokerId(voter.node_id));
    let endpoints = broker
        .map(|broker| broker.endpoints.as_slice())
        .unwrap_or_default();
    let listeners = endpoints.iter().map(|endpoint| {
        let host = if endpoint.host.is_empty() {
            local_host
        } else {
            &endpoint.host
        };
        Listener::default()
            .with_name(StrBytes::from_string(endpoint.name.to_string()))
            .with_host(StrBytes::from_string(host.to_owned()))
            .with_port(endpoint.port)
    });
    Node::default()
        .with_node_id(WireBrokerId(voter.node_id))
        .with_listeners(listeners.collect())
}

#[cfg(test)]
mod tests {
    use metadata::image::{BrokerEndpoint, BrokerImage};
    use protocol_compat::messages::describe_quorum_request;
    use uuid::Uuid;

    use super::*;

    fn status() -> QuorumStatus {
        QuorumStatus {
            node_id: 1,
            leader: Some(1),
            leader_epoch: 4,
            high_watermark: 90,
            log_end_offset: 91,
            log_start_offset: 10,
            last_applied_offset: 89,
            snapshot_end_offset: -1,
            voters: vec![ReplicaStatus {
                node_id: 1,
                directory_id: Uuid::from_u128(7),
                log_end_offset: 91,
            }],
            observers: Vec::new(),
        }
    }

    fn image() -> MetadataImage {
        let mut image = MetadataImage::empty("a-cluster");
        image.brokers.insert(BrokerImage {
            id: BrokerId(1),
            epoch: 3,
            incarnation_id: Uuid::from_u128(1),
            endpoints: vec![BrokerEndpoint {
                name: "PLAINTEXT".into(),
                host: "".into(),
                port: 9092,
                security_protocol: 0,
            }],
            features: Vec::new(),
            rack: None,
            fenced: false,
            in_controlled_shutdown: false,
            directories: Vec::new(),
            cordoned_directories: Vec::new(),
        });
        image
    }

    fn request(partitions: &[(&'static str, &[i32])]) -> DescribeQuorumRequest {
        let topics = partitions.iter().map(|(topic, partitions)| {
            let partitions = partitions
                .iter()
                .map(|&index| describe_quorum_request::PartitionData::default().with_partition_index(index));
            describe_quorum_request::TopicData::default()
                .with_topic_name(name(topic))
                .with_partitions(partitions.collect())
        });
        DescribeQuorumRequest::default().with_topics(topics.collect())
    }

    fn answer(
        asked: &[(&'static str, &[i32])],
        version: i16,
        status: &QuorumStatus,
    ) -> DescribeQuorumResponse {
        respond(&request(asked), version, status, &image(), "127.0.0.1", 5_000)
    }

    #[test]
    fn the_leader_describes_itself_as_caught_up_now() {
        let response = answer(&[(TOPIC, &[0])], 2, &status());
        let partition = &response.topics[0].partitions[0];
        assert_eq!(
            (
                partition.leader_id.0,
                partition.leader_epoch,
                partition.high_watermark
            ),
            (1, 4, 90)
        );
        let voter = &partition.current_voters[0];
        assert_eq!((voter.log_end_offset, voter.last_fetch_timestamp), (91, 5_000));
        assert_eq!(voter.replica_directory_id, Uuid::from_u128(7));
        let listener = &response.nodes[0].listeners[0];
        assert_eq!((listener.host.as_str(), listener.port), ("127.0.0.1", 9092));
    }

    #[test]
    fn earlier_versions_carry_neither_directory_ids_nor_nodes() {
        for version in 0..2 {
            let response = answer(&[(TOPIC, &[0])], version, &status());
            assert!(response.nodes.is_empty());
            assert!(
                response.topics[0].partitions[0].current_voters[0]
                    .replica_directory_id
                    .is_nil()
            );
        }
    }

    #[test]
    fn anything_but_the_metadata_partition_alone_is_unknown() {
        let others: [&[(&'static str, &[i32])]; 5] = [
            &[("orders", &[0])],
            &[(TOPIC, &[1])],
            &[(TOPIC, &[0, 0])],
            &[(TOPIC, &[0]), (TOPIC, &[0])],
            &[(TOPIC, &[0]), ("orders", &[3])],
        ];
        for asked in others {
            let response = answer(asked, 2, &status());
            assert_eq!((response.error_code, response.topics.len()), (0, asked.len()));
            for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
                assert_eq!(partition.error_code, ErrorCode::UnknownTopicOrPartition.code());
            }
        }
        assert!(answer(&[], 2, &status()).topics.is_empty());
    }

    #[test]
    fn a_node_that_does_not_lead_says_so() {
        let follower = QuorumStatus {
            leader: Some(2),
            ..status()
        };
        let response = answer(&[(TOPIC, &[0])], 2, &follower);
        let partition = &response.topics[0].partitions[0];
        assert_eq!(partition.error_code, ErrorCode::NotLeaderOrFollower.code());
    }
}
