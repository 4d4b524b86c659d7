//! One leadership of one partition: what is committed, what can be acknowledged, what clients can see.
//!
//! Input / effect: the broker says what happened to the log and to the replicas, and acts on the effect. A leadership
//! is one value; a new leader epoch makes a new one. A step allocates nothing: every append takes one. Rules R5 (the high watermark is the least durable end of the
//! maximal in-sync set, and moves only with enough members), R13 (too few members fail before the append, or with the
//! other error after it), R14 (offsets that clients see never go back; "latest" waits for the epoch's own start), R15
//! (one snapshot of the offsets per request).

use protocol_compat::{BrokerId, ErrorCode, LeaderEpoch};

use super::epoch::check_leader_epoch;
use super::high_watermark::high_watermark_candidate;
use super::isr::{InSyncReplicas, effective_min_isr};

/// What a broker knows when it becomes leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderSetup {
    /// The broker itself.
    pub broker: BrokerId,
    /// The epoch of this leadership.
    pub leader_epoch: LeaderEpoch,
    /// Every replica, the leader included.
    pub replicas: Vec<BrokerId>,
    /// The in-sync replicas that the controller committed.
    pub isr: Vec<BrokerId>,
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
    /// First offset of the log.
    pub log_start_offset: i64,
    /// End of the log; where this epoch starts.
    pub log_end_offset: i64,
    /// End of what counts as held by this broker: the log end, or with `flush.messages=1` the flushed end.
    pub durable_end_offset: i64,
    /// The high watermark that was last known, from the checkpoint or the former leader.
    pub high_watermark: i64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The log grew, or more of it is durable.
    LogAdvanced {
        /// End of the log.
        log_end_offset: i64,
        /// End of what counts as held by this broker.
        durable_end_offset: i64,
    },
    /// Records at the front are gone (retention or DeleteRecords).
    LogStartMoved {
        /// First offset of the log.
        log_start_offset: i64,
    },
    /// A follower fetched from here: it holds everything before, durably.
    FollowerFetched {
        /// The follower.
        broker: BrokerId,
        /// The offset that it asked for.
        fetch_offset: i64,
    },
    /// The controller committed in-sync replicas.
    IsrCommitted {
        /// The members.
        isr: Vec<BrokerId>,
    },
    /// `min.insync.replicas` changed.
    MinInSyncReplicasChanged {
        /// The new value.
        min_insync_replicas: usize,
    },
}

/// What the broker has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell the log, and wake who waits for records or acknowledgements up to here.
    HighWatermarkMoved {
        /// The new high watermark.
        high_watermark: i64,
    },
}

/// How far an acks=all write has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckState {
    /// Not every in-sync replica has it.
    Waiting,
    /// Committed.
    Committed,
    /// Committed, but by fewer replicas than `min.insync.replicas`: the client gets the "after append" error.
    TooFewReplicas,
}

/// The offsets of a partition, read once per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetSnapshot {
    /// First offset.
    pub log_start_offset: i64,
    /// Consumers read below it.
    pub high_watermark: i64,
    /// End of the log; followers read below it.
    pub log_end_offset: i64,
}

/// One leadership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLeader {
    broker: BrokerId,
    leader_epoch: LeaderEpoch,
    epoch_start_offset: i64,
    replicas: Vec<BrokerId>,
    isr: InSyncReplicas,
    min_insync_replicas: usize,
    /// Per replica that has reported in this epoch; the leader always has.
    durable_end_offsets: Vec<(BrokerId, i64)>,
    offsets: OffsetSnapshot,
}

