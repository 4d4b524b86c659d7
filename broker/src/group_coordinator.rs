//! The group coordinator of this node: one shard per partition of `__consumer_offsets`, loaded when first touched.
//!
//! Decides nothing: a shard of `metadata::group` does. Here is what surrounds a decision: the lock, the append, the commit, the
//! rows, the answers, the clock. A request for a group waits while the topic is created and the shard is loaded, so that
//! no client of a healthy node is told to come back later (Apache Kafka answers COORDINATOR_NOT_AVAILABLE meanwhile).

mod led_partition;
mod log_topic;
mod memory_topic;
mod offsets_topic;
mod opening_store;
mod record_batches;
mod shard_lock;
mod shard_runtime;
mod store_rows;
mod timer_task;
mod topic_deletion;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metadata::group::classic::GroupState;
use metadata::group::offsets::{DeletedTopics, FetchedTopic, TopicPartitions};
use metadata::group::request::{
    CommitRequest, DeleteOffsetsReply, DeleteOffsetsRequest, HeartbeatRequest, JoinReply, JoinRequest,
    LeaveReply, LeaveRequest, SyncReply, SyncRequest, TopicErrors,
};
use metadata::group::{
    CommittedOffsets, DescribedGroup, GroupConfig, GroupFilter, Input, ListedGroup, Reply, RequestToken,
    Shard, ShardCounters, partition_for,
};
use parking_lot::RwLock;
use protocol_compat::ErrorCode;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tracing::{debug, error};

pub use led_partition::{LedPartition, LedPartitions};
pub use log_topic::LogOffsetsTopic;
pub use memory_topic::MemoryOffsetsTopic;
pub use offsets_topic::{OffsetsPartition, OffsetsTopic};
pub use opening_store::OpeningStore;

use crate::blocking;
use crate::clock::Clock;
use shard_runtime::ShardRuntime;
use timer_task::TimerWake;

/// The topic that holds groups and their offsets.
pub const OFFSETS_TOPIC: &str = metadata::controller::GROUP_METADATA_TOPIC;

/// What the coordinator must know of the configuration.
#[derive(Clone, Debug)]
pub struct GroupCoordinatorConfig {
    /// What decisions depend on.
    pub group: GroupConfig,
    /// `offsets.commit.timeout.ms`: how long records may take to be committed.
    pub commit_timeout: Duration,
    /// `offsets.retention.check.interval.ms`.
    pub retention_check_interval: Duration,
}

/// The coordinator.
pub struct GroupCoordinator {
    config: GroupCoordinatorConfig,
    topic: Arc<dyn OffsetsTopic>,
    clock: Clock,
    /// Bounded by the partitions of the topic.
    slots: RwLock<BTreeMap<i32, Arc<Slot>>>,
    timers: Arc<TimerWake>,
}

/// The place of one shard.
#[derive(Default)]
struct Slot {
    running: RwLock<Option<Arc<ShardRuntime>>>,
    /// Held while the shard is loaded.
    loading: Mutex<()>,
}

/// Figures for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupCoordinatorFigures {
    /// Groups in memory by state.
    pub groups: BTreeMap<GroupState, usize>,
    /// Requests that wait for an answer.
    pub waiting_requests: usize,
    /// Shards in memory.
    pub loaded_shards: usize,
    /// Sums over the loaded shards.
    pub counters: ShardCounters,
}

impl GroupCoordinator {
    /// A coordinator for all partitions of `topic`. Timers run once [`GroupCoordinator::start`] was called.
    pub fn new(
        config: GroupCoordinatorConfig,
        topic: Arc<dyn OffsetsTopic>,
        clock: Clock,
    ) -> Arc<GroupCoordinator> {
        Arc::new(GroupCoordinator {
            config,
            topic,
            clock,
            slots: RwLock::default(),
            timers: Arc::new(TimerWake::default()),
        })
    }

    /// Starts the two tasks of the coordinator: the timers of all groups, and the expiry pass. They end when aborted.
    pub fn start(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let timers = tokio::spawn(timer_task::run(self.clone()));
        let coordinator = self.clone();
        let expiry = tokio::spawn(async move {
            loop {
                tokio::time::sleep(coordinator.config.retention_check_interval).await;
                coordinator.expire_offsets().await;
            }
        });
        vec![timers, expiry]
    }

