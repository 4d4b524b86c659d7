//! One node of the quorum: start, propose, read barrier, status, end.
//!
//! Protects that nothing is proposed or read before the state is at least what it was before a restart (rule O6), that a
//! node id stays with the disk it was formatted with (rule O8), and that the death of the Raft core is seen (rule O5):
//! whoever hosts the quorum awaits [`Quorum::failure`] and stops the process.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{Config, Raft, RaftMetrics, RaftState, ReadPolicy, ServerState, SnapshotPolicy};
use protocol_compat::types::encode_base64_id;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::log_store::{Home, LogStore};
use super::log_writer::Stopping;
use super::network::NoPeers;
use super::seams::{ApplySink, QuorumStorage};
use super::state_machine::{SnapshotHome, SnapshotTrigger, StateMachine};
use super::types::{Proposal, TypeConfig, VoterNode};

/// Election timeouts and heartbeat as rule O12 has them, in ms. A sole voter uses none of them.
const ELECTION_TIMEOUT_MIN_MS: u64 = 1_500;
const ELECTION_TIMEOUT_MAX_MS: u64 = 3_000;
const HEARTBEAT_INTERVAL_MS: u64 = 500;
/// Pre-vote on: a voter that comes back does not depose a leader that is well.
const PRE_VOTE: bool = true;

/// Who this node is, and when it takes a snapshot.
#[derive(Clone, Debug)]
pub struct QuorumConfig {
    /// `node.id`, at least 0.
    pub node_id: i32,
    /// Id of the metadata log directory, from its `meta.properties`.
    pub directory_id: Uuid,
    /// The cluster's id; a vote or a snapshot of another cluster is refused.
    pub cluster_id: Arc<str>,
    /// Where the two ids were read, for a person who has to mend it: the path of a `meta.properties`.
    pub ids_read_from: String,
    /// Bytes of applied records after which a snapshot is taken (`metadata.log.max.record.bytes.between.snapshots`).
    pub snapshot_after_bytes: u64,
    /// Entries that stay in the log although a snapshot holds them.
    pub entries_kept_behind_snapshot: u64,
}

/// Why the quorum did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QuorumError {
    /// It could not be opened.
    #[error("could not start the metadata quorum: {0}")]
    Start(String),
    /// Another node leads, or none does.
    #[error("node {leader:?} leads the metadata quorum, not this one")]
    NotLeader {
        /// The leader, if one is known.
        leader: Option<i32>,
    },
    /// The leader changed while the records were under way: they may or may not be committed.
    #[error("the leader of the metadata quorum changed, it is not known whether the records were committed")]
    Unknown,
    /// The records do not fit one entry.
    #[error("the records of one decision take {0} bytes, more than one batch may hold")]
    TooLarge(usize),
    /// The Raft core has stopped; the process has to, too.
    #[error("the metadata quorum has stopped: {0}")]
    Stopped(String),
}

/// A voter or an observer, as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Its node id.
    pub node_id: i32,
    /// The id of its metadata log directory.
    pub directory_id: Uuid,
    /// The offset after its last entry, `-1` if the leader has not heard of it.
    pub log_end_offset: i64,
}

/// The quorum as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumStatus {
    /// This node.
    pub node_id: i32,
    /// The leader, if one is known.
    pub leader: Option<i32>,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The offset after the last committed entry.
    pub high_watermark: i64,
    /// The offset after this node's last entry.
    pub log_end_offset: i64,
    /// The offset of the first entry that is still in the log.
    pub log_start_offset: i64,
    /// The offset of the last applied entry, `-1` if none.
    pub last_applied_offset: i64,
    /// The offset after the last entry of the newest snapshot, `-1` if there is none.
    pub snapshot_end_offset: i64,
    /// The voters, by id.
    pub voters: Vec<ReplicaStatus>,
    /// The learners, by id.
    pub observers: Vec<ReplicaStatus>,
}

/// Kafka's limit for one batch of metadata (`KafkaRaftClient.MAX_BATCH_SIZE_BYTES`), times eight: a decision is not
/// spread over several batches here.
const MAX_ENTRY_BYTES: usize = 64 * 1024 * 1024;

