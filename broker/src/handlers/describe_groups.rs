//! DescribeGroups, API key 15, versions 0-6. Shows classic groups with their members.
//!
//! - 1: throttle time. 2: throttled after the answer (KIP-219). 3: authorized operations (KIP-430). 4: static members
//!   (KIP-345). 5: flexible. 6: a group that does not exist is an error (KIP-1043); before, it is Dead.

use std::sync::Arc;

use bytes::Bytes;
use metadata::group::{DescribedGroup as Description, DescribedMember};
use protocol_compat::ErrorCode;
use protocol_compat::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use protocol_compat::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId, StrBytes};

use super::authorized_operations::GROUP_OPERATIONS;
use super::named_again::NamedAgain;
use super::wire_text::{wire, wire_option};
use crate::group_coordinator::GroupCoordinator;
use crate::request::{Handled, RequestContext};

/// The first version with authorized operations.
const FIRST_WITH_AUTHORIZED_OPERATIONS: i16 = 3;
/// The first version with an error for a group that does not exist.
const FIRST_WITH_NOT_FOUND: i16 = 6;

/// Answers as soon as the groups' shards are loaded.
pub fn handle(coordinator: &Arc<GroupCoordinator>, context: &RequestContext, body: Bytes) -> Handled {
    let request: DescribeGroupsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let (coordinator, context) = (coordinator.clone(), context.clone());
    Handled::Exclusive(Box::pin(async move {
        let with_operations =
            context.version >= FIRST_WITH_AUTHORIZED_OPERATIONS && request.include_authorized_operations;
        let mut groups = Vec::with_capacity(request.groups.len());
        let mut named = NamedAgain::new();
        let asked = request.groups.into_iter();
        for group_id in asked.filter(|group_id| named.is_answered(group_id.clone())) {
            let described = coordinator.describe_group(&group_id.0).await;
            let mut group = described_group(context.version, group_id, described);
            if with_operations && group.error_code == ErrorCode::None.code() {
                group.authorized_operations = GROUP_OPERATIONS;
            }
            groups.push(group);
        }
        context.respond(&DescribeGroupsResponse::default().with_groups(groups))
    }))
}

fn described_group(
    version: i16,
    group_id: GroupId,
    described: Result<Option<Description>, ErrorCode>,
) -> DescribedGroup {
    match described {
        Ok(Some(group)) => DescribedGroup::default()
            .with_group_state(StrBytes::from_static_str(group.state.name()))
            .with_protocol_type(wire(&group.protocol_type))
            .with_protocol_data(wire(&group.protocol))
            .with_members(group.members.iter().map(described_member).collect()),
        Ok(None) => missing_group(version, &group_id),
        Err(error) => DescribedGroup::default().with_error_code(error.code()),
    }
    .with_group_id(group_id)
}

fn missing_group(version: i16, group_id: &GroupId) -> DescribedGroup {
    let dead = DescribedGroup::default().with_group_state(StrBytes::from_static_str("Dead"));
    if version < FIRST_WITH_NOT_FOUND {
        return dead;
    }
    let message = format!("Group {} not found.", &*group_id.0);
    dead.with_error_code(ErrorCode::GroupIdNotFound.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}

fn described_member(member: &DescribedMember) -> DescribedGroupMember {
    DescribedGroupMember::default()
        .with_member_id(wire(&member.member_id))
        .with_group_instance_id(wire_option(member.group_instance_id.as_ref()))
        .with_client_id(wire(&member.client_id))
        .with_client_host(wire(&member.client_host))
        .with_member_metadata(member.metadata.clone())
        .with_member_assignment(member.assignment.clone())
}
