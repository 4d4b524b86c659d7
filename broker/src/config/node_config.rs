//! The typed configuration of a node: every honoured key once, with its unit, and the rules between keys.
//!
//! Topic keys that have a broker key behind them (`log.segment.bytes` and its like) are not repeated here: their layers are
//! put together by `metadata::configs` from [`NodeConfig::settings`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metadata::group::GroupConfig;
use protocol_compat::BrokerId;

use super::error::ConfigError;
use super::listeners::{Address, Listener, client_listeners};
use super::settings::Settings;
use super::table::words;

/// Everything that a node is told at its start.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// `node.id`.
    pub node_id: BrokerId,
    /// `broker.rack`.
    pub rack: Option<Arc<str>>,
    /// `CLUSTER_ID`: the id of the cluster to found or to belong to; `None` takes what the directories say.
    pub cluster_id: Option<String>,
    /// The listeners for clients, at least one.
    pub listeners: Vec<Listener>,
    /// `metrics.listener`; `None` serves no HTTP.
    pub metrics_listener: Option<Address>,
    /// Whether somebody asked for that listener, so that a port in use stops the start.
    pub metrics_listener_is_explicit: bool,
    /// The data directories, at least one.
    pub log_dirs: Vec<PathBuf>,
    /// The directory of the metadata log, one of `log_dirs` or another.
    pub metadata_log_dir: PathBuf,
    /// Sockets and requests.
    pub network: NetworkConfig,
    /// The coordinator of classic groups.
    pub groups: GroupKeys,
    /// Logs beyond the topic keys.
    pub log: LogConfigDefaults,
    /// How often background passes run.
    pub passes: PassIntervals,
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub metadata_snapshot_after_bytes: u64,
    /// `metadata.log.segment.bytes`.
    pub metadata_log_segment_bytes: u64,
    /// `auto.create.topics.enable`.
    pub auto_create_topics_enable: bool,
    /// `delete.topic.enable`.
    pub delete_topic_enable: bool,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// What was set, as text.
    pub settings: Settings,
}

/// Limits of sockets and requests.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// `socket.request.max.bytes`.
    pub socket_request_max_bytes: usize,
    /// `socket.send.buffer.bytes`; `None` leaves it to the kernel.
    pub socket_send_buffer_bytes: Option<usize>,
    /// `socket.receive.buffer.bytes`; `None` leaves it to the kernel.
    pub socket_receive_buffer_bytes: Option<usize>,
    /// `socket.listen.backlog.size`.
    pub socket_listen_backlog_size: i32,
    /// `connections.max.idle.ms`; `None` never closes an idle connection.
    pub connections_max_idle_ms: Option<u64>,
    /// `max.connections`.
    pub max_connections: usize,
    /// `max.connections.per.ip`.
    pub max_connections_per_ip: usize,
    /// `max.connections.per.ip.overrides`, by host or address.
    pub max_connections_per_ip_overrides: BTreeMap<String, usize>,
    /// `max.connection.creation.rate`, per second.
    pub max_connection_creation_rate: u32,
    /// `queued.max.request.bytes`; `None` for no bound over all connections.
    pub queued_max_request_bytes: Option<usize>,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: usize,
    /// `max.incremental.fetch.session.cache.slots`.
    pub max_incremental_fetch_session_cache_slots: usize,
    /// `max.request.partition.size.limit`.
    pub max_request_partition_size_limit: i32,
}

/// The keys of the group coordinator.
#[derive(Clone, Debug)]
pub struct GroupKeys {
    /// What decisions depend on.
    pub group: GroupConfig,
    /// `offsets.commit.timeout.ms`.
    pub commit_timeout: Duration,
    /// `offsets.retention.check.interval.ms`.
    pub retention_check_interval: Duration,
}

/// Settings of logs that are not topic keys.
#[derive(Clone, Debug)]
pub struct LogConfigDefaults {
    /// `num.recovery.threads.per.data.dir`.
    pub num_recovery_threads_per_data_dir: usize,
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_num_partitions: i32,
    /// `offsets.topic.replication.factor`, as far as there are nodes: a cluster of one holds one replica.
    pub offsets_topic_replication_factor: i16,
    /// `offsets.topic.segment.bytes`.
    pub offsets_topic_segment_bytes: i32,
}

