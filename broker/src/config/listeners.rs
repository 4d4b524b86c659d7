//! Listeners: where the node binds, what it advertises, and that only PLAINTEXT is built.
//!
//! The rules are Kafka's (`KafkaConfig.effectiveAdvertisedBrokerListeners`, `SocketServerConfigs`), but for one: with no
//! listener configured the node binds loopback, because an open port is never a default.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::ConfigError;
use super::settings::Settings;
use super::table::words;

/// A host and a port. An empty host means every interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or number of the host; a version 6 number without its brackets.
    pub host: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

/// One listener that clients reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, upper case.
    pub name: Arc<str>,
    /// Where it binds.
    pub bind: Address,
    /// What clients are told; `None`: the address that the client used.
    pub advertised: Option<Address>,
}

const DEFAULT_BIND: &str = "PLAINTEXT://127.0.0.1:9092";

/// The listeners for clients. Those of the controller quorum are checked and left out.
pub(super) fn client_listeners(settings: &Settings) -> Result<Vec<Listener>, ConfigError> {
    let bound = parse_list(
        settings,
        "listeners",
        settings.explicit("listeners").unwrap_or(DEFAULT_BIND),
    )?;
    let advertised = parse_list(
        settings,
        "advertised.listeners",
        settings.explicit("advertised.listeners").unwrap_or(""),
    )?;
    let controller: Vec<String> = words(settings.text("controller.listener.names").unwrap_or(""))
        .map(str::to_ascii_uppercase)
        .collect();
    check_protocols(settings, &bound)?;
    if let Some((name, _)) = advertised
        .iter()
        .find(|(name, _)| !bound.iter().any(|(b, _)| b == name))
    {
        let wanted = format!("may only name listeners of `listeners`, which has no {name}");
        return Err(settings.refuse("advertised.listeners", wanted));
    }
    let listeners: Vec<Listener> = bound
        .into_iter()
        .filter(|(name, _)| !controller.contains(name))
        .map(|(name, bind)| Listener {
            advertised: advertised
                .iter()
                .find(|(a, _)| *a == name)
                .map(|(_, address)| address.clone()),
            name: name.into(),
            bind,
        })
        .collect();
    if listeners.is_empty() {
        return Err(settings.refuse("listeners", "must name a listener that is not the controller's"));
    }
    check_inter_broker(settings, &listeners)?;
    Ok(listeners)
}

fn check_inter_broker(settings: &Settings, listeners: &[Listener]) -> Result<(), ConfigError> {
    match settings.explicit("inter.broker.listener.name") {
        Some(name)
            if !listeners
                .iter()
                .any(|listener| listener.name.eq_ignore_ascii_case(name)) =>
        {
            Err(settings.refuse("inter.broker.listener.name", "must be one of `listeners`"))
        }
        _ => Ok(()),
    }
}

fn check_protocols(settings: &Settings, bound: &[(String, Address)]) -> Result<(), ConfigError> {
    let key = "listener.security.protocol.map";
    let mut protocols = BTreeMap::new();
    for entry in words(settings.text(key).unwrap_or("")) {
        let (name, protocol) = entry
            .split_once(':')
            .ok_or_else(|| settings.refuse(key, "must hold NAME:PROTOCOL entries"))?;
        protocols.insert(
            name.trim().to_ascii_uppercase(),
            protocol.trim().to_ascii_uppercase(),
        );
    }
    // Kafka lets a controller listener without an entry be PLAINTEXT while the map is the default.
    let is_default_map = settings.explicit(key).is_none();
    for (name, _) in bound {
        match protocols.get(name).map(String::as_str) {
            Some("PLAINTEXT") => {}
            None if is_default_map => {}
            Some(protocol @ ("SSL" | "SASL_PLAINTEXT" | "SASL_SSL")) => {
                let wanted =
                    format!("cannot have listener {name} with {protocol}: only PLAINTEXT is built yet");
                return Err(settings.refuse("listeners", wanted));
            }
            Some(other) => {
                return Err(settings.refuse(key, format!("names {other}, which is no security protocol")));
            }
            None => return Err(settings.refuse(key, format!("must map listener {name}"))),
        }
    }
    Ok(())
}

