//! CreatePartitions, API key 37, versions 0-3. Adds partitions to topics.
//!
//! - 1: throttled after the answer (KIP-219). 2: flexible. 3: quota errors (KIP-599).

use std::sync::Arc;

use bytes::Bytes;
use metadata::controller::{CreatePartitionsResult, CreatePartitionsTopic};
use protocol_compat::messages::create_partitions_response::CreatePartitionsTopicResult;
use protocol_compat::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, StrBytes, create_partitions_request,
};
use protocol_compat::{BrokerId, ErrorCode};

use crate::controller_server::ControllerHandle;
use crate::request::{Handled, RequestContext};

/// Asks the controller and answers when the partitions are there.
pub fn handle(controller: &ControllerHandle, context: &RequestContext, body: Bytes) -> Handled {
    let request: CreatePartitionsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let (controller, context) = (controller.clone(), context.clone());
    Handled::Exclusive(Box::pin(async move {
        let topics: Vec<CreatePartitionsTopic> = request.topics.iter().map(wanted).collect();
        let names: Vec<Arc<str>> = topics.iter().map(|topic| topic.name.clone()).collect();
        let validate_only = request.validate_only;
        let decided = controller
            .write(move |controller, _now_ms, ids| controller.create_partitions(ids, topics, validate_only))
            .await;
        let results = match decided {
            Ok(results) => results.into_iter().map(result).collect(),
            Err(error) => {
                let failed = |name: &Arc<str>| row(name, error.error_code(), Some(error.to_string()));
                names.iter().map(failed).collect()
            }
        };
        context.respond(&CreatePartitionsResponse::default().with_results(results))
    }))
}

fn wanted(topic: &create_partitions_request::CreatePartitionsTopic) -> CreatePartitionsTopic {
    let assignments = topic.assignments.as_ref().map(|assignments| {
        let brokers = assignments
            .iter()
            .map(|a| a.broker_ids.iter().map(|id| BrokerId(id.0)).collect());
        brokers.collect()
    });
    CreatePartitionsTopic {
        name: Arc::from(topic.name.0.as_str()),
        count: topic.count,
        assignments,
    }
}

fn row(name: &Arc<str>, code: ErrorCode, message: Option<String>) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult::default()
        .with_name(StrBytes::from_string(name.to_string()).into())
        .with_error_code(code.code())
        .with_error_message(message.map(StrBytes::from_string))
}

fn result(result: CreatePartitionsResult) -> CreatePartitionsTopicResult {
    match result.error {
        None => row(&result.name, ErrorCode::None, None),
        Some(error) => row(&result.name, error.code, error.message),
    }
}
