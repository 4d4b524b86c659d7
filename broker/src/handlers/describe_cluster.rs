//! DescribeCluster, API key 60, versions 0-2. Names the brokers, the controller and the cluster (KIP-700).
//!
//! - 1: the endpoint type that is meant (KIP-919). 2: fenced brokers on demand (KIP-1073).

use bytes::Bytes;
use metadata::image::{BrokerImage, MetadataImage};
use protocol_compat::ErrorCode;
use protocol_compat::messages::describe_cluster_response::DescribeClusterBroker;
use protocol_compat::messages::{DescribeClusterRequest, DescribeClusterResponse, StrBytes};

use super::authorized_operations::CLUSTER_OPERATIONS;
use super::broker_address::broker_address;
use crate::request::{Handled, RequestContext};

/// The endpoint type of brokers.
const BROKERS: i8 = 1;
/// The endpoint type of controllers.
const CONTROLLERS: i8 = 2;

/// Answers from the image.
pub fn handle(image: &MetadataImage, context: &RequestContext, body: Bytes) -> Handled {
    let request: DescribeClusterRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let response = match request.endpoint_type {
        BROKERS => cluster(image, &request, context),
        CONTROLLERS => refused(
            context.version,
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER".to_owned(),
        ),
        other => refused(
            context.version,
            ErrorCode::UnsupportedEndpointType,
            format!("Unsupported endpoint type {other}"),
        ),
    };
    Handled::Now(context.respond(&response))
}

fn refused(version: i16, code: ErrorCode, message: String) -> DescribeClusterResponse {
    let code = if version == 0 {
        ErrorCode::InvalidRequest
    } else {
        code
    };
    DescribeClusterResponse::default()
        .with_error_code(code.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}

fn cluster(
    image: &MetadataImage,
    request: &DescribeClusterRequest,
    context: &RequestContext,
) -> DescribeClusterResponse {
    let shown = image
        .brokers
        .iter()
        .filter(|broker| !broker.fenced || request.include_fenced_brokers);
    let brokers: Vec<DescribeClusterBroker> = shown.filter_map(|broker| row(broker, context)).collect();
    let alive = image.brokers.iter().find(|broker| !broker.fenced);
    let controller = alive.map_or(-1, |broker| broker.id.0);
    let operations = if request.include_cluster_authorized_operations {
        CLUSTER_OPERATIONS
    } else {
        i32::MIN
    };
    DescribeClusterResponse::default()
        .with_cluster_id(StrBytes::from_string(image.cluster_id.to_string()))
        .with_controller_id(controller.into())
        .with_cluster_authorized_operations(operations)
        .with_brokers(brokers)
}

fn row(broker: &BrokerImage, context: &RequestContext) -> Option<DescribeClusterBroker> {
    let (host, port) = broker_address(broker, context)?;
    let rack = broker
        .rack
        .as_ref()
        .map(|rack| StrBytes::from_string(rack.to_string()));
    Some(
        DescribeClusterBroker::default()
            .with_broker_id(broker.id.0.into())
            .with_host(StrBytes::from_string(host))
            .with_port(port)
            .with_rack(rack)
            .with_is_fenced(broker.fenced),
    )
}
