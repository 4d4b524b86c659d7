//! Which layers give a broker key its value, the strongest first.

use std::collections::BTreeMap;

use metadata::configs::{BrokerLayers, ConfigResource, ConfigSource};
use protocol_compat::messages::StrBytes;
use protocol_compat::messages::describe_configs_response::DescribeConfigsSynonym;

use crate::config::table;

/// The values of broker keys, layer over layer.
pub(super) type Layers<'a> = BrokerLayers<'a>;

/// A value in one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LayerValue {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) source: ConfigSource,
}

/// Broker keys that stand in for each other, the strongest first (`DynamicBrokerConfig.brokerConfigSynonyms`).
const FAMILIES: &[&[&str]] = &[
    &["log.roll.ms", "log.roll.hours"],
    &["log.roll.jitter.ms", "log.roll.jitter.hours"],
    &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
];
/// This one only counts for its first key.
const FLUSH_FAMILY: &[&str] = &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"];

fn family(name: &'static str) -> Vec<&'static str> {
    if FLUSH_FAMILY.first() == Some(&name) {
        return FLUSH_FAMILY.to_vec();
    }
    let family = FAMILIES.iter().find(|family| family.contains(&name));
    family.map_or_else(|| vec![name], |family| family.to_vec())
}

/// Every layer that has a value for the key or its family. As in Kafka, layers of the family before the first one of the
/// key itself are not shown.
pub(super) fn layer_values(layers: Layers<'_>, name: &'static str) -> Vec<LayerValue> {
    let names = family(name);
    let node = ConfigResource::broker(layers.node_id);
    let cluster = ConfigResource::cluster_default();
    let dynamic =
        |resource: &ConfigResource, key: &str| layers.dynamic.get(resource, key).map(|v| v.to_string());
    let from_file = |key: &str| BTreeMap::get(layers.from_file, key).cloned();
    let default = |key: &str| table::find(key)?.default.map(str::to_owned);
    let mut values = Vec::new();
    let mut collect = |lookup: &dyn Fn(&str) -> Option<String>, source: ConfigSource| {
        let found = names.iter().filter_map(|name| Some((*name, lookup(name)?)));
        values.extend(found.map(|(name, value)| LayerValue { name, value, source }));
    };
    collect(&|key| dynamic(&node, key), ConfigSource::DynamicBroker);
    collect(&|key| dynamic(&cluster, key), ConfigSource::DynamicDefaultBroker);
    collect(&from_file, ConfigSource::StaticBroker);
    collect(&default, ConfigSource::Default);
    values
        .into_iter()
        .skip_while(|value| value.name != name)
        .collect()
}

/// A layer's row; secrets show no value.
pub(super) fn row(value: &LayerValue, is_secret: bool) -> DescribeConfigsSynonym {
    let text = (!is_secret).then(|| StrBytes::from_string(value.value.clone()));
    DescribeConfigsSynonym::default()
        .with_name(StrBytes::from_static_str(value.name))
        .with_value(text)
        .with_source(value.source.id())
}
