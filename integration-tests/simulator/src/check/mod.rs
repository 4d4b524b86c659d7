//! The promises G1 to G11 and G13 to G15, as far as one node has them, held against what clients did and saw.
//!
//! Most checks are made when an event is added to the [history](crate::history::History). [`final_check`] reads everything
//! once more from a healthy node. An outcome that is not known stays allowed either way.

pub mod commits;
pub mod configs;
mod final_read;
pub mod groups;
pub mod log;
pub mod removal;
pub mod topics;
pub mod violation;
pub mod watermarks;

#[cfg(test)]
mod tests;

pub use final_read::final_check;
