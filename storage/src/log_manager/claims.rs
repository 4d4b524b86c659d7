//! What the checkpoints of a directory say of its partitions, kept for those whose log is not open.
//!
//! For an open log its own state counts; the rest is carried over from file to file, so that a partition that nobody
//! touched keeps its recovery point, high watermark and first offset.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use protocol_compat::TopicPartition;

use crate::checkpoints::{self, CheckpointError, OffsetCheckpoint, Offsets};
use crate::disk::Disk;

/// All checkpoints of a directory.
pub(super) const KINDS: [OffsetCheckpoint; 4] = [
    OffsetCheckpoint::RecoveryPoint,
    OffsetCheckpoint::HighWatermark,
    OffsetCheckpoint::LogStart,
    OffsetCheckpoint::CleanerOffset,
];

/// Offsets by checkpoint, in the order of [`KINDS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    pub recovery_points: Offsets,
    pub high_watermarks: Offsets,
    pub log_starts: Offsets,
    pub cleaner_offsets: Offsets,
}

impl Claims {
    /// Reads all. One that is malformed is told of and counts as empty (rule S7), as in Kafka: recovery reads more,
    /// a leader finds its high watermark again, a log begins with its first
    /// segment, and is cleaned from there.
    pub fn read(disk: &Disk, dir: &Path) -> io::Result<Claims> {
        let mut claims = Claims::default();
        for kind in KINDS {
            *claims.offsets_mut(kind) = match checkpoints::read(disk, dir, kind) {
                Ok(offsets) => offsets,
                Err(error @ CheckpointError::Malformed { .. }) => {
                    tracing::warn!(%error, "the checkpoint counts as empty and is written anew");
                    Offsets::new()
                }
                Err(CheckpointError::Io(error)) => return Err(error),
            };
        }
        Ok(claims)
    }

    pub fn offsets(&self, kind: OffsetCheckpoint) -> &Offsets {
        match kind {
            OffsetCheckpoint::RecoveryPoint => &self.recovery_points,
            OffsetCheckpoint::HighWatermark => &self.high_watermarks,
            OffsetCheckpoint::LogStart => &self.log_starts,
            OffsetCheckpoint::CleanerOffset => &self.cleaner_offsets,
        }
    }

    pub fn offsets_mut(&mut self, kind: OffsetCheckpoint) -> &mut Offsets {
        match kind {
            OffsetCheckpoint::RecoveryPoint => &mut self.recovery_points,
            OffsetCheckpoint::HighWatermark => &mut self.high_watermarks,
            OffsetCheckpoint::LogStart => &mut self.log_starts,
            OffsetCheckpoint::CleanerOffset => &mut self.cleaner_offsets,
        }
    }

    /// Keeps the claims of these partitions, under their copies of the names.
    pub fn keep_only(&mut self, partitions: &BTreeSet<TopicPartition>) {
        for kind in KINDS {
            let offsets = std::mem::take(self.offsets_mut(kind));
            let known = offsets.into_iter();
            let known =
                known.filter_map(|(partition, offset)| Some((partitions.get(&partition)?.clone(), offset)));
            *self.offsets_mut(kind) = known.collect();
        }
    }

    /// Forgets partitions that are not there: one that is created again must not inherit a claim.
    pub fn retain(&mut self, keep: impl Fn(&TopicPartition) -> bool) {
        for kind in KINDS {
            self.offsets_mut(kind).retain(|partition, _| keep(partition));
        }
    }
}