fn parse_list(
    settings: &Settings,
    key: &'static str,
    text: &str,
) -> Result<Vec<(String, Address)>, ConfigError> {
    let mut parsed: Vec<(String, Address)> = Vec::new();
    for entry in words(text) {
        let (name, address) = parse_listener(entry).ok_or_else(|| {
            settings.refuse(
                key,
                format!("must hold NAME://host:port entries, {entry} is none"),
            )
        })?;
        if parsed.iter().any(|(other, _)| *other == name) {
            return Err(settings.refuse(key, format!("must name {name} only once")));
        }
        let same_port =
            |other: &Address| other.port == address.port && other.host == address.host && other.port != 0;
        if key == "listeners" && parsed.iter().any(|(_, other)| same_port(other)) {
            return Err(settings.refuse(key, format!("must use port {} only once", address.port)));
        }
        parsed.push((name, address));
    }
    Ok(parsed)
}

fn parse_listener(entry: &str) -> Option<(String, Address)> {
    let (name, rest) = entry.split_once("://")?;
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    is_name.then_some((name.to_ascii_uppercase(), Address::parse(rest)?))
}

impl Address {
    /// Reads `host:port`, `[v6 address]:port` or `:port`.
    pub fn parse(text: &str) -> Option<Address> {
        let (host, port) = text.trim().rsplit_once(':')?;
        let host = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        let is_host = !host.contains(char::is_whitespace) && !host.contains('/');
        is_host.then_some(())?;
        Some(Address {
            host: host.to_owned(),
            port: port.parse().ok()?,
        })
    }
}

/// As it is written in a configuration.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(pairs: &[(&str, &str)]) -> Result<Vec<Listener>, String> {
        let mut settings = Settings::default();
        for (key, value) in pairs {
            settings.set(key, value, "test").expect("a value");
        }
        client_listeners(&settings).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_configured_binds_loopback() {
        let found = listeners(&[]).expect("listeners");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].bind.to_string(), "127.0.0.1:9092");
        assert_eq!(found[0].advertised, None);
    }

    #[test]
    fn the_file_that_kafka_ships_is_taken() {
        let found = listeners(&[
            ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
            ("inter.broker.listener.name", "PLAINTEXT"),
            (
                "advertised.listeners",
                "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093",
            ),
            ("controller.listener.names", "CONTROLLER"),
            (
                "listener.security.protocol.map",
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL",
            ),
        ])
        .expect("listeners");
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].bind,
            Address {
                host: String::new(),
                port: 9092
            }
        );
        assert_eq!(
            found[0].advertised.as_ref().map(ToString::to_string).as_deref(),
            Some("localhost:9092")
        );
    }

    #[test]
    fn several_listeners_keep_their_own_advertised_addresses() {
        let found = listeners(&[
            ("listeners", "internal://127.0.0.1:0,EXTERNAL://[::1]:19092"),
            ("advertised.listeners", "EXTERNAL://kafka.example.com:443"),
            (
                "listener.security.protocol.map",
                "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT",
            ),
        ])
        .expect("listeners");
        assert_eq!((&*found[0].name, &found[0].advertised), ("INTERNAL", &None));
        assert_eq!(found[1].bind.to_string(), "[::1]:19092");
        assert_eq!(found[1].advertised.as_ref().map(|a| a.port), Some(443));
    }

    #[test]
    fn what_cannot_be_served_is_refused_with_a_reason() {
        let refused = |pairs: &[(&str, &str)], part: &str| {
            let error = listeners(pairs).expect_err("a refusal");
            assert!(error.contains(part), "{error}");
        };
        refused(&[("listeners", "SSL://:9093")], "only PLAINTEXT is built yet");
        refused(&[("listeners", "localhost:9092")], "NAME://host:port");
        refused(&[("listeners", "PLAINTEXT://:99999")], "NAME://host:port");
        refused(&[("listeners", "A://:1,A://:2")], "only once");
        refused(&[("advertised.listeners", "OTHER://a:1")], "has no OTHER");
        refused(&[("inter.broker.listener.name", "OTHER")], "must be one of");
        refused(
            &[("listener.security.protocol.map", "A:PLAINTEXT")],
            "must map listener PLAINTEXT",
        );
        refused(
            &[("controller.listener.names", "PLAINTEXT")],
            "not the controller's",
        );
    }
}
