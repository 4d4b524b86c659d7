//! Broker keys that can be changed while the broker runs, and the checks of such a change.
//!
//! A key is dynamic here when a change really takes effect: those that give topics their defaults do, because logs take
//! their configuration anew from each image, those that are read from the image whenever they are needed, and the limits on
//! connections, which are taken over from each image. Every other key is refused as Kafka refuses a key that is not dynamic.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use metadata::configs::{ConfigKey, InvalidConfig, TOPIC_KEYS, Validator};

use crate::config::table::{self, Accepts, KeyRow, Standing, Update};

/// Keys without a topic key behind them whose value is read from the newest image at each use.
const READ_AT_EACH_USE: &[&str] = &[
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.buffer.size",
    "log.cleaner.io.max.bytes.per.second",
    "log.cleaner.threads",
    "producer.id.expiration.ms",
];

/// The key that gives single addresses limits of their own.
pub const CONNECTION_OVERRIDES: &str = "max.connections.per.ip.overrides";

/// Keys that the listeners are told of with each image.
const CONNECTION_LIMITS: &[&str] = &[
    "max.connection.creation.rate",
    "max.connections",
    "max.connections.per.ip",
    CONNECTION_OVERRIDES,
];

/// Whether a change of the key takes effect on a running broker.
pub fn is_dynamic(key: &KeyRow) -> bool {
    let gives_topics_a_default = || {
        TOPIC_KEYS
            .iter()
            .any(|topic| topic.synonyms.iter().any(|s| s.name == key.name))
    };
    key.update != Update::ReadOnly
        && key.standing == Standing::Honoured
        && (READ_AT_EACH_USE.contains(&key.name)
            || CONNECTION_LIMITS.contains(&key.name)
            || gives_topics_a_default())
}

/// Checks what a broker, or every broker, would have set dynamically.
///
/// # Errors
/// INVALID_REQUEST with the sentence, as Kafka words it.
pub fn validate_dynamic_configs(configs: &BTreeMap<String, String>, per_broker: bool) -> Result<(), String> {
    let fixed: Vec<&str> = configs
        .keys()
        .filter(|key| !table::find(key).is_some_and(is_dynamic))
        .map(String::as_str)
        .collect();
    if !fixed.is_empty() {
        return Err(format!(
            "Cannot update these configs dynamically: [{}]",
            fixed.join(", ")
        ));
    }
    for (key, value) in configs {
        let Some(row) = table::find(key) else { continue };
        if !per_broker && row.update == Update::PerBroker {
            return Err(format!(
                "Cannot update these configs at default cluster level, broker id must be specified: [{key}]"
            ));
        }
        check_value(row, value).map_err(|error| error.0)?;
    }
    Ok(())
}

/// A dynamic key takes what the topic key takes that it gives the default to; one without such a key what its row says.
fn check_value(row: &KeyRow, value: &str) -> Result<(), InvalidConfig> {
    let gives_default_to = TOPIC_KEYS
        .iter()
        .find(|topic| topic.synonyms.iter().any(|s| s.name == row.name));
    let key = gives_default_to.map(|topic| ConfigKey {
        name: row.name,
        ..*topic
    });
    key.unwrap_or_else(|| of_row(row)).parse(value)?;
    if row.name == CONNECTION_OVERRIDES && address_limits(value).is_none() {
        return Err(InvalidConfig(format!(
            "Invalid value {value} for configuration {CONNECTION_OVERRIDES}: \
             Value must hold address:limit entries, and addresses rather than host names while the broker runs"
        )));
    }
    Ok(())
}

/// `address:limit,...` as limits by address; `None` where an entry is anything else.
pub fn address_limits(text: &str) -> Option<HashMap<IpAddr, usize>> {
    let limit = |entry: &str| {
        let (address, limit) = entry.rsplit_once(':')?;
        Some((address.trim().parse().ok()?, limit.trim().parse().ok()?))
    };
    table::words(text).map(limit).collect()
}

fn of_row(row: &KeyRow) -> ConfigKey {
    let validator = match row.accepts {
        Accepts::AtLeast(least) => Validator::AtLeast(least),
        Accepts::Between(least, most) => Validator::Between(least, most),
        Accepts::RangeOrMinusOne(least, most) => Validator::BetweenOr(least, most, -1),
        Accepts::OneOf(words) => Validator::OneOf(words),
        Accepts::Any | Accepts::NotEmpty => Validator::Any,
    };
    ConfigKey {
        name: row.name,
        kind: row.key_type,
        default: row.default.unwrap_or_default(),
        validator,
        synonyms: &[],
        documentation: row.text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(pairs: &[(&str, &str)]) -> Option<String> {
        let configs = pairs
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        validate_dynamic_configs(&configs, true).err()
    }

    #[test]
    fn only_keys_that_take_effect_can_be_changed() {
        assert_eq!(
            refusal(&[("log.retention.ms", "5"), ("message.max.bytes", "7")]),
            None
        );
        assert_eq!(
            refusal(&[("num.io.threads", "5"), ("node.id", "7"), ("nope", "1")]),
            Some("Cannot update these configs dynamically: [node.id, nope, num.io.threads]".into())
        );
        assert_eq!(
            refusal(&[("log.retention.ms", "x")]),
            Some("Invalid value x for configuration log.retention.ms: Not a number of type LONG".into())
        );
        assert_eq!(
            refusal(&[
                ("max.connections", "5"),
                ("max.connection.creation.rate", "0"),
                (CONNECTION_OVERRIDES, "127.0.0.1:5,::1:6")
            ]),
            None
        );
        assert_eq!(
            refusal(&[("max.connections.per.ip", "-1")]),
            Some(
                "Invalid value -1 for configuration max.connections.per.ip: Value must be at least 0".into()
            )
        );
        assert!(refusal(&[(CONNECTION_OVERRIDES, "localhost:5")]).is_some());
        let dedupe = "log.cleaner.dedupe.buffer.size";
        assert_eq!(refusal(&[(dedupe, "1048577")]), None);
        assert!(refusal(&[(dedupe, "1048576")]).is_some(), "as in Kafka");
        assert_eq!(refusal(&[("producer.id.expiration.ms", "5")]), None);
        assert_eq!(
            refusal(&[("producer.id.expiration.ms", "0")]),
            Some(
                "Invalid value 0 for configuration producer.id.expiration.ms: Value must be at least 1"
                    .into()
            )
        );
        assert_eq!(
            refusal(&[("log.segment.bytes", "3")]),
            Some(
                "Invalid value 3 for configuration log.segment.bytes: Value must be at least 1048576".into()
            )
        );
    }
}
