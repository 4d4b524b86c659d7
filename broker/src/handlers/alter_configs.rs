//! AlterConfigs, API key 33, versions 0-2. Replaces the whole configuration of topics, brokers, or the cluster's default.
//!
//! - 1: throttled after the answer (KIP-219). 2: flexible.

use std::collections::BTreeMap;

use bytes::Bytes;
use metadata::configs::ConfigResource;
use metadata::controller::ApiError;
use protocol_compat::ErrorCode;
use protocol_compat::messages::alter_configs_request::AlterConfigsResource;
use protocol_compat::messages::alter_configs_response::AlterConfigsResourceResponse;
use protocol_compat::messages::{AlterConfigsRequest, AlterConfigsResponse, StrBytes};

use super::config_change::{Identity, check_key_names, check_resource, checked_changes, settled};
use crate::config::NodeConfig;
use crate::controller_server::ControllerHandle;
use crate::dynamic_broker_keys::validate_dynamic_configs;
use crate::request::{Handled, RequestContext};

/// Checks what this broker has to check, then asks the controller.
pub fn handle(
    controller: &ControllerHandle,
    config: &NodeConfig,
    context: &RequestContext,
    body: Bytes,
) -> Handled {
    let request: AlterConfigsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let (wanted, errors) = checked_changes(&request.resources, identity, |resource| check(config, resource));
    let (controller, context, validate_only) = (controller.clone(), context.clone(), request.validate_only);
    Handled::Exclusive(Box::pin(async move {
        let decided = controller
            .write(move |controller, _now_ms, _ids| controller.alter_configs(wanted, validate_only))
            .await;
        let responses = settled(errors, decided).map(|((kind, name), error)| {
            AlterConfigsResourceResponse::default()
                .with_error_code(error.as_ref().map_or(0, |error| error.code.code()))
                .with_error_message(error.and_then(|error| error.message).map(StrBytes::from_string))
                .with_resource_type(kind)
                .with_resource_name(StrBytes::from_string(name))
        });
        context.respond(&AlterConfigsResponse::default().with_responses(responses.collect()))
    }))
}

fn identity(resource: &AlterConfigsResource) -> Identity {
    (resource.resource_type, resource.resource_name.to_string())
}

fn check(
    config: &NodeConfig,
    resource: &AlterConfigsResource,
) -> Result<(ConfigResource, BTreeMap<String, String>), ApiError> {
    check_key_names(resource.configs.iter().map(|config| config.name.as_str()))?;
    let without_value = resource.configs.iter().filter(|config| config.value.is_none());
    let nulls: Vec<&str> = without_value.map(|config| config.name.as_str()).collect();
    if !nulls.is_empty() {
        let message = format!("Null value not supported for : {}", nulls.join(", "));
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    let checked = check_resource(config.node_id, resource.resource_type, &resource.resource_name)?;
    let values: BTreeMap<String, String> = resource
        .configs
        .iter()
        .map(|config| {
            (
                config.name.to_string(),
                config.value.as_deref().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    if checked.is_broker() {
        validate_dynamic_configs(&values, !checked.resource.name.is_empty())
            .map_err(|message| ApiError::new(ErrorCode::InvalidRequest, message))?;
    }
    Ok((checked.resource, values))
}
