//! Whether the configuration of a topic is acceptable as a whole.
//!
//! Order and wording are Kafka's (`LogConfig.validate`): unknown names first, then each value in the order of the table,
//! then the rules between keys.

use std::collections::BTreeMap;

use super::definition::{ConfigValue, InvalidConfig};
use super::effective::BrokerLayers;
use super::topic_keys::{TOPIC_KEYS, topic_key};

/// Checks everything that a topic would set, over the defaults that the broker layers give.
///
/// # Errors
/// [`InvalidConfig`] with the first thing that Kafka would name.
pub fn validate_topic_configs(
    configs: &BTreeMap<String, String>,
    layers: BrokerLayers<'_>,
) -> Result<(), InvalidConfig> {
    if let Some(unknown) = configs.keys().find(|name| topic_key(name).is_none()) {
        return Err(InvalidConfig(format!("Unknown topic config name: {unknown}")));
    }
    let mut values = BTreeMap::new();
    for key in TOPIC_KEYS {
        let text = match configs.get(key.name) {
            Some(own) => own.clone(),
            None => layers.topic_default(key).0,
        };
        values.insert(key.name, key.parse(&text)?);
    }
    check_compaction_lags(&values)?;
    check_remote_storage(&values)
}

fn integer(values: &BTreeMap<&str, ConfigValue>, name: &str) -> i64 {
    match values.get(name) {
        Some(ConfigValue::Integer(value)) => *value,
        _ => 0,
    }
}

fn check_compaction_lags(values: &BTreeMap<&str, ConfigValue>) -> Result<(), InvalidConfig> {
    let min = integer(values, "min.compaction.lag.ms");
    let max = integer(values, "max.compaction.lag.ms");
    if min <= max {
        return Ok(());
    }
    Err(InvalidConfig(format!(
        "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
    )))
}

fn check_remote_storage(values: &BTreeMap<&str, ConfigValue>) -> Result<(), InvalidConfig> {
    if values.get("remote.storage.enable") != Some(&ConfigValue::Boolean(true)) {
        return Ok(());
    }
    Err(InvalidConfig(
        "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ConfigsImage;
    use protocol_compat::BrokerId;

    fn refusal(configs: &[(&str, &str)]) -> Option<String> {
        let configs = configs
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        let layers = BrokerLayers {
            node_id: BrokerId(1),
            from_file: &BTreeMap::new(),
            dynamic: &ConfigsImage::default(),
        };
        validate_topic_configs(&configs, layers).err().map(|e| e.0)
    }

    #[test]
    fn topics_are_refused_in_kafkas_words() {
        assert_eq!(
            refusal(&[("retention.ms", "1"), ("cleanup.policy", "compact")]),
            None
        );
        assert_eq!(
            refusal(&[("no.such.key", "1")]),
            Some("Unknown topic config name: no.such.key".into())
        );
        assert_eq!(
            refusal(&[("min.compaction.lag.ms", "5"), ("max.compaction.lag.ms", "4")]),
            Some(
                "conflict topic config setting min.compaction.lag.ms (5) > max.compaction.lag.ms (4)".into()
            )
        );
        assert_eq!(
            refusal(&[("segment.bytes", "10")]),
            Some("Invalid value 10 for configuration segment.bytes: Value must be at least 1048576".into())
        );
        assert!(refusal(&[("remote.storage.enable", "true")]).is_some());
    }
}
