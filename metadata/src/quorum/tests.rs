//! The quorum whole, on a disk in memory: restarts, power cuts at every write, snapshots, damage.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use uuid::Uuid;

use super::memory::MemoryDisk;
use super::{ApplySink, ImageView, Quorum, QuorumConfig, QuorumError, WriterMode};

/// Replays records into a list: the list is the state and its own digest.
#[derive(Default)]
struct Recorder {
    records: Mutex<Vec<Bytes>>,
}

impl Recorder {
    fn records(&self) -> Vec<Bytes> {
        self.records.lock().unwrap().clone()
    }
}

impl ApplySink for Recorder {
    fn replay(&self, _offset: u64, records: &[Bytes]) -> Result<(), String> {
        if records.contains(&Bytes::from_static(b"poison")) {
            return Err("a record that cannot be replayed".to_owned());
        }
        self.records.lock().unwrap().extend_from_slice(records);
        Ok(())
    }

    fn install(&self, _offset: u64, records: &[Bytes]) -> Result<(), String> {
        *self.records.lock().unwrap() = records.to_vec();
        Ok(())
    }

    fn view(&self) -> ImageView {
        let records = self.records();
        Box::new(move || Ok(records))
    }
}

const DIRECTORY: Uuid = Uuid::from_u128(77);

fn config() -> QuorumConfig {
    QuorumConfig {
        node_id: 1,
        directory_id: DIRECTORY,
        cluster_id: "a-cluster".into(),
        ids_read_from: "meta.properties".to_owned(),
        snapshot_after_bytes: u64::MAX,
        entries_kept_behind_snapshot: 0,
    }
}

async fn start_with(disk: &MemoryDisk, config: QuorumConfig) -> Result<(Quorum, Arc<Recorder>), QuorumError> {
    let recorder = Arc::new(Recorder::default());
    let quorum = Quorum::start(config, disk.storage(WriterMode::Inline), recorder.clone()).await?;
    Ok((quorum, recorder))
}

async fn start(disk: &MemoryDisk) -> Result<(Quorum, Arc<Recorder>), QuorumError> {
    start_with(disk, config()).await
}

fn record(number: usize) -> Bytes {
    Bytes::from(format!("record {number}"))
}

#[tokio::test]
async fn a_fresh_voter_leads_and_what_it_committed_survives_restarts() {
    let disk = MemoryDisk::new();
    for round in 0..4 {
        let (quorum, recorder) = start(&disk).await.unwrap();
        assert_eq!(recorder.records(), (0..round).map(record).collect::<Vec<_>>());
        let offset = quorum.propose(1, vec![record(round)]).await.unwrap();
        let status = quorum.describe();
        assert_eq!((status.leader, status.voters.len()), (Some(1), 1));
        assert_eq!(status.voters[0].directory_id, DIRECTORY);
        assert_eq!(status.high_watermark, offset + 1);
        // Every start is another leadership.
        assert_eq!(status.leader_epoch, round as i32 + 1);
        quorum.read_barrier().await.unwrap();
        quorum.shutdown().await.unwrap();
    }
}

