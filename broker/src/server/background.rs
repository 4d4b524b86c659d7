//! What runs beside the requests: recovery of what nobody has touched, retention, flushing, checkpoints, removals.
//!
//! Each pass blocks on the disk and has its own period; one that takes longer than its period starts again after it. Removals
//! alone have none, and begin when something is due (`removal`). What a pass does is the log manager's.

use std::sync::Arc;
use std::time::Duration;

use storage::checkpoints::OffsetCheckpoint;
use storage::log_manager::LogManager;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::removal;
use crate::blocking;
use crate::clock::Clock;
use crate::config::NodeConfig;
use crate::group_coordinator::OpeningStore;
use crate::http::HttpState;
use crate::replica_manager::ReplicaManager;
use crate::step_alarm::StepAlarm;

/// How often the free space is looked at.
const HOUSEKEEPING_PERIOD: Duration = Duration::from_secs(5);

/// Starts every background pass. They end when aborted.
pub(super) fn start(
    config: &Arc<NodeConfig>,
    replicas: &Arc<ReplicaManager>,
    http: &Arc<HttpState>,
    offset_store: &OpeningStore,
    clock: Clock,
) -> Vec<JoinHandle<()>> {
    let passes = &config.passes;
    let logs = replicas.logs();
    let threads = config.log.num_recovery_threads_per_data_dir * config.log_dirs.len();
    let checkpoint = |period_ms, kind| {
        every(Duration::from_millis(period_ms), logs, move |logs| {
            logs.checkpoint_pass(&[kind]);
        })
    };
    let (producers_of, owner) = (replicas.clone(), replicas.clone());
    let offset_store = offset_store.clone();
    let step_alarm = Arc::new(StepAlarm::default());
    vec![
        tokio::spawn(recover(threads, replicas.clone(), http.clone())),
        every(Duration::from_millis(passes.retention_ms), logs, move |logs| {
            let segments = logs.retention_pass(&*owner, clock.deletion_ms());
            debug!(segments, "retention pass");
        }),
        every(
            Duration::from_millis(passes.producer_expiration_ms),
            logs,
            move |logs| {
                logs.producer_expiration_pass(clock.deletion_ms(), producers_of.producer_id_expiration_ms());
            },
        ),
        every(Duration::from_millis(passes.flush_ms), logs, move |logs| {
            let flushed = logs.flush_pass(clock.wall_ms());
            debug!(flushed, "flush pass");
        }),
        checkpoint(
            passes.recovery_point_checkpoint_ms,
            OffsetCheckpoint::RecoveryPoint,
        ),
        // A recovery point of its own: what a kill takes of the rows is read from the logs again.
        every(
            Duration::from_millis(passes.recovery_point_checkpoint_ms),
            logs,
            move |_| flush_offset_store(&offset_store),
        ),
        checkpoint(passes.log_start_checkpoint_ms, OffsetCheckpoint::LogStart),
        checkpoint(
            passes.high_watermark_checkpoint_ms,
            OffsetCheckpoint::HighWatermark,
        ),
        every(HOUSEKEEPING_PERIOD, logs, move |logs| {
            step_alarm.look(clock.wall_step_ms());
            logs.space_pass();
        }),
        tokio::spawn(removal::run(logs.clone(), clock)),
    ]
}

/// Puts the rows of committed offsets on the disk.
pub(super) fn flush_offset_store(store: &OpeningStore) {
    let Some(store) = store.get() else {
        return;
    };
    if let Err(cause) = store.flush() {
        debug!(%cause, "committed offsets are read from the log again by the next start");
    }
}

/// Runs a pass again and again on a thread that may block; where the period is 0 once, as Kafka's scheduler does.
fn every(
    period: Duration,
    logs: &Arc<LogManager>,
    pass: impl Fn(&LogManager) + Clone + Send + 'static,
) -> JoinHandle<()> {
    let logs = logs.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(period).await;
            let (logs, pass) = (logs.clone(), pass.clone());
            if let Err(cause) = blocking::spawn(move || pass(&logs)).await {
                warn!(%cause, "a background pass was cut short");
                return;
            }
            if period.is_zero() {
                return;
            }
        }
    })
}

/// Recovers what a crash left, a few partitions at a time, and then reports the node ready.
async fn recover(threads: usize, replicas: Arc<ReplicaManager>, http: Arc<HttpState>) {
    let recover_the_rest = |_| {
        let replicas = replicas.clone();
        blocking::spawn(move || while replicas.recover_next() {})
    };
    let workers: Vec<JoinHandle<()>> = (0..threads.max(1)).map(recover_the_rest).collect();
    for worker in workers {
        if let Err(cause) = worker.await {
            warn!(%cause, "recovery was cut short");
            return;
        }
    }
    http.set_ready(true);
    if let Err(cause) = blocking::spawn(move || replicas.open_compacted()).await {
        warn!(%cause, "compacted logs were not opened");
    }
}