impl PartitionLeader {
    /// Begins a leadership. With one replica the whole durable log is committed at once.
    pub fn new(setup: LeaderSetup) -> (PartitionLeader, Option<Effect>) {
        let mut leader = PartitionLeader {
            broker: setup.broker,
            leader_epoch: setup.leader_epoch,
            epoch_start_offset: setup.log_end_offset,
            replicas: setup.replicas,
            isr: InSyncReplicas::committed(setup.isr),
            min_insync_replicas: setup.min_insync_replicas,
            durable_end_offsets: vec![(setup.broker, setup.durable_end_offset)],
            offsets: OffsetSnapshot {
                log_start_offset: setup.log_start_offset,
                // A checkpoint can be ahead of a log that lost its tail, or behind one whose front was deleted.
                high_watermark: setup
                    .high_watermark
                    .min(setup.log_end_offset)
                    .max(setup.log_start_offset),
                log_end_offset: setup.log_end_offset,
            },
        };
        let effect = leader.maybe_increment_high_watermark();
        (leader, effect)
    }

    /// Takes in what happened.
    pub fn step(&mut self, input: Input) -> Option<Effect> {
        match input {
            Input::LogAdvanced {
                log_end_offset,
                durable_end_offset,
            } => {
                self.offsets.log_end_offset = self.offsets.log_end_offset.max(log_end_offset);
                self.advance(self.broker, durable_end_offset);
            }
            Input::LogStartMoved { log_start_offset } => {
                self.offsets.log_start_offset = self.offsets.log_start_offset.max(log_start_offset);
            }
            Input::FollowerFetched { broker, fetch_offset } => {
                if self.replicas.contains(&broker) {
                    self.advance(broker, fetch_offset);
                }
            }
            Input::IsrCommitted { isr } => self.isr = InSyncReplicas::committed(isr),
            Input::MinInSyncReplicasChanged { min_insync_replicas } => {
                self.min_insync_replicas = min_insync_replicas;
            }
        }
        self.maybe_increment_high_watermark()
    }

    fn advance(&mut self, broker: BrokerId, end_offset: i64) {
        let mut reported = self.durable_end_offsets.iter_mut();
        match reported.find(|(replica, _)| *replica == broker) {
            Some((_, known)) => *known = (*known).max(end_offset),
            None => self.durable_end_offsets.push((broker, end_offset)),
        }
    }

    fn maybe_increment_high_watermark(&mut self) -> Option<Effect> {
        if self.is_under_min_isr() {
            return None;
        }
        let candidate = high_watermark_candidate(self.isr.maximal(), &self.durable_end_offsets);
        let floor = self.offsets.high_watermark.max(self.offsets.log_start_offset);
        let reached = candidate
            .unwrap_or(floor)
            .min(self.offsets.log_end_offset)
            .max(floor);
        (reached > self.offsets.high_watermark).then(|| {
            self.offsets.high_watermark = reached;
            Effect::HighWatermarkMoved {
                high_watermark: reached,
            }
        })
    }

    fn is_under_min_isr(&self) -> bool {
        self.isr.committed_len() < effective_min_isr(self.min_insync_replicas, self.replicas.len())
    }

    /// The epoch of this leadership.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// Whether a request that names `epoch` (-1: none) means this leadership.
    ///
    /// # Errors
    /// FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH.
    pub fn check_epoch(&self, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        check_leader_epoch(self.leader_epoch, epoch)
    }

