//! A whole node in virtual time: the real broker on a simulated disk, network and clock, under clients that record what they
//! did and saw, and under faults. One seed decides everything, so that what was found once is found again.
//!
//! ```text
//!   driver --(one process a seed)--> life: Server + SimDisk + SimNet + SimTime  <-- actors --> History --> checks
//! ```

pub mod check;
pub mod client;
pub mod driver;
pub mod entropy;
pub mod history;
pub mod life;
pub mod marked_record;
pub mod net;
pub mod plan;
pub mod rng;
pub mod shrink;
pub mod time;
pub mod trace;
pub mod workload;
pub mod world;
