//! One partition that this node leads: its log, its high watermark, and those who wait for it.
//!
//! A partition is bound to one topic id for life: a topic that is deleted and created again has another `Partition` with
//! another log (rule C10). What is committed is for `metadata::partition` to say (rules R5, R6), which `leadership.rs` asks.
//! What a fetch reads is in `read.rs`.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use metadata::image::PartitionImage;
use metadata::partition::{PartitionLeader, check_leader_epoch};
use protocol_compat::{ErrorCode, LeaderEpoch, TopicId, TopicPartition};
use storage::log::{AppendError, AppendInfo, AppendOrigin, BegunAppend, LogConfig, LogEvents, PartitionLog};
use storage::log_manager::{LogManager, Room};
use tokio::sync::Notify;

use super::leadership;
use super::purgatory::{Progress, Purgatory, Until};
use crate::disk_stalls::{DirectoryIndex, DirectoryWatch, DiskStalls, Inside};

/// A partition that is open on this node.
pub struct Partition {
    topic_id: TopicId,
    log: Arc<PartitionLog>,
    logs: Arc<LogManager>,
    /// Of the log's directory.
    room: Option<Arc<Room>>,
    watch: DirectoryWatch,
    leader_epoch: AtomicI32,
    /// Of the registration that is taken over.
    partition_epoch: AtomicI32,
    appended_bytes: AtomicU64,
    is_gone: AtomicBool,
    /// Largest [`AppendInfo::flushed_before_ack`] so far.
    flushed_before_ack: AtomicI64,
    purgatory: Purgatory<PartitionLeader>,
}

/// What an acknowledgement waits for, once the log has the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequiredAcks {
    /// acks=1: the log of the leader, flushed where the topic asks for it.
    Leader,
    /// acks=all: every in-sync replica.
    AllInSync,
}

/// Tells a partition what its log did. The log owns this, the partition owns the log.
pub(super) struct PartitionEvents {
    partition: OnceLock<Weak<Partition>>,
}

impl PartitionEvents {
    pub(super) fn new() -> Arc<PartitionEvents> {
        Arc::new(PartitionEvents {
            partition: OnceLock::new(),
        })
    }

    fn with(&self, act: impl FnOnce(&Partition)) {
        if let Some(partition) = self.partition.get().and_then(Weak::upgrade) {
            act(&partition);
        }
    }
}

impl LogEvents for PartitionEvents {
    fn published(&self, _log_end_offset: i64) {
        self.with(Partition::advance);
    }

    fn flushed(&self, _offset: i64) {
        self.with(Partition::advance);
    }

    fn started_later(&self, _log_start_offset: i64) {
        self.with(|partition| partition.purgatory.tell_watches());
    }

    fn failed(&self) {
        self.with(|partition| partition.purgatory.wake_all());
    }
}

impl Partition {
    /// The partition on top of an open log that reports to `events`, led by this node from the log's end on.
    pub(super) fn new(
        topic_id: TopicId,
        registration: &PartitionImage,
        log: Arc<PartitionLog>,
        logs: Arc<LogManager>,
        disk_stalls: &Arc<DiskStalls>,
        events: &PartitionEvents,
    ) -> Arc<Partition> {
        let leader_epoch = registration.leader_epoch.0;
        log.begin_leader_epoch(leader_epoch);
        let leader = leadership::begin(registration, &log);
        let room = logs.room(log.topic_partition());
        let watch = DirectoryWatch::new(disk_stalls, log.dir().parent());
        let partition = Arc::new(Partition {
            topic_id,
            log,
            logs,
            room,
            watch,
            leader_epoch: AtomicI32::new(leader_epoch),
            partition_epoch: AtomicI32::new(registration.partition_epoch),
            appended_bytes: AtomicU64::new(0),
            is_gone: AtomicBool::new(false),
            flushed_before_ack: AtomicI64::new(-1),
            purgatory: Purgatory::new(leader),
        });
        // The events were made for this partition alone, so that nobody else has set them.
        events.partition.get_or_init(|| Arc::downgrade(&partition));
        // The log may have flushed before it could tell.
        partition.advance();
        partition
    }

