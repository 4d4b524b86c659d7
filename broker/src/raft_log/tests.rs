//! The quorum on a partition's log: upstream's suite, power cuts at every call of the disk, restarts, damage.

use std::sync::{Arc, Mutex};

use metadata::quorum::memory::MemoryDisk;
use metadata::quorum::{ApplySink, ImageView, Quorum, QuorumConfig, QuorumError, run_conformance_suite};
use protocol_compat::record_batch::batch::RecordBatch;
use storage::disk::{SimDisk, SimFault};
use uuid::Uuid;

use super::*;

const DATA: &str = "/data";
const SEGMENT_BYTES: u64 = 8 << 20;
const OPEN_FILES: usize = 64;

#[derive(Default)]
struct Recorder(Mutex<Vec<Bytes>>);

impl Recorder {
    fn records(&self) -> Vec<Bytes> {
        self.0.lock().unwrap().clone()
    }
}

impl ApplySink for Recorder {
    fn replay(&self, _offset: u64, records: &[Bytes]) -> Result<(), String> {
        self.0.lock().unwrap().extend_from_slice(records);
        Ok(())
    }

    fn install(&self, _offset: u64, records: &[Bytes]) -> Result<(), String> {
        *self.0.lock().unwrap() = records.to_vec();
        Ok(())
    }

    fn view(&self) -> ImageView {
        let records = self.records();
        Box::new(move || Ok(records))
    }
}

fn open(disk: &Disk, data: &Path, writer: WriterMode) -> io::Result<QuorumStorage> {
    let files = FileCache::new(disk.clone(), OPEN_FILES);
    let crash = Some(Crash::Power);
    open_quorum_storage(disk, &files, data, SEGMENT_BYTES, crash, Clock::real(), writer)
}

fn config() -> QuorumConfig {
    QuorumConfig {
        node_id: 1,
        directory_id: Uuid::from_u128(77),
        cluster_id: "a-cluster".into(),
        ids_read_from: "meta.properties".to_owned(),
        snapshot_after_bytes: u64::MAX,
        entries_kept_behind_snapshot: 0,
    }
}

async fn start(disk: &Disk, data: &Path, config: QuorumConfig) -> Result<(Quorum, Arc<Recorder>), String> {
    let storage = open(disk, data, WriterMode::Inline).map_err(|error| error.to_string())?;
    let recorder = Arc::new(Recorder::default());
    let quorum = Quorum::start(config, storage, recorder.clone())
        .await
        .map_err(|error| error.to_string())?;
    Ok((quorum, recorder))
}

fn record(number: usize) -> Bytes {
    Bytes::from(format!("record {number}"))
}

fn records(count: usize) -> Vec<Bytes> {
    (0..count).map(record).collect()
}