    /// Makes sure that `__consumer_offsets` exists.
    ///
    /// # Errors
    /// Why it could not be created.
    pub async fn ensure_topic(&self) -> Result<(), ErrorCode> {
        self.topic.ensure().await
    }

    /// JoinGroup; answers when the join phase ends.
    pub async fn join(&self, request: JoinRequest) -> JoinReply {
        let (group_id, member_id) = (request.group_id.clone(), request.member_id.clone());
        match self.submit(&group_id, |token| Input::Join(token, request)).await {
            Ok(Reply::Join(reply)) => reply,
            other => JoinReply::error(member_id, unanswered(other)),
        }
    }

    /// SyncGroup; answers when the leader's assignment is committed.
    pub async fn sync(&self, request: SyncRequest) -> SyncReply {
        let group_id = request.group_id.clone();
        match self.submit(&group_id, |token| Input::Sync(token, request)).await {
            Ok(Reply::Sync(reply)) => reply,
            other => SyncReply::error(unanswered(other)),
        }
    }

    /// Heartbeat.
    pub async fn heartbeat(&self, request: HeartbeatRequest) -> ErrorCode {
        let group_id = request.group_id.clone();
        match self
            .submit(&group_id, |token| Input::Heartbeat(token, request))
            .await
        {
            Ok(Reply::Heartbeat(error)) => error,
            other => unanswered(other),
        }
    }

    /// LeaveGroup.
    pub async fn leave(&self, request: LeaveRequest) -> LeaveReply {
        let group_id = request.group_id.clone();
        match self.submit(&group_id, |token| Input::Leave(token, request)).await {
            Ok(Reply::Leave(reply)) => reply,
            other => LeaveReply {
                error: unanswered(other),
                members: Vec::new(),
            },
        }
    }

    /// OffsetCommit; answers when the offsets are committed.
    pub async fn commit_offsets(&self, request: CommitRequest) -> Vec<TopicErrors> {
        let group_id = request.group_id.clone();
        let topics = request.topics.clone();
        match self
            .submit(&group_id, |token| Input::CommitOffsets(token, request))
            .await
        {
            Ok(Reply::CommitOffsets(outcomes)) => outcomes,
            other => metadata::group::offsets::refuse_commit(&topics, unanswered(other)),
        }
    }

    /// OffsetCommit that takes effect before this returns, if the group's shard is loaded and its disk does not stall; otherwise the request comes back.
    ///
    /// # Errors
    /// The request, for [`GroupCoordinator::commit_offsets`].
    pub fn begin_commit(
        &self,
        request: CommitRequest,
    ) -> Result<impl Future<Output = Vec<TopicErrors>> + use<>, Box<CommitRequest>> {
        let slot = self
            .slots
            .read()
            .get(&self.partition_of(&request.group_id))
            .cloned();
        let Some(shard) = slot.and_then(|slot| slot.running()) else {
            return Err(Box::new(request));
        };
        if shard.watch().is_stalling() {
            return Err(Box::new(request));
        }
        let topics = request.topics.clone();
        let answer = shard.submit(|token| Input::CommitOffsets(token, request));
        Ok(async move {
            let outcome = match answer {
                Ok(answer) => answer.await.map_err(|_| ErrorCode::NotCoordinator),
                Err(error) => Err(error),
            };
            match outcome {
                Ok(Reply::CommitOffsets(outcomes)) => outcomes,
                other => metadata::group::offsets::refuse_commit(&topics, unanswered(other)),
            }
        })
    }

    /// OffsetDelete.
    pub async fn delete_offsets(&self, request: DeleteOffsetsRequest) -> DeleteOffsetsReply {
        let group_id = request.group_id.clone();
        match self
            .submit(&group_id, |token| Input::DeleteOffsets(token, request))
            .await
        {
            Ok(Reply::DeleteOffsets(reply)) => reply,
            other => DeleteOffsetsReply {
                error: unanswered(other),
                topics: Vec::new(),
            },
        }
    }