/// How often each background pass runs, in milliseconds.
#[derive(Clone, Debug)]
pub struct PassIntervals {
    /// `log.retention.check.interval.ms`.
    pub retention_ms: u64,
    /// `log.flush.scheduler.interval.ms`.
    pub flush_ms: u64,
    /// `log.flush.offset.checkpoint.interval.ms`.
    pub recovery_point_checkpoint_ms: u64,
    /// `log.flush.start.offset.checkpoint.interval.ms`.
    pub log_start_checkpoint_ms: u64,
    /// `replica.high.watermark.checkpoint.interval.ms`.
    pub high_watermark_checkpoint_ms: u64,
    /// `producer.id.expiration.check.interval.ms`.
    pub producer_expiration_ms: u64,
}

/// The node id where none is set.
const DEFAULT_NODE_ID: i32 = 1;
/// The data directory where none is set, in the directory that the node was started in.
const DEFAULT_LOG_DIR: &str = "cauce-data";

impl NodeConfig {
    /// Gives types to settings and checks the rules between keys.
    ///
    /// # Errors
    /// A value that another one excludes.
    pub fn new(settings: Settings, cluster_id: Option<String>) -> Result<NodeConfig, ConfigError> {
        check_roles(&settings)?;
        check_lone_quorum(&settings)?;
        let log_dirs = log_dirs(&settings)?;
        let metrics_listener = metrics_listener(&settings)?;
        Ok(NodeConfig {
            node_id: node_id(&settings)?,
            rack: settings
                .explicit("broker.rack")
                .filter(|rack| !rack.is_empty())
                .map(Arc::from),
            cluster_id: cluster_id.filter(|id| !id.is_empty()),
            listeners: client_listeners(&settings)?,
            metrics_listener,
            metrics_listener_is_explicit: settings.explicit("metrics.listener").is_some(),
            metadata_log_dir: metadata_log_dir(&settings, &log_dirs),
            log_dirs,
            network: network(&settings)?,
            groups: groups(&settings)?,
            log: LogConfigDefaults {
                num_recovery_threads_per_data_dir: number(&settings, "num.recovery.threads.per.data.dir")?,
                offsets_topic_num_partitions: number(&settings, "offsets.topic.num.partitions")?,
                offsets_topic_replication_factor: 1
                    .min(number(&settings, "offsets.topic.replication.factor")?),
                offsets_topic_segment_bytes: number(&settings, "offsets.topic.segment.bytes")?,
            },
            passes: passes(&settings)?,
            metadata_snapshot_after_bytes: number(
                &settings,
                "metadata.log.max.record.bytes.between.snapshots",
            )?,
            metadata_log_segment_bytes: number(&settings, "metadata.log.segment.bytes")?,
            auto_create_topics_enable: flag(&settings, "auto.create.topics.enable"),
            delete_topic_enable: flag(&settings, "delete.topic.enable"),
            num_partitions: number(&settings, "num.partitions")?,
            default_replication_factor: number(&settings, "default.replication.factor")?,
            settings,
        })
    }

    /// Every directory that holds logs: the log directories, and that of the metadata log, whose id is the voter's.
    pub fn directories(&self) -> Vec<PathBuf> {
        let mut directories = self.log_dirs.clone();
        if !directories.contains(&self.metadata_log_dir) {
            directories.push(self.metadata_log_dir.clone());
        }
        directories
    }
}

