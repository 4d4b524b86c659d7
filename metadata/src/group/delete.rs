//! DeleteGroups: a group without members goes with all its offsets.

use std::sync::Arc;

use protocol_compat::ErrorCode;

use super::classic::{ClassicGroup, GroupState};
use super::hard_state::CoordinatorRecord;
use super::offsets::delete::delete_all_records;
use super::uncommitted::Appended;

/// The record that removes a group.
pub(super) fn group_tombstone(group_id: &Arc<str>) -> CoordinatorRecord {
    CoordinatorRecord::Group {
        group_id: group_id.clone(),
        value: None,
    }
}

/// Tombstones for the group and its offsets, or why it cannot go.
pub(super) fn delete_group_records(
    group: Option<&ClassicGroup>,
    group_id: &Arc<str>,
    rows: &Appended<'_>,
) -> Result<Vec<CoordinatorRecord>, ErrorCode> {
    let group = group.ok_or(ErrorCode::GroupIdNotFound)?;
    if group.state() != GroupState::Empty {
        return Err(ErrorCode::NonEmptyGroup);
    }
    let mut records = delete_all_records(group_id, rows);
    records.push(group_tombstone(group_id));
    Ok(records)
}
