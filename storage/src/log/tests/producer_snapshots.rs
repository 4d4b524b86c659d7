//! Snapshots of producers that a roll leaves unsynced.

use super::*;
use crate::log::producer_snapshot;

const SEEDS: u64 = 40;

fn seeded(seed: u64) -> Fixture {
    let mut fixture = fixture();
    fixture.sim = SimDisk::new(seed, 64 << 20);
    let disk = Disk::simulated(&fixture.sim);
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    fixture
}

/// A log whose first segment has a batch of producer 9 alone, and the second one of producer 10.
fn rolled(fixture: &Fixture) -> PartitionLog {
    let log = fixture.open();
    append(&log, &batch().producer(9, 0, 0).value_bytes(500)).unwrap();
    append(&log, &batch().producer(10, 0, 0).value_bytes(500)).unwrap();
    log
}

#[test]
fn a_flush_takes_the_snapshot_of_a_rolled_segment_along() {
    for seed in 0..SEEDS {
        let fixture = seeded(seed);
        rolled(&fixture).flush_all().unwrap();
        fixture.sim.cut_power();
        fixture.sim.restart();
        let disk = Disk::simulated(&fixture.sim);
        let found = producer_snapshot::load_newest(&disk, Path::new("/data/orders-0"), i64::MAX).unwrap();
        let (offset, producers) = found.unwrap_or_else(|| panic!("seed {seed}: no snapshot"));
        assert_eq!((offset, producers.producers().len()), (1, 1), "seed {seed}");
    }
}

/// The batch of producer 9 is gone, and the snapshot behind it is all that knows of it.
#[test]
fn retention_leaves_no_snapshot_alone_that_a_power_cut_may_tear() {
    let mut survived = 0;
    for seed in 0..SEEDS {
        let mut fixture = seeded(seed);
        let log = rolled(&fixture);
        log.update_high_watermark(2);
        let names = Disk::simulated(&fixture.sim);
        names.sync_dir(Path::new("/data")).unwrap();
        names.sync_dir(Path::new("/data/orders-0")).unwrap();
        assert_eq!(log.delete_segments_before(1).unwrap().segments, 1);
        drop(log);
        fixture.sim.cut_power();
        fixture.sim.restart();
        fixture.log_start_offset = 1;
        let log = fixture.reopen_after(Some(Crash::Power));
        if log.log_end_offset() == 2 {
            survived += 1;
            let mut known: Vec<i64> = log.producers().iter().map(|(id, _)| *id).collect();
            known.sort_unstable();
            assert_eq!(known, [9, 10], "seed {seed}");
        }
    }
    assert!(survived > 0, "no seed keeps the second batch");
}
