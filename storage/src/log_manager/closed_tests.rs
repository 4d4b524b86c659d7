//! Logs that nobody uses: recovery, retention and sizes without leaving a log open.

use protocol_compat::record_batch::batch::RecordBatch;

use super::tests::{
    DELAY_MS, NOW_MS, append, config, log, new_id, offsets, partition, sim, start, start_after_power_cut,
    topic_id, try_log_with,
};
use super::*;
use crate::checkpoints::OffsetCheckpoint;
use crate::disk::SimDisk;

/// Leads every partition but those of the topic `gone`; a lone replica.
#[derive(Default)]
pub(super) struct Owner {
    config: Arc<LogConfig>,
}

impl LogOwner for Owner {
    fn settings(&self, partition: &TopicPartition) -> Option<(TopicId, Arc<LogConfig>)> {
        (&*partition.topic != "gone").then(|| (topic_id(&partition.topic), self.config.clone()))
    }

    fn opened(&self, log: &PartitionLog) {
        log.update_high_watermark(log.log_end_offset());
    }
}

pub(super) fn owner(config: LogConfig) -> Owner {
    Owner {
        config: Arc::new(config),
    }
}

/// Segments that take two batches.
fn two_batches() -> LogConfig {
    LogConfig {
        segment_bytes: 170,
        ..LogConfig::default()
    }
}

fn flushed_at_once() -> LogConfig {
    LogConfig {
        flush_messages: 1,
        ..LogConfig::default()
    }
}

/// A crash of the process that follows is not taken for a power cut.
fn start_in_a_known_boot(sim: &SimDisk) -> LogManager {
    let manager = start(sim);
    manager.checkpoint_pass(&claims::KINDS);
    manager
}

fn recover_all(manager: &LogManager, owner: &Owner) -> Vec<TopicPartition> {
    let mut recovered = Vec::new();
    while let Some(partition) = manager.next_to_recover() {
        manager.recover(&partition, owner, NOW_MS).unwrap();
        recovered.push(partition);
    }
    recovered
}

/// A node that was stopped cleanly with `count` records in `orders`, and started again.
fn started_again(sim: &SimDisk, config: LogConfig, count: i64) -> LogManager {
    let manager = start(sim);
    let orders = try_log_with(&manager, "orders", config).unwrap();
    for value in 0..count {
        append(&orders, value).unwrap();
    }
    orders.update_high_watermark(count);
    manager.shutdown_cleanly(1);
    drop((manager, orders));
    sim.restart_process();
    start(sim)
}

#[test]
fn what_a_crash_left_is_recovered_once_each_and_closed_again() {
    let sim = sim(1);
    let manager = start(&sim);
    for topic in ["a", "b", "c", "gone"] {
        append(&log(&manager, topic), 1).unwrap();
    }
    drop(manager);
    sim.restart_process();
    let manager = start(&sim);
    log(&manager, "b");
    let turns = recover_all(&manager, &Owner::default());
    assert_eq!(
        turns,
        ["a", "c", "gone"].map(partition),
        "b was recovered when it was opened"
    );
    assert!(manager.get(&partition("a")).is_none() && manager.get(&partition("c")).is_none());
    assert_eq!(offsets(&log(&manager, "a")), [0]);
    assert_eq!(log(&manager, "a").high_watermark(), 1);
    manager.shutdown_cleanly(2);
    drop(manager);
    sim.restart_process();
    let epoch = start(&sim).previous_broker_epoch();
    assert_eq!(epoch, None, "the topic that nobody leads is not recovered");
}

#[test]
fn after_a_clean_stop_there_is_nothing_to_recover() {
    let sim = sim(1);
    let manager = started_again(&sim, LogConfig::default(), 3);
    assert_eq!(manager.next_to_recover(), None);
    assert_eq!(offsets(&log(&manager, "orders")), [0, 1, 2]);
}

