//! Which offsets are old enough to go (`offsets.retention.minutes`, KIP-211).
//!
//! Rule: an offset that a live member subscribes to never expires.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::super::classic::{ClassicGroup, GroupState};
use super::super::config::GroupConfig;
use super::super::hard_state::{CoordinatorRecord, OffsetAndMetadata};
use super::super::uncommitted::Appended;
use super::delete::tombstone;

/// From when the retention of a group's offsets counts.
enum ExpirationBase {
    /// From the commit of each offset: simple groups, and topics that a live group no longer consumes.
    Commit,
    /// From the moment when the last member left.
    GroupEmptySince(i64),
    /// Offsets of a group in this state do not expire.
    Never,
}

fn expiration_base(group: &ClassicGroup) -> ExpirationBase {
    if group.protocol_type().is_none() {
        return ExpirationBase::Commit;
    }
    match group.state() {
        GroupState::Empty => match group.state_timestamp_ms() {
            Some(since_ms) => ExpirationBase::GroupEmptySince(since_ms),
            None => ExpirationBase::Commit,
        },
        GroupState::Stable if group.uses_consumer_protocol() && group.knows_subscriptions() => {
            ExpirationBase::Commit
        }
        GroupState::Stable | GroupState::PreparingRebalance | GroupState::CompletingRebalance => {
            ExpirationBase::Never
        }
    }
}

impl ExpirationBase {
    fn is_expired(&self, offset: &OffsetAndMetadata, now_ms: i64, retention_ms: i64) -> bool {
        if let Some(expire_ms) = offset.expire_timestamp_ms {
            // What the client asked for with its commit goes first.
            return !matches!(self, ExpirationBase::Never) && now_ms >= expire_ms;
        }
        let since_ms = match self {
            ExpirationBase::Commit => offset.commit_timestamp_ms,
            ExpirationBase::GroupEmptySince(since_ms) => *since_ms,
            ExpirationBase::Never => return false,
        };
        now_ms.saturating_sub(since_ms) >= retention_ms
    }
}

/// Tombstones for the expired offsets of a group, and whether none remains.
pub(in super::super) fn expired_records(
    now_ms: i64,
    config: &GroupConfig,
    group: &ClassicGroup,
    group_id: &Arc<str>,
    rows: &Appended<'_>,
) -> (Vec<CoordinatorRecord>, bool) {
    let base = expiration_base(group);
    let mut records = Vec::new();
    let mut none_remains = true;
    rows.for_each_offset(group_id, &mut |topic, partition, offset| {
        let is_expired = base.is_expired(offset, now_ms, config.offsets_retention_ms);
        if is_expired && !group.is_subscribed_to(topic) {
            records.push(tombstone(group_id, topic, partition));
        } else {
            none_remains = false;
        }
        ControlFlow::Continue(())
    });
    (records, none_remains)
}
