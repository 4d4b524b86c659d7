//! Keeps the limits on connections at what the configuration says: the file's values, and over them those that were set
//! while the node runs.
//!
//! Host names of `max.connections.per.ip.overrides` are looked up once, at the start: whoever applies an image must not
//! wait, so that a change at run time names addresses.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use metadata::configs::{BrokerLayers, ConfigResource};
use metadata::image::MetadataImage;
use protocol_compat::BrokerId;

use super::listening::addresses_of;
use crate::config::NodeConfig;
use crate::dynamic_broker_keys::{CONNECTION_OVERRIDES, address_limits};
use crate::metadata_publisher::MetadataPublisher;
use crate::network::{ConnectionLimitValues, ConnectionLimits};

/// The limits of the configuration file.
pub(super) fn from_file(config: &NodeConfig) -> ConnectionLimitValues {
    let keys = &config.network;
    ConnectionLimitValues {
        max_connections: keys.max_connections,
        per_ip: keys.max_connections_per_ip,
        overrides: addresses_of(&keys.max_connections_per_ip_overrides),
        creation_rate: keys.max_connection_creation_rate,
    }
}

/// Takes over what was set at run time, now and after every change of it.
pub(super) fn follow(
    publisher: &MetadataPublisher,
    limits: Arc<ConnectionLimits>,
    file: ConnectionLimitValues,
    config: &NodeConfig,
) {
    let (node_id, settings) = (config.node_id, config.settings.from_file());
    publisher.subscribe(Box::new(move |before, now| {
        if Arc::ptr_eq(before, now) || before.configs != now.configs {
            limits.set(in_force(node_id, &settings, &file, now));
        }
    }));
}

fn in_force(
    node_id: BrokerId,
    settings: &BTreeMap<String, String>,
    file: &ConnectionLimitValues,
    image: &MetadataImage,
) -> ConnectionLimitValues {
    let layers = BrokerLayers {
        node_id,
        from_file: settings,
        dynamic: &image.configs,
    };
    ConnectionLimitValues {
        max_connections: number(layers, "max.connections").unwrap_or(file.max_connections),
        per_ip: number(layers, "max.connections.per.ip").unwrap_or(file.per_ip),
        overrides: dynamic_overrides(node_id, image).unwrap_or_else(|| file.overrides.clone()),
        creation_rate: number(layers, "max.connection.creation.rate").unwrap_or(file.creation_rate),
    }
}

/// Texts that are no number were refused when they were set.
fn number<T: std::str::FromStr>(layers: BrokerLayers<'_>, key: &'static str) -> Option<T> {
    layers.broker_key(key)?.trim().parse().ok()
}

fn dynamic_overrides(node_id: BrokerId, image: &MetadataImage) -> Option<HashMap<IpAddr, usize>> {
    let of = |resource: ConfigResource| image.configs.get(&resource, CONNECTION_OVERRIDES);
    let text = of(ConfigResource::broker(node_id)).or_else(|| of(ConfigResource::cluster_default()))?;
    address_limits(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_for_the_node_wins_over_the_cluster_and_the_file() {
        let node = BrokerId(1);
        let mut file = ConnectionLimitValues::new(10, 5);
        file.overrides = HashMap::from([(IpAddr::from([10, 0, 0, 1]), 1)]);
        let settings = BTreeMap::from([("max.connections".to_owned(), "10".to_owned())]);
        let mut image = MetadataImage::empty("a-cluster");
        assert_eq!(in_force(node, &settings, &file, &image), file);

        let mut set = |resource: ConfigResource, key: &str, value: &str| {
            image.configs.set(&resource, key, Some(value.into()));
        };
        set(ConfigResource::cluster_default(), "max.connections", "20");
        set(ConfigResource::cluster_default(), "max.connections.per.ip", "6");
        set(ConfigResource::broker(node), "max.connections", "30");
        set(ConfigResource::broker(node), "max.connection.creation.rate", "7");
        set(
            ConfigResource::broker(node),
            CONNECTION_OVERRIDES,
            "10.0.0.2:3, ::1:4",
        );
        let values = in_force(node, &settings, &file, &image);
        assert_eq!(
            (values.max_connections, values.per_ip, values.creation_rate),
            (30, 6, 7)
        );
        let overrides: BTreeMap<String, usize> = values
            .overrides
            .iter()
            .map(|(ip, limit)| (ip.to_string(), *limit))
            .collect();
        assert_eq!(
            overrides,
            BTreeMap::from([("10.0.0.2".to_owned(), 3), ("::1".to_owned(), 4)])
        );
    }
}