fn formatted(seed: u64) -> (SimDisk, Disk) {
    let sim = SimDisk::new(seed, u64::MAX);
    let disk = Disk::simulated(&sim);
    disk.create_dir_all(Path::new(DATA)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    (sim, disk)
}

#[tokio::test]
async fn the_log_on_a_real_disk_passes_upstreams_suite() {
    let fresh = || {
        let directory = tempfile::tempdir().unwrap();
        let storage = open(&Disk::real(), directory.path(), WriterMode::Thread).unwrap();
        (directory, storage)
    };
    run_conformance_suite(fresh).await.unwrap();
}

#[tokio::test]
async fn the_log_on_a_simulated_disk_passes_upstreams_suite() {
    let fresh = || {
        let (sim, disk) = formatted(3);
        (sim, open(&disk, Path::new(DATA), WriterMode::Inline).unwrap())
    };
    run_conformance_suite(fresh).await.unwrap();
}

/// An election timeout alone is longer than the fastest of several starts may take; a busy machine slows some of them.
#[tokio::test]
async fn a_first_start_and_a_restart_wait_for_no_timer() {
    let mut fastest = [std::time::Duration::MAX; 2];
    for _ in 0..8 {
        let (_sim, disk) = formatted(5);
        for fastest in &mut fastest {
            let began = std::time::Instant::now();
            let storage = open(&disk, Path::new(DATA), WriterMode::Inline).unwrap();
            let quorum = Quorum::start(config(), storage, Arc::new(Recorder::default()))
                .await
                .unwrap();
            quorum.propose(1, vec![record(0)]).await.unwrap();
            *fastest = began.elapsed().min(*fastest);
            quorum.shutdown().await.unwrap();
        }
    }
    assert!(
        fastest.iter().all(|start| start.as_millis() < 1_000),
        "{fastest:?}"
    );
}

async fn run_until_the_power_goes(disk: &Disk) -> usize {
    let Ok((quorum, _)) = start(disk, Path::new(DATA), config()).await else {
        return 0;
    };
    let mut acknowledged = 0;
    for number in 0..6 {
        if quorum.propose(1, vec![record(number)]).await.is_err() {
            break;
        }
        acknowledged = number + 1;
        if number == 3 && quorum.take_snapshot().await.is_err() {
            break;
        }
    }
    quorum.shutdown().await.ok();
    acknowledged
}

#[tokio::test]
async fn a_power_cut_at_any_call_loses_no_acknowledged_entry_and_no_vote() {
    let (whole, disk) = formatted(1);
    assert_eq!(run_until_the_power_goes(&disk).await, 6);
    let calls = whole.calls();
    for cut in 1..=calls {
        let (sim, disk) = formatted(cut);
        sim.fail_at(cut, SimFault::PowerCut);
        let acknowledged = run_until_the_power_goes(&disk).await;
        sim.cut_power();
        sim.restart();
        disk.create_dir_all(Path::new(DATA)).unwrap();
        let (quorum, recorder) = start(&disk, Path::new(DATA), config())
            .await
            .unwrap_or_else(|error| {
                panic!("cut {cut} of {calls}: {error}");
            });
        let found = recorder.records();
        assert!(
            found.len() >= acknowledged,
            "cut {cut}: {acknowledged} acknowledged, {} found",
            found.len()
        );
        assert_eq!(found, records(found.len()), "cut {cut}");
        quorum.propose(1, vec![record(found.len())]).await.unwrap();
        quorum.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn seeded_crashes_in_a_row_lose_nothing() {
    for seed in 0..12 {
        let (sim, _) = formatted(seed);
        let config = QuorumConfig {
            snapshot_after_bytes: 60,
            ..config()
        };
        let mut acknowledged = 0;
        for life in 0..5 {
            // A snapshot may still be on its way when a quorum is gone; it must not reach the next one's files.
            let disk = Disk::simulated(&sim.in_this_life());
            sim.fail_at(
                sim.calls() + 20 + (seed * 31 + life * 17) % 150,
                SimFault::PowerCut,
            );
            if let Ok((quorum, recorder)) = start(&disk, Path::new(DATA), config.clone()).await {
                for _ in 0..15 {
                    let next = recorder.records().len();
                    if quorum.propose(1, vec![record(next)]).await.is_err() {
                        break;
                    }
                    acknowledged = next + 1;
                }
            }
            sim.cut_power();
            sim.restart();
            let disk = Disk::simulated(&sim.in_this_life());
            let (quorum, recorder) = start(&disk, Path::new(DATA), config.clone())
                .await
                .unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
            let found = recorder.records();
            assert!(
                found.len() >= acknowledged,
                "seed {seed}: {acknowledged} of {}",
                found.len()
            );
            assert_eq!(found, records(found.len()), "seed {seed}");
            acknowledged = found.len();
            quorum.shutdown().await.unwrap();
            sim.restart_process();
        }
    }
}

/// The batches of a quorum's first entries, in a term that is its number of starts.
async fn batches(starts: usize) -> Vec<Bytes> {
    let memory = MemoryDisk::new();
    for number in 0..starts {
        let quorum = Quorum::start(
            config(),
            memory.storage(WriterMode::Inline),
            Arc::new(Recorder::default()),
        )
        .await;
        let quorum = quorum.unwrap();
        if number + 1 == starts {
            for number in 0..8 {
                quorum.propose(1, vec![record(number)]).await.unwrap();
            }
        }
        quorum.shutdown().await.unwrap();
    }
    let mut bytes = memory
        .storage(WriterMode::Inline)
        .log
        .read(0, usize::MAX)
        .unwrap();
    let mut batches = Vec::new();
    while !bytes.is_empty() {
        let size = RecordBatch::split_first(&bytes).unwrap().0.size_bytes();
        batches.push(bytes.split_to(size));
    }
    batches
}

/// Appends, truncates, appends what replaces it, purges; how far it came.
fn append_truncate_purge(log: &dyn RaftLog, old: &[Bytes], new: &[Bytes]) -> (usize, io::Result<()>) {
    let steps: [&dyn Fn() -> io::Result<()>; 5] = [
        &|| {
            old[..3]
                .iter()
                .try_for_each(|batch| log.append(batch.clone()))
                .and_then(|()| log.flush())
        },
        &|| {
            old[3..8]
                .iter()
                .try_for_each(|batch| log.append(batch.clone()))
                .and_then(|()| log.flush())
        },
        &|| log.truncate_to(5),
        &|| {
            new[5..9]
                .iter()
                .try_for_each(|batch| log.append(batch.clone()))
                .and_then(|()| log.flush())
        },
        &|| log.purge_to(4),
    ];
    for (done, step) in steps.iter().enumerate() {
        if let Err(error) = step() {
            return (done, Err(error));
        }
    }
    (steps.len(), Ok(()))
}

fn contents(log: &dyn RaftLog) -> Vec<Bytes> {
    if log.start() == log.end() {
        return Vec::new();
    }
    let mut bytes = log.read(log.start(), usize::MAX).unwrap();
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let size = RecordBatch::split_first(&bytes).unwrap().0.size_bytes();
        found.push(bytes.split_to(size));
    }
    found
}

#[tokio::test]
async fn a_power_cut_at_any_call_of_append_truncate_and_purge_leaves_no_hole() {
    let (old, new) = (batches(1).await, batches(2).await);
    assert!(old.len() >= 9 && new.len() >= 9 && old[5] != new[5]);
    for cut in 1.. {
        let (sim, disk) = formatted(cut);
        let storage = open(&disk, Path::new(DATA), WriterMode::Inline).unwrap();
        sim.fail_at(sim.calls() + cut, SimFault::PowerCut);
        let (done, outcome) = append_truncate_purge(storage.log.as_ref(), &old, &new);
        let whole = outcome.is_ok() && !sim.is_cut();
        sim.cut_power();
        sim.restart();
        drop(storage);
        let storage = open(&disk, Path::new(DATA), WriterMode::Inline)
            .unwrap_or_else(|error| panic!("cut {cut}: {error}"));
        let log = storage.log.as_ref();
        let found = contents(log);
        let end = usize::try_from(log.end()).unwrap();
        let first = usize::try_from(log.start()).unwrap();
        assert_eq!(found.len(), end - first, "cut {cut}");
        // What was flushed and not truncated since is there, and what is there was written.
        let least = [0, 3, 5, 5, 9][done.min(4)];
        assert!(end >= least, "cut {cut} in step {done}: ends at {end}");
        for (batch, index) in found.iter().zip(first..) {
            let is_old = old.get(index) == Some(batch);
            let is_new = index >= 5 && new.get(index) == Some(batch);
            assert!(is_old || is_new, "cut {cut} in step {done}: offset {index}");
            assert!(
                is_new || done < 4 || index < 5,
                "cut {cut} in step {done}: offset {index} came back"
            );
        }
        if whole {
            break;
        }
    }
}

#[tokio::test]
async fn two_starts_on_one_directory_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(&Disk::real(), directory.path(), WriterMode::Inline).unwrap();
    let error = open(&Disk::real(), directory.path(), WriterMode::Inline)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("another process uses the metadata log"), "{error}");
    drop(first);
    open(&Disk::real(), directory.path(), WriterMode::Inline).unwrap();
}

