//! SyncGroup, API key 14, versions 0-5. The leader hands in the assignment of its generation; every member gets its part.
//!
//! - 1: throttle time. 2: throttled after the answer (KIP-219). 3: static members (KIP-345). 4: flexible.
//! - 5: protocol type and name, which must be given and are checked (KIP-559).

use std::sync::Arc;

use bytes::Bytes;
use metadata::group::request::{SyncReply, SyncRequest};
use protocol_compat::ErrorCode;
use protocol_compat::messages::{SyncGroupRequest, SyncGroupResponse};

use super::wire_text::{owned, owned_option, wire_option};
use crate::group_coordinator::GroupCoordinator;
use crate::request::{Handled, RequestContext};

/// The first version that must name the protocol.
const FIRST_WITH_PROTOCOL: i16 = 5;

/// Answers when the assignment is committed.
pub fn handle(coordinator: &Arc<GroupCoordinator>, context: &RequestContext, body: Bytes) -> Handled {
    let request: SyncGroupRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if context.version >= FIRST_WITH_PROTOCOL && !names_protocol {
        let refused = SyncReply::error(ErrorCode::InconsistentGroupProtocol);
        return Handled::Now(context.respond(&response(refused)));
    }
    let request = sync_request(&request);
    let (coordinator, context) = (coordinator.clone(), context.clone());
    Handled::Exclusive(Box::pin(async move {
        let reply = coordinator.sync(request).await;
        context.respond(&response(reply))
    }))
}

fn sync_request(request: &SyncGroupRequest) -> SyncRequest {
    let assignments = request.assignments.iter().map(|given| {
        // The frame is not kept alive by a member.
        (owned(&given.member_id), Bytes::copy_from_slice(&given.assignment))
    });
    SyncRequest {
        group_id: owned(&request.group_id.0),
        generation: request.generation_id,
        member_id: owned(&request.member_id),
        group_instance_id: owned_option(request.group_instance_id.as_ref()),
        protocol_type: owned_option(request.protocol_type.as_ref()),
        protocol_name: owned_option(request.protocol_name.as_ref()),
        assignments: assignments.collect(),
    }
}

fn response(reply: SyncReply) -> SyncGroupResponse {
    SyncGroupResponse::default()
        .with_error_code(reply.error.code())
        .with_protocol_type(wire_option(reply.protocol_type.as_ref()))
        .with_protocol_name(wire_option(reply.protocol_name.as_ref()))
        .with_assignment(reply.assignment)
}
