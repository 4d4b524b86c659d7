//! How full the bounded places of a node are, read when somebody asks.
//!
//! The counts belong to the components and cost nothing between two scrapes; here they only get the names of metrics.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge, Opts};
use storage::offset_store::OffsetStore;

use crate::fetch_session::FetchSessionCache;
use crate::group_coordinator::{GroupCoordinator, OpeningStore};
use crate::network::{ConnectionLimits, RequestBudget};
use crate::replica_manager::ReplicaManager;

/// Who is asked.
pub(super) struct Bounded {
    pub(super) fetch_sessions: Arc<FetchSessionCache>,
    pub(super) replicas: Arc<ReplicaManager>,
    pub(super) groups: Arc<GroupCoordinator>,
    pub(super) offset_store: OpeningStore,
    pub(super) offset_store_memory_bytes: usize,
    pub(super) connections: Arc<ConnectionLimits>,
    pub(super) budget: RequestBudget,
}

/// How a figure is read.
type Read = fn(&Bounded) -> usize;
/// Name, help, and how the figure is read.
type Row = (&'static str, &'static str, Read);

const GAUGES: &[Row] = &[
    (
        "kafka_server_fetchsessioncache_slots",
        "max.incremental.fetch.session.cache.slots",
        |of| of.fetch_sessions.slots(),
    ),
    (
        "kafka_server_fetchsessioncache_numincrementalfetchsessions",
        "Incremental fetch sessions that are open",
        |of| of.fetch_sessions.status().sessions,
    ),
    (
        "kafka_server_fetchsessioncache_numincrementalfetchpartitionscached",
        "Partitions of all incremental fetch sessions",
        |of| of.fetch_sessions.status().partitions,
    ),
    (
        "kafka_server_delayedoperationpurgatory_waiting",
        "Produce and fetch requests that wait for a partition, each counted at every partition",
        |of| {
            of.replicas
                .open_partitions()
                .iter()
                .map(|partition| partition.waiting())
                .sum()
        },
    ),
    (
        "kafka_coordinator_group_waiting_requests",
        "Requests that wait for a group",
        |of| of.groups.figures().waiting_requests,
    ),
    (
        "kafka_coordinator_group_groupmetadatamanager_numgroups",
        "Groups in memory",
        |of| of.groups.figures().groups.values().sum(),
    ),
    (
        "kafka_coordinator_group_offset_store_estimated_rows",
        "Committed offsets and groups on the disk, about: what was written again may count twice",
        |of| of_store(of, OffsetStore::estimated_rows),
    ),
    (
        "kafka_coordinator_group_offset_store_memory_bytes",
        "Memory of the store of committed offsets: cached blocks, write buffers, readers of tables",
        |of| of_store(of, OffsetStore::memory_usage_bytes),
    ),
    (
        "kafka_coordinator_group_offset_store_memory_limit_bytes",
        "What kafka_coordinator_group_offset_store_memory_bytes is kept below",
        |of| of.offset_store_memory_bytes,
    ),
    (
        "kafka_server_socket_server_max_connections",
        "max.connections as it is in force",
        |of| of.connections.max_connections(),
    ),
    (
        "kafka_server_socket_server_memory_pool_size_bytes",
        "queued.max.request.bytes, 0 where it bounds nothing",
        |of| of.budget.status().total_bytes,
    ),
    (
        "kafka_server_socket_server_memory_pool_used_bytes",
        "Bytes of requests in work, where queued.max.request.bytes bounds them",
        |of| of.budget.status().used_bytes,
    ),
    (
        "kafka_server_socket_server_memory_pool_waiting",
        "Requests that wait for queued.max.request.bytes",
        |of| of.budget.status().waiting,
    ),
    ("kafka_log_open_files", "Files of logs that are open", |of| {
        of.replicas.logs().files().open_files()
    }),
    (
        "kafka_log_logmanager_stallinglogdirectorycount",
        "Log directories whose disk stalls: their partitions are served apart from the others",
        |of| of.replicas.disk_stalls().stalling(),
    ),
    (
        "kafka_log_open_files_limit",
        "Files of logs that are open at most",
        |of| of.replicas.logs().files().capacity(),
    ),
];

/// A figure of the store; 0 while it opens.
fn of_store(of: &Bounded, read: fn(&OffsetStore) -> u64) -> usize {
    let figure = of.offset_store.get().map_or(0, |store| read(&store));
    usize::try_from(figure).unwrap_or(usize::MAX)
}

/// Reads the figures when they are asked for.
pub(super) struct LimitsCollector {
    bounded: Bounded,
    gauges: Vec<(IntGauge, Read)>,
    counters: Vec<Desc>,
}

/// Name, help, and how a figure that only grows is read.
type CounterRow = (&'static str, &'static str, fn(&Bounded) -> u64);

const COUNTERS: &[CounterRow] = &[
    (
        "kafka_server_fetchsessioncache_incrementalfetchsessionevictions_total",
        "Incremental fetch sessions evicted for others",
        |of| of.fetch_sessions.status().evictions,
    ),
    (
        "kafka_log_logmanager_logdirectorystalls_total",
        "How often a log directory began to stall",
        |of| of.replicas.disk_stalls().marks(),
    ),
];

impl LimitsCollector {
    /// A collector of these.
    ///
    /// # Errors
    /// None that a correct name can have.
    pub(super) fn new(bounded: Bounded) -> prometheus::Result<LimitsCollector> {
        let gauge = |(name, help, read): &Row| Ok((IntGauge::new(*name, *help)?, *read));
        let desc = |(name, help, _): &CounterRow| {
            Desc::new((*name).into(), (*help).into(), vec![], Default::default())
        };
        Ok(LimitsCollector {
            bounded,
            gauges: GAUGES.iter().map(gauge).collect::<prometheus::Result<_>>()?,
            counters: COUNTERS.iter().map(desc).collect::<prometheus::Result<_>>()?,
        })
    }

    fn counted(&self, (name, help, read): &CounterRow) -> Vec<MetricFamily> {
        let Ok(counter) = IntCounter::with_opts(Opts::new(*name, *help)) else {
            return Vec::new();
        };
        counter.inc_by(read(&self.bounded));
        counter.collect()
    }
}

impl Collector for LimitsCollector {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges.iter().flat_map(|(gauge, _)| gauge.desc());
        gauges.chain(&self.counters).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut all: Vec<_> = COUNTERS.iter().flat_map(|row| self.counted(row)).collect();
        for (gauge, read) in &self.gauges {
            gauge.set(i64::try_from(read(&self.bounded)).unwrap_or(i64::MAX));
            all.extend(gauge.collect());
        }
        all
    }
}