    /// DeleteGroups: an outcome for each group, in the order of the partitions that hold them.
    pub async fn delete_groups(&self, group_ids: Vec<Arc<str>>) -> Vec<(Arc<str>, ErrorCode)> {
        let mut outcomes = Vec::with_capacity(group_ids.len());
        for (partition, group_ids) in self.by_partition(group_ids) {
            let asked = group_ids.clone();
            let submitted = self
                .submit_to(partition, |token| Input::DeleteGroups(token, group_ids))
                .await;
            match submitted {
                Ok(Reply::DeleteGroups(deleted)) => outcomes.extend(deleted),
                other => {
                    let error = unanswered(other);
                    outcomes.extend(asked.into_iter().map(|group_id| (group_id, error)));
                }
            }
        }
        outcomes
    }

    /// DescribeGroups for one group: `None` if there is no such group.
    ///
    /// # Errors
    /// Why the group's shard cannot be read.
    pub async fn describe_group(&self, group_id: &str) -> Result<Option<DescribedGroup>, ErrorCode> {
        self.read(self.partition_of(group_id), |shard, rows| {
            shard.describe_group(group_id, rows)
        })
        .await
    }

    /// ListGroups over all partitions. Creates nothing.
    ///
    /// # Errors
    /// Why a shard cannot be read.
    pub async fn list_groups(&self, filter: &GroupFilter) -> Result<Vec<ListedGroup>, ErrorCode> {
        let mut groups = Vec::new();
        if !self.topic.exists() {
            return Ok(groups);
        }
        for partition in 0..self.topic.num_partitions() {
            groups.extend(
                self.read(partition, |shard, rows| shard.list_groups(filter, rows))
                    .await?,
            );
        }
        Ok(groups)
    }

    /// OffsetFetch for one group; all offsets without `topics`. With `require_stable` everything that was written before
    /// this call is waited for.
    ///
    /// # Errors
    /// Why the group's shard cannot be read.
    pub async fn fetch_offsets(
        &self,
        group_id: &str,
        topics: Option<&[TopicPartitions]>,
        require_stable: bool,
    ) -> Result<Vec<FetchedTopic>, ErrorCode> {
        let partition = self.partition_of(group_id);
        if require_stable {
            self.shard(partition).await?.settled().await;
        }
        self.read(partition, |shard, rows| match topics {
            Some(topics) => shard.fetch_offsets(group_id, topics, rows),
            None => shard.fetch_all_offsets(group_id, rows),
        })
        .await
    }

    /// One expiry pass over all groups; groups without members leave memory.
    pub async fn expire_offsets(&self) {
        if !self.topic.exists() {
            return;
        }
        for partition in 0..self.topic.num_partitions() {
            match self.shard(partition).await {
                Ok(shard) => expire_shard(&shard).await,
                Err(code) => error!(partition, %code, "could not look for expired offsets"),
            }
        }
    }

    /// Figures for metrics.
    pub fn figures(&self) -> GroupCoordinatorFigures {
        let mut figures = GroupCoordinatorFigures::default();
        for shard in self.running() {
            figures.loaded_shards += 1;
            figures.waiting_requests += shard.waiting_requests();
            shard.inspect(|shard| {
                for group in shard.groups() {
                    *figures.groups.entry(group.state()).or_default() += 1;
                }
                let counters = shard.counters();
                let sum = &mut figures.counters;
                sum.rebalances_started += counters.rebalances_started;
                sum.rebalances_completed += counters.rebalances_completed;
                sum.offset_commits += counters.offset_commits;
                sum.offset_expirations += counters.offset_expirations;
                sum.offset_deletions += counters.offset_deletions;
            });
        }
        figures
    }

    fn partition_of(&self, group_id: &str) -> i32 {
        partition_for(group_id, self.topic.num_partitions())
    }

    fn by_partition(&self, group_ids: Vec<Arc<str>>) -> BTreeMap<i32, Vec<Arc<str>>> {
        let mut by_partition: BTreeMap<i32, Vec<Arc<str>>> = BTreeMap::new();
        for group_id in group_ids {
            by_partition
                .entry(self.partition_of(&group_id))
                .or_default()
                .push(group_id);
        }
        by_partition
    }

    async fn submit(
        &self,
        group_id: &str,
        input: impl FnOnce(RequestToken) -> Input + Send + 'static,
    ) -> Result<Reply, ErrorCode> {
        self.submit_to(self.partition_of(group_id), input).await
    }

