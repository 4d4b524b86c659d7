//! Logs that are synced together: what is told of them is true after a power cut, and only of those that the sync covered.

use std::sync::Arc;
use std::time::Duration;

use super::flusher::{Together, flush_together};
use super::tests::{append, log, offsets, sim, start, start_after_power_cut, told};
use super::*;
use crate::disk::{SimDisk, SimFault};

const TOPICS: i64 = 20;

fn topic(number: i64) -> String {
    // Ids are sums of the letters.
    "t".repeat(usize::try_from(number).unwrap() + 1)
}

/// Logs whose files have durable names and one flushed record, and a second one that is not flushed.
fn logs_with_content_to_flush(manager: &LogManager) -> Vec<Arc<PartitionLog>> {
    let logs: Vec<_> = (0..TOPICS).map(|number| log(manager, &topic(number))).collect();
    for log in &logs {
        append(log, 1).unwrap();
        log.flush_all().unwrap();
        append(log, 2).unwrap();
    }
    logs
}

/// Flushes them together; those that were not.
fn together(manager: &LogManager, logs: &[Arc<PartitionLog>]) -> Vec<Arc<PartitionLog>> {
    match flush_together(manager.dirs.first().unwrap(), logs) {
        Together::But(alone) => alone,
        Together::TooMuchToWrite(_) => logs.to_vec(),
    }
}

fn flushed(logs: &[Arc<PartitionLog>]) -> Vec<i64> {
    logs.iter().map(|log| log.flushed_offset()).collect()
}

fn start_with_logs() -> (SimDisk, LogManager, Vec<Arc<PartitionLog>>) {
    let sim = sim(1);
    let manager = start(&sim);
    let logs = logs_with_content_to_flush(&manager);
    (sim, manager, logs)
}

#[test]
fn one_sync_of_the_file_system_flushes_every_log_and_a_power_cut_takes_nothing() {
    let (sim, manager, logs) = start_with_logs();
    let before = sim.calls();
    assert!(together(&manager, &logs).is_empty());
    assert_eq!(sim.calls() - before, 2, "the file system, and one file of it");
    assert_eq!(flushed(&logs), vec![2; logs.len()]);
    drop((logs, manager));
    let manager = start_after_power_cut(&sim);
    for number in 0..TOPICS {
        assert_eq!(offsets(&log(&manager, &topic(number))), [0, 1]);
    }
}

#[test]
fn a_sync_that_fails_takes_every_log_offline_and_flushes_none() {
    for call in 1..=2 {
        let (sim, manager, logs) = start_with_logs();
        sim.fail_at(sim.calls() + call, SimFault::Error);
        assert!(together(&manager, &logs).is_empty());
        assert_eq!(flushed(&logs), vec![1; logs.len()]);
        assert!(logs.iter().all(|log| log.is_failed()));
    }
}

#[test]
fn a_power_cut_at_the_sync_flushes_none() {
    for call in 1..=2 {
        let (sim, manager, logs) = start_with_logs();
        sim.fail_at(sim.calls() + call, SimFault::PowerCut);
        assert!(together(&manager, &logs).is_empty());
        assert_eq!(flushed(&logs), vec![1; logs.len()]);
    }
}

#[test]
fn a_log_with_new_names_or_a_sealed_segment_is_flushed_alone() {
    let (_sim, manager, mut logs) = start_with_logs();
    let new = log(&manager, "new");
    append(&new, 1).unwrap();
    let rolled = log(&manager, "rolled");
    append(&rolled, 1).unwrap();
    rolled.flush_all().unwrap();
    append(&rolled, 2).unwrap();
    rolled.roll(super::tests::NOW_MS).unwrap();
    append(&rolled, 3).unwrap();
    let (alone, content) = ([new, rolled], logs.len());
    logs.extend(alone.iter().cloned());
    let left = together(&manager, &logs);
    assert!(
        left.iter()
            .zip(&alone)
            .all(|(one, other)| Arc::ptr_eq(one, other))
    );
    assert_eq!(left.len(), alone.len());
    assert_eq!(flushed(&logs[..content]), vec![2; content]);
    assert_eq!(flushed(&alone), [0, 1]);
}

#[test]
fn requests_of_many_logs_are_all_answered() {
    let sim = sim(1);
    let manager = start(&sim);
    let logs: Vec<_> = (0..TOPICS).map(|number| told(&manager, &topic(number))).collect();
    for round in 1..=50 {
        for (log, _) in &logs {
            append(log, round).unwrap();
            manager.request_flush(log);
        }
        if round == 50 {
            // What was requested before is flushed, and every thread ends.
            manager.flusher.close();
        }
        for (log, events) in &logs {
            while log.flushed_offset() < round {
                let told = events.recv_timeout(Duration::from_secs(20)).unwrap();
                assert!((1..=round).contains(&told));
            }
        }
    }
}
