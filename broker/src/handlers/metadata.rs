//! Metadata, API key 3, versions 0-13. Names brokers, topics, partitions and their leaders; creates topics on first use.
//!
//! - 1: racks, controller, internal topics; null for all topics. 2: cluster id. 3: throttle time.
//! - 4: topic creation can be switched off. 5: offline replicas (KIP-112). 6: throttled after the answer.
//! - 7: leader epochs (KIP-320). 8: authorized operations (KIP-430). 9: flexible. 10: topic ids (KIP-516).
//! - 11: no cluster operations (KIP-700). 12: topics by id. 13: an error for all (KIP-1102).
//!
//! A topic that is created on first use is UNKNOWN_TOPIC_OR_PARTITION in the answer to the request that creates it, as in
//! Kafka (`DefaultAutoTopicCreationManager`): clients and their tests expect to ask again. That answer waits for the
//! controller, so that the next request finds the topic.

mod answer;
mod kept_answers;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use metadata::controller::{
    CreatableTopic, SHARE_GROUP_STATE_TOPIC, TRANSACTION_STATE_TOPIC, validate_topic_name,
};
use metadata::image::MetadataImage;
use protocol_compat::ErrorCode;
use protocol_compat::messages::MetadataRequest;

use self::answer::Answer;
pub use self::kept_answers::KeptAnswers;
use crate::config::NodeConfig;
use crate::controller_server::ControllerHandle;
use crate::internal_topics::creatable_topic;
use crate::metadata_cache::MetadataCache;
use crate::request::{Handled, RequestContext, ResponseFrame};

/// The first version that asks for topics by id.
const FIRST_WITH_TOPIC_IDS: i16 = 12;

/// Answers from the image as it is before topics are created; when some have to be, once they are.
pub fn handle(
    cache: &MetadataCache,
    kept: &KeptAnswers,
    controller: &ControllerHandle,
    config: &Arc<NodeConfig>,
    context: &RequestContext,
    body: Bytes,
) -> Handled {
    let request: MetadataRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    if !is_valid(&request, context.version) {
        return Handled::Now(context.respond(&answer::refused(&request, ErrorCode::InvalidRequest)));
    }
    if names_nothing(&request) {
        return Handled::Now(context.respond(&answer::refused(&request, ErrorCode::UnknownServerError)));
    }
    let image = cache.image();
    let missing = missing_topics(&image, config, &request, context.version);
    if missing.is_empty() {
        return Handled::Now(respond(kept, &image, &request, context));
    }
    let creatable = |name: &String| creatable_topic(config, &image.brokers, name);
    let topics: Vec<CreatableTopic> = missing.iter().map(creatable).collect();
    let answer = respond(kept, &image, &request, context);
    let controller = controller.clone();
    Handled::Exclusive(Box::pin(async move {
        create(&controller, topics).await;
        answer
    }))
}

/// Names must be there and ids must not before version 12.
fn is_valid(request: &MetadataRequest, version: i16) -> bool {
    version >= FIRST_WITH_TOPIC_IDS
        || request
            .topics
            .iter()
            .flatten()
            .all(|topic| topic.name.is_some() && topic.topic_id.is_nil())
}

/// Whether an entry has neither name nor id, and none has an id: Kafka fails on that inside.
fn names_nothing(request: &MetadataRequest) -> bool {
    let asked = || request.topics.iter().flatten();
    asked().any(|topic| topic.name.is_none()) && asked().all(|topic| topic.topic_id.is_nil())
}

/// Whether the client asks for every topic.
fn asks_for_all(request: &MetadataRequest, version: i16) -> bool {
    request
        .topics
        .as_ref()
        .is_none_or(|topics| version == 0 && topics.is_empty())
}

/// Topics that the client names, that do not exist, and that may be created.
fn missing_topics(
    image: &MetadataImage,
    config: &NodeConfig,
    request: &MetadataRequest,
    version: i16,
) -> BTreeSet<String> {
    let by_id = request
        .topics
        .iter()
        .flatten()
        .any(|topic| !topic.topic_id.is_nil());
    let may_create = config.auto_create_topics_enable && request.allow_auto_topic_creation;
    if !may_create || by_id || asks_for_all(request, version) {
        return BTreeSet::new();
    }
    let names = request
        .topics
        .iter()
        .flatten()
        .filter_map(|topic| topic.name.as_ref());
    names
        .map(|name| name.0.as_str())
        .filter(|name| image.topics.by_name(name).is_none() && is_creatable(name))
        .map(str::to_owned)
        .collect()
}

/// Valid names; of the internal topics only those whose coordinator is built, since it knows their layout.
fn is_creatable(name: &str) -> bool {
    validate_topic_name(name).is_ok() && ![TRANSACTION_STATE_TOPIC, SHARE_GROUP_STATE_TOPIC].contains(&name)
}

/// What could not be created stays unknown, and the log says why.
async fn create(controller: &ControllerHandle, topics: Vec<CreatableTopic>) {
    let decided = controller
        .write(move |controller, _now_ms, ids| controller.create_topics(ids, topics, false))
        .await;
    match decided {
        Ok(results) => {
            for result in results {
                if let Err(error) = result.outcome {
                    let reason = error.message.unwrap_or_default();
                    tracing::debug!(topic = %result.name, code = error.code.name(), reason, "topic not created on first use");
                }
            }
        }
        Err(error) => tracing::warn!(%error, "could not ask the controller to create topics on first use"),
    }
}

fn respond(
    kept: &KeptAnswers,
    image: &Arc<MetadataImage>,
    request: &MetadataRequest,
    context: &RequestContext,
) -> ResponseFrame {
    let all = asks_for_all(request, context.version);
    let make = || {
        let answer = Answer {
            image,
            request,
            context,
        };
        context.respond(&answer.response(all))
    };
    if all {
        kept.answer(image, request, context, make)
    } else {
        make()
    }
}

#[cfg(test)]
mod tests;
