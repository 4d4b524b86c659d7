//! DeleteGroups, API key 42, versions 0-2. Removes groups without members, with all their offsets.
//!
//! - 1: throttled after the answer (KIP-219). 2: flexible.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use protocol_compat::ErrorCode;
use protocol_compat::messages::delete_groups_response::DeletableGroupResult;
use protocol_compat::messages::{DeleteGroupsRequest, DeleteGroupsResponse, GroupId};

use super::wire_text::{owned, wire};
use crate::group_coordinator::GroupCoordinator;
use crate::request::{Handled, RequestContext};

/// Answers when the removals are committed.
pub fn handle(coordinator: &Arc<GroupCoordinator>, context: &RequestContext, body: Bytes) -> Handled {
    let request: DeleteGroupsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    // A group that is named twice is deleted once.
    let group_ids: BTreeSet<Arc<str>> = request.groups_names.iter().map(|name| owned(&name.0)).collect();
    let (coordinator, context) = (coordinator.clone(), context.clone());
    Handled::Exclusive(Box::pin(async move {
        let outcomes = coordinator.delete_groups(group_ids.into_iter().collect()).await;
        let results = outcomes.into_iter().map(result).collect();
        context.respond(&DeleteGroupsResponse::default().with_results(results))
    }))
}

fn result((group_id, error): (Arc<str>, ErrorCode)) -> DeletableGroupResult {
    DeletableGroupResult::default()
        .with_group_id(GroupId(wire(&group_id)))
        .with_error_code(error.code())
}
