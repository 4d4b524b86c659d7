//! This node's leadership of a partition: says to `metadata::partition` what the log did, and does to the log what comes of it.

use metadata::image::PartitionImage;
use metadata::partition::{Effect, Input, LeaderSetup, PartitionLeader};
use storage::log::PartitionLog;

/// No partition has more than one replica, and `min.insync.replicas` never asks for more than there are.
const MIN_INSYNC_REPLICAS: usize = 1;

/// A leadership that begins now, with the log as it is.
pub(super) fn begin(registration: &PartitionImage, log: &PartitionLog) -> PartitionLeader {
    let (leader, effect) = PartitionLeader::new(LeaderSetup {
        broker: registration.leader,
        leader_epoch: registration.leader_epoch,
        replicas: registration.replicas.clone(),
        isr: registration.isr.clone(),
        min_insync_replicas: MIN_INSYNC_REPLICAS,
        log_start_offset: log.log_start_offset(),
        log_end_offset: log.log_end_offset(),
        durable_end_offset: durable_end_offset(log),
        high_watermark: log.high_watermark(),
    });
    carry_out(effect, log);
    leader
}

/// Takes over what the controller says of the partition; a new leader epoch begins a new leadership.
pub(super) fn follow(leader: &mut PartitionLeader, registration: &PartitionImage, log: &PartitionLog) {
    if registration.leader_epoch > leader.leader_epoch() {
        *leader = begin(registration, log);
        return;
    }
    let isr = registration.isr.clone();
    carry_out(leader.step(Input::IsrCommitted { isr }), log);
}

/// The log grew, was flushed, or changed what it takes for durable.
pub(super) fn log_advanced(leader: &mut PartitionLeader, log: &PartitionLog) {
    // In this order: what is durable is part of the log.
    let durable_end_offset = durable_end_offset(log);
    let log_end_offset = log.log_end_offset();
    let effect = leader.step(Input::LogAdvanced {
        log_end_offset,
        durable_end_offset,
    });
    carry_out(effect, log);
}

/// Up to where this replica counts as holding the log: with `flush.messages=1` only what is on the disk.
pub(super) fn durable_end_offset(log: &PartitionLog) -> i64 {
    if log.config().flush_messages == 1 {
        log.durable_offset()
    } else {
        log.log_end_offset()
    }
}

fn carry_out(effect: Option<Effect>, log: &PartitionLog) {
    match effect {
        Some(Effect::HighWatermarkMoved { high_watermark }) => log.update_high_watermark(high_watermark),
        None => {}
    }
}
