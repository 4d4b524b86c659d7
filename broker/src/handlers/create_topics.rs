//! CreateTopics, API key 19, versions 2-7. Creates topics through the controller; one bad topic does not stop the others.
//!
//! - 2: throttle time. 3: throttled after the answer (KIP-219). 4: -1 for the broker's defaults (KIP-464).
//! - 5: flexible; the answer describes the topic and its configuration (KIP-525). 6: quota errors (KIP-599).
//! - 7: the answer has the topic's id (KIP-516).
//!
//! The timeout is not used: the answer comes when the topics are committed.

use std::sync::Arc;

use bytes::Bytes;
use metadata::controller::{CreatableTopic, CreateTopicResult, CreatedTopic, ReplicaAssignment};
use protocol_compat::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use protocol_compat::messages::{CreateTopicsRequest, CreateTopicsResponse, StrBytes, create_topics_request};
use protocol_compat::{BrokerId, ErrorCode};

use crate::controller_server::ControllerHandle;
use crate::request::{Handled, RequestContext};

/// Asks the controller and answers when the topics are there.
pub fn handle(controller: &ControllerHandle, context: &RequestContext, body: Bytes) -> Handled {
    let request: CreateTopicsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let (controller, context) = (controller.clone(), context.clone());
    Handled::Exclusive(Box::pin(async move {
        let validate_only = request.validate_only;
        let topics = request.topics.iter().map(creatable).collect();
        let decided = controller
            .write(move |controller, _now_ms, ids| controller.create_topics(ids, topics, validate_only))
            .await;
        let topics = match decided {
            Ok(results) => results.into_iter().map(result).collect(),
            Err(error) => {
                let failed = |topic: &create_topics_request::CreatableTopic| {
                    refused(topic.name.0.clone(), error.error_code(), Some(error.to_string()))
                };
                request.topics.iter().map(failed).collect()
            }
        };
        context.respond(&CreateTopicsResponse::default().with_topics(topics))
    }))
}

fn creatable(topic: &create_topics_request::CreatableTopic) -> CreatableTopic {
    let assignments = topic.assignments.iter().map(|assignment| ReplicaAssignment {
        partition: assignment.partition_index,
        brokers: assignment.broker_ids.iter().map(|id| BrokerId(id.0)).collect(),
    });
    let configs = topic.configs.iter().map(|config| {
        let value = config.value.as_ref().map(|value| value.to_string());
        (config.name.to_string(), value)
    });
    CreatableTopic {
        name: Arc::from(topic.name.0.as_str()),
        num_partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.collect(),
        configs: configs.collect(),
    }
}

fn refused(name: StrBytes, code: ErrorCode, message: Option<String>) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name.into())
        .with_error_code(code.code())
        .with_error_message(message.map(StrBytes::from_string))
        .with_configs(Some(Vec::new()))
}

fn result(result: CreateTopicResult) -> CreatableTopicResult {
    let name = StrBytes::from_string(result.name.to_string());
    match result.outcome {
        Ok(topic) => created(name, topic),
        Err(error) => refused(name, error.code, error.message),
    }
}

fn created(name: StrBytes, topic: CreatedTopic) -> CreatableTopicResult {
    let configs = topic.configs.into_iter().map(|config| {
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(config.name))
            .with_value(Some(StrBytes::from_string(config.value)))
            .with_config_source(config.source.id())
    });
    CreatableTopicResult::default()
        .with_name(name.into())
        .with_error_message(None)
        .with_topic_id(topic.id.0)
        .with_num_partitions(topic.num_partitions)
        .with_replication_factor(topic.replication_factor)
        .with_configs(Some(configs.collect()))
}
