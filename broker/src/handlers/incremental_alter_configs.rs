//! IncrementalAlterConfigs, API key 44, versions 0-1. Sets, deletes, appends to and subtracts from single keys (KIP-339).
//!
//! - 1: flexible.
//!
//! Dynamic broker keys are those whose change takes effect here; others are refused as Kafka refuses a key that is not
//! dynamic. Log levels, client metrics subscriptions and group configurations are not built and are refused.

use std::collections::BTreeMap;

use bytes::Bytes;
use metadata::configs::ConfigResource;
use metadata::controller::{ApiError, ConfigChange};
use metadata::image::MetadataImage;
use protocol_compat::ErrorCode;
use protocol_compat::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use protocol_compat::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use protocol_compat::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, StrBytes};

use super::config_change::{Identity, check_key_names, check_resource, checked_changes, settled};
use crate::config::NodeConfig;
use crate::controller_server::ControllerHandle;
use crate::dynamic_broker_keys::validate_dynamic_configs;
use crate::request::{Handled, RequestContext};

/// The number of DELETE, the only operation without a value.
const DELETE: i8 = 1;

type Changes = BTreeMap<String, ConfigChange>;

/// Checks what this broker has to check, then asks the controller.
pub fn handle(
    image: &MetadataImage,
    controller: &ControllerHandle,
    config: &NodeConfig,
    context: &RequestContext,
    body: Bytes,
) -> Handled {
    let request: IncrementalAlterConfigsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let (changes, errors) = checked_changes(&request.resources, identity, |resource| {
        check(image, config, resource)
    });
    let (controller, context, validate_only) = (controller.clone(), context.clone(), request.validate_only);
    Handled::Exclusive(Box::pin(async move {
        let decided = controller
            .write(move |controller, _now_ms, _ids| {
                controller.incremental_alter_configs(changes, validate_only)
            })
            .await;
        let responses = settled(errors, decided).map(|((kind, name), error)| {
            AlterConfigsResourceResponse::default()
                .with_error_code(error.as_ref().map_or(0, |error| error.code.code()))
                .with_error_message(error.and_then(|error| error.message).map(StrBytes::from_string))
                .with_resource_type(kind)
                .with_resource_name(StrBytes::from_string(name))
        });
        context.respond(&IncrementalAlterConfigsResponse::default().with_responses(responses.collect()))
    }))
}

fn identity(resource: &AlterConfigsResource) -> Identity {
    (resource.resource_type, resource.resource_name.to_string())
}

fn check(
    image: &MetadataImage,
    config: &NodeConfig,
    resource: &AlterConfigsResource,
) -> Result<(ConfigResource, Changes), ApiError> {
    check_key_names(resource.configs.iter().map(|config| config.name.as_str()))?;
    let lacks_value = |config: &&AlterableConfig| config.config_operation != DELETE && config.value.is_none();
    let nulls: Vec<&str> = resource
        .configs
        .iter()
        .filter(lacks_value)
        .map(|config| config.name.as_str())
        .collect();
    if !nulls.is_empty() {
        let message = format!("Null value not supported for : {}", nulls.join(", "));
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    let checked = check_resource(config.node_id, resource.resource_type, &resource.resource_name)?;
    let changes = resource
        .configs
        .iter()
        .map(change)
        .collect::<Result<Changes, ApiError>>()?;
    if checked.is_broker() {
        check_broker_keys(image, &checked.resource, &changes)?;
    }
    Ok((checked.resource, changes))
}

fn change(config: &AlterableConfig) -> Result<(String, ConfigChange), ApiError> {
    let value = config.value.as_deref().unwrap_or_default().to_owned();
    let change = match config.config_operation {
        0 => ConfigChange::Set(value),
        DELETE => ConfigChange::Delete,
        2 => ConfigChange::Append(value),
        3 => ConfigChange::Subtract(value),
        other => {
            let message = format!("Unknown operations type {other}");
            return Err(ApiError::new(ErrorCode::InvalidRequest, message));
        }
    };
    Ok((config.name.to_string(), change))
}

/// Lists are checked by the controller, which knows what they would become; here it counts which keys are named.
fn check_broker_keys(
    image: &MetadataImage,
    resource: &ConfigResource,
    changes: &Changes,
) -> Result<(), ApiError> {
    let entries = image.configs.entries(resource);
    let mut whole: BTreeMap<String, String> = entries
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    for (key, change) in changes {
        match change {
            ConfigChange::Delete => {
                whole.remove(key);
            }
            ConfigChange::Set(value) | ConfigChange::Append(value) => {
                whole.insert(key.clone(), value.clone());
            }
            ConfigChange::Subtract(_) => {}
        }
    }
    validate_dynamic_configs(&whole, !resource.name.is_empty())
        .map_err(|message| ApiError::new(ErrorCode::InvalidRequest, message))
}
