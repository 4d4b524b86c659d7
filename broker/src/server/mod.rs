//! Builds the node from the bottom up, and takes it down in reverse. Nobody imports this.
//!
//! Ports are opened before anything is read, so that clients connect at once and wait in the kernel; they are served as soon
//! as the metadata log is replayed. Partitions are recovered afterwards, each when it is touched or when its turn comes:
//! readiness (`/readyz`) waits for the last of them, service does not.

mod background;
mod cleaning;
mod connection_limits;
mod error;
mod led_partitions;
mod limits_collector;
mod listening;
mod open_files;
mod removal;
mod surroundings;

use std::path::PathBuf;
use std::sync::Arc;

use metadata::controller::{BrokerRegistration, ControllerConfig, SUPPORTED_FEATURES};
use metadata::group::offsets::deleted_topics;
use metadata::image::{BrokerEndpoint, MetadataImage, VersionRange};
use metadata::quorum::QuorumConfig;
use prometheus::Registry;
use storage::cleaner::MapSecret;
use storage::log_dirs::NodeIdentity;
use storage::log_manager::{LogManager, LogManagerConfig};
use storage::meta_properties;
use storage::offset_store::OffsetStoreOptions;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};
use uuid::Uuid;

pub use self::error::StartError;
use self::led_partitions::ReplicaPartitions;
use self::limits_collector::{Bounded, LimitsCollector};
use self::listening::BoundPorts;
pub use self::surroundings::Surroundings;
use crate::blocking;
use crate::broker_lifecycle::register_broker;
use crate::clock::Clock;
use crate::config::NodeConfig;
use crate::controller_server::ControllerServer;
use crate::disk_stalls::DiskStalls;
use crate::fetch_session::FetchSessionCache;
use crate::group_coordinator::{GroupCoordinator, GroupCoordinatorConfig, LogOffsetsTopic, OpeningStore};
use crate::handlers::Services;
use crate::handlers::metadata::KeptAnswers;
use crate::http::{CleanerCollector, HttpState, ProcessCollector};
use crate::metadata_cache::MetadataCache;
use crate::metadata_publisher::MetadataPublisher;
use crate::network::transport::Acceptor;
use crate::network::{
    BoundListener, ConnectionLimits, ConnectionSettings, Network, NetworkMetrics, RequestBudget,
};
use crate::producer_id_manager::ProducerIdManager;
use crate::raft_log::open_quorum_storage;
use crate::replica_manager::ReplicaManager;
use crate::stalls::Stalls;

/// Entries of the metadata log that stay behind a snapshot, for people who look at it.
const METADATA_ENTRIES_BEHIND_SNAPSHOT: u64 = 1_000;

/// Free space that appends leave for metadata, offsets and checkpoints.
const RESERVE_BYTES: u64 = 64 << 20;

/// The bounds of the store of committed offsets.
const OFFSET_STORE: OffsetStoreOptions = OffsetStoreOptions {
    memory_bytes: 8 << 20,
    max_open_files: 64,
};

/// A listener's name, and where clients connect to it.
type BoundPort = (Arc<str>, std::net::SocketAddr);

/// A running node.
pub struct Server {
    config: Arc<NodeConfig>,
    ports: Vec<(Arc<str>, std::net::SocketAddr)>,
    cluster_id: Arc<str>,
    logs: Arc<LogManager>,
    controller: ControllerServer,
    broker_epoch: i64,
    replicas: Arc<ReplicaManager>,
    offset_store: OpeningStore,
    failures: mpsc::Receiver<String>,
    shutdown: watch::Sender<bool>,
    serving: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts a node on a runtime that is watched so; when this returns, clients are served.
    ///
    /// # Errors
    /// Why there is no node, in one sentence for a person.
    pub async fn start(config: NodeConfig, disk_stalls: Arc<DiskStalls>) -> Result<Server, StartError> {
        open_files::raise_limit();
        let ports = BoundPorts::open(&config)?;
        let surroundings = Surroundings::machine(&config, disk_stalls);
        Server::start_with(config, surroundings, ports).await
    }

