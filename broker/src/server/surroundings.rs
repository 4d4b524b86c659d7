//! What a node has of the machine: a disk, a clock, and how work that blocks is done. A simulated machine has its own.

use std::path::PathBuf;
use std::sync::Arc;

use metadata::quorum::WriterMode;
use storage::disk::Disk;

use crate::clock::Clock;
use crate::config::NodeConfig;
use crate::disk_stalls::DiskStalls;
use crate::server::open_files;

/// The store of committed offsets, beside the partitions of the metadata log's directory.
const OFFSET_STORE_DIR: &str = "committed-offsets";

/// Threads that sync for acknowledgements.
const FLUSH_THREADS: usize = 4;

/// Of each log directory, once one of its topics has `flush.messages`. Half of it is written before the logs in it must be
/// synced for themselves: as more comes together for each of them, that is less work.
const FLUSH_JOURNAL_BYTES: u64 = 128 << 20;

/// What a node has of the machine, sockets apart.
pub struct Surroundings {
    /// Where logs, checkpoints and the metadata quorum are kept.
    pub disk: Disk,
    /// Read by everything.
    pub clock: Clock,
    /// Identifies this boot of the machine; see [`storage::log_manager::LogManagerConfig::boot_id`].
    pub boot_id: Option<String>,
    /// Where RocksDB keeps committed offsets. Always on the machine's file system: what is in it can be read from the logs
    /// again.
    pub offset_store_dir: PathBuf,
    /// Who writes the quorum's log.
    pub quorum_writer: WriterMode,
    /// Threads that sync for acknowledgements; without any, whoever asks for a sync does it.
    pub flush_threads: usize,
    /// See [`storage::log_manager::LogManagerConfig::flush_journal_bytes`].
    pub flush_journal_bytes: u64,
    /// See [`storage::log_manager::LogManagerConfig::max_open_files`].
    pub max_open_log_files: usize,
    /// What the runtime's workers do on the disks.
    pub disk_stalls: Arc<DiskStalls>,
}

impl Surroundings {
    /// The machine's.
    pub fn machine(config: &NodeConfig, disk_stalls: Arc<DiskStalls>) -> Surroundings {
        Surroundings {
            disk: Disk::real(),
            clock: Clock::real(),
            boot_id: boot_id(),
            offset_store_dir: config.metadata_log_dir.join(OFFSET_STORE_DIR),
            quorum_writer: WriterMode::Thread,
            flush_threads: FLUSH_THREADS,
            flush_journal_bytes: FLUSH_JOURNAL_BYTES,
            max_open_log_files: open_files::share_of_logs(),
            disk_stalls,
        }
    }
}

fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}
