//! ListGroups, API key 16, versions 0-5. Names every group that this node coordinates.
//!
//! - 1: throttle time. 2: throttled after the answer (KIP-219). 3: flexible. 4: states, and a filter of them (KIP-518).
//! - 5: types, and a filter of them (KIP-848); all groups here are of the classic type.

use std::sync::Arc;

use bytes::Bytes;
use metadata::group::{GroupFilter, ListedGroup as Listing};
use protocol_compat::messages::list_groups_response::ListedGroup;
use protocol_compat::messages::{GroupId, ListGroupsRequest, ListGroupsResponse, StrBytes};

use super::wire_text::{owned, wire};
use crate::group_coordinator::GroupCoordinator;
use crate::request::{Handled, RequestContext};

/// Answers as soon as all shards are loaded.
pub fn handle(coordinator: &Arc<GroupCoordinator>, context: &RequestContext, body: Bytes) -> Handled {
    let request: ListGroupsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let filter = GroupFilter {
        states: request.states_filter.iter().map(owned).collect(),
        types: request.types_filter.iter().map(owned).collect(),
    };
    let (coordinator, context) = (coordinator.clone(), context.clone());
    Handled::Exclusive(Box::pin(async move {
        let response = match coordinator.list_groups(&filter).await {
            Ok(groups) => {
                ListGroupsResponse::default().with_groups(groups.iter().map(listed_group).collect())
            }
            Err(error) => ListGroupsResponse::default().with_error_code(error.code()),
        };
        context.respond(&response)
    }))
}

fn listed_group(group: &Listing) -> ListedGroup {
    ListedGroup::default()
        .with_group_id(GroupId(wire(&group.group_id)))
        .with_protocol_type(wire(&group.protocol_type))
        .with_group_state(StrBytes::from_static_str(group.state.name()))
        .with_group_type(StrBytes::from_static_str("classic"))
}
