//! Broker keys: those of this broker, or with an empty name what is set dynamically for every broker.

use metadata::configs::{ConfigResource, ConfigSource, parse_value};
use protocol_compat::ErrorCode;
use protocol_compat::messages::StrBytes;
use protocol_compat::messages::describe_configs_response::DescribeConfigsResourceResult;

use super::refusal::Refusal;
use super::synonyms::{LayerValue, Layers, layer_values, row};
use crate::config::table::{self, KeyRow};
use crate::dynamic_broker_keys::is_dynamic;

/// Every key of this broker, or the dynamic keys of the cluster, in the order of names.
pub(super) fn describe(
    layers: Layers<'_>,
    name: &str,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let mut rows: Vec<&'static KeyRow> = if name.is_empty() {
        let cluster = ConfigResource::cluster_default();
        let entries = layers.dynamic.entries(&cluster);
        entries.filter_map(|(key, _)| table::find(key)).collect()
    } else {
        check_is_this_broker(layers, name)?;
        table::rows().collect()
    };
    rows.sort_by_key(|row| row.name);
    let only_cluster = name.is_empty();
    Ok(rows
        .into_iter()
        .map(|row| describe_key(row, layers, only_cluster))
        .collect())
}

fn check_is_this_broker(layers: Layers<'_>, name: &str) -> Result<(), Refusal> {
    let invalid = |message: String| Err((ErrorCode::InvalidRequest, Some(message)));
    match name.parse::<i32>() {
        Err(_) => invalid(format!("Broker id must be an integer, but it is: {name}")),
        Ok(id) if id != layers.node_id.0 => invalid(format!(
            "Unexpected broker id, expected {} or empty string, but received {name}",
            layers.node_id
        )),
        Ok(_) => Ok(()),
    }
}

fn describe_key(
    key: &'static KeyRow,
    layers: Layers<'_>,
    only_cluster: bool,
) -> DescribeConfigsResourceResult {
    let mut values: Vec<LayerValue> = layer_values(layers, key.name);
    values.retain(|value| !only_cluster || value.source == ConfigSource::DynamicDefaultBroker);
    let own = values.iter().find(|value| value.name == key.name);
    let text = own.map(|value| {
        let parsed = parse_value(key.name, key.key_type, &value.value);
        parsed.map_or_else(|_| value.value.clone(), |parsed| parsed.to_text())
    });
    let shown = text.filter(|_| !key.is_secret()).map(StrBytes::from_string);
    let source = values.first().map_or(ConfigSource::Default, |value| value.source);
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(key.name))
        .with_value(shown)
        .with_read_only(!is_dynamic(key))
        .with_config_source(source.id())
        .with_is_sensitive(key.is_secret())
        .with_synonyms(values.iter().map(|value| row(value, key.is_secret())).collect())
        .with_config_type(key.key_type.id())
        .with_documentation(Some(StrBytes::from_static_str(key.text)))
}
