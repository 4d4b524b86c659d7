//! LeaveGroup, API key 13, versions 0-5. Members leave, or an administrator removes static ones.
//!
//! - 1: throttle time. 2: throttled after the answer (KIP-219). 3: several members, by member id or instance id (KIP-345);
//!   before, the one member's outcome is the request's. 4: flexible. 5: reason (KIP-800).

use std::sync::Arc;

use bytes::Bytes;
use metadata::group::request::{LeaveReply, LeaveRequest, LeavingMember};
use protocol_compat::ErrorCode;
use protocol_compat::messages::leave_group_response::MemberResponse;
use protocol_compat::messages::{LeaveGroupRequest, LeaveGroupResponse};
use tracing::debug;

use super::wire_text::{owned, owned_option, wire, wire_option};
use crate::group_coordinator::GroupCoordinator;
use crate::request::{Handled, RequestContext};

/// The first version with several members.
const FIRST_WITH_MEMBERS: i16 = 3;

/// Answers when what the leave led to is committed.
pub fn handle(coordinator: &Arc<GroupCoordinator>, context: &RequestContext, body: Bytes) -> Handled {
    let request: LeaveGroupRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let leave = LeaveRequest {
        group_id: owned(&request.group_id.0),
        members: leaving_members(context.version, &request),
    };
    let (coordinator, context) = (coordinator.clone(), context.clone());
    Handled::Exclusive(Box::pin(async move {
        let reply = coordinator.leave(leave).await;
        context.respond(&response(context.version, &reply))
    }))
}

fn leaving_members(version: i16, request: &LeaveGroupRequest) -> Vec<LeavingMember> {
    if version < FIRST_WITH_MEMBERS {
        return vec![LeavingMember {
            member_id: owned(&request.member_id),
            group_instance_id: None,
        }];
    }
    let members = request.members.iter().map(|member| {
        if let Some(reason) = member.reason.as_ref().filter(|reason| !reason.is_empty()) {
            debug!(group = %request.group_id.0, member = %member.member_id, %reason, "a member leaves");
        }
        LeavingMember {
            member_id: owned(&member.member_id),
            group_instance_id: owned_option(member.group_instance_id.as_ref()),
        }
    });
    members.collect()
}

fn response(version: i16, reply: &LeaveReply) -> LeaveGroupResponse {
    if version < FIRST_WITH_MEMBERS {
        let of_member = reply.members.first().map_or(ErrorCode::None, |(_, error)| *error);
        let error = match reply.error {
            ErrorCode::None => of_member,
            error => error,
        };
        return LeaveGroupResponse::default().with_error_code(error.code());
    }
    let members = reply.members.iter().map(|(member, error)| {
        MemberResponse::default()
            .with_member_id(wire(&member.member_id))
            .with_group_instance_id(wire_option(member.group_instance_id.as_ref()))
            .with_error_code(error.code())
    });
    LeaveGroupResponse::default()
        .with_error_code(reply.error.code())
        .with_members(members.collect())
}
