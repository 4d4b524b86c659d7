//! The immutable picture of the cluster that every broker holds: one file per kind of object.
//!
//! An image is cheap to clone and cheap to change: its maps are persistent trees, so one changed partition copies a path
//! of a tree and shares the rest. It changes only through replay of records (`controller`).

mod brokers;
mod configs;
mod features;
mod metadata_image;
mod producer_ids;
mod topics;

pub use self::brokers::{BrokerEndpoint, BrokerImage, BrokersImage, VersionRange};
pub use self::configs::ConfigsImage;
pub use self::features::FeaturesImage;
pub use self::metadata_image::MetadataImage;
pub use self::producer_ids::ProducerIdsImage;
pub use self::topics::{LeaderRecoveryState, PartitionImage, TopicImage, TopicsImage};