/// Prints how long the starts take; the bounds that matter are measured on a disk.
#[tokio::test]
async fn a_sole_voter_waits_for_no_election_timeout() {
    let disk = MemoryDisk::new();
    for _ in 0..2 {
        let began = std::time::Instant::now();
        let recorder = Arc::new(Recorder::default());
        let quorum = Quorum::start(config(), disk.storage(WriterMode::Thread), recorder)
            .await
            .unwrap();
        quorum.propose(1, vec![record(0)]).await.unwrap();
        let took = began.elapsed();
        println!("start and first proposal: {took:?}");
        // Far below the shortest election timeout, far above what a busy machine needs.
        assert!(took.as_millis() < 1_000, "{took:?}");
        quorum.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn concurrent_proposals_are_each_applied_once_and_in_the_order_of_their_offsets() {
    let disk = MemoryDisk::new();
    let recorder = Arc::new(Recorder::default());
    let quorum = Quorum::start(config(), disk.storage(WriterMode::Thread), recorder.clone())
        .await
        .unwrap();
    let proposals = (0..200).map(|number| quorum.propose(1, vec![record(number), record(number)]));
    let offsets = futures_util::future::try_join_all(proposals).await.unwrap();
    let mut by_offset: Vec<(i64, usize)> = offsets.into_iter().zip(0..).collect();
    by_offset.sort_unstable();
    let expected: Vec<Bytes> = by_offset
        .iter()
        .flat_map(|&(_, number)| [record(number), record(number)])
        .collect();
    assert_eq!(recorder.records(), expected);
    quorum.shutdown().await.unwrap();
}

/// Proposes until the power goes, with a snapshot on the way; what was acknowledged.
async fn run_until_the_power_goes(disk: &MemoryDisk) -> usize {
    let Ok((quorum, _)) = start(disk).await else {
        return 0;
    };
    let mut acknowledged = 0;
    for number in 0..8 {
        if quorum.propose(1, vec![record(number)]).await.is_err() {
            break;
        }
        acknowledged = number + 1;
        if number == 4 && quorum.take_snapshot().await.is_err() {
            break;
        }
    }
    // A core that died of the power cut cannot be stopped once more.
    quorum.shutdown().await.ok();
    acknowledged
}

#[tokio::test]
async fn a_power_cut_at_any_write_loses_nothing_that_was_acknowledged() {
    let whole = MemoryDisk::new();
    assert_eq!(run_until_the_power_goes(&whole).await, 8);
    let writes = whole.writes();
    assert!(writes > 20, "the script makes only {writes} writes");
    for cut in 0..writes {
        for kept in 0..3 {
            let disk = MemoryDisk::new();
            disk.cut_power_at(cut);
            let acknowledged = run_until_the_power_goes(&disk).await;
            disk.restart(kept);
            let (quorum, recorder) = start(&disk).await.unwrap();
            let found = recorder.records();
            assert!(
                found.len() >= acknowledged,
                "cut {cut}: {acknowledged} acknowledged, {} found",
                found.len()
            );
            assert_eq!(
                found,
                (0..found.len()).map(record).collect::<Vec<_>>(),
                "cut {cut}"
            );
            quorum.propose(1, vec![record(found.len())]).await.unwrap();
            quorum.shutdown().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_snapshot_lets_go_of_the_log_and_a_restart_finds_the_same_state() {
    let disk = MemoryDisk::new();
    let config = QuorumConfig {
        snapshot_after_bytes: 100,
        ..config()
    };
    let (quorum, recorder) = start_with(&disk, config.clone()).await.unwrap();
    for number in 0..100 {
        quorum.propose(1, vec![record(number)]).await.unwrap();
    }
    quorum.take_snapshot().await.unwrap();
    let before = quorum.describe();
    assert!(before.snapshot_end_offset > 50, "{before:?}");
    quorum.shutdown().await.unwrap();
    disk.restart(0);
    let (quorum, restarted) = start_with(&disk, config).await.unwrap();
    assert_eq!(restarted.records(), recorder.records());
    let after = quorum.describe();
    assert!(after.log_start_offset > 50, "{after:?}");
    quorum.propose(1, vec![record(100)]).await.unwrap();
    quorum.shutdown().await.unwrap();
}

/// Upstream issue 2116: under sustained load the purge overtook what was applied, and the core panicked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purges_under_load_never_overtake_what_is_applied() {
    let disk = MemoryDisk::new();
    let config = QuorumConfig {
        snapshot_after_bytes: 64,
        ..config()
    };
    let recorder = Arc::new(Recorder::default());
    let quorum = Quorum::start(config, disk.storage(WriterMode::Thread), recorder.clone())
        .await
        .unwrap();
    for round in 0..20 {
        let proposals = (0..100).map(|number| quorum.propose(1, vec![record(round * 100 + number)]));
        futures_util::future::try_join_all(proposals).await.unwrap();
    }
    assert_eq!(recorder.records().len(), 2_000);
    assert!(quorum.describe().log_start_offset > 0, "{:?}", quorum.describe());
    quorum.shutdown().await.unwrap();
}

/// A small generator, so that a seed names one run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[tokio::test]
async fn seeded_crashes_in_a_row_lose_nothing_and_leave_the_state_of_a_replay() {
    for seed in 0..20 {
        let mut random = Seeded(seed);
        let disk = MemoryDisk::new();
        let config = QuorumConfig {
            snapshot_after_bytes: 40 + random.below(200),
            entries_kept_behind_snapshot: random.below(5),
            ..config()
        };
        let mut acknowledged = 0;
        for _ in 0..6 {
            disk.cut_power_at(disk.writes() + random.below(60));
            if let Ok((quorum, recorder)) = start_with(&disk, config.clone()).await {
                for _ in 0..random.below(40) {
                    let next = recorder.records().len();
                    if quorum.propose(1, vec![record(next)]).await.is_err() {
                        break;
                    }
                    acknowledged = next + 1;
                }
                // Dropped, as a crash drops it.
            }
            disk.restart(random.below(3) as usize);
            let (quorum, recorder) = start_with(&disk, config.clone()).await.unwrap();
            let found = recorder.records();
            assert!(
                found.len() >= acknowledged,
                "seed {seed}: {acknowledged} of {}",
                found.len()
            );
            assert_eq!(
                found,
                (0..found.len()).map(record).collect::<Vec<_>>(),
                "seed {seed}"
            );
            acknowledged = found.len();
            quorum.shutdown().await.unwrap();
        }
    }
}

async fn propose_and_snapshot(disk: &MemoryDisk) -> Vec<Bytes> {
    let (quorum, recorder) = start(disk).await.unwrap();
    for number in 0..4 {
        quorum.propose(1, vec![record(number)]).await.unwrap();
    }
    quorum.take_snapshot().await.unwrap();
    quorum.propose(1, vec![record(4)]).await.unwrap();
    quorum.shutdown().await.unwrap();
    recorder.records()
}

#[tokio::test]
async fn a_full_disk_lets_changes_wait_and_loses_none() {
    let whole = MemoryDisk::new();
    let expected = propose_and_snapshot(&whole).await;
    // All at the same time, for each waits.
    let mut lives = tokio::task::JoinSet::new();
    for call in 0..whole.writes() {
        let expected = expected.clone();
        lives.spawn(async move {
            let disk = MemoryDisk::new();
            disk.fill_at(call);
            let meets_it = disk.clone();
            let life = tokio::spawn(async move { propose_and_snapshot(&meets_it).await });
            while !disk.has_refused() && !life.is_finished() {
                tokio::task::yield_now().await;
            }
            disk.make_room();
            assert_eq!(life.await.unwrap(), expected, "full at {call}");
            let (quorum, recorder) = start(&disk).await.unwrap();
            assert_eq!(recorder.records(), expected, "full at {call}");
            quorum.shutdown().await.unwrap();
        });
    }
    while let Some(life) = lives.join_next().await {
        life.unwrap();
    }
}

#[tokio::test]
async fn a_node_that_waits_for_room_can_be_stopped() {
    let disk = MemoryDisk::new();
    let (quorum, _) = start(&disk).await.unwrap();
    disk.fill_at(0);
    let quorum = Arc::new(quorum);
    let waiting = quorum.clone();
    let proposed = tokio::spawn(async move { waiting.propose(1, vec![record(0)]).await });
    while !disk.has_refused() {
        tokio::task::yield_now().await;
    }
    assert!(!proposed.is_finished());
    quorum.shutdown().await.ok();
    assert!(proposed.await.unwrap().is_err());
}

#[tokio::test]
async fn a_damaged_vote_refuses_to_start_with_a_sentence() {
    let disk = MemoryDisk::new();
    start(&disk).await.unwrap().0.shutdown().await.unwrap();
    disk.damage_vote(|vote| vote[12] ^= 4);
    let error = start(&disk).await.err().unwrap().to_string();
    assert!(error.contains("vote in memory cannot be read"), "{error}");
}

#[tokio::test]
async fn damage_inside_the_log_refuses_to_start_and_names_the_offset() {
    let disk = MemoryDisk::new();
    let (quorum, _) = start(&disk).await.unwrap();
    let mut offset = 0;
    for number in 0..5 {
        offset = quorum.propose(1, vec![record(number)]).await.unwrap();
    }
    quorum.shutdown().await.unwrap();
    disk.damage_entry(offset.cast_unsigned() - 2);
    let error = start(&disk).await.err().unwrap().to_string();
    assert!(error.contains(&format!("offset {}", offset - 2)), "{error}");
}

#[tokio::test]
async fn another_disk_under_the_same_node_id_is_refused() {
    let disk = MemoryDisk::new();
    start(&disk).await.unwrap().0.shutdown().await.unwrap();
    let config = QuorumConfig {
        directory_id: Uuid::from_u128(78),
        ..config()
    };
    let error = start_with(&disk, config).await.err().unwrap().to_string();
    assert!(error.contains("directory id"), "{error}");
}

/// Before there is any snapshot: a flipped bit of `meta.properties`, which has no checksum, looks like this.
#[tokio::test]
async fn a_log_of_another_cluster_is_refused_with_both_ids_and_where_they_stand() {
    let disk = MemoryDisk::new();
    start(&disk).await.unwrap().0.shutdown().await.unwrap();
    let other = QuorumConfig {
        cluster_id: "a-clustes".into(),
        ..config()
    };
    let error = start_with(&disk, other).await.err().unwrap().to_string();
    for word in ["meta.properties", "a-clustes", "vote in memory", "a-cluster:"] {
        assert!(error.contains(word), "{error}");
    }
    start(&disk).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_of_another_cluster_is_refused() {
    let disk = MemoryDisk::new();
    let (quorum, _) = start(&disk).await.unwrap();
    quorum.propose(1, vec![record(0)]).await.unwrap();
    quorum.take_snapshot().await.unwrap();
    quorum.shutdown().await.unwrap();
    let config = QuorumConfig {
        cluster_id: "another".into(),
        ..config()
    };
    let error = start_with(&disk, config).await.err().unwrap().to_string();
    assert!(error.contains("of cluster a-cluster"), "{error}");
}

#[tokio::test]
async fn an_entry_that_cannot_be_replayed_ends_the_core_and_is_seen() {
    let disk = MemoryDisk::new();
    let (quorum, _) = start(&disk).await.unwrap();
    let failure = quorum.failure();
    let proposed = quorum.propose(1, vec![Bytes::from_static(b"poison")]).await;
    assert!(matches!(proposed, Err(QuorumError::Stopped(_))), "{proposed:?}");
    let reason = failure.await;
    assert!(reason.contains("cannot be replayed"), "{reason}");
}
