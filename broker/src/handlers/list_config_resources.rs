//! ListConfigResources, API key 74, versions 0-1. Names what has, or could have, a dynamic configuration.
//!
//! - 0: client metrics subscriptions only (KIP-1000). 1: every kind on demand (KIP-1142).
//!
//! There are no client metrics subscriptions and no group configurations here, so that those lists are empty.

use bytes::Bytes;
use metadata::configs::ConfigResourceType;
use metadata::image::MetadataImage;
use protocol_compat::ErrorCode;
use protocol_compat::messages::list_config_resources_response::ConfigResource;
use protocol_compat::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse, StrBytes};

use crate::request::{Handled, RequestContext};

/// Answers from the image.
pub fn handle(image: &MetadataImage, context: &RequestContext, body: Bytes) -> Handled {
    let request: ListConfigResourcesRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let supported: &[ConfigResourceType] = match context.version {
        0 => &[ConfigResourceType::ClientMetrics],
        _ => &ConfigResourceType::ALL,
    };
    let known = |id: &i8| supported.iter().any(|kind| kind.id() == *id);
    let response = if request.resource_types.iter().all(known) {
        let wanted = |kind: ConfigResourceType| {
            let asked = request.resource_types.is_empty() || request.resource_types.contains(&kind.id());
            asked && supported.contains(&kind)
        };
        ListConfigResourcesResponse::default().with_config_resources(resources(image, wanted))
    } else {
        ListConfigResourcesResponse::default().with_error_code(ErrorCode::UnsupportedVersion.code())
    };
    Handled::Now(context.respond(&response))
}

fn resources(image: &MetadataImage, wanted: impl Fn(ConfigResourceType) -> bool) -> Vec<ConfigResource> {
    let row = |kind: ConfigResourceType, name: String| {
        ConfigResource::default()
            .with_resource_name(StrBytes::from_string(name))
            .with_resource_type(kind.id())
    };
    let mut rows = Vec::new();
    for kind in [ConfigResourceType::BrokerLogger, ConfigResourceType::Broker] {
        if wanted(kind) {
            rows.extend(
                image
                    .brokers
                    .iter()
                    .map(|broker| row(kind, broker.id.to_string())),
            );
        }
    }
    if wanted(ConfigResourceType::Topic) {
        let names = image.topics.iter().map(|topic| topic.name.to_string());
        rows.extend(names.map(|name| row(ConfigResourceType::Topic, name)));
    }
    rows
}
