//! A partition as its leader sees it: who is in sync, what is committed, which requests belong to another leadership.

mod epoch;
mod high_watermark;
mod isr;
mod leader;

pub use self::epoch::check_leader_epoch;
pub use self::high_watermark::high_watermark_candidate;
pub use self::isr::{InSyncReplicas, effective_min_isr};
pub use self::leader::{AckState, Effect, Input, LeaderSetup, OffsetSnapshot, PartitionLeader};