#[tokio::test]
async fn damage_inside_the_log_refuses_to_start_and_names_file_and_offset() {
    let (sim, disk) = formatted(9);
    let (quorum, _) = start(&disk, Path::new(DATA), config()).await.unwrap();
    for number in 0..5 {
        quorum.propose(1, vec![record(number)]).await.unwrap();
    }
    quorum.shutdown().await.unwrap();
    drop(quorum);
    sim.cut_power();
    sim.restart();
    let file = Path::new(DATA).join(DIRECTORY).join("00000000000000000000.log");
    // Inside the second batch: a blank entry of some seventy bytes behind the voters.
    assert!(sim.flip_bit(&file, 150, 3));
    let error = start(&disk, Path::new(DATA), config()).await.err().unwrap();
    assert!(
        error.contains("00000000000000000000.log") && error.contains("offset 1"),
        "{error}"
    );
}

#[tokio::test]
async fn a_torn_end_is_cut_after_a_crash_and_refused_after_a_clean_shutdown() {
    let (sim, disk) = formatted(9);
    let (quorum, _) = start(&disk, Path::new(DATA), config()).await.unwrap();
    for number in 0..5 {
        quorum.propose(1, vec![record(number)]).await.unwrap();
    }
    quorum.shutdown().await.unwrap();
    drop(quorum);
    sim.restart_process();
    let file = Path::new(DATA).join(DIRECTORY).join("00000000000000000000.log");
    let log = disk.open(&file, OpenMode::ReadWrite).unwrap();
    log.set_len(log.len().unwrap() - 1).unwrap();
    let open_after = |crash| {
        let files = FileCache::new(disk.clone(), OPEN_FILES);
        let data = Path::new(DATA);
        let clock = Clock::real();
        open_quorum_storage(
            &disk,
            &files,
            data,
            SEGMENT_BYTES,
            crash,
            clock,
            WriterMode::Inline,
        )
    };
    let error = open_after(None).err().unwrap().to_string();
    assert!(error.contains("00000000000000000000.log"), "{error}");
    for crash in [Crash::Process, Crash::Power] {
        let storage = open_after(Some(crash)).unwrap();
        let whole = contents(storage.log.as_ref()).len();
        assert_eq!(u64::try_from(whole).unwrap(), storage.log.end());
        assert!(whole >= 5);
        // The end is torn again, now in the batch before.
        let log = disk.open(&file, OpenMode::ReadWrite).unwrap();
        log.set_len(log.len().unwrap() - 1).unwrap();
    }
}