fn flag(settings: &Settings, key: &str) -> bool {
    settings
        .text(key)
        .is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

fn number<T: std::str::FromStr>(settings: &Settings, key: &'static str) -> Result<T, ConfigError> {
    let text = settings.text(key).unwrap_or_default();
    text.parse()
        .map_err(|_| settings.refuse(key, "must be a number in its range"))
}

/// A size of which Kafka's -1 means "none" or "as the kernel likes".
fn size_or_kernel(settings: &Settings, key: &'static str) -> Result<Option<usize>, ConfigError> {
    let value: i64 = number(settings, key)?;
    if value == -1 {
        return Ok(None);
    }
    usize::try_from(value)
        .map(Some)
        .map_err(|_| settings.refuse(key, "must be at least 0, or -1"))
}

fn network(settings: &Settings) -> Result<NetworkConfig, ConfigError> {
    let idle_ms: i64 = number(settings, "connections.max.idle.ms")?;
    Ok(NetworkConfig {
        socket_request_max_bytes: number(settings, "socket.request.max.bytes")?,
        socket_send_buffer_bytes: size_or_kernel(settings, "socket.send.buffer.bytes")?,
        socket_receive_buffer_bytes: size_or_kernel(settings, "socket.receive.buffer.bytes")?,
        socket_listen_backlog_size: number(settings, "socket.listen.backlog.size")?,
        connections_max_idle_ms: u64::try_from(idle_ms).ok(),
        max_connections: number(settings, "max.connections")?,
        max_connections_per_ip: number(settings, "max.connections.per.ip")?,
        max_connections_per_ip_overrides: per_ip_overrides(settings)?,
        max_connection_creation_rate: number(settings, "max.connection.creation.rate")?,
        queued_max_request_bytes: size_or_kernel(settings, "queued.max.request.bytes")?,
        fetch_max_bytes: number(settings, "fetch.max.bytes")?,
        max_incremental_fetch_session_cache_slots: number(
            settings,
            "max.incremental.fetch.session.cache.slots",
        )?,
        max_request_partition_size_limit: number(settings, "max.request.partition.size.limit")?,
    })
}

fn groups(settings: &Settings) -> Result<GroupKeys, ConfigError> {
    let retention_minutes: i64 = number(settings, "offsets.retention.minutes")?;
    Ok(GroupKeys {
        group: GroupConfig {
            min_session_timeout_ms: number(settings, "group.min.session.timeout.ms")?,
            max_session_timeout_ms: number(settings, "group.max.session.timeout.ms")?,
            max_size: number(settings, "group.max.size")?,
            initial_rebalance_delay_ms: number(settings, "group.initial.rebalance.delay.ms")?,
            offset_metadata_max_bytes: number(settings, "offset.metadata.max.bytes")?,
            offsets_retention_ms: retention_minutes.saturating_mul(60_000),
        },
        commit_timeout: Duration::from_millis(number(settings, "offsets.commit.timeout.ms")?),
        retention_check_interval: Duration::from_millis(number(
            settings,
            "offsets.retention.check.interval.ms",
        )?),
    })
}

fn per_ip_overrides(settings: &Settings) -> Result<BTreeMap<String, usize>, ConfigError> {
    let key = "max.connections.per.ip.overrides";
    let entries = words(settings.text(key).unwrap_or(""));
    let parse = |entry: &str| {
        let (host, limit) = entry.rsplit_once(':')?;
        Some((host.trim().to_owned(), limit.trim().parse().ok()?))
    };
    entries
        .map(|entry| parse(entry).ok_or_else(|| settings.refuse(key, "must hold address:limit entries")))
        .collect()
}

fn passes(settings: &Settings) -> Result<PassIntervals, ConfigError> {
    Ok(PassIntervals {
        retention_ms: number(settings, "log.retention.check.interval.ms")?,
        flush_ms: number(settings, "log.flush.scheduler.interval.ms")?,
        recovery_point_checkpoint_ms: number(settings, "log.flush.offset.checkpoint.interval.ms")?,
        log_start_checkpoint_ms: number(settings, "log.flush.start.offset.checkpoint.interval.ms")?,
        high_watermark_checkpoint_ms: number(settings, "replica.high.watermark.checkpoint.interval.ms")?,
        producer_expiration_ms: number(settings, "producer.id.expiration.check.interval.ms")?,
    })
}

fn node_id(settings: &Settings) -> Result<BrokerId, ConfigError> {
    let parse = |key: &'static str| -> Result<Option<i32>, ConfigError> {
        settings.explicit(key).map(|_| number(settings, key)).transpose()
    };
    match (parse("node.id")?, parse("broker.id")?.filter(|id| *id >= 0)) {
        (Some(node), Some(broker)) if node != broker => Err(ConfigError::Contradiction(format!(
            "node.id is {node} and broker.id is {broker}: set only node.id"
        ))),
        (Some(id), _) | (None, Some(id)) => Ok(BrokerId(id)),
        (None, None) => Ok(BrokerId(DEFAULT_NODE_ID)),
    }
}

fn check_roles(settings: &Settings) -> Result<(), ConfigError> {
    let Some(text) = settings.explicit("process.roles") else {
        return Ok(());
    };
    let has = |role: &str| words(text).any(|word| word.eq_ignore_ascii_case(role));
    if has("broker") && has("controller") {
        return Ok(());
    }
    Err(settings.refuse(
        "process.roles",
        "must be broker,controller: nodes with one role are not built yet",
    ))
}

/// A quorum of one: the lists may name this node and nobody else.
fn check_lone_quorum(settings: &Settings) -> Result<(), ConfigError> {
    for key in ["controller.quorum.bootstrap.servers", "controller.quorum.voters"] {
        if words(settings.explicit(key).unwrap_or("")).count() > 1 {
            return Err(settings.refuse(key, "must name one node at most: several nodes are not built yet"));
        }
    }
    let id = node_id(settings)?;
    let other = words(settings.explicit("controller.quorum.voters").unwrap_or("")).find(|voter| {
        voter
            .split_once('@')
            .is_none_or(|(voter_id, _)| voter_id != id.to_string())
    });
    match other {
        Some(_) => Err(settings.refuse(
            "controller.quorum.voters",
            format!("must name this node, {id}@host:port"),
        )),
        None => Ok(()),
    }
}

