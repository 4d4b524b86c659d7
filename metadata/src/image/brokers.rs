//! The brokers that registered, alive or fenced.
//!
//! Whether a broker may hold leaderships follows from its state here; who changes that state is `controller::brokers`.

use std::sync::Arc;

use protocol_compat::BrokerId;
use rpds::RedBlackTreeMapSync;
use uuid::Uuid;

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerEndpoint {
    /// The listener's name, such as `PLAINTEXT`.
    pub name: Arc<str>,
    /// The advertised host; empty when nothing is advertised and clients shall use the address that they came by.
    pub host: Arc<str>,
    /// The advertised port.
    pub port: u16,
    /// Kafka's number of the security protocol: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// The levels of a feature that a broker can run, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRange {
    /// The feature's name, such as `metadata.version`.
    pub name: Arc<str>,
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
}

/// One registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerImage {
    /// The node id.
    pub id: BrokerId,
    /// The offset of its registration in the metadata log; a later registration has a larger one.
    pub epoch: i64,
    /// One life of the broker's process.
    pub incarnation_id: Uuid,
    /// Its listeners, in the order of the registration.
    pub endpoints: Vec<BrokerEndpoint>,
    /// The feature levels that it can run.
    pub features: Vec<VersionRange>,
    /// `broker.rack`.
    pub rack: Option<Arc<str>>,
    /// A fenced broker leads nothing and is not shown to clients.
    pub fenced: bool,
    /// A broker that is shutting down gives its leaderships away.
    pub in_controlled_shutdown: bool,
    /// Ids of its log directories that are online.
    pub directories: Vec<Uuid>,
    /// Log directories that take no new partitions (KIP-1066).
    pub cordoned_directories: Vec<Uuid>,
}

impl BrokerImage {
    /// Whether the broker may lead partitions and take new ones.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// The endpoint of the listener `name`.
    pub fn endpoint(&self, name: &str) -> Option<&BrokerEndpoint> {
        self.endpoints.iter().find(|endpoint| &*endpoint.name == name)
    }
}

/// Every registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokersImage {
    brokers: RedBlackTreeMapSync<BrokerId, Arc<BrokerImage>>,
}

impl Default for BrokersImage {
    fn default() -> BrokersImage {
        BrokersImage {
            brokers: RedBlackTreeMapSync::new_sync(),
        }
    }
}

impl BrokersImage {
    /// The broker with this id.
    pub fn get(&self, id: BrokerId) -> Option<&Arc<BrokerImage>> {
        self.brokers.get(&id)
    }

    /// How many brokers are registered.
    pub fn len(&self) -> usize {
        self.brokers.size()
    }

    /// Whether none is registered.
    pub fn is_empty(&self) -> bool {
        self.brokers.is_empty()
    }

    /// Every broker, in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<BrokerImage>> {
        self.brokers.values()
    }

    /// Whether the broker is registered, not fenced and not shutting down.
    pub fn is_active(&self, id: BrokerId) -> bool {
        self.get(id).is_some_and(|broker| broker.is_active())
    }

    /// Adds or replaces a broker.
    pub fn insert(&mut self, broker: BrokerImage) {
        self.brokers.insert_mut(broker.id, Arc::new(broker));
    }

    /// Removes a broker and says whether it was there.
    pub fn remove(&mut self, id: BrokerId) -> bool {
        self.brokers.remove_mut(&id)
    }
}