    /// Starts a node on `listeners`, which are open, in `surroundings` that may be simulated. It has no HTTP port.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_on<A: Acceptor>(
        config: NodeConfig,
        surroundings: Surroundings,
        listeners: Vec<BoundListener<A>>,
    ) -> Result<Server, StartError> {
        Server::start_with(config, surroundings, BoundPorts::of(listeners)).await
    }

    async fn start_with<A: Acceptor>(
        config: NodeConfig,
        surroundings: Surroundings,
        ports: BoundPorts<A>,
    ) -> Result<Server, StartError> {
        let clock = surroundings.clock;
        let config = Arc::new(config);
        let registry = Registry::new();
        let stalls = Stalls::new(&registry, clock)?;
        let logs = Arc::new(open_logs(&surroundings, &config, stalls.clone())?);
        let cluster_id: Arc<str> = logs.cluster_id().into();
        let (store, opening_store) = OpeningStore::begin(surroundings.offset_store_dir.clone(), OFFSET_STORE);

        let cache = MetadataCache::new(Arc::new(MetadataImage::empty(cluster_id.clone())));
        let publisher = Arc::new(MetadataPublisher::new(cache.clone()));
        let replicas = Arc::new(ReplicaManager::new(
            config.node_id,
            cache.clone(),
            logs.clone(),
            &config.settings,
            clock,
            surroundings.disk_stalls.clone(),
        ));
        let (failed, failures) = mpsc::channel(1);
        let controller = start_controller(&surroundings, &config, &logs, publisher.clone(), failed).await?;
        // From here on only: what the log tells of topics that are long gone must not reach their successors' files.
        let acting = replicas.clone();
        publisher.subscribe(Box::new(move |before, now| acting.image_changed(before, now)));
        let limits = connection_limits::from_file(&config);
        let connections = ConnectionLimits::new(limits.clone());
        connection_limits::follow(&publisher, connections.clone(), limits, &config);
        let bound = ports.addresses();
        let registration = registration(&config, &logs, &bound);
        let epoch = register_broker(&controller.handle(), registration).await?;
        replicas.started();
        let producer_ids = ProducerIdManager::new(controller.handle(), config.node_id, epoch);
        let group_coordinator = start_groups(&config, &cache, &controller, &replicas, store.clone(), clock);
        follow_topics(&publisher, &group_coordinator);
        let services = Services {
            group_coordinator: group_coordinator.clone(),
            metadata_cache: Arc::new(cache.clone()),
            metadata_answers: KeptAnswers::default(),
            quorum: controller.quorum(),
            controller: controller.handle(),
            config: config.clone(),
            producer_ids: Arc::new(producer_ids),
            replicas: replicas.clone(),
            fetch_sessions: Arc::new(FetchSessionCache::new(
                config.network.max_incremental_fetch_session_cache_slots,
            )),
        };

        let (shutdown, stopping) = watch::channel(false);
        let network = network(&config, services, connections, &store, &registry, stalls, clock)?;
        registry.register(Box::new(ProcessCollector::new()?))?;
        registry.register(Box::new(CleanerCollector::new(logs.clone(), clock)?))?;
        let http = HttpState::new(registry)?;
        let mut serving = ports.serve(&network, &http, &stopping);
        serving.shrink_to_fit();
        let mut background = background::start(&config, &replicas, &http, &store, clock);
        let (high, low) = Uuid::new_v4().as_u64_pair();
        background.push(cleaning::start(
            &replicas,
            MapSecret(high, low),
            stopping.clone(),
            clock,
            network.received_bytes(),
        ));
        background.extend(group_coordinator.start());
        opening_store.await.map_err(StartError::Task)??;
        Ok(Server {
            config,
            ports: bound,
            cluster_id,
            logs,
            controller,
            broker_epoch: epoch,
            replicas,
            offset_store: store,
            failures,
            shutdown,
            serving,
            background,
        })
    }

    /// One line for the person who started it: where it listens, where the data is, how to try it.
    pub fn greeting(&self) -> String {
        let ports: Vec<String> = self
            .ports
            .iter()
            .map(|(_, address)| address.to_string())
            .collect();
        let dirs: Vec<String> = self
            .config
            .log_dirs
            .iter()
            .map(|dir| absolute(dir).display().to_string())
            .collect();
        let first = ports.first().cloned().unwrap_or_default();
        format!(
            "Cauce {} listens on {}, keeps its data in {} (cluster {}, node {}); try: kcat -b {first} -L",
            env!("CARGO_PKG_VERSION"),
            ports.join(", "),
            dirs.join(", "),
            self.cluster_id,
            self.config.node_id,
        )
    }

    /// Where clients connect, by listener name.
    pub fn ports(&self) -> &[(Arc<str>, std::net::SocketAddr)] {
        &self.ports
    }

    /// Resolves when the node cannot go on, with the reason.
    pub async fn failed(&mut self) -> String {
        match self.failures.recv().await {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Stops: no more requests, answers under way leave, logs are flushed, the marker of a clean stop is left.
    pub async fn stop(mut self) {
        self.shutdown.send_replace(true);
        for task in self.background.drain(..) {
            task.abort();
        }
        for task in self.serving.drain(..) {
            if let Err(cause) = task.await {
                warn!(%cause, "a listener did not end cleanly");
            }
        }
        if let Err(cause) = self.controller.shutdown().await {
            // Without the marker of a clean stop the next start looks for a torn end.
            warn!(%cause, "the metadata quorum did not stop cleanly, the next start recovers");
            return;
        }
        drop(self.replicas);
        let (logs, epoch, store) = (self.logs, self.broker_epoch, self.offset_store);
        let closed = blocking::spawn(move || {
            background::flush_offset_store(&store);
            logs.shutdown_cleanly(epoch)
        })
        .await;
        match closed {
            Ok(()) => info!("stopped"),
            Err(cause) => warn!(%cause, "the logs were not closed cleanly"),
        }
    }
}

fn absolute(path: &std::path::Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn open_logs(
    surroundings: &Surroundings,
    config: &NodeConfig,
    stalls: Arc<Stalls>,
) -> Result<LogManager, StartError> {
    let manager = LogManagerConfig {
        identity: NodeIdentity {
            node_id: config.node_id.0,
            cluster_id: config.cluster_id.clone(),
        },
        boot_id: surroundings.boot_id.clone(),
        max_open_files: surroundings.max_open_log_files,
        flush_threads: surroundings.flush_threads,
        flush_journal_bytes: surroundings.flush_journal_bytes,
        reserve_bytes: RESERVE_BYTES,
        append_watch: Some(stalls),
    };
    Ok(LogManager::open(
        &surroundings.disk,
        &config.directories(),
        manager,
        Box::new(Uuid::new_v4),
    )?)
}

fn metadata_directory_id(config: &NodeConfig, logs: &LogManager) -> Uuid {
    logs.directory_id(&config.metadata_log_dir).unwrap_or_default()
}

async fn start_controller(
    surroundings: &Surroundings,
    config: &NodeConfig,
    logs: &LogManager,
    publisher: Arc<MetadataPublisher>,
    failed: mpsc::Sender<String>,
) -> Result<ControllerServer, StartError> {
    let cluster_id: Arc<str> = logs.cluster_id().into();
    let quorum = QuorumConfig {
        node_id: config.node_id.0,
        directory_id: metadata_directory_id(config, logs),
        cluster_id: cluster_id.clone(),
        ids_read_from: config
            .metadata_log_dir
            .join(meta_properties::FILE_NAME)
            .display()
            .to_string(),
        snapshot_after_bytes: config.metadata_snapshot_after_bytes,
        entries_kept_behind_snapshot: METADATA_ENTRIES_BEHIND_SNAPSHOT,
    };
    let storage = open_quorum_storage(
        &surroundings.disk,
        logs.files(),
        &config.metadata_log_dir,
        config.metadata_log_segment_bytes,
        logs.crash_of(&config.metadata_log_dir),
        surroundings.clock,
        surroundings.quorum_writer,
    )
    .map_err(StartError::MetadataLog)?;
    let controller = ControllerConfig {
        cluster_id,
        node_id: config.node_id,
        num_partitions: config.num_partitions,
        default_replication_factor: config.default_replication_factor,
        broker_configs: Arc::new(config.settings.from_file()),
    };
    let failed = move |reason| {
        if failed.try_send(reason).is_err() {
            warn!("the metadata quorum failed while the node was stopping");
        }
    };
    let clock = surroundings.clock;
    Ok(ControllerServer::start(quorum, storage, controller, publisher, clock, failed).await?)
}

/// The coordinator of classic groups, on `__consumer_offsets` and the store of committed offsets.
fn start_groups(
    config: &Arc<NodeConfig>,
    cache: &MetadataCache,
    controller: &ControllerServer,
    replicas: &Arc<ReplicaManager>,
    store: OpeningStore,
    clock: Clock,
) -> Arc<GroupCoordinator> {
    let topic = LogOffsetsTopic::new(
        config.clone(),
        cache.clone(),
        controller.handle(),
        Arc::new(ReplicaPartitions(replicas.clone())),
        store,
    );
    let keys = GroupCoordinatorConfig {
        group: config.groups.group.clone(),
        commit_timeout: config.groups.commit_timeout,
        retention_check_interval: config.groups.retention_check_interval,
    };
    GroupCoordinator::new(keys, Arc::new(topic), clock)
}

/// Has the coordinator told of deleted topics.
fn follow_topics(publisher: &MetadataPublisher, coordinator: &Arc<GroupCoordinator>) {
    let (runtime, coordinator) = (tokio::runtime::Handle::current(), coordinator.clone());
    publisher.subscribe(Box::new(move |before, now| {
        let deleted = deleted_topics(&before.topics, &now.topics);
        if !deleted.is_empty() {
            runtime.spawn(coordinator.clone().topics_deleted(deleted));
        }
    }));
}

fn registration(config: &NodeConfig, logs: &LogManager, bound: &[BoundPort]) -> BrokerRegistration {
    BrokerRegistration {
        id: config.node_id,
        cluster_id: logs.cluster_id().into(),
        incarnation_id: Uuid::new_v4(),
        endpoints: endpoints(config, bound),
        features: SUPPORTED_FEATURES
            .iter()
            .map(|feature| VersionRange {
                name: feature.name.into(),
                min: feature.min,
                max: feature.max,
            })
            .collect(),
        rack: config.rack.clone(),
        directories: logs.directory_ids(),
        ready: true,
    }
}

/// What clients are told. Without an advertised address the host stays empty: each client is told the one that it used.
fn endpoints(config: &NodeConfig, bound: &[BoundPort]) -> Vec<BrokerEndpoint> {
    let port_of = |name: &str| {
        bound
            .iter()
            .find(|(n, _)| &**n == name)
            .map_or(0, |(_, address)| address.port())
    };
    config
        .listeners
        .iter()
        .map(|listener| BrokerEndpoint {
            name: listener.name.clone(),
            host: listener
                .advertised
                .as_ref()
                .map_or("", |address| address.host.as_str())
                .into(),
            port: listener
                .advertised
                .as_ref()
                .map_or_else(|| port_of(&listener.name), |address| address.port),
            security_protocol: 0,
        })
        .collect()
}

/// The network, and a collector that shows how full the node's bounded places are.
fn network(
    config: &NodeConfig,
    services: Services,
    connections: Arc<ConnectionLimits>,
    offset_store: &OpeningStore,
    registry: &Registry,
    stalls: Arc<Stalls>,
    clock: Clock,
) -> Result<Arc<Network>, StartError> {
    let limits = &config.network;
    let idle = limits
        .connections_max_idle_ms
        .map(std::time::Duration::from_millis);
    let budget = match limits.queued_max_request_bytes {
        Some(bytes) => RequestBudget::bytes(bytes),
        None => RequestBudget::unbounded(),
    };
    let bounded = Bounded {
        fetch_sessions: services.fetch_sessions.clone(),
        replicas: services.replicas.clone(),
        groups: services.group_coordinator.clone(),
        offset_store: offset_store.clone(),
        offset_store_memory_bytes: OFFSET_STORE.memory_bytes,
        connections: connections.clone(),
        budget: budget.clone(),
    };
    registry.register(Box::new(LimitsCollector::new(bounded)?))?;
    Ok(Network::new(
        Arc::new(services),
        ConnectionSettings::new(limits.socket_request_max_bytes, idle),
        connections,
        budget,
        NetworkMetrics::new(registry)?,
        stalls,
        clock,
    ))
}