/// A started quorum node.
pub struct Quorum {
    raft: Raft<TypeConfig, StateMachine>,
    snapshots: JoinHandle<()>,
    stopping: Stopping,
}

impl Quorum {
    /// Opens what is stored, and returns when this node leads and everything that was committed is applied.
    ///
    /// On empty storage the node becomes the only voter of a new quorum. A sole voter elects itself at once, on the
    /// first start and on every other.
    ///
    /// # Errors
    /// [`QuorumError::Start`] with a sentence for a person.
    pub async fn start(
        config: QuorumConfig,
        storage: QuorumStorage,
        sink: Arc<dyn ApplySink>,
    ) -> Result<Quorum, QuorumError> {
        let id =
            u64::try_from(config.node_id).map_err(|_| start_error(format!("node.id {}", config.node_id)))?;
        let stopping = Stopping::default();
        let opened = open(id, &config, storage, sink, &stopping).await;
        let (raft, snapshot_due) = opened.map_err(start_error)?;
        let snapshots = tokio::spawn(take_snapshots(raft.clone(), snapshot_due));
        let quorum = Quorum {
            raft,
            snapshots,
            stopping,
        };
        quorum.join(id, &config).await?;
        Ok(quorum)
    }

    async fn join(&self, id: u64, config: &QuorumConfig) -> Result<(), QuorumError> {
        let me = VoterNode::new(config.directory_id);
        if self.raft.is_initialized().await.map_err(start_error)? {
            // A vote without the log that it belongs to: somebody took the log away.
            let has_voters = |state: &RaftState<TypeConfig>| {
                let voters = state.membership_state.effective().membership();
                voters.voter_ids().next().is_some()
            };
            if !self.raft.with_raft_state(has_voters).await.map_err(start_error)? {
                return Err(start_error(
                    "there is a vote, but neither log nor snapshot name the voters",
                ));
            }
        } else {
            let voters = BTreeMap::from([(id, me)]);
            self.raft.initialize(voters).await.map_err(start_error)?;
        }
        let knows_voters = |metrics: &RaftMetrics<TypeConfig>| {
            metrics.running_state.is_err()
                || metrics
                    .membership_config
                    .membership()
                    .voter_ids()
                    .next()
                    .is_some()
        };
        let metrics = self
            .raft
            .wait(None)
            .metrics(knows_voters, "voters are known")
            .await;
        let metrics = metrics.map_err(start_error)?;
        metrics.running_state.clone().map_err(start_error)?;
        let membership = metrics.membership_config.membership();
        if let Some(known) = membership.get_node(&id)
            && *known != me
        {
            return Err(start_error(format!(
                "voter {id} was formatted with directory id {}, but {} says {}: it is damaged, or another node's",
                encode_base64_id(known.directory_id()),
                config.ids_read_from,
                encode_base64_id(config.directory_id),
            )));
        }
        if membership.voter_ids().eq([id]) {
            self.raft.trigger().elect(false).await.map_err(start_error)?;
        } else {
            return Err(start_error(format!(
                "node {id} is not the only voter: {membership}"
            )));
        }
        // A new leader's first entry is committed after everything before it.
        let leads = |metrics: &RaftMetrics<TypeConfig>| {
            let applied = metrics.last_applied.map(|applied| applied.index);
            metrics.running_state.is_err()
                || (metrics.state == ServerState::Leader
                    && applied.is_some()
                    && applied == metrics.last_log_index)
        };
        let metrics = self.raft.wait(None).metrics(leads, "sole voter leads").await;
        metrics.map_err(start_error)?.running_state.map_err(start_error)
    }

