//! DeleteTopics, API key 20, versions 1-6. Deletes topics by name, from version 6 also by id.
//!
//! - 1: throttle time. 2: throttled after the answer (KIP-219). 3: TOPIC_DELETION_DISABLED. 4: flexible.
//! - 5: error messages (KIP-599). 6: topics by id (KIP-516).
//!
//! Kafka shuffles the answer, so that a client cannot tell absent from hidden topics; without an authorizer there is
//! nothing to hide, and the order here is fixed.

use std::sync::Arc;

use bytes::Bytes;
use metadata::controller::{DeletableTopic, DeleteTopicResult};
use protocol_compat::messages::delete_topics_response::DeletableTopicResult;
use protocol_compat::messages::{DeleteTopicsRequest, DeleteTopicsResponse, StrBytes};
use protocol_compat::{ErrorCode, TopicId};

use crate::config::NodeConfig;
use crate::controller_server::ControllerHandle;
use crate::request::{Handled, RequestContext};

/// The first version that knows TOPIC_DELETION_DISABLED.
const FIRST_WITH_DELETION_DISABLED: i16 = 3;

/// Asks the controller and answers when the topics are gone.
pub fn handle(
    controller: &ControllerHandle,
    config: &NodeConfig,
    context: &RequestContext,
    body: Bytes,
) -> Handled {
    let request: DeleteTopicsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let topics = deletable(&request);
    if !config.delete_topic_enable {
        let (code, message) = deletion_disabled(context.version);
        let refused = topics.iter().map(|topic| failed(topic, code, message.to_owned()));
        let response = DeleteTopicsResponse::default().with_responses(refused.collect());
        return Handled::Now(context.respond(&response));
    }
    let (controller, context) = (controller.clone(), context.clone());
    Handled::Exclusive(Box::pin(async move {
        let asked = topics.clone();
        let decided = controller
            .write(move |controller, _now_ms, _ids| controller.delete_topics(topics))
            .await;
        let responses = match decided {
            Ok(results) => results.into_iter().map(result).collect(),
            Err(error) => {
                let code = error.error_code();
                asked
                    .iter()
                    .map(|topic| failed(topic, code, error.to_string()))
                    .collect()
            }
        };
        context.respond(&DeleteTopicsResponse::default().with_responses(responses))
    }))
}

fn deletion_disabled(version: i16) -> (ErrorCode, &'static str) {
    if version < FIRST_WITH_DELETION_DISABLED {
        return (
            ErrorCode::InvalidRequest,
            "This version does not support topic deletion.",
        );
    }
    (ErrorCode::TopicDeletionDisabled, "Topic deletion is disabled.")
}

fn deletable(request: &DeleteTopicsRequest) -> Vec<DeletableTopic> {
    let by_name = request.topic_names.iter().map(|name| DeletableTopic {
        name: Some(Arc::from(name.0.as_str())),
        id: TopicId::NIL,
    });
    let by_state = request.topics.iter().map(|topic| DeletableTopic {
        name: topic.name.as_ref().map(|name| Arc::from(name.0.as_str())),
        id: TopicId(topic.topic_id),
    });
    by_name.chain(by_state).collect()
}

fn row(name: Option<&Arc<str>>, id: TopicId) -> DeletableTopicResult {
    let name = name.map(|name| StrBytes::from_string(name.to_string()).into());
    DeletableTopicResult::default()
        .with_name(name)
        .with_topic_id(id.0)
}

fn failed(topic: &DeletableTopic, code: ErrorCode, message: String) -> DeletableTopicResult {
    row(topic.name.as_ref(), topic.id)
        .with_error_code(code.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}

fn result(result: DeleteTopicResult) -> DeletableTopicResult {
    let row = row(result.name.as_ref(), result.id);
    match result.error {
        None => row,
        Some(error) => row
            .with_error_code(error.code.code())
            .with_error_message(error.message.map(StrBytes::from_string)),
    }
}