#[tokio::test]
async fn a_vote_whose_log_was_taken_away_refuses_to_start() {
    let directory = tempfile::tempdir().unwrap();
    start(&Disk::real(), directory.path(), config())
        .await
        .unwrap()
        .0
        .shutdown()
        .await
        .unwrap();
    let log = directory.path().join(DIRECTORY).join("00000000000000000000.log");
    Disk::real().remove_file(&log).unwrap();
    let error = start(&Disk::real(), directory.path(), config())
        .await
        .err()
        .unwrap();
    assert!(error.contains("neither log nor snapshot"), "{error}");
}

async fn propose_six(quorum: Quorum) {
    for number in 0..6 {
        quorum.propose(1, vec![record(number)]).await.unwrap();
        if number == 3 {
            quorum.take_snapshot().await.unwrap();
        }
    }
    quorum.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_disk_that_fills_up_at_any_call_lets_changes_wait_until_there_is_room() {
    let started = async || {
        let (sim, disk) = formatted(11);
        let (quorum, recorder) = start(&disk, Path::new(DATA), config()).await.unwrap();
        (sim, disk, quorum, recorder)
    };
    let (whole, _, quorum, _) = started().await;
    let before = whole.calls();
    propose_six(quorum).await;
    let calls = whole.calls() - before;
    // All at the same time, for each waits.
    let mut lives = tokio::task::JoinSet::new();
    for call in 1..=calls {
        let (sim, disk, quorum, recorder) = started().await;
        sim.fail_at(sim.calls() + call, SimFault::Full);
        lives.spawn(async move {
            let life = tokio::spawn(propose_six(quorum));
            while !sim.has_refused() && !life.is_finished() {
                tokio::task::yield_now().await;
            }
            sim.set_capacity_bytes(u64::MAX);
            life.await.unwrap();
            assert_eq!(recorder.records(), records(6), "full at {call}");
            sim.restart_process();
            let (quorum, recorder) = start(&disk, Path::new(DATA), config()).await.unwrap();
            assert_eq!(recorder.records(), records(6), "full at {call}");
            quorum.shutdown().await.unwrap();
        });
    }
    while let Some(life) = lives.join_next().await {
        life.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_vote_file_refuses_to_start() {
    let (sim, disk) = formatted(9);
    start(&disk, Path::new(DATA), config())
        .await
        .unwrap()
        .0
        .shutdown()
        .await
        .unwrap();
    sim.cut_power();
    sim.restart();
    assert!(sim.flip_bit(&Path::new(DATA).join(DIRECTORY).join(VOTE_FILE), 11, 0));
    let error = start(&disk, Path::new(DATA), config()).await.err().unwrap();
    assert!(
        error.contains("vote in /data/__cluster_metadata-0/quorum-vote cannot be read"),
        "{error}"
    );
}

#[tokio::test]
async fn snapshots_let_go_of_segments_and_a_restart_finds_the_same_state() {
    let directory = tempfile::tempdir().unwrap();
    let (quorum, recorder) = start(&Disk::real(), directory.path(), config()).await.unwrap();
    for round in 0..3 {
        for number in 0..5 {
            let large = Bytes::from(vec![round * 5 + number; 300_000]);
            quorum.propose(1, vec![large]).await.unwrap();
        }
        quorum.take_snapshot().await.unwrap();
    }
    // A purge runs behind the snapshot; the next proposal is ordered behind it.
    quorum.propose(1, vec![record(0)]).await.unwrap();
    let before = recorder.records();
    quorum.shutdown().await.unwrap();
    drop(quorum);
    let kept = storage::disk::Disk::real()
        .read_dir(&directory.path().join(DIRECTORY))
        .unwrap();
    let names: Vec<&str> = kept.iter().map(|entry| entry.name.as_str()).collect();
    assert!(!names.contains(&"00000000000000000000.log"), "{names:?}");
    assert_eq!(
        names.iter().filter(|name| name.ends_with(".checkpoint")).count(),
        1,
        "{names:?}"
    );
    let (quorum, restarted) = start(&Disk::real(), directory.path(), config()).await.unwrap();
    assert_eq!(restarted.records(), before);
    quorum.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_disk_that_fails_once_stops_the_quorum_for_good() {
    let (sim, disk) = formatted(5);
    let (quorum, _) = start(&disk, Path::new(DATA), config()).await.unwrap();
    quorum.propose(1, vec![record(0)]).await.unwrap();
    sim.fail_at(sim.calls() + 1, SimFault::Error);
    let failure = quorum.failure();
    let refused = quorum.propose(1, vec![record(1)]).await;
    assert!(matches!(refused, Err(QuorumError::Stopped(_))), "{refused:?}");
    assert!(matches!(
        quorum.propose(1, vec![record(2)]).await,
        Err(QuorumError::Stopped(_))
    ));
    failure.await;
}
