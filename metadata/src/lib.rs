//! Every decision of the cluster as pure state machines: no clock, no file, no socket, no thread outside `quorum`.

pub mod configs;
pub mod controller;
pub mod group;
pub mod image;
pub mod partition;
pub mod quorum;
