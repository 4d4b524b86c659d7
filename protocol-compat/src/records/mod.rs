//! The records that the broker's own logs hold: cluster metadata and committed offsets with groups, in Kafka's format.

pub mod group;
pub mod metadata;

pub use group::GroupRecord;
pub use metadata::MetadataRecord;