    /// Orders `records` as one entry, and returns its offset when it is committed and replayed.
    ///
    /// # Errors
    /// Not leading, leadership lost on the way, too much at once, or a quorum that has stopped.
    pub async fn propose(&self, timestamp_ms: i64, records: Vec<Bytes>) -> Result<i64, QuorumError> {
        let bytes: usize = records.iter().map(Bytes::len).sum();
        if bytes > MAX_ENTRY_BYTES {
            return Err(QuorumError::TooLarge(bytes));
        }
        let proposal = Proposal {
            timestamp_ms,
            records,
        };
        match self.raft.client_write(proposal).await {
            Ok(written) => Ok(offset(written.data.offset)),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to))) => Err(QuorumError::NotLeader {
                leader: to.leader_id.map(node_id),
            }),
            Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_))) => Err(QuorumError::Unknown),
            Err(error) => Err(QuorumError::Stopped(error.to_string())),
        }
    }

    /// Returns when this node has proved that it still leads and has applied all that was committed before the call:
    /// what is read afterwards is linearizable (rule O10).
    ///
    /// # Errors
    /// [`QuorumError::NotLeader`], or [`QuorumError::Stopped`].
    pub async fn read_barrier(&self) -> Result<(), QuorumError> {
        match self.raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
            Ok(_) => Ok(()),
            Err(RaftError::Fatal(fatal)) => Err(QuorumError::Stopped(fatal.to_string())),
            Err(RaftError::APIError(_)) => Err(QuorumError::NotLeader {
                leader: self.raft.metrics().borrow_watched().current_leader.map(node_id),
            }),
        }
    }

    /// Takes a snapshot of what is applied now; the log behind it is purged when it is durable.
    ///
    /// # Errors
    /// [`QuorumError::Stopped`].
    pub async fn take_snapshot(&self) -> Result<(), QuorumError> {
        let stopped = |error: &dyn std::fmt::Display| QuorumError::Stopped(error.to_string());
        let applied = self.raft.metrics().borrow_watched().last_applied;
        loop {
            let before = self.raft.metrics().borrow_watched().snapshot;
            if before >= applied {
                return Ok(());
            }
            let triggered = self.raft.trigger().snapshot().await;
            triggered.map_err(|error| stopped(&error))?;
            // A snapshot that was under way already swallows the request and may end before `applied`: ask again behind it.
            let taken = |metrics: &RaftMetrics<TypeConfig>| {
                metrics.running_state.is_err() || metrics.snapshot > before
            };
            let metrics = self.raft.wait(None).metrics(taken, "snapshot taken").await;
            let metrics = metrics.map_err(|error| stopped(&error))?;
            metrics.running_state.map_err(|error| stopped(&error))?;
        }
    }

    /// The quorum as this node sees it now.
    pub fn describe(&self) -> QuorumStatus {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let voters: Vec<u64> = membership.voter_ids().collect();
        let (voting, observing): (Vec<_>, Vec<_>) =
            membership.nodes().partition(|(id, _)| voters.contains(id));
        let replica = |(id, node): (&u64, &VoterNode)| ReplicaStatus {
            node_id: node_id(*id),
            directory_id: node.directory_id(),
            log_end_offset: replica_log_end(&metrics, *id),
        };
        QuorumStatus {
            node_id: node_id(metrics.id),
            leader: metrics.current_leader.map(node_id),
            leader_epoch: i32::try_from(metrics.current_term).unwrap_or(i32::MAX),
            high_watermark: metrics.local_committed.map_or(0, |id| offset(id.index) + 1),
            log_end_offset: metrics.last_log_index.map_or(0, |index| offset(index) + 1),
            log_start_offset: metrics.purged.map_or(0, |id| offset(id.index) + 1),
            last_applied_offset: metrics.last_applied.map_or(-1, |id| offset(id.index)),
            snapshot_end_offset: metrics.snapshot.map_or(-1, |id| offset(id.index) + 1),
            voters: voting.into_iter().map(replica).collect(),
            observers: observing.into_iter().map(replica).collect(),
        }
    }

    /// Returns when the Raft core has died of an error or a panic, with the reason; not after [`Quorum::shutdown`].
    pub fn failure(&self) -> impl Future<Output = String> + Send + 'static {
        let mut metrics = self.raft.metrics();
        async move {
            loop {
                let state = metrics.borrow_and_update().running_state.clone();
                match state {
                    Err(openraft::errors::Fatal::Stopped) => std::future::pending::<()>().await,
                    Err(fatal) => return fatal.to_string(),
                    Ok(()) => {}
                }
                if metrics.changed().await.is_err() {
                    return "the Raft core has gone without a word".to_owned();
                }
            }
        }
    }

    /// Stops the node; what was acknowledged is durable already.
    ///
    /// # Errors
    /// [`QuorumError::Stopped`] if the Raft core had died before.
    pub async fn shutdown(&self) -> Result<(), QuorumError> {
        self.stopping.set();
        self.raft
            .shutdown()
            .await
            .map_err(|error| QuorumError::Stopped(error.to_string()))
    }
}

