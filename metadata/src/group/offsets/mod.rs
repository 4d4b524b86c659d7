//! Committed offsets: commit, fetch, delete, expire.
//!
//! Rule: an offset changes only by a record, and a client is told of a commit only when its record is committed.

pub(super) mod commit;
pub(super) mod delete;
pub(super) mod expire;
mod fetch;
pub mod topics;

pub use commit::refuse_commit;
pub use fetch::{FetchedPartition, FetchedTopic, TopicPartitions};
