//! Logs that are flushed together through the journal: what is told of them is true after a power cut, and only of those that
//! the sync covered.

use std::sync::Arc;
use std::time::Duration;

use protocol_compat::record_batch::batch::{Compression, RecordBatch, TimestampType};
use protocol_compat::record_batch::builder::BatchBuilder;

use super::flusher::{Left, flush_together};
use super::tests::{
    NOW_MS, append, offsets, partition, sim, start, start_after_power_cut, told, topic_id, try_log_with,
};
use super::*;
use crate::disk::{SimDisk, SimFault};
use crate::log::{AppendError, AppendOrigin};

const TOPICS: i64 = 20;

fn topic(number: i64) -> String {
    // Ids are sums of the letters.
    "t".repeat(usize::try_from(number).unwrap() + 1)
}

/// A log whose appends wait for flushes.
fn log(manager: &LogManager, topic: &str) -> Arc<PartitionLog> {
    let config = LogConfig {
        flush_messages: 1,
        ..LogConfig::default()
    };
    try_log_with(manager, topic, config).unwrap()
}

/// Logs whose files have durable names and one flushed record, and a second one that is not flushed. The journal is there.
fn logs_with_content_to_flush(manager: &LogManager) -> Vec<Arc<PartitionLog>> {
    let logs: Vec<_> = (0..TOPICS).map(|number| log(manager, &topic(number))).collect();
    let first = log(manager, "first");
    for log in logs.iter().chain([&first]) {
        append(log, 1).unwrap();
        log.flush_all().unwrap();
        append(log, 2).unwrap();
    }
    assert!(together(manager, &[first]).alone.is_empty());
    logs
}

fn together(manager: &LogManager, logs: &[Arc<PartitionLog>]) -> Left {
    flush_together(manager.dirs.first().unwrap(), logs)
}

fn durable(logs: &[Arc<PartitionLog>]) -> Vec<i64> {
    logs.iter().map(|log| log.durable_offset()).collect()
}

fn start_with_logs() -> (SimDisk, LogManager, Vec<Arc<PartitionLog>>) {
    let sim = sim(1);
    let manager = start(&sim);
    let logs = logs_with_content_to_flush(&manager);
    (sim, manager, logs)
}

fn assert_no_journal(sim: &SimDisk) {
    let disk = Disk::simulated(sim);
    assert!(!disk.exists(Path::new("/data/.flush_journal")).unwrap());
}

#[test]
fn one_write_and_one_sync_flush_every_log_and_a_power_cut_takes_nothing() {
    let (sim, manager, logs) = start_with_logs();
    let before = sim.calls();
    let left = together(&manager, &logs);
    assert!(left.alone.is_empty() && left.later.is_empty());
    // Of each log the end is read.
    assert_eq!(sim.calls() - before, 2 + logs.len() as u64);
    assert_eq!(durable(&logs), vec![2; logs.len()]);
    assert!(
        logs.iter().all(|log| log.flushed_offset() == 1),
        "no segment was synced"
    );
    drop((logs, manager));
    for _ in 0..2 {
        let manager = start_after_power_cut(&sim);
        for number in 0..TOPICS {
            assert_eq!(offsets(&log(&manager, &topic(number))), [0, 1]);
        }
    }
}

#[test]
fn a_round_that_fails_takes_every_log_offline_and_flushes_none() {
    for call in [1, 2] {
        let (sim, manager, logs) = start_with_logs();
        let call = sim.calls() + logs.len() as u64 + call;
        sim.fail_at(call, SimFault::Error);
        assert!(together(&manager, &logs).alone.is_empty());
        assert_eq!(durable(&logs), vec![1; logs.len()]);
        assert!(logs.iter().all(|log| log.is_failed()));
    }
}