/// Dropping a node without [`Quorum::shutdown`] is what a crash does: its tasks end where they stand.
impl Drop for Quorum {
    fn drop(&mut self) {
        self.stopping.set();
        self.snapshots.abort();
    }
}

type Opened = (Raft<TypeConfig, StateMachine>, Arc<Notify>);

async fn open(
    id: u64,
    config: &QuorumConfig,
    storage: QuorumStorage,
    sink: Arc<dyn ApplySink>,
    stopping: &Stopping,
) -> io::Result<Opened> {
    let bound = Arc::new(AtomicU64::new(0));
    let home = SnapshotHome::open(
        storage.snapshots.clone(),
        config.cluster_id.clone(),
        bound.clone(),
        stopping.clone(),
    )?;
    let home_of_log = Home {
        cluster_id: config.cluster_id.clone(),
        source: config.ids_read_from.clone(),
        stopping: stopping.clone(),
    };
    let log = LogStore::open(storage, home_of_log, bound)?;
    let trigger = SnapshotTrigger {
        after_bytes: config.snapshot_after_bytes,
        due: Arc::new(Notify::new()),
    };
    let due = trigger.due.clone();
    let raft_config = raft_config(config).validate().map_err(io::Error::other)?;
    let state_machine = StateMachine::new(sink, home, trigger);
    let raft = Raft::new(id, Arc::new(raft_config), NoPeers, log, state_machine)
        .await
        .map_err(io::Error::other)?;
    Ok((raft, due))
}

fn raft_config(config: &QuorumConfig) -> Config {
    Config {
        cluster_name: config.cluster_id.to_string(),
        election_timeout_min: ELECTION_TIMEOUT_MIN_MS,
        election_timeout_max: ELECTION_TIMEOUT_MAX_MS,
        heartbeat_interval: HEARTBEAT_INTERVAL_MS,
        enable_pre_vote: Some(PRE_VOTE),
        // A restarted leader is elected anew: its epoch, and the offset of its first entry, tell it from its former self.
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        // Snapshots are taken by bytes, as Kafka does; see `take_snapshots`.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: config.entries_kept_behind_snapshot,
        // A sole voter has nobody to send heartbeats to and no leader to miss: an idle node has no timer.
        enable_tick: false,
        ..Config::default()
    }
}

/// Takes a snapshot whenever enough was applied since the last one.
async fn take_snapshots(raft: Raft<TypeConfig, StateMachine>, due: Arc<Notify>) {
    loop {
        due.notified().await;
        if let Err(error) = raft.trigger().snapshot().await {
            tracing::error!("no snapshot of the metadata image can be taken: {error}");
            return;
        }
    }
}

fn start_error(error: impl std::fmt::Display) -> QuorumError {
    QuorumError::Start(error.to_string())
}

/// Indices come from a log whose offsets are `i64`.
fn offset(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// Ids come from `node.id`, an `i32`.
fn node_id(id: u64) -> i32 {
    i32::try_from(id).unwrap_or(i32::MAX)
}

fn replica_log_end(metrics: &RaftMetrics<TypeConfig>, id: u64) -> i64 {
    if id == metrics.id {
        return metrics.last_log_index.map_or(0, |index| offset(index) + 1);
    }
    let matched = metrics.replication.as_ref().and_then(|all| all.get(&id));
    matched.map_or(-1, |matched| {
        matched.as_ref().map_or(0, |id| offset(id.index) + 1)
    })
}
