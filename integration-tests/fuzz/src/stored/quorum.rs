//! The directory of the metadata log: the Raft log, the vote, the purge record, a snapshot.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use broker::clock::Clock;
use broker::raft_log::open_quorum_storage;
use bytes::Bytes;
use metadata::controller::{BrokerRegistration, Controller, ControllerConfig, CreatableTopic, IdSource};
use metadata::image::BrokerEndpoint;
use metadata::quorum::{
    ApplySink, Examined, ImageView, Quorum, QuorumConfig, QuorumStorage, WriterMode, examine,
};
use protocol_compat::BrokerId;
use protocol_compat::records::metadata::MetadataRecord;
use storage::disk::{Disk, SimDisk};
use storage::log::{Crash, FileCache};
use uuid::Uuid;

use super::{CAPACITY_BYTES, Damage, MEMORY_BYTES, Stored, ends_with};
use crate::memory;

const DIR: &str = "/data";
const SEGMENT_BYTES: u64 = 1 << 20;

/// A sound metadata log and what it says.
pub struct Sample {
    /// The files.
    pub stored: Stored,
    /// What a start reads.
    pub examined: Examined,
}

fn open(disk: &Disk, crash: Option<Crash>) -> std::io::Result<QuorumStorage> {
    let files = FileCache::new(disk.clone(), 64);
    open_quorum_storage(
        disk,
        &files,
        Path::new(DIR),
        SEGMENT_BYTES,
        crash,
        Clock::real(),
        WriterMode::Inline,
    )
}

/// The sample, built once.
pub fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let disk = Disk::simulated(&SimDisk::new(1, CAPACITY_BYTES));
        disk.create_dir_all(Path::new(DIR)).expect("a directory");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(write(&disk));
        drop(runtime);
        let examined = examine(&open(&disk, None).expect("it can be opened")).expect("it is sound");
        assert!(examined.snapshot.is_some() && examined.entries.len() > 2);
        Sample {
            stored: Stored::harvest(&disk, Path::new(DIR)),
            examined,
        }
    })
}

async fn write(disk: &Disk) {
    let config = QuorumConfig {
        node_id: 1,
        directory_id: Uuid::from_u128(500),
        cluster_id: "cluster".into(),
        ids_read_from: "meta.properties".to_owned(),
        snapshot_after_bytes: 1 << 20,
        entries_kept_behind_snapshot: 1,
    };
    let storage = open(disk, None).expect("an empty directory");
    let quorum = Quorum::start(config, storage, Arc::new(Keeper::default()))
        .await
        .expect("a quorum of one");
    let decisions = decisions();
    let (early, late) = decisions.split_at(decisions.len() / 2);
    for records in early {
        quorum
            .propose(1_600_000_000_000, records.clone())
            .await
            .expect("it is ordered");
    }
    quorum.take_snapshot().await.expect("a snapshot");
    for records in late {
        quorum
            .propose(1_600_000_000_000, records.clone())
            .await
            .expect("it is ordered");
    }
    quorum.shutdown().await.expect("it ends");
}

/// A state machine that keeps records as they are.
#[derive(Default)]
struct Keeper(Mutex<Vec<Bytes>>);

impl ApplySink for Keeper {
    fn replay(&self, _: u64, records: &[Bytes]) -> Result<(), String> {
        self.0.lock().expect("no panic").extend_from_slice(records);
        Ok(())
    }

    fn install(&self, _: u64, records: &[Bytes]) -> Result<(), String> {
        *self.0.lock().expect("no panic") = records.to_vec();
        Ok(())
    }

    fn view(&self) -> ImageView {
        let records = self.0.lock().expect("no panic").clone();
        Box::new(move || Ok(records))
    }
}

struct Ids(u128);

impl IdSource for Ids {
    fn next_id(&mut self) -> Uuid {
        self.0 += 1;
        Uuid::from_u128(self.0 << 64 | 0x4000)
    }
}

/// A controller before its first record.
pub fn controller() -> Controller {
    Controller::new(ControllerConfig {
        cluster_id: "cluster".into(),
        node_id: BrokerId(1),
        num_partitions: 1,
        default_replication_factor: 1,
        broker_configs: Arc::default(),
    })
}

/// What a controller writes for a first broker and a few topics, decision by decision.
pub fn decisions() -> Vec<Vec<Bytes>> {
    let mut controller = controller();
    let mut decisions = Vec::new();
    let mut follow = |controller: &mut Controller, records: Vec<MetadataRecord>| {
        for record in &records {
            controller
                .replay(decisions.len() as i64, record)
                .expect("its own record");
        }
        decisions.push(
            records
                .iter()
                .map(|record| record.encode().expect("a record"))
                .collect(),
        );
    };
    let records = controller.bootstrap().records;
    follow(&mut controller, records);
    let records = controller.register_broker(registration()).records;
    follow(&mut controller, records);
    let mut ids = Ids(0);
    for name in ["orders", "a.b", "c_d"] {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 2,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: vec![("retention.ms".to_owned(), Some("1000".to_owned()))],
        };
        let records = controller.create_topics(&mut ids, vec![topic], false).records;
        follow(&mut controller, records);
    }
    decisions
}

fn registration() -> BrokerRegistration {
    BrokerRegistration {
        id: BrokerId(1),
        cluster_id: "cluster".into(),
        incarnation_id: Uuid::from_u128(501),
        endpoints: vec![BrokerEndpoint {
            name: "PLAINTEXT".into(),
            host: "".into(),
            port: 9092,
            security_protocol: 0,
        }],
        features: Vec::new(),
        rack: None,
        directories: vec![Uuid::from_u128(500)],
        ready: true,
    }
}

/// Opens the damaged directory and reads everything in it. `flags`: 1 the process died, 2 the power went.
pub fn run(damage: &Damage<'_>, flags: u8) {
    let sample = sample();
    let (disk, path) = sample.stored.damaged(damage);
    let path = path.as_path();
    let crash = match flags & 3 {
        1 => Some(Crash::Process),
        2 => Some(Crash::Power),
        _ => None,
    };
    let examined = memory::bounded(MEMORY_BYTES + 64 * damage.bytes.len(), || {
        examine(&open(&disk, crash)?)
    });
    let Ok(examined) = examined else { return };
    // With a checksum that fits, a record of the purge may show entries that are still in the log and were purged.
    let is_believed = [".log", ".checkpoint", "quorum-purged"]
        .iter()
        .any(|suffix| ends_with(path, suffix));
    if !(damage.sealed && is_believed) {
        let known: BTreeMap<_, _> = sample.examined.entries.iter().cloned().collect();
        for (offset, records) in &examined.entries {
            assert_eq!(
                known.get(offset),
                Some(records),
                "an entry is read that was not written"
            );
        }
        assert_eq!(examined.snapshot, sample.examined.snapshot);
    }
    replay(&examined);
}

/// What a start does with the records.
fn replay(examined: &Examined) {
    let mut controller = controller();
    let snapshot = examined.snapshot.iter().flatten().map(|record| (0, record));
    let entries = examined.entries.iter();
    let logged = entries.flat_map(|(offset, records)| records.iter().map(move |record| (*offset, record)));
    for (offset, record) in snapshot.chain(logged) {
        let Ok(record) = MetadataRecord::decode(record) else {
            return;
        };
        if controller.replay(offset as i64, &record).is_err() {
            return;
        }
    }
}