#[test]
fn a_recovered_log_that_nobody_opened_survives_a_clean_stop_and_a_power_cut() {
    for seed in 0..8 {
        let sim = sim(seed);
        let manager = start(&sim);
        let orders = try_log_with(&manager, "orders", two_batches()).unwrap();
        for value in 0..7 {
            append(&orders, value).unwrap();
        }
        drop((manager, orders));
        sim.restart_process();
        let manager = start(&sim);
        assert_eq!(recover_all(&manager, &owner(two_batches())).len(), 1);
        if seed % 2 == 0 {
            manager.checkpoint_pass(&claims::KINDS);
        }
        manager.shutdown_cleanly(5);
        drop(manager);
        let manager = start_after_power_cut(&sim);
        assert_eq!(manager.previous_broker_epoch(), Some(5));
        assert_eq!(manager.next_to_recover(), None);
        let orders = log(&manager, "orders");
        assert_eq!(offsets(&orders)[..2], [0, 1]);
        assert_eq!((orders.log_end_offset(), orders.high_watermark()), (7, 7));
        assert_eq!(orders.latest_epoch(), Some(0));
    }
}

/// What was not flushed is not flushed by recovery either, unless its topic asks for it.
#[test]
fn what_recovery_found_reaches_the_checkpoints_though_the_log_is_closed() {
    let in_time = LogConfig {
        flush_ms: 1000,
        ..LogConfig::default()
    };
    for (config, recovery_point) in [(LogConfig::default(), 0), (flushed_at_once(), 1), (in_time, 1)] {
        let sim = sim(1);
        let manager = start_in_a_known_boot(&sim);
        append(&log(&manager, "orders"), 1).unwrap();
        drop(manager);
        sim.restart_process();
        let manager = start(&sim);
        recover_all(&manager, &owner(config));
        let read = |kind| crate::checkpoints::read(&Disk::simulated(&sim), Path::new("/data"), kind).unwrap();
        let written = |kind| read(kind).get(&partition("orders")).copied();
        manager.checkpoint_pass(&[OffsetCheckpoint::RecoveryPoint]);
        assert_eq!(written(OffsetCheckpoint::RecoveryPoint), Some(recovery_point));
        assert_eq!(written(OffsetCheckpoint::HighWatermark), None);
        manager.checkpoint_pass(&claims::KINDS);
        assert_eq!(written(OffsetCheckpoint::HighWatermark), Some(1));
        manager.delete(&partition("orders"), NOW_MS).unwrap();
        assert_eq!(written(OffsetCheckpoint::HighWatermark), None);
    }
}

/// Files that the first process wrote, the second recovered and closed, and the third, opened again, made durable.
#[test]
fn a_flush_behind_a_recovery_makes_everything_durable_that_was_recovered() {
    for seed in 0..32 {
        let sim = sim(seed);
        let manager = start_in_a_known_boot(&sim);
        let orders = try_log_with(&manager, "orders", two_batches()).unwrap();
        for value in 0..3 {
            append(&orders, value).unwrap();
        }
        if seed % 2 == 0 {
            orders.flush_all().unwrap();
            manager.checkpoint_pass(&claims::KINDS);
        }
        for value in 3..7 {
            append(&orders, value).unwrap();
        }
        drop((manager, orders));
        sim.restart_process();
        let manager = start(&sim);
        if seed % 4 < 2 {
            recover_all(&manager, &owner(two_batches()));
            manager.checkpoint_pass(&claims::KINDS);
        }
        let orders = try_log_with(&manager, "orders", two_batches()).unwrap();
        let synced = if seed % 2 == 0 { 3 } else { 0 };
        assert_eq!((orders.flushed_offset(), orders.log_end_offset()), (synced, 7));
        if seed % 8 < 4 {
            append(&orders, 7).unwrap();
        }
        let end = orders.log_end_offset();
        orders.flush_all().unwrap();
        manager.checkpoint_pass(&claims::KINDS);
        drop((manager, orders));
        let manager = start_after_power_cut(&sim);
        let orders = try_log_with(&manager, "orders", two_batches()).unwrap();
        assert_eq!(orders.log_end_offset(), end, "seed {seed}");
        for offset in 0..end {
            let read = orders.read(offset, 1, end, true).unwrap();
            let (batch, _) = RecordBatch::split_first(&read.records).unwrap();
            assert_eq!(batch.base_offset(), offset, "seed {seed}");
        }
        assert_eq!(orders.end_offset_for_epoch(0), (0, end), "seed {seed}");
    }
}