#[test]
fn a_power_cut_in_a_round_flushes_none() {
    for call in [1, 2] {
        let (sim, manager, logs) = start_with_logs();
        sim.fail_at(sim.calls() + logs.len() as u64 + call, SimFault::PowerCut);
        assert!(together(&manager, &logs).alone.is_empty());
        assert_eq!(durable(&logs), vec![1; logs.len()]);
        drop((logs, manager));
        let manager = start_after_power_cut(&sim);
        for number in 0..TOPICS {
            let found = offsets(&log(&manager, &topic(number)));
            assert!(found == [0] || found == [0, 1], "{found:?}");
        }
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
    rolled.roll(NOW_MS).unwrap();
    append(&rolled, 3).unwrap();
    let (alone, content) = ([new, rolled], logs.len());
    logs.extend(alone.iter().cloned());
    let left = together(&manager, &logs).alone;
    assert!(
        left.iter()
            .zip(&alone)
            .all(|(one, other)| Arc::ptr_eq(one, other))
    );
    assert_eq!(left.len(), alone.len());
    assert_eq!(durable(&logs[..content]), vec![2; content]);
    assert_eq!(durable(&alone), [0, 1]);
}

#[test]
fn a_log_without_flush_messages_makes_no_journal() {
    let sim = sim(1);
    let manager = start(&sim);
    let log = try_log_with(&manager, "orders", LogConfig::default()).unwrap();
    append(&log, 1).unwrap();
    log.flush_all().unwrap();
    append(&log, 2).unwrap();
    assert_eq!(together(&manager, &[log]).alone.len(), 1);
    assert_no_journal(&sim);
}

#[test]
fn without_room_for_a_journal_each_log_is_flushed_alone() {
    // The journal would fit, and leave too little.
    let sim = SimDisk::new(1, 1 << 20);
    let manager = start(&sim);
    let orders = log(&manager, "orders");
    append(&orders, 1).unwrap();
    orders.flush_all().unwrap();
    for value in 2..4 {
        append(&orders, value).unwrap();
        assert_eq!(together(&manager, std::slice::from_ref(&orders)).alone.len(), 1);
        assert!(!orders.is_failed());
    }
    assert_no_journal(&sim);
}

#[test]
fn what_was_cut_off_does_not_come_back() {
    let (sim, manager, logs) = start_with_logs();
    assert!(together(&manager, &logs).alone.is_empty());
    let cut = &logs[0];
    manager.truncate_to(&partition(&topic(0)), 1).unwrap();
    assert_eq!((cut.log_end_offset(), cut.durable_offset()), (1, 1));
    drop((logs, manager));
    let manager = start_after_power_cut(&sim);
    assert_eq!(offsets(&log(&manager, &topic(0))), [0]);
    assert_eq!(offsets(&log(&manager, &topic(1))), [0, 1]);
}

#[test]
fn what_a_deleted_topic_wrote_does_not_come_back_in_a_new_one_of_its_name() {
    let (sim, manager, logs) = start_with_logs();
    assert!(together(&manager, &logs).alone.is_empty());
    drop(logs);
    manager.delete(&partition(&topic(0)), NOW_MS).unwrap();
    let config = Arc::new(LogConfig::default());
    let other_id = topic_id("another");
    let open = |manager: &LogManager| {
        manager
            .get_or_open(&partition(&topic(0)), other_id, config.clone(), None, NOW_MS)
            .unwrap()
    };
    let new = open(&manager);
    append(&new, 7).unwrap();
    new.flush_all().unwrap();
    drop((new, manager));
    let manager = start_after_power_cut(&sim);
    assert_eq!(offsets(&open(&manager)), [0]);
}

#[test]
fn a_segment_that_cannot_be_synced_keeps_the_journal_for_the_next_start() {
    let (sim, manager, logs) = start_with_logs();
    assert!(together(&manager, &logs).alone.is_empty());
    let journal = manager.dirs[0].journal();
    sim.fail_at(sim.calls() + 1, SimFault::Error);
    assert!(journal.leave().is_err());
    // Nor is anything written over later.
    assert!(journal.leave().is_err());
    assert!(logs.iter().all(|log| log.is_failed()));
    drop((logs, manager));
    let manager = start_after_power_cut(&sim);
    for number in 0..TOPICS {
        assert_eq!(offsets(&log(&manager, &topic(number))), [0, 1]);
    }
}

#[test]
fn a_deleted_topic_keeps_no_file_open_and_does_not_hold_the_journal_up() {
    let (sim, manager, logs) = start_with_logs();
    assert!(together(&manager, &logs).alone.is_empty());
    let file = Arc::downgrade(&logs[0].segments()[0].log.get(manager.files()).unwrap());
    drop(logs);
    manager.delete(&partition(&topic(0)), NOW_MS).unwrap();
    manager.removal_pass(i64::MAX).unwrap();
    manager.dirs[0].journal().leave().unwrap();
    assert_eq!(file.strong_count(), 0);
    drop(manager);
    let manager = start_after_power_cut(&sim);
    assert_eq!(offsets(&log(&manager, &topic(1))), [0, 1]);
}

#[test]
fn a_clean_shutdown_leaves_no_journal() {
    let (sim, manager, logs) = start_with_logs();
    assert!(together(&manager, &logs).alone.is_empty());
    manager.shutdown_cleanly(1);
    drop((logs, manager));
    assert_no_journal(&sim);
    let manager = start(&sim);
    assert_eq!(offsets(&log(&manager, &topic(3))), [0, 1]);
}

#[test]
fn requests_of_many_logs_are_all_answered() {
    let sim = sim(1);
    let manager = start(&sim);
    let logs: Vec<_> = (0..TOPICS).map(|number| told(&manager, &topic(number))).collect();
    for (log, _) in &logs {
        let config = LogConfig {
            flush_messages: 1,
            ..LogConfig::default()
        };
        log.update_config(Arc::new(config));
    }
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
            while log.durable_offset() < round {
                let told = events.recv_timeout(Duration::from_secs(20)).unwrap();
                assert!((1..=round).contains(&told));
            }
        }
    }
}

