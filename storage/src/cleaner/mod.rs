//! Compaction (`cleanup.policy=compact`): what a log becomes when only the last record of each key is kept.
//!
//! One cleaning of one log: the last offset of each key in the dirty part goes into a bounded map (`offset_map`), then
//! the segments up to there are written anew without the records that the map makes stale, small ones merged, and take the
//! place of the old ones (`crate::log`). Offsets never change, and nothing at or above the last stable offset is touched
//! (rule S12). The rules are those of Kafka's `Cleaner`. Which log is cleaned when, and how fast, is the log manager's.

mod error;
mod offset_map;
mod pass;
mod range;
mod rewrite;
mod transactions;

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;

pub use error::CleanError;
pub use offset_map::MapSecret;
pub use pass::{Cleaned, CleanerSettings, Pace, clean};
pub use range::CleanRange;
