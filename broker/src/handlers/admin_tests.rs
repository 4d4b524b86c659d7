//! The admin handlers over a controller in memory: what clients send, what they get, at every version.

use std::sync::Arc;

use ::metadata::controller::{BrokerRegistration, ControllerConfig};
use ::metadata::image::{BrokerEndpoint, MetadataImage};
use ::metadata::quorum::memory::MemoryDisk;
use ::metadata::quorum::{QuorumConfig, WriterMode};
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};
use protocol_compat::messages::describe_configs_request::DescribeConfigsResource;
use protocol_compat::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use protocol_compat::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use protocol_compat::messages::metadata_request::MetadataRequestTopic;
use protocol_compat::messages::metadata_response::MetadataResponseTopic;
use protocol_compat::messages::*;
use protocol_compat::{ApiKey, BrokerId as NodeId, ErrorCode};
use uuid::Uuid;

use super::metadata::KeptAnswers;
use super::{
    create_topics, delete_topics, describe_configs, describe_topic_partitions, incremental_alter_configs,
    init_producer_id, metadata,
};
use crate::broker_lifecycle::register_broker;
use crate::clock::Clock;
use crate::config::{NodeConfig, Settings};
use crate::controller_server::{ControllerHandle, ControllerServer};
use crate::metadata_cache::MetadataCache;
use crate::metadata_publisher::MetadataPublisher;
use crate::producer_id_manager::ProducerIdManager;
use crate::request::{Handled, RequestContext};

struct Node {
    server: ControllerServer,
    controller: ControllerHandle,
    cache: MetadataCache,
    config: Arc<NodeConfig>,
    producer_ids: Arc<ProducerIdManager>,
}

async fn node() -> Node {
    let quorum = QuorumConfig {
        node_id: 1,
        directory_id: Uuid::from_u128(500),
        cluster_id: "cluster".into(),
        ids_read_from: "meta.properties".to_owned(),
        snapshot_after_bytes: 100_000,
        entries_kept_behind_snapshot: 0,
    };
    let controller = ControllerConfig {
        cluster_id: "cluster".into(),
        node_id: NodeId(1),
        num_partitions: 1,
        default_replication_factor: 1,
        broker_configs: Arc::default(),
    };
    let cache = MetadataCache::new(Arc::new(MetadataImage::empty("cluster")));
    let publisher = Arc::new(MetadataPublisher::new(cache.clone()));
    let storage = MemoryDisk::new().storage(WriterMode::Thread);
    let server = ControllerServer::start(quorum, storage, controller, publisher, Clock::real(), |reason| {
        panic!("the quorum failed: {reason}")
    })
    .await
    .expect("a quorum of one");
    let controller = server.handle();
    let registration = BrokerRegistration {
        id: NodeId(1),
        cluster_id: "cluster".into(),
        incarnation_id: Uuid::from_u128(501),
        endpoints: vec![BrokerEndpoint {
            name: "PLAINTEXT".into(),
            host: "".into(),
            port: 9092,
            security_protocol: 0,
        }],
        features: Vec::new(),
        rack: None,
        directories: vec![Uuid::from_u128(500)],
        ready: true,
    };
    let epoch = register_broker(&controller, registration)
        .await
        .expect("a registration");
    let mut settings = Settings::default();
    settings.set("node.id", "1", "test").expect("a value");
    Node {
        producer_ids: Arc::new(ProducerIdManager::new(controller.clone(), NodeId(1), epoch)),
        config: Arc::new(NodeConfig::new(settings, None).expect("a configuration")),
        server,
        controller,
        cache,
    }
}

