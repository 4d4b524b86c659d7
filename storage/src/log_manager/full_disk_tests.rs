//! A disk that fills up at any call: no log directory goes offline, nothing that was acknowledged is lost, what deletes
//! goes on, and room that was made is used without a restart (rule S15).

use super::closed_tests::{Owner, owner};
use super::tests::{DELAY_MS, NOW_MS, append, partition, sim, start, try_log_with};
use super::*;
use crate::disk::{SimDisk, SimFault};
use crate::log::{AppendError, LogConfig};
use protocol_compat::record_batch::batch::RecordBatch;

const ROOM_BYTES: u64 = 1 << 24;
const BEFORE: i64 = 5;
const TOPICS: [&str; 4] = ["orders", "deleted-open", "deleted-closed", "aged"];

/// Segments of two batches, of which retention keeps a few.
fn settings(preallocate: bool) -> LogConfig {
    LogConfig {
        segment_bytes: 170,
        index_interval_bytes: 0,
        retention_bytes: 250,
        preallocate,
        ..LogConfig::default()
    }
}

/// What a node left: records in every topic, stopped cleanly or killed.
fn left_behind(is_clean: bool, config: &LogConfig) -> SimDisk {
    let sim = sim(3);
    let manager = start(&sim);
    for topic in TOPICS {
        let log = try_log_with(&manager, topic, config.clone()).unwrap();
        log.begin_leader_epoch(1);
        for value in 0..BEFORE {
            append(&log, value).unwrap();
        }
        log.update_high_watermark(BEFORE);
    }
    manager.checkpoint_pass(&claims::KINDS);
    if is_clean {
        manager.shutdown_cleanly(1);
    }
    drop(manager);
    sim.restart_process();
    sim
}

/// A node's life while the disk fills up: who is refused tries again later, and nothing but the want of room may refuse.
struct Life<'a> {
    sim: &'a SimDisk,
    manager: LogManager,
    owner: Owner,
    config: LogConfig,
    acknowledged: Vec<i64>,
    trace: String,
}

impl Life<'_> {
    fn require_online(&self, when: &str) {
        let failure = self.manager.dirs()[0].failure.clone();
        assert_eq!(failure, None, "{}: {when}", self.trace);
    }

    fn append(&mut self, value: i64) -> bool {
        let Ok(log) = try_log_with(&self.manager, "orders", self.config.clone()) else {
            self.require_online("opening");
            return false;
        };
        match append(&log, value) {
            Ok(offset) => {
                log.update_high_watermark(offset + 1);
                self.acknowledged.push(offset);
                true
            }
            Err(AppendError::NoSpace) => false,
            Err(error) => panic!("{}: {error}", self.trace),
        }
    }

    fn passes(&self) {
        let manager = &self.manager;
        manager.flush_pass(NOW_MS);
        manager.checkpoint_pass(&claims::KINDS);
        manager.retention_pass(&self.owner, NOW_MS);
        manager.removal_pass(NOW_MS + DELAY_MS).unwrap();
        manager.space_pass();
        self.require_online("passes");
    }

    fn work(&mut self) {
        while let Some(partition) = self.manager.next_to_recover() {
            self.manager.recover(&partition, &self.owner, NOW_MS).ok();
            self.require_online("recovery");
        }
        for value in 0..5 {
            self.append(value);
        }
        self.passes();
        try_log_with(&self.manager, "deleted-open", self.config.clone()).ok();
        for topic in ["deleted-open", "deleted-closed"] {
            self.manager.delete(&partition(topic), NOW_MS).unwrap();
            self.require_online("deletion");
        }
        self.manager.delete_records_before(&partition("orders"), 6).ok();
        self.require_online("deleting records");
        for value in 5..8 {
            self.append(value);
        }
        self.passes();
    }

    /// Everything acknowledged that retention kept is there, in one piece.
    fn require_whole(&self, when: &str) {
        let trace = &self.trace;
        let log = try_log_with(&self.manager, "orders", self.config.clone())
            .unwrap_or_else(|error| panic!("{trace}: {when}: {error}"));
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let found = all_offsets(&log);
        assert_eq!(found, Vec::from_iter(start..end), "{trace}: {when}");
        let last = self.acknowledged.last().copied().unwrap_or(BEFORE - 1);
        assert_eq!(end, last + 1, "{trace}: {when}");
    }
}

/// One read gives one segment's.
fn all_offsets(log: &PartitionLog) -> Vec<i64> {
    let mut found: Vec<i64> = Vec::new();
    loop {
        let from = found.last().map_or(log.log_start_offset(), |last| last + 1);
        if from >= log.log_end_offset() {
            return found;
        }
        let read = log.read(from, 1 << 20, log.log_end_offset(), true).unwrap();
        let mut rest = read.records.as_ref();
        while let Ok((batch, after)) = RecordBatch::split_first(rest) {
            found.extend(batch.base_offset()..=batch.last_offset());
            rest = after;
        }
    }
}

fn begin<'a>(sim: &'a SimDisk, config: &LogConfig, trace: String) -> Life<'a> {
    Life {
        sim,
        manager: start(sim),
        owner: owner(config.clone()),
        config: config.clone(),
        acknowledged: Vec::new(),
        trace,
    }
}

fn fill_at_every_call(is_clean: bool, preallocate: bool) {
    let config = settings(preallocate);
    let whole = left_behind(is_clean, &config);
    let before = whole.calls();
    begin(&whole, &config, "no fault".to_owned()).work();
    let calls = whole.calls() - before;
    assert!(calls > 100, "{calls}");
    let mut refused = 0;
    for call in 1..=calls {
        let sim = left_behind(is_clean, &config);
        sim.fail_at(sim.calls() + call, SimFault::Full);
        let trace = format!("full at call {call}, clean {is_clean}, preallocated {preallocate}");
        let mut life = begin(&sim, &config, trace);
        life.work();
        refused += usize::from(life.acknowledged.len() < 8);
        life.sim.set_capacity_bytes(ROOM_BYTES);
        life.passes();
        for value in 8..12 {
            assert!(life.append(value), "{}", life.trace);
        }
        life.require_whole("with room again");
        life.passes();
        let mut left = life.manager.partitions();
        left.sort();
        assert_eq!(left, ["aged", "orders"].map(partition), "{}", life.trace);
        life.manager.shutdown_cleanly(2);
        let Life {
            acknowledged, trace, ..
        } = life;
        sim.restart_process();
        let after = begin(&sim, &config, trace);
        assert_eq!(after.manager.previous_broker_epoch(), Some(2), "{}", after.trace);
        let after = Life {
            acknowledged,
            ..after
        };
        after.require_whole("after a restart");
    }
    assert!(refused > 10, "{refused} of {calls} calls refused an append");
}

#[test]
fn a_disk_that_fills_up_at_any_call_after_a_clean_stop_takes_nothing_offline() {
    fill_at_every_call(true, false);
}

#[test]
fn a_disk_that_fills_up_at_any_call_after_a_kill_takes_nothing_offline() {
    fill_at_every_call(false, true);
}
