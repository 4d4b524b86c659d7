//! The group coordinator as a pure state machine: classic consumer groups and committed offsets.
//!
//! One [`Shard`] stands for one partition of `__consumer_offsets`. It decides ([`Shard::step`]), hands out records, and
//! answers what depends on a record only when the runtime reports the record's commit ([`Shard::complete`]). Two kinds of
//! state are kept apart, as in Apache Kafka's `group-coordinator` module:
//!
//! - *hard*: the rows of the log. It lives behind [`CommittedOffsets`] (committed) and in [`uncommitted::Uncommitted`]
//!   (appended, not yet committed), and changes only in [`Shard::replay`] and [`Shard::committed`];
//! - *soft*: a rebalance in progress, who waits for an answer, timers ([`classic::ClassicGroup`]). Lost on failover by design.
//!
//! Nothing here reads a clock, draws a random number or waits; the runtime in `broker` does.

pub mod classic;
pub mod config;
pub mod hard_state;
pub mod offsets;
pub mod records;
pub mod request;
pub mod shard;
pub mod timer_queue;
pub mod uncommitted;

mod continuation;
mod delete;
mod describe;
mod list;

pub use config::GroupConfig;
pub use describe::{DescribedGroup, DescribedMember};
pub use hard_state::{
    CommittedOffsets, CoordinatorRecord, GroupMetadata, MemberMetadata, MemoryOffsets, OffsetAndMetadata,
};
pub use list::{GroupFilter, ListedGroup};
pub use request::{Input, Now, Reply, RequestToken};
pub use shard::{Shard, ShardCounters, Step, Ticket};

/// The partition of `__consumer_offsets` that holds `group_id`, of `partitions` (Kafka's `Utils.abs(String.hashCode()) % n`).
///
/// `partitions` of 0 or less gives partition 0.
pub fn partition_for(group_id: &str, partitions: i32) -> i32 {
    let hash = group_id.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    // Kafka's abs clears what would overflow: i32::MIN becomes 0.
    let positive = hash.checked_abs().unwrap_or(0);
    if partitions > 0 { positive % partitions } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_lives_in_the_partition_that_kafka_computes() {
        // "group".hashCode() = 98629247, "polygenelubricants".hashCode() = Integer.MIN_VALUE
        assert_eq!(partition_for("group", 50), 98_629_247 % 50);
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        assert_eq!(partition_for("", 50), 0);
        assert_eq!(partition_for("group", 0), 0);
    }
}
