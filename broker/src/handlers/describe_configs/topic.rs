//! Topic keys: the topic's own values over the broker's.

use metadata::configs::{ConfigKey, ConfigResource, ConfigSource, TOPIC_KEYS, effective_topic_config};
use metadata::controller::validate_topic_name;
use metadata::image::MetadataImage;
use protocol_compat::ErrorCode;
use protocol_compat::messages::StrBytes;
use protocol_compat::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsSynonym,
};

use super::refusal::Refusal;
use super::synonyms::{Layers, layer_values, row};

/// Every topic key of a topic, in the order of names.
pub(super) fn describe(
    image: &MetadataImage,
    layers: Layers<'_>,
    topic: &str,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    validate_topic_name(topic).map_err(|reason| (ErrorCode::InvalidTopicException, Some(reason)))?;
    if image.topics.by_name(topic).is_none() {
        return Err((ErrorCode::UnknownTopicOrPartition, None));
    }
    let resource = ConfigResource::topic(topic);
    let mut configs: Vec<DescribeConfigsResourceResult> = TOPIC_KEYS
        .iter()
        .map(|key| {
            describe_key(
                key,
                layers,
                image.configs.get(&resource, key.name).map(|value| &**value),
            )
        })
        .collect();
    configs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(configs)
}

fn describe_key(
    key: &'static ConfigKey,
    layers: Layers<'_>,
    own: Option<&str>,
) -> DescribeConfigsResourceResult {
    let effective = effective_topic_config(key, own, layers).value;
    // Kafka shows the value as it reads it: trimmed, numbers and lists in their plain form.
    let value = key.parse(&effective).map_or(effective, |value| value.to_text());
    let mut synonyms: Vec<DescribeConfigsSynonym> = Vec::new();
    if own.is_some() {
        synonyms.push(
            DescribeConfigsSynonym::default()
                .with_name(StrBytes::from_static_str(key.name))
                .with_value(Some(StrBytes::from_string(value.clone())))
                .with_source(ConfigSource::Topic.id()),
        );
    }
    if let Some(strongest) = key.synonyms.first() {
        synonyms.extend(
            layer_values(layers, strongest.name)
                .iter()
                .map(|value| row(value, false)),
        );
    }
    let source = synonyms
        .first()
        .map_or(ConfigSource::Default.id(), |synonym| synonym.source);
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(key.name))
        .with_value(Some(StrBytes::from_string(value)))
        .with_config_source(source)
        .with_synonyms(synonyms)
        .with_config_type(key.kind.id())
        .with_documentation(Some(StrBytes::from_static_str(key.documentation)))
}