/// Sends a request to a handler and reads the answer.
async fn ask<Q: Encodable, A: Decodable + HeaderVersion>(
    key: ApiKey,
    version: i16,
    request: Q,
    handler: impl FnOnce(&RequestContext, Bytes) -> Handled,
) -> A {
    let context = RequestContext::for_test(key, version);
    let mut body = BytesMut::new();
    request
        .encode(&mut body, version)
        .expect("a request of that version");
    let frame = match handler(&context, body.freeze()) {
        Handled::Now(frame) => frame,
        Handled::Later(frame) | Handled::Exclusive(frame) => frame.await,
        Handled::Begun(_) | Handled::NoReply | Handled::Close(_) => panic!("an answer was expected"),
    };
    let mut bytes = frame.to_bytes();
    bytes.advance(if A::header_version(version) >= 1 { 9 } else { 8 });
    A::decode(&mut bytes, version).expect("an answer of that version")
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Node {
    async fn create(&self, version: i16, name: &str, partitions: i32) -> CreateTopicsResponse {
        let config = create_topics_request::CreatableTopicConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("5")));
        let topic = create_topics_request::CreatableTopic::default()
            .with_name(text(name).into())
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(vec![config]);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]);
        ask(ApiKey::CreateTopics, version, request, |context, body| {
            create_topics::handle(&self.controller, context, body)
        })
        .await
    }

    async fn metadata(&self, names: &[&str], allow_auto_topic_creation: bool) -> MetadataResponse {
        let topics = names
            .iter()
            .map(|name| MetadataRequestTopic::default().with_name(Some(text(name).into())));
        let request = MetadataRequest::default()
            .with_topics(Some(topics.collect()))
            .with_allow_auto_topic_creation(allow_auto_topic_creation);
        ask(ApiKey::Metadata, 12, request, |context, body| {
            metadata::handle(
                &self.cache,
                &KeptAnswers::default(),
                &self.controller,
                &self.config,
                context,
                body,
            )
        })
        .await
    }

    async fn describe(
        &self,
        version: i16,
        kind: i8,
        name: &str,
    ) -> describe_configs_response::DescribeConfigsResult {
        let results = self.describe_all(version, &[(kind, name)]).await;
        results.into_iter().next().expect("one result")
    }

    async fn describe_all(
        &self,
        version: i16,
        resources: &[(i8, &str)],
    ) -> Vec<describe_configs_response::DescribeConfigsResult> {
        let resources = resources.iter().map(|(kind, name)| {
            DescribeConfigsResource::default()
                .with_resource_type(*kind)
                .with_resource_name(text(name))
                .with_configuration_keys(None)
        });
        let request = DescribeConfigsRequest::default()
            .with_resources(resources.collect())
            .with_include_synonyms(true)
            .with_include_documentation(version >= 3);
        let response: DescribeConfigsResponse =
            ask(ApiKey::DescribeConfigs, version, request, |context, body| {
                describe_configs::handle(&self.cache.image(), &self.config, context, body)
            })
            .await;
        response.results
    }

    /// Each change: kind and name of a resource, then key, operation and value.
    async fn alter(&self, changes: &[(i8, &str, &str, i8, Option<&str>)]) -> Vec<(ErrorCode, String)> {
        let resources = changes.iter().map(|(kind, name, key, operation, value)| {
            let config = AlterableConfig::default()
                .with_name(text(key))
                .with_config_operation(*operation)
                .with_value(value.map(text));
            AlterConfigsResource::default()
                .with_resource_type(*kind)
                .with_resource_name(text(name))
                .with_configs(vec![config])
        });
        let request = IncrementalAlterConfigsRequest::default().with_resources(resources.collect());
        let response: IncrementalAlterConfigsResponse =
            ask(ApiKey::IncrementalAlterConfigs, 1, request, |context, body| {
                let image = self.cache.image();
                incremental_alter_configs::handle(&image, &self.controller, &self.config, context, body)
            })
            .await;
        let outcome = |row: incremental_alter_configs_response::AlterConfigsResourceResponse| {
            let message = row.error_message.map(|message| message.to_string());
            (ErrorCode::from_code(row.error_code), message.unwrap_or_default())
        };
        response.responses.into_iter().map(outcome).collect()
    }
}

#[tokio::test]
async fn settings_of_what_is_named_again_and_again_are_not_described_as_often() {
    let node = node().await;
    let resources = [[(4, "1"); 1000].as_slice(), &[(4, "")]].concat();
    let results = node.describe_all(4, &resources).await;
    assert!(results.len() < 100, "{}", results.len());
    assert!(results.last().is_some_and(|last| last.resource_name.is_empty()));
}

