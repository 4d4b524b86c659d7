//! What a configuration belongs to: a topic, a broker, the defaults of all brokers, a client metrics subscription, a group.
//!
//! Owns the numbers Kafka gives the resource types. Which of them accept which keys is decided in `controller::configs`.

use std::fmt;
use std::sync::Arc;

/// The kinds of resource that have configurations (`org.apache.kafka.common.config.ConfigResource.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigResourceType {
    /// A topic.
    Topic,
    /// A broker by id, or with an empty name the defaults of every broker.
    Broker,
    /// The log levels of a broker; never stored.
    BrokerLogger,
    /// A client metrics subscription (KIP-714).
    ClientMetrics,
    /// A consumer, share or streams group (KIP-848, KIP-932, KIP-1071).
    Group,
}

impl ConfigResourceType {
    /// Every kind, in the order of Kafka's numbers.
    pub const ALL: [ConfigResourceType; 5] = [
        ConfigResourceType::Topic,
        ConfigResourceType::Broker,
        ConfigResourceType::BrokerLogger,
        ConfigResourceType::ClientMetrics,
        ConfigResourceType::Group,
    ];

    /// The number on the wire and in `ConfigRecord`.
    pub fn id(self) -> i8 {
        match self {
            ConfigResourceType::Topic => 2,
            ConfigResourceType::Broker => 4,
            ConfigResourceType::BrokerLogger => 8,
            ConfigResourceType::ClientMetrics => 16,
            ConfigResourceType::Group => 32,
        }
    }

    /// The kind with this number; `None` for what Kafka calls `UNKNOWN`.
    pub fn from_id(id: i8) -> Option<ConfigResourceType> {
        ConfigResourceType::ALL.into_iter().find(|kind| kind.id() == id)
    }

    /// Kafka's upper-case name, as its messages print it.
    pub fn name(self) -> &'static str {
        match self {
            ConfigResourceType::Topic => "TOPIC",
            ConfigResourceType::Broker => "BROKER",
            ConfigResourceType::BrokerLogger => "BROKER_LOGGER",
            ConfigResourceType::ClientMetrics => "CLIENT_METRICS",
            ConfigResourceType::Group => "GROUP",
        }
    }
}

impl fmt::Display for ConfigResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that has a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// What kind of thing it is.
    pub kind: ConfigResourceType,
    /// Its name; empty for the defaults of every broker.
    pub name: Arc<str>,
}

impl ConfigResource {
    /// The topic `name`.
    pub fn topic(name: impl Into<Arc<str>>) -> ConfigResource {
        ConfigResource {
            kind: ConfigResourceType::Topic,
            name: name.into(),
        }
    }

    /// The broker with this id.
    pub fn broker(id: protocol_compat::BrokerId) -> ConfigResource {
        ConfigResource {
            kind: ConfigResourceType::Broker,
            name: id.to_string().into(),
        }
    }

    /// The defaults that every broker of the cluster shares.
    pub fn cluster_default() -> ConfigResource {
        ConfigResource {
            kind: ConfigResourceType::Broker,
            name: "".into(),
        }
    }
}

/// As Kafka prints it inside its error messages.
impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigResource(type={}, name='{}')", self.kind, self.name)
    }
}