    async fn submit_to(
        &self,
        partition: i32,
        input: impl FnOnce(RequestToken) -> Input + Send + 'static,
    ) -> Result<Reply, ErrorCode> {
        let shard = self.shard(partition).await?;
        let watch = shard.watch().clone();
        let answer = watch.run(move || shard.submit(input)).await?;
        // The sender is only dropped with a shard that was given up.
        answer.await.map_err(|_| ErrorCode::NotCoordinator)
    }

    /// Reads a shard; where the store turns out to be damaged, another one that was filled from the log.
    async fn read<R>(
        &self,
        partition: i32,
        read: impl Fn(&Shard, &dyn CommittedOffsets) -> R,
    ) -> Result<R, ErrorCode> {
        if let Ok(seen) = self.free_shard(partition).await?.read(&read) {
            return Ok(seen);
        }
        self.free_shard(partition).await?.read(&read)
    }

    /// A shard that no stalled disk holds.
    async fn free_shard(&self, partition: i32) -> Result<Arc<ShardRuntime>, ErrorCode> {
        let shard = self.shard(partition).await?;
        shard.is_free().await;
        Ok(shard)
    }

    fn running(&self) -> Vec<Arc<ShardRuntime>> {
        let slots = self.slots.read();
        slots.values().filter_map(|slot| slot.running()).collect()
    }

    fn slot(&self, partition: i32) -> Arc<Slot> {
        if let Some(slot) = self.slots.read().get(&partition) {
            return slot.clone();
        }
        self.slots.write().entry(partition).or_default().clone()
    }

    /// The shard of a partition, loaded if it is not.
    async fn shard(&self, partition: i32) -> Result<Arc<ShardRuntime>, ErrorCode> {
        let slot = self.slot(partition);
        if let Some(shard) = slot.running() {
            return Ok(shard);
        }
        let _turn = slot.loading.lock().await;
        if let Some(shard) = slot.running() {
            return Ok(shard);
        }
        self.topic.ensure().await?;
        // A topic that exists may have fewer partitions than a caller computed with.
        if partition >= self.topic.num_partitions() {
            return Err(ErrorCode::NotCoordinator);
        }
        let mut shard = self.load(partition).await?;
        if !shard.is_current() {
            // Its rows could not be read. If the store is damaged, the next shard gets another one.
            shard = self.load(partition).await?;
        }
        *slot.running.write() = Some(shard.clone());
        // Behind the line above: of topics that are deleted from now on the shard is told.
        if let Some(topics) = self.topic.topics() {
            tokio::spawn(topic_deletion::remove_offsets(
                shard.clone(),
                DeletedTopics::AllExcept(topics),
            ));
        }
        Ok(shard)
    }

    async fn load(&self, partition: i32) -> Result<Arc<ShardRuntime>, ErrorCode> {
        let topic = self.topic.clone();
        let opened = blocking::spawn(move || topic.open(partition)).await;
        let offsets = opened.map_err(|_| ErrorCode::UnknownServerError)??;
        debug!(partition, "loaded a shard of the group coordinator");
        Ok(ShardRuntime::load(
            offsets,
            &self.config,
            self.clock,
            self.timers.clone(),
        ))
    }
}

impl Slot {
    /// The shard, unless it was given up or its topic is gone.
    fn running(&self) -> Option<Arc<ShardRuntime>> {
        let running = self.running.read();
        running.as_ref().filter(|shard| shard.is_current()).cloned()
    }
}

async fn expire_shard(shard: &Arc<ShardRuntime>) {
    let groups = shard.read(|shard, rows| shard.list_groups(&GroupFilter::default(), rows));
    // A shard that was given up is loaded again by the next pass.
    for group in groups.unwrap_or_default() {
        shard.act(Input::ExpireOffsets(group.group_id));
        tokio::task::yield_now().await;
    }
    shard.evict_idle();
}

/// The error of a request that got no answer of its own kind.
fn unanswered(outcome: Result<Reply, ErrorCode>) -> ErrorCode {
    match outcome {
        Err(ErrorCode::KafkaStorageError | ErrorCode::NotLeaderOrFollower) => ErrorCode::NotCoordinator,
        Err(error) => error,
        // A shard answers each request in kind.
        Ok(_) => ErrorCode::UnknownServerError,
    }
}