#[test]
fn a_power_cut_behind_a_recovery_takes_nothing_of_a_topic_that_is_flushed_at_once() {
    for seed in 0..16 {
        let sim = sim(seed);
        let manager = start_in_a_known_boot(&sim);
        let orders = try_log_with(&manager, "orders", flushed_at_once()).unwrap();
        for value in 0..3 {
            append(&orders, value).unwrap();
        }
        drop((manager, orders));
        sim.restart_process();
        let manager = start(&sim);
        if seed % 2 == 0 {
            recover_all(&manager, &owner(flushed_at_once()));
        } else {
            let orders = try_log_with(&manager, "orders", flushed_at_once()).unwrap();
            assert_eq!(orders.flushed_offset(), 3);
        }
        drop(manager);
        let orders = log(&start_after_power_cut(&sim), "orders");
        assert_eq!(offsets(&orders), [0, 1, 2], "seed {seed}");
    }
}

#[test]
fn a_claim_of_a_closed_log_is_not_inherited_by_a_topic_of_its_name() {
    let sim = sim(1);
    let manager = start(&sim);
    append(&log(&manager, "orders"), 1).unwrap();
    drop(manager);
    sim.restart_process();
    let manager = start(&sim);
    recover_all(&manager, &Owner::default());
    manager.delete(&partition("orders"), NOW_MS).unwrap();
    manager.checkpoint_pass(&claims::KINDS);
    assert_eq!(
        manager.dirs[0].claim(OffsetCheckpoint::HighWatermark, &partition("orders")),
        None
    );
}

#[test]
fn the_name_of_a_segment_that_a_dead_process_made_is_durable_before_what_is_flushed_into_it() {
    for seed in 0..8 {
        let sim = sim(seed);
        let manager = start(&sim);
        let orders = log(&manager, "orders");
        append(&orders, 0).unwrap();
        orders.flush_all().unwrap();
        manager.checkpoint_pass(&claims::KINDS);
        orders.roll(NOW_MS).unwrap();
        drop((manager, orders));
        sim.restart_process();
        let manager = start(&sim);
        if seed % 2 == 0 {
            recover_all(&manager, &Owner::default());
        }
        let orders = log(&manager, "orders");
        append(&orders, 1).unwrap();
        orders.flush_all().unwrap();
        drop((manager, orders));
        let manager = start_after_power_cut(&sim);
        assert_eq!(log(&manager, "orders").log_end_offset(), 2, "seed {seed}");
    }
}

#[test]
fn retention_takes_the_old_segments_of_a_closed_log_and_leaves_it_closed() {
    let by_age = LogConfig {
        retention_ms: 1000,
        ..two_batches()
    };
    let by_size = LogConfig {
        retention_bytes: 200,
        retention_ms: -1,
        ..two_batches()
    };
    for preallocate in [false, true] {
        for (config, later_ms, start) in [(&by_age, 1001, 7), (&by_size, 0, 4)] {
            let config = LogConfig {
                preallocate,
                ..config.clone()
            };
            let sim = sim(1);
            let manager = started_again(&sim, config.clone(), 7);
            let owner = owner(config);
            if later_ms > 0 {
                assert_eq!(manager.retention_pass(&owner, NOW_MS + later_ms - 1), 0);
            }
            assert!(manager.retention_pass(&owner, NOW_MS + later_ms) > 0);
            assert!(manager.get(&partition("orders")).is_none(), "it is closed again");
            assert_eq!(manager.retention_pass(&owner, NOW_MS + later_ms), 0);
            manager.removal_pass(NOW_MS + later_ms + DELAY_MS).unwrap();
            manager.shutdown_cleanly(2);
            drop(manager);
            let manager = start_after_power_cut(&sim);
            assert_eq!(manager.previous_broker_epoch(), Some(2));
            let orders = log(&manager, "orders");
            assert_eq!((orders.log_start_offset(), orders.log_end_offset()), (start, 7));
            assert_eq!(offsets(&orders).first().copied(), (start < 7).then_some(start));
            assert_eq!(append(&orders, 7).unwrap(), 7);
        }
    }
}