#[tokio::test]
async fn topics_are_created_and_deleted_at_every_version() {
    let node = node().await;
    for version in 2..=7 {
        let name = format!("topic-{version}");
        let created = node.create(version, &name, 2).await;
        let topic = created.topics.first().expect("one topic");
        assert_eq!(
            (topic.error_code, &topic.error_message),
            (0, &None),
            "version {version}"
        );
        if version >= 5 {
            let configs = topic.configs.as_deref().unwrap_or_default();
            let retention = configs
                .iter()
                .find(|config| config.name.as_str() == "retention.ms");
            assert_eq!(retention.map(|config| config.config_source), Some(1));
            assert_eq!(topic.num_partitions, 2);
        }
        let again = node.create(version, &name, 2).await;
        assert_eq!(again.topics.first().map(|topic| topic.error_code), Some(36));
    }
    for version in 1..=6 {
        let name = format!("topic-{}", version + 1);
        let id = node
            .cache
            .image()
            .topics
            .by_name(&name)
            .expect("it was created")
            .id;
        let request = match version {
            6 => DeleteTopicsRequest::default().with_topics(vec![
                delete_topics_request::DeleteTopicState::default()
                    .with_topic_id(id.0)
                    .with_name(None),
            ]),
            _ => DeleteTopicsRequest::default().with_topic_names(vec![text(&name).into()]),
        };
        let deleted: DeleteTopicsResponse = ask(ApiKey::DeleteTopics, version, request, |context, body| {
            delete_topics::handle(&node.controller, &node.config, context, body)
        })
        .await;
        let row = deleted.responses.first().expect("one row");
        assert_eq!(
            (row.error_code, row.name.as_ref().map(|n| n.0.as_str())),
            (0, Some(name.as_str()))
        );
        assert!(node.cache.image().topics.by_name(&name).is_none());
    }
    node.server.shutdown().await.expect("a clean stop");
}

#[tokio::test]
async fn a_topic_that_is_used_first_is_unknown_once_and_there_when_asked_again() {
    let node = node().await;
    let names = [
        "first",
        "a b",
        "__consumer_offsets",
        "__cluster_metadata",
        "__transaction_state",
    ];
    let rows = |response: MetadataResponse| -> Vec<_> {
        let row =
            |topic: MetadataResponseTopic| (topic.error_code, topic.partitions.len(), topic.is_internal);
        response.topics.into_iter().map(row).collect()
    };
    let first = rows(node.metadata(&names, true).await);
    assert_eq!(
        first,
        [
            (3, 0, false),
            (17, 0, false),
            (3, 0, true),
            (3, 0, false),
            (3, 0, true)
        ]
    );
    let again = rows(node.metadata(&names, true).await);
    assert_eq!(
        again,
        [
            (0, 1, false),
            (17, 0, false),
            (0, 50, true),
            (3, 0, false),
            (3, 0, true)
        ]
    );
    let response = node.metadata(&["second"], false).await;
    assert_eq!(response.topics.first().map(|topic| topic.error_code), Some(3));
    let offsets = node.describe(4, 2, "__consumer_offsets").await;
    let policy = offsets
        .configs
        .iter()
        .find(|config| config.name.as_str() == "cleanup.policy");
    assert_eq!(policy.and_then(|config| config.value.as_deref()), Some("compact"));
    node.server.shutdown().await.expect("a clean stop");
}

