//! A log directory with two partitions: `meta.properties`, the offset checkpoints, the marker of a clean stop.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use protocol_compat::record_batch::batch::Compression;
use protocol_compat::{TopicId, TopicPartition};
use storage::checkpoints::OffsetCheckpoint;
use storage::disk::{Disk, SimDisk};
use storage::log::{AppendOrigin, LogConfig, PartitionLog};
use storage::log_dirs::NodeIdentity;
use storage::log_manager::{LogManager, LogManagerConfig, LogOwner};
use uuid::Uuid;

use super::{CAPACITY_BYTES, Damage, MEMORY_BYTES, NOW_MS, Stored, batches, ends_with, signed};
use crate::memory;
use crate::samples;

const DIR: &str = "/data";
const TOPIC_ID: TopicId = TopicId(Uuid::from_u128(7));
const CHECKPOINTS: [OffsetCheckpoint; 4] = [
    OffsetCheckpoint::RecoveryPoint,
    OffsetCheckpoint::HighWatermark,
    OffsetCheckpoint::LogStart,
    OffsetCheckpoint::CleanerOffset,
];

/// A sound log directory and the batches of each of its partitions.
pub struct Sample {
    /// The files.
    pub stored: Stored,
    batches: Vec<Bytes>,
}

fn partition(index: i32) -> TopicPartition {
    TopicPartition::new("orders", index)
}

fn config() -> Arc<LogConfig> {
    Arc::new(LogConfig {
        retention_ms: -1,
        ..LogConfig::default()
    })
}

fn open(disk: &Disk, boot_id: &str) -> Result<LogManager, storage::log_dirs::OpenError> {
    let settings = LogManagerConfig {
        identity: NodeIdentity {
            node_id: 1,
            cluster_id: None,
        },
        boot_id: Some(boot_id.to_owned()),
        max_open_files: 64,
        flush_threads: 1,
        flush_journal_bytes: 1 << 18,
        reserve_bytes: 0,
        append_watch: None,
    };
    let mut next = 100;
    let new_id = move || {
        next += 1;
        Uuid::from_u128(next)
    };
    LogManager::open(disk, &[PathBuf::from(DIR)], settings, Box::new(new_id))
}

struct Owner;

impl LogOwner for Owner {
    fn settings(&self, _: &TopicPartition) -> Option<(TopicId, Arc<LogConfig>)> {
        Some((TOPIC_ID, config()))
    }

    fn opened(&self, log: &PartitionLog) {
        log.update_high_watermark(log.log_end_offset());
    }
}

/// The sample, built once.
pub fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let disk = Disk::simulated(&SimDisk::new(1, CAPACITY_BYTES));
        let manager = open(&disk, "a boot").expect("a log directory");
        let mut found = Vec::new();
        for index in 0..2 {
            let log = manager
                .get_or_open(&partition(index), TOPIC_ID, config(), None, NOW_MS)
                .expect("a log");
            for _ in 0..4 {
                let batch = samples::batch(0, Compression::None, None, 3);
                log.append_as_leader(batch, 1, AppendOrigin::Client, NOW_MS)
                    .expect("it is appended");
            }
            log.update_high_watermark(9);
            manager
                .delete_records_before(&partition(index), 3)
                .expect("they are there");
            found = batches(log.read(3, 1 << 20, 12, true).expect("it can be read").records);
        }
        manager.checkpoint_pass(&CHECKPOINTS);
        manager.shutdown_cleanly(14);
        Sample {
            stored: Stored::harvest(&disk, Path::new(DIR)),
            batches: found,
        }
    })
}

/// Takes the damaged directory, opens what is in it, reads it and closes it. `flags`: 1 no marker of a clean stop, 2 another
/// boot.
pub fn run(damage: &Damage<'_>, flags: u8) {
    let sample = sample();
    let (disk, path) = sample.stored.damaged(damage);
    let path = path.as_path();
    let marker = Path::new(DIR).join(".kafka_cleanshutdown");
    if flags & 1 != 0 {
        disk.remove_file(&marker).expect("it is there");
    }
    let boot_id = if flags & 2 == 0 { "a boot" } else { "another boot" };
    memory::bounded(MEMORY_BYTES + 64 * damage.bytes.len(), || {
        let manager = match open(&disk, boot_id) {
            Ok(manager) => manager,
            Err(error) => {
                assert!(ends_with(path, "meta.properties"), "{error}");
                return;
            }
        };
        for partition in manager.partitions() {
            let opened = manager.get_or_open(&partition, TOPIC_ID, config(), None, NOW_MS);
            match opened {
                Ok(log) => served(sample, &log, path, damage),
                Err(error) => assert!(
                    ends_with(path, ".log") || ends_with(path, "partition.metadata"),
                    "{error}"
                ),
            }
        }
        manager.retention_pass(&Owner, NOW_MS);
        manager.flush_pass(NOW_MS);
        manager.space_pass();
        assert_eq!(manager.dirs().len(), 1);
        manager.checkpoint_pass(&CHECKPOINTS);
        manager.shutdown_cleanly(15);
    });
    let again = open(&disk, boot_id);
    assert!(again.is_ok() || ends_with(path, "meta.properties"));
}

fn served(sample: &Sample, log: &PartitionLog, path: &Path, damage: &Damage<'_>) {
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    assert!(start <= end && log.high_watermark() <= end && log.high_watermark() >= start);
    let Ok(read) = log.read(start, 1 << 20, end, true) else {
        assert!(ends_with(path, ".log"), "a sound log can be read");
        return;
    };
    if ends_with(path, ".log") && damage.sealed {
        return;
    }
    for batch in batches(read.records) {
        // A log that was stopped cleanly is believed: its bytes are checked by who reads them.
        let is_known = sample.batches.iter().any(|known| signed(known) == signed(&batch));
        assert!(
            is_known || ends_with(path, ".log"),
            "bytes are served that were not written"
        );
    }
}
