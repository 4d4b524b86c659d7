//! Which value a topic key has: the topic's own, else a broker key's (dynamic for the node, dynamic for the cluster,
//! from the configuration file), else Kafka's default.
//!
//! The order is Kafka's (`KafkaConfigSchema.resolveEffectiveTopicConfig`).

use std::collections::BTreeMap;

use protocol_compat::BrokerId;

use super::definition::{BrokerSynonym, ConfigKey, ConfigValue};
use super::resource::ConfigResource;
use super::topic_keys::TOPIC_KEYS;
use crate::image::ConfigsImage;

/// Where a value comes from (`DescribeConfigsResponse.ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set for the topic.
    Topic,
    /// Set dynamically for one broker.
    DynamicBroker,
    /// Set dynamically for every broker.
    DynamicDefaultBroker,
    /// From the configuration file.
    StaticBroker,
    /// Nobody set it.
    Default,
    /// A log level.
    DynamicBrokerLogger,
}

impl ConfigSource {
    /// The number on the wire.
    pub fn id(self) -> i8 {
        match self {
            ConfigSource::Topic => 1,
            ConfigSource::DynamicBroker => 2,
            ConfigSource::DynamicDefaultBroker => 3,
            ConfigSource::StaticBroker => 4,
            ConfigSource::Default => 5,
            ConfigSource::DynamicBrokerLogger => 6,
        }
    }
}

/// The values of broker keys, layer over layer.
#[derive(Clone, Copy, Debug)]
pub struct BrokerLayers<'a> {
    /// The node whose dynamic values count.
    pub node_id: BrokerId,
    /// What the node's configuration file sets, by broker key.
    pub from_file: &'a BTreeMap<String, String>,
    /// Dynamic values.
    pub dynamic: &'a ConfigsImage,
}

impl BrokerLayers<'_> {
    /// The strongest value among `synonyms`: by layer first, then by the order of the synonyms.
    fn strongest(&self, synonyms: &[BrokerSynonym]) -> Option<(String, ConfigSource)> {
        let node = ConfigResource::broker(self.node_id);
        let cluster = ConfigResource::cluster_default();
        let dynamic =
            |resource: &ConfigResource, key: &str| self.dynamic.get(resource, key).map(|v| v.to_string());
        let first = |value: &dyn Fn(&str) -> Option<String>, source| {
            synonyms
                .iter()
                .find_map(|synonym| Some((synonym.conversion.apply(&value(synonym.name)?), source)))
        };
        first(&|key| dynamic(&node, key), ConfigSource::DynamicBroker)
            .or_else(|| first(&|key| dynamic(&cluster, key), ConfigSource::DynamicDefaultBroker))
            .or_else(|| {
                first(
                    &|key| self.from_file.get(key).cloned(),
                    ConfigSource::StaticBroker,
                )
            })
    }

    /// What a broker key is set to; `None` where nobody set it.
    pub fn broker_key(&self, name: &'static str) -> Option<String> {
        let key = BrokerSynonym {
            name,
            conversion: super::definition::Conversion::None,
        };
        self.strongest(&[key]).map(|(value, _)| value)
    }

    /// What a topic key is worth on a topic that does not set it.
    pub fn topic_default(&self, key: &ConfigKey) -> (String, ConfigSource) {
        self.strongest(key.synonyms)
            .unwrap_or_else(|| (key.default.to_owned(), ConfigSource::Default))
    }
}

/// A topic key with its value and the layer that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveConfig {
    /// The key.
    pub name: &'static str,
    /// The value as it was set.
    pub value: String,
    /// Who set it.
    pub source: ConfigSource,
}

/// Every topic key with its value on a topic that sets `own`, in the order of names.
pub fn effective_topic_configs(
    own: &BTreeMap<String, String>,
    layers: BrokerLayers<'_>,
) -> Vec<EffectiveConfig> {
    let mut effective: Vec<EffectiveConfig> = TOPIC_KEYS
        .iter()
        .map(|key| effective_topic_config(key, own.get(key.name).map(String::as_str), layers))
        .collect();
    effective.sort_by_key(|config| config.name);
    effective
}

/// One topic key on a topic that sets it to `own`, or does not set it.
pub fn effective_topic_config(
    key: &ConfigKey,
    own: Option<&str>,
    layers: BrokerLayers<'_>,
) -> EffectiveConfig {
    let (value, source) = match own {
        Some(value) => (value.to_owned(), ConfigSource::Topic),
        None => layers.topic_default(key),
    };
    EffectiveConfig {
        name: key.name,
        value,
        source,
    }
}

/// The typed value of every topic key on a topic that sets `own`. A stored value that no longer parses falls back to
/// Kafka's default, so that a log can always be opened.
pub fn topic_config_values(
    own: &BTreeMap<String, String>,
    layers: BrokerLayers<'_>,
) -> BTreeMap<&'static str, ConfigValue> {
    TOPIC_KEYS
        .iter()
        .filter_map(|key| {
            let text = effective_topic_config(key, own.get(key.name).map(String::as_str), layers).value;
            let value = key.parse(&text).or_else(|_| key.parse(key.default)).ok()?;
            Some((key.name, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configs::topic_key;

    fn value_of(
        key: &str,
        own: Option<&str>,
        file: &[(&str, &str)],
        dynamic: &ConfigsImage,
    ) -> (String, ConfigSource) {
        let from_file = file.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let layers = BrokerLayers {
            node_id: BrokerId(1),
            from_file: &from_file,
            dynamic,
        };
        let config = effective_topic_config(topic_key(key).expect("a topic key"), own, layers);
        (config.value, config.source)
    }

    #[test]
    fn each_layer_hides_the_ones_below() {
        let mut dynamic = ConfigsImage::default();
        let file = [("log.retention.hours", "2"), ("log.retention.minutes", "3")];
        let value = |own, dynamic: &ConfigsImage| value_of("retention.ms", own, &file, dynamic);
        assert_eq!(
            value_of("retention.ms", None, &[], &dynamic),
            ("604800000".into(), ConfigSource::Default)
        );
        assert_eq!(
            value(None, &dynamic),
            ("180000".into(), ConfigSource::StaticBroker)
        );
        dynamic.set(
            &ConfigResource::cluster_default(),
            "log.retention.ms",
            Some("7".into()),
        );
        assert_eq!(
            value(None, &dynamic),
            ("7".into(), ConfigSource::DynamicDefaultBroker)
        );
        dynamic.set(
            &ConfigResource::broker(BrokerId(1)),
            "log.retention.ms",
            Some("8".into()),
        );
        assert_eq!(value(None, &dynamic), ("8".into(), ConfigSource::DynamicBroker));
        assert_eq!(value(Some("9"), &dynamic), ("9".into(), ConfigSource::Topic));
    }
}