#[tokio::test]
async fn configurations_show_the_layer_that_they_come_from() {
    let node = node().await;
    node.create(7, "t", 1).await;
    for version in 1..=4 {
        let topic = node.describe(version, 2, "t").await;
        assert_eq!((topic.error_code, topic.configs.len()), (0, 33));
        let broker = node.describe(version, 4, "1").await;
        assert!(broker.configs.len() > 100);
    }
    let unknown = node.describe(4, 2, "nope").await;
    assert_eq!(
        (unknown.error_code, unknown.error_message.as_deref()),
        (3, Some(""))
    );
    assert_eq!(node.describe(4, 4, "9").await.error_code, 42);
    assert_eq!(node.describe(4, 8, "1").await.error_code, 42);

    let set = [
        (4, "", "log.roll.ms", 0, Some("777")),
        (2, "t", "cleanup.policy", 2, Some("compact")),
    ];
    assert!(
        node.alter(&set)
            .await
            .iter()
            .all(|(code, _)| *code == ErrorCode::None)
    );
    let topic = node.describe(4, 2, "t").await;
    let key = |name: &str| {
        let config = topic
            .configs
            .iter()
            .find(|config| config.name.as_str() == name)
            .expect("a topic key");
        let synonyms: Vec<String> = config
            .synonyms
            .iter()
            .map(|s| format!("{}={}:{}", s.name, s.value.as_deref().unwrap_or(""), s.source))
            .collect();
        (
            config.value.as_deref().unwrap_or("").to_owned(),
            config.config_source,
            synonyms,
        )
    };
    let rolled = ["log.roll.ms=777:3", "log.roll.hours=168:5"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(key("segment.ms"), ("777".to_owned(), 3, rolled));
    let cleaned = ["cleanup.policy=delete,compact:1", "log.cleanup.policy=delete:5"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(key("cleanup.policy"), ("delete,compact".to_owned(), 1, cleaned));
    assert_eq!(key("flush.ms"), (i64::MAX.to_string(), 5, vec![]));
    let cluster = node.describe(4, 4, "").await;
    let names: Vec<&str> = cluster
        .configs
        .iter()
        .map(|config| config.name.as_str())
        .collect();
    assert_eq!(names, ["log.roll.ms", "min.insync.replicas"]);
    node.server.shutdown().await.expect("a clean stop");
}

#[tokio::test]
async fn changes_that_cannot_be_are_refused_one_by_one() {
    let node = node().await;
    node.create(7, "t", 1).await;
    let outcomes = node
        .alter(&[
            (2, "t", "retention.ms", 0, Some("9")),
            (2, "t2", "retention.ms", 0, None),
            (2, "nope", "retention.ms", 0, Some("9")),
            (4, "1", "num.io.threads", 0, Some("9")),
            (4, "7", "log.retention.ms", 0, Some("9")),
            (16, "metrics", "interval.ms", 0, Some("9")),
            (2, "t3", "retention.ms", 9, Some("9")),
            (2, "twice", "retention.ms", 0, Some("9")),
            (2, "twice", "retention.ms", 0, Some("9")),
        ])
        .await;
    let expected = [
        (ErrorCode::None, ""),
        (
            ErrorCode::InvalidRequest,
            "Null value not supported for : retention.ms",
        ),
        (
            ErrorCode::UnknownTopicOrPartition,
            "The topic 'nope' does not exist.",
        ),
        (
            ErrorCode::InvalidRequest,
            "Cannot update these configs dynamically: [num.io.threads]",
        ),
        (
            ErrorCode::InvalidRequest,
            "Unexpected broker id, expected 1, but received 7",
        ),
        (ErrorCode::InvalidRequest, "Unknown resource type 16"),
        (ErrorCode::InvalidRequest, "Unknown operations type 9"),
        (
            ErrorCode::InvalidRequest,
            "Each resource must appear at most once.",
        ),
        (
            ErrorCode::InvalidRequest,
            "Each resource must appear at most once.",
        ),
    ];
    assert_eq!(
        outcomes,
        expected.map(|(code, message)| (code, message.to_owned()))
    );
    node.server.shutdown().await.expect("a clean stop");
}

#[tokio::test]
async fn partitions_are_described_page_by_page() {
    let node = node().await;
    node.create(7, "a", 3).await;
    node.create(7, "b", 1).await;
    let mut cursor: Option<Cursor> = None;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(
                ["a", "b"]
                    .map(|name| TopicRequest::default().with_name(text(name).into()))
                    .to_vec(),
            )
            .with_response_partition_limit(2)
            .with_cursor(cursor.take());
        let page: DescribeTopicPartitionsResponse =
            ask(ApiKey::DescribeTopicPartitions, 0, request, |context, body| {
                describe_topic_partitions::handle(&node.cache.image(), &node.config, context, body)
            })
            .await;
        for topic in &page.topics {
            let name = topic.name.as_ref().map_or("", |name| name.0.as_str());
            seen.extend(
                topic
                    .partitions
                    .iter()
                    .map(|partition| format!("{name}-{}", partition.partition_index)),
            );
        }
        seen.push("|".to_owned());
        cursor = page.next_cursor.map(|next| {
            Cursor::default()
                .with_topic_name(next.topic_name)
                .with_partition_index(next.partition_index)
        });
    }
    assert_eq!(seen, ["a-0", "a-1", "|", "a-2", "b-0", "|"]);
    assert_eq!(cursor, None);
    node.server.shutdown().await.expect("a clean stop");
}

#[tokio::test]
async fn idempotent_producers_get_ids_and_transactional_ones_a_final_error() {
    let node = node().await;
    let ask_id = async |version: i16, transactional_id: Option<&str>| -> InitProducerIdResponse {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(transactional_id.map(|id| text(id).into()))
            .with_transaction_timeout_ms(60_000);
        ask(ApiKey::InitProducerId, version, request, |context, body| {
            init_producer_id::handle(&node.producer_ids, context, body)
        })
        .await
    };
    for version in 0..=5i16 {
        let response = ask_id(version, None).await;
        let expected = (0, i64::from(version), 0);
        assert_eq!(
            (
                response.error_code,
                response.producer_id.0,
                response.producer_epoch
            ),
            expected
        );
    }
    let refused = ask_id(4, Some("tx")).await;
    assert_eq!(
        ErrorCode::from_code(refused.error_code),
        ErrorCode::UnsupportedVersion
    );
    node.server.shutdown().await.expect("a clean stop");
}
