//! What one request costs the node, counted instead of timed: instructions and allocations under callgrind, system calls
//! under strace. The counts of two runs differ by a few in a hundred, so that a change of the hot path that makes a request
//! dearer fails on a busy machine as well (`scripts/ratchet`). Requests come one at a time over one connection, each to
//! a node that sleeps: what is shared among several that come together is not seen here.

pub mod asleep;
pub mod callgrind;
pub mod costs;
pub mod requests;
pub mod strace;