fn log_dirs(settings: &Settings) -> Result<Vec<PathBuf>, ConfigError> {
    let (key, text) = match (settings.explicit("log.dirs"), settings.explicit("log.dir")) {
        (Some(text), _) => ("log.dirs", text),
        (None, Some(text)) => ("log.dir", text),
        (None, None) => ("log.dirs", DEFAULT_LOG_DIR),
    };
    let mut dirs: Vec<PathBuf> = Vec::new();
    for dir in words(text).map(PathBuf::from) {
        if dirs.contains(&dir) {
            return Err(settings.refuse(key, format!("must name {} only once", dir.display())));
        }
        dirs.push(dir);
    }
    if dirs.is_empty() {
        return Err(settings.refuse(key, "must name a directory"));
    }
    Ok(dirs)
}

fn metadata_log_dir(settings: &Settings, log_dirs: &[PathBuf]) -> PathBuf {
    let first = || log_dirs.first().cloned().unwrap_or_default();
    match settings.explicit("metadata.log.dir") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => first(),
    }
}

fn metrics_listener(settings: &Settings) -> Result<Option<Address>, ConfigError> {
    match settings.text("metrics.listener") {
        None | Some("none") => Ok(None),
        Some(text) => Address::parse(text)
            .map(Some)
            .ok_or_else(|| settings.refuse("metrics.listener", "must be host:port or none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<NodeConfig, String> {
        let mut settings = Settings::default();
        for (key, value) in pairs {
            settings
                .set(key, value, "test")
                .map_err(|error| error.to_string())?;
        }
        NodeConfig::new(settings, None).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_configured_is_a_node() {
        let config = config(&[]).expect("a configuration");
        assert_eq!(config.node_id, BrokerId(1));
        assert_eq!(config.log_dirs, [PathBuf::from("cauce-data")]);
        assert_eq!(config.metadata_log_dir, config.log_dirs[0]);
        assert_eq!(config.network.socket_request_max_bytes, 104_857_600);
        assert_eq!(config.metrics_listener.map(|a| a.port), Some(9644));
        assert!(config.auto_create_topics_enable);
    }

    #[test]
    fn the_older_name_of_the_node_id_is_taken() {
        assert_eq!(config(&[("broker.id", "5")]).map(|c| c.node_id), Ok(BrokerId(5)));
        assert!(
            config(&[("broker.id", "5"), ("node.id", "6")]).is_err_and(|e| e.contains("set only node.id"))
        );
        assert!(config(&[("node.id", "-1")]).is_err());
    }

    #[test]
    fn only_a_quorum_of_one_is_taken() {
        assert!(config(&[("controller.quorum.voters", "1@localhost:9093")]).is_ok());
        assert!(config(&[("controller.quorum.voters", "2@localhost:9093")]).is_err());
        assert!(config(&[("controller.quorum.bootstrap.servers", "a:1,b:1")]).is_err());
        assert!(config(&[("process.roles", "broker")]).is_err_and(|e| e.contains("process.roles")));
        assert!(config(&[("process.roles", "controller, broker")]).is_ok());
    }

    #[test]
    fn directories_are_listed_once() {
        let dirs = |value| config(&[("log.dirs", value)]).map(|c| c.log_dirs.len());
        assert_eq!(dirs("/a, /b"), Ok(2));
        assert!(dirs("/a,/a").is_err());
        assert!(dirs(" , ").is_err());
        let both =
            config(&[("log.dir", "/x"), ("log.dirs", "/y"), ("metadata.log.dir", "/m")]).expect("dirs");
        assert_eq!(
            (both.log_dirs[0].as_path(), both.metadata_log_dir.as_path()),
            ("/y".as_ref(), "/m".as_ref())
        );
    }

    #[test]
    fn limits_per_address_are_read() {
        let config = config(&[
            ("max.connections.per.ip.overrides", "127.0.0.1:5, ::1:6"),
            ("connections.max.idle.ms", "-1"),
            ("socket.send.buffer.bytes", "-1"),
            ("metrics.listener", "none"),
        ])
        .expect("a configuration");
        assert_eq!(
            config.network.max_connections_per_ip_overrides.get("::1"),
            Some(&6)
        );
        assert_eq!(config.network.connections_max_idle_ms, None);
        assert_eq!(config.network.socket_send_buffer_bytes, None);
        assert_eq!(config.metrics_listener, None);
    }
}
