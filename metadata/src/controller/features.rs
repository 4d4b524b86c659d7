//! Feature levels: what this version supports, and what a fresh cluster finalizes.
//!
//! Names, ranges and levels are those that a fresh Apache Kafka 4.3 reports; clients read them from ApiVersions.

use protocol_compat::records::metadata::{ConfigRecord, FeatureLevelRecord, MetadataRecord};

use super::decision::Decision;
use super::state::Controller;
use crate::configs::ConfigResource;
use crate::image::FeaturesImage;

/// A feature, the levels that are supported, and the level of a fresh cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupportedFeature {
    /// Its name.
    pub name: &'static str,
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
    /// The level that a fresh cluster finalizes.
    pub fresh: i16,
}

const fn feature(name: &'static str, min: i16, max: i16) -> SupportedFeature {
    SupportedFeature {
        name,
        min,
        max,
        fresh: max,
    }
}

/// The feature whose level the quorum holds, not the metadata log.
pub const KRAFT_VERSION: SupportedFeature = feature("kraft.version", 0, 1);

/// Every other feature, in the order of names. 30 is Kafka's number of metadata version 4.3-IV0.
pub const SUPPORTED_FEATURES: &[SupportedFeature] = &[
    feature("eligible.leader.replicas.version", 0, 1),
    feature("group.version", 0, 1),
    feature("metadata.version", 7, 30),
    feature("share.version", 0, 1),
    feature("streams.version", 0, 1),
    feature("transaction.version", 0, 2),
];

/// The finalized levels as clients see them: the image's and the quorum's.
pub fn finalized_features(image: &FeaturesImage) -> Vec<(String, i16)> {
    let mut levels: Vec<(String, i16)> = image
        .iter()
        .map(|(name, level)| (name.to_string(), level))
        .collect();
    levels.push((KRAFT_VERSION.name.to_owned(), KRAFT_VERSION.fresh));
    levels.sort();
    levels
}

impl Controller {
    /// The first records of a log that has none, as a fresh Kafka writes them; nothing when the log was begun.
    pub fn bootstrap(&self) -> Decision<()> {
        if !self.image.features.is_empty() {
            return Decision::unchanged(());
        }
        // Kafka begins with the metadata version, which says how to read the rest.
        let is_version = |feature: &&SupportedFeature| feature.name == "metadata.version";
        let version = SUPPORTED_FEATURES.iter().filter(is_version);
        let others = SUPPORTED_FEATURES.iter().filter(|feature| !is_version(feature));
        let mut records: Vec<MetadataRecord> = version.chain(others).map(fresh_level).collect();
        // With eligible leader replicas the cluster-wide value has to stand in the log.
        let min_isr = self.config.broker_configs.get("min.insync.replicas");
        let cluster = ConfigResource::cluster_default();
        let record = ConfigRecord {
            resource_type: cluster.kind.id(),
            resource_name: cluster.name,
            name: "min.insync.replicas".into(),
            value: Some(min_isr.map_or("1", String::as_str).into()),
        };
        records.push(record.into());
        let response = ();
        Decision { records, response }
    }
}

fn fresh_level(feature: &SupportedFeature) -> MetadataRecord {
    let record = FeatureLevelRecord {
        name: feature.name.into(),
        feature_level: feature.fresh,
    };
    record.into()
}
