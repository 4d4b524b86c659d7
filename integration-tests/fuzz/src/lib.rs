//! What the fuzz targets share: bounds on memory, sound samples to begin with, and seeds made of them.
//!
//! A target in `fuzz_targets/` takes bytes, gives them to a reader of the broker as a peer or a damaged disk would, and
//! asserts what must hold whatever they are. A panic is a finding; so is memory out of proportion to the bytes.

pub mod memory;
pub mod node;
pub mod samples;
pub mod seeds;
pub mod stored;
