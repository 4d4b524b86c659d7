//! What is known of compaction, read when it is asked for.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGauge, IntGaugeVec, Opts};
use storage::log_manager::LogManager;

use crate::clock::Clock;

/// The figures of the cleaners, under the names of Kafka's own (`kafka.log:type=LogCleanerManager` and `LogCleaner`).
pub struct CleanerCollector {
    logs: Arc<LogManager>,
    clock: Clock,
    uncleanable: IntGaugeVec,
    uncleanable_count: IntGauge,
    max_dirty_percent: Gauge,
    max_compaction_delay_seconds: Gauge,
    time_since_last_run_ms: IntGauge,
    cleanings: IntGauge,
    recopy_percent: Gauge,
    records_without_key: IntGauge,
}

impl CleanerCollector {
    /// The collector of a node's logs.
    ///
    /// # Errors
    /// None that a correct name can have.
    pub fn new(logs: Arc<LogManager>, clock: Clock) -> prometheus::Result<CleanerCollector> {
        let gauge = |name: &str, help: &str| Gauge::new(name, help);
        let whole = |name: &str, help: &str| IntGauge::new(name, help);
        let uncleanable = Opts::new(
            "kafka_log_logcleanermanager_uncleanable_partition",
            "1 for each partition that cannot be cleaned before the next start",
        );
        Ok(CleanerCollector {
            logs,
            clock,
            uncleanable: IntGaugeVec::new(uncleanable, &["topic", "partition"])?,
            uncleanable_count: whole(
                "kafka_log_logcleanermanager_uncleanable_partitions_count",
                "Partitions that cannot be cleaned before the next start",
            )?,
            max_dirty_percent: gauge(
                "kafka_log_logcleanermanager_max_dirty_percent",
                "Dirty part of the dirtiest compacted log, in percent",
            )?,
            max_compaction_delay_seconds: gauge(
                "kafka_log_logcleaner_max_compaction_delay_secs",
                "How long the oldest record has been waiting past max.compaction.lag.ms",
            )?,
            time_since_last_run_ms: whole(
                "kafka_log_logcleanermanager_time_since_last_run_ms",
                "Time since a cleaner last looked",
            )?,
            cleanings: whole(
                "kafka_log_logcleaner_cleanings",
                "Cleanings that came to their end",
            )?,
            recopy_percent: gauge(
                "kafka_log_logcleaner_cleaner_recopy_percent",
                "What was left of the bytes of all cleanings, in percent",
            )?,
            records_without_key: whole(
                "kafka_log_logcleaner_records_without_key",
                "Records without a key that compaction removed",
            )?,
        })
    }

    fn gauges(&self) -> [&dyn Collector; 8] {
        [
            &self.uncleanable,
            &self.uncleanable_count,
            &self.max_dirty_percent,
            &self.max_compaction_delay_seconds,
            &self.time_since_last_run_ms,
            &self.cleanings,
            &self.recopy_percent,
            &self.records_without_key,
        ]
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Collector for CleanerCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let status = self.logs.cleaner_status();
        self.uncleanable.reset();
        for partition in &status.uncleanable {
            let place = &partition.topic_partition;
            self.uncleanable
                .with_label_values(&[&*place.topic, &place.partition.to_string()])
                .set(1);
        }
        self.uncleanable_count
            .set(i64::try_from(status.uncleanable.len()).unwrap_or(i64::MAX));
        self.max_dirty_percent.set(100.0 * status.max_dirty_ratio);
        self.max_compaction_delay_seconds
            .set(status.max_overdue_ms as f64 / 1e3);
        let since = |last| self.clock.deletion_ms().saturating_sub(last);
        self.time_since_last_run_ms
            .set(status.last_run_ms.map_or(-1, since));
        self.cleanings.set(whole(status.cleanings));
        let recopied = match status.bytes_read {
            0 => 0.0,
            read => 100.0 * status.bytes_kept as f64 / read as f64,
        };
        self.recopy_percent.set(recopied);
        self.records_without_key.set(whole(status.records_without_key));
        self.gauges().into_iter().flat_map(Collector::collect).collect()
    }
}
