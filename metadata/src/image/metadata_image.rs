//! The whole image: the parts and the offset they stand at.
//!
//! Rule C11: an image can be written out as records, and those records followed by the tail of the log rebuild it.

use std::sync::Arc;

use super::{BrokersImage, ConfigsImage, FeaturesImage, ProducerIdsImage, TopicsImage};

/// Everything the metadata log says, as of one offset. Cloning copies a handful of reference counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataImage {
    /// The cluster's id as `meta.properties` holds it; not part of the metadata log.
    pub cluster_id: Arc<str>,
    /// Offset of the last record that the image contains; -1 when it contains none.
    pub offset: i64,
    /// The registered brokers.
    pub brokers: BrokersImage,
    /// Topics and partitions, by name and by id.
    pub topics: TopicsImage,
    /// Dynamic configurations.
    pub configs: ConfigsImage,
    /// Finalized feature levels.
    pub features: FeaturesImage,
    /// Which producer ids have been handed out.
    pub producer_ids: ProducerIdsImage,
}

impl MetadataImage {
    /// The image before the first record.
    pub fn empty(cluster_id: impl Into<Arc<str>>) -> MetadataImage {
        MetadataImage {
            cluster_id: cluster_id.into(),
            offset: -1,
            brokers: BrokersImage::default(),
            topics: TopicsImage::default(),
            configs: ConfigsImage::default(),
            features: FeaturesImage::default(),
            producer_ids: ProducerIdsImage::default(),
        }
    }
}