    /// Whether a write with these acks (-1: all) may be appended (rule R13).
    ///
    /// # Errors
    /// NOT_ENOUGH_REPLICAS.
    pub fn check_append(&self, acks: i16) -> Result<(), ErrorCode> {
        if acks == -1 && self.is_under_min_isr() {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        Ok(())
    }

    /// How far an acks=all write that ends before `next_offset` has come.
    pub fn ack_state(&self, next_offset: i64) -> AckState {
        if self.offsets.high_watermark < next_offset {
            AckState::Waiting
        } else if self.is_under_min_isr() {
            AckState::TooFewReplicas
        } else {
            AckState::Committed
        }
    }

    /// The offsets of this moment.
    pub fn offsets(&self) -> OffsetSnapshot {
        self.offsets
    }

    /// The offset that "latest" means to a consumer (rule R14).
    ///
    /// # Errors
    /// OFFSET_NOT_AVAILABLE until everything that this leader found is committed: an earlier answer could lie before
    /// one that the former leader gave.
    pub fn latest_offset(&self) -> Result<i64, ErrorCode> {
        if self.offsets.high_watermark < self.epoch_start_offset {
            return Err(ErrorCode::OffsetNotAvailable);
        }
        Ok(self.offsets.high_watermark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(
        replicas: &[i32],
        isr: &[i32],
        min_isr: usize,
        log_end: i64,
        high_watermark: i64,
    ) -> LeaderSetup {
        let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
        LeaderSetup {
            broker: BrokerId(1),
            leader_epoch: LeaderEpoch(4),
            replicas: ids(replicas),
            isr: ids(isr),
            min_insync_replicas: min_isr,
            log_start_offset: 0,
            log_end_offset: log_end,
            durable_end_offset: log_end,
            high_watermark,
        }
    }

    fn grow(leader: &mut PartitionLeader, log_end_offset: i64, durable_end_offset: i64) -> Option<Effect> {
        leader.step(Input::LogAdvanced {
            log_end_offset,
            durable_end_offset,
        })
    }

    fn moved(high_watermark: i64) -> Option<Effect> {
        Some(Effect::HighWatermarkMoved { high_watermark })
    }

    #[test]
    fn a_single_replica_commits_what_is_durable() {
        let (mut leader, effect) = PartitionLeader::new(setup(&[1], &[1], 2, 7, 3));
        assert_eq!(effect, moved(7));
        assert_eq!(leader.check_append(-1), Ok(()));
        assert_eq!(grow(&mut leader, 12, 9), moved(9));
        assert_eq!(
            (leader.ack_state(9), leader.ack_state(12)),
            (AckState::Committed, AckState::Waiting)
        );
        assert_eq!(grow(&mut leader, 12, 12), moved(12));
        assert_eq!(grow(&mut leader, 12, 12), None);
        assert_eq!(leader.latest_offset(), Ok(12));
    }

    #[test]
    fn a_checkpoint_beyond_the_log_is_cut_to_it() {
        let (leader, _) = PartitionLeader::new(setup(&[1], &[1], 1, 5, 9));
        assert_eq!(leader.offsets().high_watermark, 5);
    }

    #[test]
    fn a_new_leader_hides_the_latest_offset_until_its_followers_have_caught_up() {
        let (mut leader, effect) = PartitionLeader::new(setup(&[1, 2], &[1, 2], 1, 10, 6));
        assert_eq!(effect, None);
        assert_eq!(leader.latest_offset(), Err(ErrorCode::OffsetNotAvailable));
        let fetched = |fetch_offset| Input::FollowerFetched {
            broker: BrokerId(2),
            fetch_offset,
        };
        assert_eq!(leader.step(fetched(8)), moved(8));
        assert_eq!(leader.step(fetched(10)), moved(10));
        assert_eq!(leader.latest_offset(), Ok(10));
        assert_eq!(leader.step(fetched(9)), None);
        assert_eq!(leader.offsets().high_watermark, 10);
    }

    #[test]
    fn too_few_in_sync_replicas_fail_before_the_append_or_with_the_other_error_after_it() {
        let (mut leader, _) = PartitionLeader::new(setup(&[1, 2], &[1, 2], 2, 0, 0));
        assert_eq!(leader.check_append(-1), Ok(()));
        grow(&mut leader, 1, 1);
        leader.step(Input::FollowerFetched {
            broker: BrokerId(2),
            fetch_offset: 1,
        });
        leader.step(Input::IsrCommitted {
            isr: vec![BrokerId(1)],
        });
        assert_eq!(leader.ack_state(1), AckState::TooFewReplicas);
        assert_eq!(leader.check_append(-1), Err(ErrorCode::NotEnoughReplicas));
        assert_eq!(leader.check_append(1), Ok(()));
        assert_eq!(grow(&mut leader, 5, 5), None);
        assert_eq!(leader.offsets().high_watermark, 1);
    }

    #[test]
    fn a_log_start_beyond_the_high_watermark_pulls_it_along() {
        let (mut leader, _) = PartitionLeader::new(setup(&[1, 2], &[1, 2], 1, 10, 2));
        assert_eq!(
            leader.step(Input::LogStartMoved { log_start_offset: 5 }),
            moved(5)
        );
    }
}
