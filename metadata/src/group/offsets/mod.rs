//! Committed offsets: commit, fetch, delete, expire, and what becomes of them when their topic is deleted.
//!
//! Rule: an offset changes only by a record, and a client is told of a commit only when its record is committed.

pub(super) mod commit;
pub(super) mod delete;
pub(super) mod expire;
mod fetch;
pub(super) mod topic_deletion;
pub mod topics;

pub use commit::refuse_commit;
pub use fetch::{FetchedPartition, FetchedTopic, TopicPartitions};
pub use topic_deletion::{DeletedTopic, DeletedTopics, deleted_topics, is_of_missing_topic};
