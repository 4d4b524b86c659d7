//! FindCoordinator, API key 10, versions 0-6. Names the broker that coordinates a group.
//!
//! - 1: the kind of the key; throttle time, error message. 2: throttled after the answer (KIP-219). 3: flexible.
//! - 4: several keys (KIP-699). 5: transactions of KIP-890. 6: share group keys (KIP-932).
//!
//! Unlike Apache Kafka, the first request waits until `__consumer_offsets` exists instead of answering
//! COORDINATOR_NOT_AVAILABLE. Transactions and share groups are not built: a transactional id gets
//! CLUSTER_AUTHORIZATION_FAILED, since every client takes it as final and the Java client and librdkafka show its message;
//! any coordinator error would be retried for ever, and so would UNSUPPORTED_VERSION by librdkafka. A share key gets
//! INVALID_REQUEST.

use std::sync::Arc;

use bytes::Bytes;
use metadata::group::partition_for;
use metadata::image::MetadataImage;
use protocol_compat::ErrorCode;
use protocol_compat::messages::find_coordinator_response::Coordinator;
use protocol_compat::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, StrBytes};

use super::broker_address::broker_address;
use crate::group_coordinator::{GroupCoordinator, OFFSETS_TOPIC};
use crate::metadata_cache::MetadataCache;
use crate::request::{Handled, RequestContext};

/// The first version with several keys.
const FIRST_WITH_KEYS: i16 = 4;
/// The key of a group.
const GROUP: i8 = 0;
/// The key of a transaction.
const TRANSACTION: i8 = 1;
/// The key of a share group's partition.
const SHARE: i8 = 2;

/// Where a key's coordinator is, or why there is none.
type Found = Result<Address, (ErrorCode, &'static str)>;

struct Address {
    node_id: i32,
    host: String,
    port: i32,
}

/// Answers when the topic of the coordinator exists.
pub fn handle(
    coordinator: &Arc<GroupCoordinator>,
    cache: &MetadataCache,
    context: &RequestContext,
    body: Bytes,
) -> Handled {
    let request: FindCoordinatorRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let (coordinator, cache, context) = (coordinator.clone(), cache.clone(), context.clone());
    Handled::Exclusive(Box::pin(async move {
        let ready = match check_key_type(request.key_type) {
            Ok(()) => coordinator.ensure_topic().await.map_err(|error| (error, "")),
            Err(refused) => Err(refused),
        };
        let image = cache.image();
        let find = |key: &StrBytes| ready.and_then(|()| locate(&image, &context, key));
        let response = if context.version < FIRST_WITH_KEYS {
            single_response(find(&request.key))
        } else {
            let found = request
                .coordinator_keys
                .iter()
                .map(|key| keyed_response(key, find(key)));
            FindCoordinatorResponse::default().with_coordinators(found.collect())
        };
        context.respond(&response)
    }))
}

fn check_key_type(key_type: i8) -> Result<(), (ErrorCode, &'static str)> {
    match key_type {
        GROUP => Ok(()),
        TRANSACTION => Err((
            ErrorCode::ClusterAuthorizationFailed,
            "Transactions are not supported by this broker.",
        )),
        SHARE => Err((
            ErrorCode::InvalidRequest,
            "Share groups are not supported by this broker.",
        )),
        _ => Err((ErrorCode::InvalidRequest, "Unknown coordinator type.")),
    }
}

fn locate(image: &MetadataImage, context: &RequestContext, group_id: &str) -> Found {
    let unavailable = || (ErrorCode::CoordinatorNotAvailable, "");
    let topic = image.topics.by_name(OFFSETS_TOPIC).ok_or_else(unavailable)?;
    let partitions = i32::try_from(topic.partition_count()).unwrap_or(i32::MAX);
    let partition = topic.partition(partition_for(group_id, partitions));
    let leader = partition.and_then(|partition| image.brokers.get(partition.leader));
    let leader = leader.ok_or_else(unavailable)?;
    let (host, port) = broker_address(leader, context).ok_or_else(unavailable)?;
    Ok(Address {
        node_id: leader.id.0,
        host,
        port,
    })
}

fn single_response(found: Found) -> FindCoordinatorResponse {
    match found {
        Ok(address) => FindCoordinatorResponse::default()
            .with_error_message(Some(StrBytes::from_static_str(ErrorCode::None.name())))
            .with_node_id(BrokerId(address.node_id))
            .with_host(StrBytes::from_string(address.host))
            .with_port(address.port),
        Err((error, message)) => FindCoordinatorResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_static_str(message)))
            .with_node_id(BrokerId(-1))
            .with_port(-1),
    }
}

fn keyed_response(key: &StrBytes, found: Found) -> Coordinator {
    match found {
        Ok(address) => Coordinator::default()
            .with_key(key.clone())
            .with_node_id(BrokerId(address.node_id))
            .with_host(StrBytes::from_string(address.host))
            .with_port(address.port),
        Err((error, message)) => Coordinator::default()
            .with_key(key.clone())
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_static_str(message))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinator_that_is_not_built_is_refused_for_good() {
        let code = |key_type| check_key_type(key_type).map_err(|(code, _)| code);
        assert_eq!(code(GROUP), Ok(()));
        // Of all final errors the one whose message the Java client and librdkafka both show.
        assert_eq!(code(TRANSACTION), Err(ErrorCode::ClusterAuthorizationFailed));
        assert_eq!(code(SHARE), Err(ErrorCode::InvalidRequest));
        assert_eq!(code(3), Err(ErrorCode::InvalidRequest));
        let (_, reason) = check_key_type(TRANSACTION).expect_err("a refusal");
        assert!(reason.contains("Transactions are not supported"));
    }
}
