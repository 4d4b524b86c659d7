//! DescribeConfigs, API key 32, versions 1-4. Values of topic and broker keys, with the layers they come from.
//!
//! - 1: sources and synonyms (KIP-226). 2: throttled after the answer (KIP-219). 3: types and documentation (KIP-569).
//! - 4: flexible.
//!
//! Log levels, client metrics subscriptions and group configurations are not built and are refused. A broker key that
//! cannot be changed here while the broker runs is shown as read-only even where Apache Kafka could change it.

mod broker;
mod refusal;
mod synonyms;
mod topic;

use std::sync::Arc;

use bytes::Bytes;
use metadata::configs::ConfigResourceType;
use metadata::image::MetadataImage;
use protocol_compat::ErrorCode;
use protocol_compat::messages::describe_configs_request::DescribeConfigsResource;
use protocol_compat::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use protocol_compat::messages::{DescribeConfigsRequest, DescribeConfigsResponse, StrBytes};

use self::refusal::Refusal;
use self::synonyms::Layers;
use super::named_again::NamedAgain;
use crate::config::NodeConfig;
use crate::request::{Handled, RequestContext};

/// Answers from the image and the node's configuration.
pub fn handle(
    image: &MetadataImage,
    config: &Arc<NodeConfig>,
    context: &RequestContext,
    body: Bytes,
) -> Handled {
    let mut request: DescribeConfigsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let mut named = NamedAgain::new();
    request
        .resources
        .retain(|resource| named.is_answered((resource.resource_type, resource.resource_name.clone())));
    let from_file = config.settings.from_file();
    let layers = Layers {
        node_id: config.node_id,
        from_file: &from_file,
        dynamic: &image.configs,
    };
    let unknown_kind =
        |resource: &&DescribeConfigsResource| ConfigResourceType::from_id(resource.resource_type).is_none();
    let results = match request.resources.iter().find(unknown_kind) {
        // Kafka refuses the whole request.
        Some(unknown) => {
            let message = format!(
                "Unexpected resource type UNKNOWN for resource {}",
                unknown.resource_name
            );
            let refuse = |resource| refused(resource, (ErrorCode::InvalidRequest, Some(message.clone())));
            request.resources.iter().map(refuse).collect()
        }
        None => {
            let describe = |resource| {
                let described = describe(image, layers, resource);
                described.map_or_else(
                    |refusal| refused(resource, refusal),
                    |configs| result(resource, wanted(configs, resource, &request)),
                )
            };
            request.resources.iter().map(describe).collect()
        }
    };
    Handled::Now(context.respond(&DescribeConfigsResponse::default().with_results(results)))
}

fn describe(
    image: &MetadataImage,
    layers: Layers<'_>,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let name = resource.resource_name.as_str();
    let invalid = |message: String| Err((ErrorCode::InvalidRequest, Some(message)));
    match ConfigResourceType::from_id(resource.resource_type) {
        Some(ConfigResourceType::Topic) => topic::describe(image, layers, name),
        Some(ConfigResourceType::Broker) => broker::describe(layers, name),
        Some(kind) => invalid(format!("Unsupported resource type: {kind}")),
        None => invalid("Unsupported resource type: UNKNOWN".to_owned()),
    }
}

/// Only the keys, synonyms and documentation that were asked for.
fn wanted(
    configs: Vec<DescribeConfigsResourceResult>,
    resource: &DescribeConfigsResource,
    request: &DescribeConfigsRequest,
) -> Vec<DescribeConfigsResourceResult> {
    let keys = resource.configuration_keys.as_deref().unwrap_or_default();
    let is_wanted = |config: &DescribeConfigsResourceResult| keys.is_empty() || keys.contains(&config.name);
    let configs = configs.into_iter().filter(is_wanted).map(|mut config| {
        if !request.include_synonyms {
            config.synonyms.clear();
        }
        if !request.include_documentation {
            config.documentation = None;
        }
        config
    });
    configs.collect()
}

fn result(
    resource: &DescribeConfigsResource,
    configs: Vec<DescribeConfigsResourceResult>,
) -> DescribeConfigsResult {
    DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone())
        .with_configs(configs)
}

fn refused(resource: &DescribeConfigsResource, (code, message): Refusal) -> DescribeConfigsResult {
    result(resource, Vec::new())
        .with_error_code(code.code())
        // Where Kafka says nothing the text is empty, not null.
        .with_error_message(Some(StrBytes::from_string(message.unwrap_or_default())))
}
