//! Heartbeat, API key 12, versions 0-4. A member says that it lives, and learns whether it must rejoin.
//!
//! - 1: throttle time. 2: throttled after the answer (KIP-219). 3: static members (KIP-345). 4: flexible.

use std::sync::Arc;

use bytes::Bytes;
use metadata::group::request::HeartbeatRequest as Heartbeat;
use protocol_compat::messages::{HeartbeatRequest, HeartbeatResponse};

use super::wire_text::{owned, owned_option};
use crate::group_coordinator::GroupCoordinator;
use crate::request::{Handled, RequestContext};

/// Answers as soon as the group's shard is loaded.
pub fn handle(coordinator: &Arc<GroupCoordinator>, context: &RequestContext, body: Bytes) -> Handled {
    let request: HeartbeatRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let heartbeat = Heartbeat {
        group_id: owned(&request.group_id.0),
        generation: request.generation_id,
        member_id: owned(&request.member_id),
        group_instance_id: owned_option(request.group_instance_id.as_ref()),
    };
    let (coordinator, context) = (coordinator.clone(), context.clone());
    Handled::Exclusive(Box::pin(async move {
        let error = coordinator.heartbeat(heartbeat).await;
        context.respond(&HeartbeatResponse::default().with_error_code(error.code()))
    }))
}