/// A record that is told by its timestamp.
fn append_numbered(log: &PartitionLog, number: i64, bytes: u64) -> Result<(), AppendError> {
    let mut batch = BatchBuilder::new(0, Compression::None, TimestampType::CreateTime, None, -1);
    let value = vec![7; usize::try_from(bytes).unwrap()];
    batch.append(NOW_MS + number, None, Some(&value), &[]);
    log.append_as_leader(batch.build(), 0, AppendOrigin::Client, NOW_MS)?;
    Ok(())
}

/// The numbers of all records of a log.
fn numbers(log: &PartitionLog) -> Vec<i64> {
    let mut found = Vec::new();
    while (found.len() as i64) < log.log_end_offset() {
        let read = log
            .read(found.len() as i64, 1 << 20, log.log_end_offset(), true)
            .unwrap();
        let mut rest = read.records.as_ref();
        while let Ok((batch, after)) = RecordBatch::split_first(rest) {
            batch.verify_checksum().unwrap();
            found.push(batch.max_timestamp_ms() - NOW_MS);
            rest = after;
        }
    }
    found
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// One log as the test knows it.
#[derive(Clone, Default)]
struct Known {
    written: Vec<i64>,
    /// So many of them were told to be durable.
    durable: usize,
    /// Where the log was cut and nothing behind it was flushed since: what stood there may come back.
    cut_at: Option<usize>,
}

/// Does something to the logs. Whether everything was as it should be.
fn step(
    manager: &LogManager,
    logs: &[Arc<PartitionLog>],
    known: &mut [Known],
    random: &mut Random,
    number: i64,
) -> bool {
    let at = random.below(logs.len() as u64) as usize;
    let (log, one) = (&logs[at], &mut known[at]);
    match random.below(20) {
        0 => log.roll(NOW_MS).is_ok(),
        1 => log.flush_all().is_ok(),
        2 if !one.written.is_empty() => {
            let end = one.written.len() - random.below(3.min(one.written.len() as u64 + 1)) as usize;
            one.durable = one.durable.min(end);
            one.cut_at = Some(one.cut_at.map_or(end, |before| before.min(end)));
            let is_cut = manager
                .truncate_to(&partition(&topic(at as i64)), end as i64)
                .is_ok();
            if is_cut {
                one.written.truncate(end);
            }
            is_cut
        }
        3..8 => {
            let left = together(manager, logs);
            if left.is_part_full && random.below(2) == 0 {
                manager.dirs[0].journal().retire();
            }
            left.alone.iter().all(|log| log.flush_all().is_ok())
        }
        _ => {
            one.written.push(number);
            append_numbered(log, number, random.below(6_000)).is_ok()
        }
    }
}

/// Appends, rounds, full parts, rolls, cuts and flushes in any order, and a power cut at any call: what was told to be durable
/// is there after it, in its order, and nothing that was cut off.
#[test]
fn whatever_happens_nothing_is_lost_that_was_told_to_be_durable() {
    let (mut told, mut cuts) = (0, 0);
    for seed in 0..100 {
        let mut random = Random(seed);
        let sim = sim(seed);
        let mut manager = start(&sim);
        let mut known = vec![Known::default(); 4];
        for life in 0..4_i64 {
            let logs: Vec<_> = (0..4).map(|number| log(&manager, &topic(number))).collect();
            for (log, one) in logs.iter().zip(&mut known) {
                let found = numbers(log);
                let kept = &one.written[..one.durable];
                assert!(
                    found.starts_with(kept),
                    "seed {seed}, life {life}: {found:?} lacks of {kept:?}"
                );
                let known_to = one.cut_at.take().unwrap_or(usize::MAX).min(found.len());
                assert!(
                    one.written.starts_with(&found[..known_to]),
                    "seed {seed}, life {life}: {found:?}, {:?}",
                    one.written
                );
                one.written = found;
            }
            if random.below(4) > 0 {
                sim.fail_at(sim.calls() + 100 + random.below(2_500), SimFault::PowerCut);
            }
            for number in 0..500 {
                let is_well = step(&manager, &logs, &mut known, &mut random, life * 1_000 + number);
                if sim.is_cut() {
                    cuts += 1;
                    break;
                }
                assert!(is_well, "seed {seed}, life {life}, step {number}");
                for (log, one) in logs.iter().zip(&mut known) {
                    one.durable = log.durable_offset() as usize;
                    one.cut_at = one.cut_at.filter(|at| one.durable <= *at);
                    told += 1;
                }
            }
            drop((logs, manager));
            manager = start_after_power_cut(&sim);
        }
    }
    assert!(told > 100_000 && cuts > 50, "{told} {cuts}");
}