#[test]
fn retention_takes_what_lies_below_the_start_of_a_closed_log() {
    let sim = sim(1);
    let manager = started_again(&sim, two_batches(), 7);
    let orders = log(&manager, "orders");
    assert_eq!(manager.delete_records_before(&partition("orders"), 5).unwrap(), 5);
    manager.shutdown_cleanly(2);
    drop((manager, orders));
    sim.restart_process();
    let manager = start(&sim);
    assert_eq!(manager.retention_pass(&owner(two_batches()), NOW_MS), 2);
    let orders = log(&manager, "orders");
    assert_eq!((orders.log_start_offset(), orders.segment_count()), (5, 2));
}

#[test]
fn a_log_that_retention_has_nothing_to_take_from_is_not_opened() {
    let sim = sim(1);
    let manager = started_again(&sim, LogConfig::default(), 3);
    let calls = |work: &dyn Fn()| {
        let before = sim.calls();
        work();
        sim.calls() - before
    };
    let pass = || assert_eq!(manager.retention_pass(&Owner::default(), NOW_MS), 0);
    calls(&pass);
    assert_eq!(calls(&pass), 0, "the second pass knows the log");
    assert!(manager.get(&partition("orders")).is_none());
}

#[test]
fn a_closed_log_from_the_future_is_opened_for_its_age_to_count() {
    let sim = sim(1);
    let manager = started_again(&sim, LogConfig::default(), 3);
    let owner = owner(LogConfig {
        retention_ms: 1000,
        ..LogConfig::default()
    });
    let early = NOW_MS - 500_000;
    assert_eq!(manager.retention_pass(&owner, early), 0);
    assert_eq!(manager.retention_pass(&owner, early + 1000), 0);
    assert_eq!(manager.retention_pass(&owner, early + 1001), 1);
}

#[test]
fn sizes_of_closed_logs_are_told_before_and_after_recovery() {
    let sim = sim(1);
    let manager = start(&sim);
    let orders = log(&manager, "orders");
    append(&orders, 1).unwrap();
    let expected = vec![(partition("orders"), orders.size_bytes())];
    drop((manager, orders));
    sim.restart_process();
    let manager = start(&sim);
    assert_eq!(manager.dirs()[0].partitions, expected);
    recover_all(&manager, &Owner::default());
    assert_eq!(manager.dirs()[0].partitions, expected);
    append(&log(&manager, "orders"), 2).unwrap();
    assert!(manager.dirs()[0].partitions[0].1 > expected[0].1);
}

#[test]
fn compacted_logs_are_opened_and_stay_open() {
    let sim = sim(1);
    let mut compacted = LogConfig::default();
    compacted.cleanup_policy.compact = true;
    let manager = started_again(&sim, LogConfig::default(), 3);
    assert_eq!(manager.open_compacted(&Owner::default(), NOW_MS), 0);
    assert_eq!(manager.open_compacted(&owner(compacted.clone()), NOW_MS), 1);
    let open = manager.get(&partition("orders")).expect("it is open");
    assert_eq!(open.high_watermark(), 3);
    drop((manager, open));
    sim.restart_process();
    let manager = start(&sim);
    assert_eq!(recover_all(&manager, &owner(compacted)).len(), 1);
    assert!(manager.get(&partition("orders")).is_some());
}

#[test]
fn a_start_with_many_partitions_opens_none_of_them() {
    let sim = sim(1);
    let manager = start(&sim);
    for topic in 0..20 {
        append(&log(&manager, &format!("t{topic}")), 1).unwrap();
    }
    drop(manager);
    sim.restart_process();
    let before = sim.calls();
    let few = LogManager::open(
        &Disk::simulated(&sim),
        &[PathBuf::from("/data")],
        config(),
        new_id(),
    );
    let manager = few.unwrap();
    assert!(
        sim.calls() - before < 20,
        "{} calls for 20 partitions",
        sim.calls() - before
    );
    assert_eq!(manager.partitions().len(), 20);
}