    /// The topic's id.
    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// The topic's name and the partition's index.
    pub fn topic_partition(&self) -> &TopicPartition {
        self.log.topic_partition()
    }

    /// The log.
    pub fn log(&self) -> &Arc<PartitionLog> {
        &self.log
    }

    /// The log directory, if it is watched.
    pub fn directory(&self) -> Option<DirectoryIndex> {
        self.watch.directory()
    }

    /// The log directory for those who know no other.
    pub fn watch(&self) -> &DirectoryWatch {
        &self.watch
    }

    /// The calling thread touches the partition's directory until the result is dropped.
    pub fn enter(&self) -> Inside<'_> {
        self.watch.enter()
    }

    /// The epoch of this node's leadership.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch.load(Ordering::Acquire)
    }

    /// Takes over what the controller says of the partition. Most images say nothing new of most partitions.
    pub(super) fn follow(&self, registration: &PartitionImage) {
        let told = registration.partition_epoch;
        if self.partition_epoch.fetch_max(told, Ordering::AcqRel) >= told {
            return;
        }
        let epoch = registration.leader_epoch.0;
        if self.leader_epoch.fetch_max(epoch, Ordering::AcqRel) < epoch {
            self.log.begin_leader_epoch(epoch);
        }
        self.purgatory.advance(|leader| {
            leadership::follow(leader, registration, &self.log);
            self.progress()
        });
        // A fetch that names a leader epoch may be refused from now on, though no offset moved.
        self.purgatory.tell_watches();
    }

    /// Bytes appended since the partition was opened.
    pub(super) fn appended_bytes(&self) -> u64 {
        self.appended_bytes.load(Ordering::Acquire)
    }

    pub(super) fn purgatory(&self) -> &Purgatory<PartitionLeader> {
        &self.purgatory
    }

    /// How many requests wait for this partition.
    pub fn waiting(&self) -> usize {
        self.purgatory.len()
    }

    /// Whether the topic was deleted, or created again under another id.
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    pub(super) fn set_gone(&self) {
        self.is_gone.store(true, Ordering::Release);
        self.purgatory.wake_all();
    }

    pub(super) fn update_config(&self, config: Arc<LogConfig>) {
        self.log.update_config(config);
        self.advance();
    }

    /// Checks the leader epoch that a client names (KIP-320); -1 names none.
    ///
    /// # Errors
    /// `FENCED_LEADER_EPOCH` for an older one, `UNKNOWN_LEADER_EPOCH` for a newer one.
    pub fn check_leader_epoch(&self, current_leader_epoch: i32) -> Result<(), ErrorCode> {
        check_leader_epoch(
            LeaderEpoch(self.leader_epoch()),
            LeaderEpoch(current_leader_epoch),
        )
    }

    /// Appends on the caller's thread. On return the records are readable by whoever may read them.
    ///
    /// # Errors
    /// The log's.
    pub fn append(
        &self,
        batches: Bytes,
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        self.take_room(batches.len(), origin)?;
        let _inside = self.enter();
        let info = self
            .log
            .append_as_leader(batches, self.leader_epoch(), origin, now_ms)?;
        Ok(self.appended(info))
    }

    /// The first half of [`Partition::append`], for whoever appends more at once; [`Partition::finish_append`] must follow.
    ///
    /// # Errors
    /// The log's.
    pub fn begin_append(
        &self,
        batches: Bytes,
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<BegunAppend, AppendError> {
        self.take_room(batches.len(), origin)?;
        let _inside = self.enter();
        self.log
            .begin_append_as_leader(batches, self.leader_epoch(), origin, now_ms)
    }

    /// The second half: on return the records are readable by whoever may read them.
    ///
    /// # Errors
    /// The log's.
    pub fn finish_append(&self, begun: BegunAppend) -> Result<AppendInfo, AppendError> {
        let _inside = self.enter();
        let info = self.log.finish_append(begun)?;
        Ok(self.appended(info))
    }

    fn take_room(&self, size: usize, origin: AppendOrigin) -> Result<(), AppendError> {
        // Internal records have the reserve that clients are refused (rule S14).
        let room = self.room.as_deref();
        if origin == AppendOrigin::Client && room.is_some_and(|room| !room.has_some()) {
            return Err(AppendError::NoSpace);
        }
        // Counted before the log publishes, so that a fetch that this append wakes sees it.
        let before = self.appended_bytes.fetch_add(size as u64, Ordering::AcqRel);
        if let Some(room) = room {
            room.taken(before, size as u64);
        }
        Ok(())
    }

    fn appended(&self, info: AppendInfo) -> AppendInfo {
        self.flushed_before_ack
            .fetch_max(info.flushed_before_ack, Ordering::AcqRel);
        if info.flush_required {
            self.logs.request_flush(&self.log);
        }
        info
    }

    /// Waits until the records of an append may be acknowledged; `None` if that is now.
    pub fn acknowledgement(
        self: &Arc<Self>,
        info: &AppendInfo,
        acks: RequiredAcks,
    ) -> Option<Acknowledgement> {
        let end = info.last_offset.checked_add(1)?;
        let until = match acks {
            RequiredAcks::AllInSync => Until::Acknowledged {
                committed: end,
                flushed: info.flushed_before_ack,
            },
            RequiredAcks::Leader => Until::Flushed(info.flushed_before_ack),
        };
        if until.is_reached(self.progress()) {
            return None;
        }
        let wake = Arc::new(Notify::new());
        Some(Acknowledgement {
            waiting: Waiting::enter(self, until, &wake),
            partition: self.clone(),
            until,
            wake,
        })
    }

    /// Waits until the high watermark reaches `offset` and what `flush.messages` asks for below it was flushed.
    ///
    /// # Errors
    /// As [`Acknowledgement::given`].
    pub async fn committed(self: &Arc<Self>, offset: i64) -> Result<(), ErrorCode> {
        let wake = Arc::new(Notify::new());
        let until = Until::Acknowledged {
            committed: offset,
            flushed: self.flushed_before_ack.load(Ordering::Acquire).min(offset),
        };
        let acknowledgement = Acknowledgement {
            waiting: Waiting::enter(self, until, &wake),
            partition: self.clone(),
            until,
            wake,
        };
        acknowledgement.given().await
    }

    fn progress(&self) -> Progress {
        Progress {
            high_watermark: self.log.high_watermark(),
            durable_offset: self.log.durable_offset(),
        }
    }

    /// Moves the high watermark as far as the log allows and wakes those whom that satisfies.
    pub(super) fn advance(&self) {
        self.purgatory.advance(|leader| {
            leadership::log_advanced(leader, &self.log);
            self.progress()
        });
    }
}

