//! Removes the committed offsets of deleted topics.
//!
//! Shards in memory are told of a deletion. A shard that was not, because it was not loaded or the node was killed in between,
//! compares its offsets with the topics when it is loaded; until then OffsetFetch does not show them (`handlers/offset_fetch.rs`).

use std::sync::Arc;

use metadata::group::Input;
use metadata::group::offsets::{DeletedTopic, DeletedTopics};

use super::GroupCoordinator;
use super::shard_runtime::ShardRuntime;

impl GroupCoordinator {
    /// Writes tombstones for the offsets of deleted topics, group by group.
    pub async fn topics_deleted(self: Arc<Self>, topics: Vec<DeletedTopic>) {
        let deleted = DeletedTopics::These(topics.into());
        for shard in self.running() {
            remove_offsets(shard, deleted.clone()).await;
        }
    }
}

/// Lets every group of a shard forget the offsets of deleted topics; requests are served in between.
pub(super) async fn remove_offsets(shard: Arc<ShardRuntime>, deleted: DeletedTopics) {
    let groups = shard.read(|shard, rows| shard.groups_with_offsets(rows));
    // A shard that was given up compares its offsets when it is loaded again.
    for group_id in groups.unwrap_or_default() {
        shard.act(Input::TopicsDeleted(group_id, deleted.clone()));
        tokio::task::yield_now().await;
    }
}
