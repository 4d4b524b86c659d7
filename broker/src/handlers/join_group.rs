//! JoinGroup, API key 11, versions 0-9. A member asks for its part in the next generation of a classic group, and waits for it.
//!
//! - 1: rebalance timeout; before, the session timeout is taken for it. 2: throttle time. 3: throttled after the answer
//!   (KIP-219). 4: a dynamic member must come back with the id that it is given (KIP-394).
//! - 5: static members (KIP-345). 6: flexible. 7: protocol type; a null protocol in errors (KIP-559).
//! - 8: reason (KIP-800). 9: a returning static leader may be told to skip the assignment (KIP-814).

use std::sync::Arc;

use bytes::Bytes;
use metadata::group::request::{JoinReply, JoinRequest, Protocol};
use protocol_compat::messages::join_group_response::JoinGroupResponseMember;
use protocol_compat::messages::{JoinGroupRequest, JoinGroupResponse, StrBytes};
use tracing::debug;
use uuid::Uuid;

use super::wire_text::{client_host, owned, owned_option, wire, wire_option};
use crate::group_coordinator::GroupCoordinator;
use crate::request::{Handled, RequestContext};

/// The first version with a rebalance timeout of its own.
const FIRST_WITH_REBALANCE_TIMEOUT: i16 = 1;
/// The first version at which a member id must be known.
const FIRST_WITH_MEMBER_ID_REQUIRED: i16 = 4;
/// The first version at which the protocol's name may be null.
const FIRST_WITH_NULL_PROTOCOL: i16 = 7;
/// The first version at which an assignment may be skipped.
const FIRST_WITH_SKIP_ASSIGNMENT: i16 = 9;

/// Answers when the join phase ends.
pub fn handle(coordinator: &Arc<GroupCoordinator>, context: &RequestContext, body: Bytes) -> Handled {
    let request: JoinGroupRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    if let Some(reason) = request.reason.as_ref().filter(|reason| !reason.is_empty()) {
        debug!(group = %request.group_id.0, member = %request.member_id, %reason, "a member joins");
    }
    let request = join_request(context, &request);
    let (coordinator, context) = (coordinator.clone(), context.clone());
    Handled::Exclusive(Box::pin(async move {
        let reply = coordinator.join(request).await;
        context.respond(&response(context.version, reply))
    }))
}

fn join_request(context: &RequestContext, request: &JoinGroupRequest) -> JoinRequest {
    let rebalance_timeout_ms = if context.version < FIRST_WITH_REBALANCE_TIMEOUT {
        request.session_timeout_ms
    } else {
        request.rebalance_timeout_ms
    };
    let protocols = request.protocols.iter().map(|protocol| Protocol {
        name: owned(&protocol.name),
        // The frame is not kept alive by a member.
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    });
    JoinRequest {
        group_id: owned(&request.group_id.0),
        member_id: owned(&request.member_id),
        group_instance_id: owned_option(request.group_instance_id.as_ref()),
        client_id: context.client_id.clone().unwrap_or_else(|| "".into()),
        client_host: client_host(context.peer.ip()),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: owned(&request.protocol_type),
        protocols: protocols.collect(),
        member_id_required: context.version >= FIRST_WITH_MEMBER_ID_REQUIRED,
        can_skip_assignment: context.version >= FIRST_WITH_SKIP_ASSIGNMENT,
        fresh_id: Uuid::new_v4(),
    }
}

fn response(version: i16, reply: JoinReply) -> JoinGroupResponse {
    let members = reply.members.iter().map(|member| {
        JoinGroupResponseMember::default()
            .with_member_id(wire(&member.member_id))
            .with_group_instance_id(wire_option(member.group_instance_id.as_ref()))
            .with_metadata(member.metadata.clone())
    });
    let protocol_name = match wire_option(reply.protocol_name.as_ref()) {
        None if version < FIRST_WITH_NULL_PROTOCOL => Some(StrBytes::default()),
        name => name,
    };
    JoinGroupResponse::default()
        .with_error_code(reply.error.code())
        .with_generation_id(reply.generation)
        .with_protocol_type(wire_option(reply.protocol_type.as_ref()))
        .with_protocol_name(protocol_name)
        .with_leader(wire(&reply.leader))
        .with_skip_assignment(reply.skip_assignment)
        .with_member_id(wire(&reply.member_id))
        .with_members(members.collect())
}