/// An acknowledgement that is not due yet.
pub struct Acknowledgement {
    waiting: Waiting,
    partition: Arc<Partition>,
    until: Until,
    wake: Arc<Notify>,
}

impl Acknowledgement {
    /// Resolves when the acknowledgement is due.
    ///
    /// # Errors
    /// `KAFKA_STORAGE_ERROR` where the log failed meanwhile, `NOT_LEADER_OR_FOLLOWER` where the topic was deleted.
    pub async fn given(self) -> Result<(), ErrorCode> {
        let _listed = self.waiting;
        loop {
            if self.until.is_reached(self.partition.progress()) {
                return Ok(());
            }
            if self.partition.is_gone() {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
            if self.partition.log.is_failed() {
                return Err(ErrorCode::KafkaStorageError);
            }
            self.wake.notified().await;
        }
    }
}

/// A place on a partition's list; leaving the scope leaves the list.
pub struct Waiting {
    partition: Arc<Partition>,
    id: u64,
}

impl Waiting {
    /// Lists a waiter. `wake` remembers a wake-up that comes before it is awaited.
    pub(super) fn enter(partition: &Arc<Partition>, until: Until, wake: &Arc<Notify>) -> Waiting {
        Waiting {
            id: partition.purgatory.add(until, wake.clone()),
            partition: partition.clone(),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.partition.purgatory.remove(self.id);
    }
}
