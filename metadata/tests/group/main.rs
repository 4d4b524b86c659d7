//! The group coordinator as a whole: golden transcripts of scenarios, and seeded random runs with invariants.

mod harness;
mod random;
mod script;
