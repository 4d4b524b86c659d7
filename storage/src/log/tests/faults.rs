//! The log under power cuts and errors at every call.

use super::*;
use crate::log::leader_epoch_cache::LeaderEpochCache;

/// What a script did and was told, to be held against what recovery finds.
#[derive(Default)]
struct Told {
    /// Last offset + 1 that was acknowledged.
    acknowledged_end: i64,
    /// The same, and flushed since.
    flushed_end: i64,
    /// Start of the log after deletions that were acknowledged.
    start: i64,
    /// A truncation that was begun: the end may be this one or any earlier acknowledged one.
    truncating_to: Option<i64>,
}

/// Appends, rolls, flushes, deletes and truncates until the disk fails.
fn run_script(fixture: &Fixture, told: &mut Told, flushed_mode: bool) -> Result<(), String> {
    let log = fixture.try_open().map_err(|e| e.to_string())?;
    let mut sequence = 0;
    for step in 0..24i64 {
        if step == 11 {
            log.update_high_watermark(told.acknowledged_end);
            let before = log.delete_records_before(6).map_err(|e| e.to_string())?;
            log.delete_old_segments(2_000).map_err(|e| e.to_string())?;
            told.start = told.start.max(before);
        }
        if step == 17 {
            let to = told.acknowledged_end - 3;
            told.truncating_to = Some(to);
            log.truncate_to(to).map_err(|e| e.to_string())?;
            sequence -= i32::try_from(told.acknowledged_end - log.log_end_offset()).unwrap();
            told.acknowledged_end = log.log_end_offset();
            told.flushed_end = told.flushed_end.min(told.acknowledged_end);
            told.truncating_to = None;
        }
        let records = 1 + (step % 3) as i32;
        let bytes = batch()
            .producer(1, 0, sequence)
            .records(records)
            .value_bytes(25 + (step * 13 % 90) as usize)
            .build();
        let epoch = 1 + (step / 8) as i32;
        let info = log
            .append_as_leader(bytes.into(), epoch, AppendOrigin::Client, 2_000)
            .map_err(|e| e.to_string())?;
        sequence += records;
        told.acknowledged_end = info.last_offset + 1;
        if flushed_mode || step % 5 == 4 {
            log.flush(info.last_offset + 1).map_err(|e| e.to_string())?;
            told.flushed_end = told.acknowledged_end;
        }
    }
    log.close().map_err(|e| e.to_string())
}

fn check_recovered(fixture: &mut Fixture, told: &Told, crash: Crash, where_: &str) {
    fixture.crash = Some(crash);
    let log = fixture
        .try_open()
        .unwrap_or_else(|error| panic!("{where_}: {error}"));
    let found = read_all(&log, 400);
    let mut next = log.log_start_offset();
    for (index, (base, last, _)) in found.iter().enumerate() {
        assert!(
            *base == next || (index == 0 && *base <= next),
            "{where_}: a hole before {base}, expected {next}"
        );
        next = last + 1;
    }
    let end = log.log_end_offset();
    let promised = told
        .truncating_to
        .map_or(told.flushed_end, |to| told.flushed_end.min(to - 2));
    assert!(
        end >= promised,
        "{where_}: {end} records came back of {promised} flushed ones"
    );
    if crash == Crash::Process {
        let promised = told
            .truncating_to
            .map_or(told.acknowledged_end, |to| told.acknowledged_end.min(to - 2));
        assert!(
            end >= promised,
            "{where_}: {end} records came back of {promised} acknowledged ones"
        );
    }
    // The log goes on where it ended, and its producer with it.
    let next_sequence = log
        .producers()
        .first()
        .map_or(0, |(_, entry)| entry.last_sequence() + 1);
    let info = append(&log, &batch().producer(1, 0, next_sequence))
        .unwrap_or_else(|error| panic!("{where_}: {error}"));
    assert_eq!(info.first_offset, end, "{where_}");
    log.close().unwrap();
}

fn script_fixture(seed: u64, preallocate: bool) -> Fixture {
    let mut fixture = fixture();
    fixture.config.preallocate = preallocate;
    fixture.sim = SimDisk::new(seed, 64 << 20);
    let disk = Disk::simulated(&fixture.sim);
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    fixture
}

fn calls_of_script(flushed_mode: bool, preallocate: bool) -> (u64, u64) {
    let fixture = script_fixture(1, preallocate);
    let before = fixture.sim.calls();
    run_script(&fixture, &mut Told::default(), flushed_mode).unwrap();
    (before, fixture.sim.calls())
}

/// Runs the script with this fault at each of its calls in turn, and hands on the number of the call, the disk as the fault
/// left it, what the script was told, and words for all that.
fn at_each_call(
    fault: SimFault,
    flushed_mode: bool,
    preallocate: bool,
    mut then: impl FnMut(u64, Fixture, &Told, &str),
) {
    let (first, last) = calls_of_script(flushed_mode, preallocate);
    for call in first + 1..=last {
        let fixture = script_fixture(call, preallocate);
        fixture.sim.fail_at(call, fault);
        let mut told = Told::default();
        let outcome = run_script(&fixture, &mut told, flushed_mode);
        let where_ = format!(
            "{fault:?} at call {call} of {last}, flushed mode {flushed_mode}, preallocated {preallocate}: {outcome:?}"
        );
        then(call, fixture, &told, &where_);
    }
}

fn at_every_call(fault: SimFault, crash: Crash, flushed_mode: bool, preallocate: bool) {
    at_each_call(
        fault,
        flushed_mode,
        preallocate,
        |_, mut fixture, told, where_| {
            match crash {
                Crash::Power => fixture.sim.restart(),
                Crash::Process => fixture.sim.restart_process(),
            }
            fixture.log_start_offset = 0;
            check_recovered(&mut fixture, told, crash, &format!("{crash:?}, {where_}"));
        },
    );
}

#[test]
fn a_power_cut_at_every_call_leaves_a_prefix_without_a_hole() {
    at_every_call(SimFault::PowerCut, Crash::Power, false, false);
}

#[test]
fn a_power_cut_at_every_call_loses_nothing_that_was_flushed_before_it_was_acknowledged() {
    at_every_call(SimFault::PowerCut, Crash::Power, true, false);
}

#[test]
fn an_error_at_every_call_and_a_restart_of_the_process_lose_nothing_acknowledged() {
    at_every_call(SimFault::Error, Crash::Process, false, false);
}

/// Recovery leaves what the process had not flushed as it is; the next flush must make all of it durable.
#[test]
fn an_error_at_every_call_a_flush_behind_the_recovery_and_a_power_cut_lose_nothing_flushed() {
    at_each_call(SimFault::Error, false, false, |call, mut fixture, _, where_| {
        fixture.sim.restart_process();
        let had_epochs = stored_epochs(&fixture).is_some();
        let log = fixture.reopen_after(Some(Crash::Process));
        let (start, before) = (log.log_start_offset(), log.flushed_offset());
        assert!(
            before < log.log_end_offset() || log.log_end_offset() == start,
            "{where_}"
        );
        let is_cut_before = call % 3 == 0;
        if !is_cut_before {
            log.flush_all().unwrap();
        }
        let end = log.log_end_offset();
        let epochs = epochs_of(&log);
        fixture.recovery_point = before;
        if call % 3 == 1 {
            fixture.recovery_point = log.recovery_point().unwrap();
        }
        let has_point = fixture.recovery_point > before;
        drop(log);
        fixture.sim.restart();
        let stored = stored_epochs(&fixture);
        assert!(stored.is_some() || !(had_epochs || has_point), "{where_}");
        if has_point {
            assert_eq!(
                stored.map(|stored| stored.end_offset_for(2, end)),
                Some(epochs[2])
            );
        }
        let log = fixture.reopen_after(Some(Crash::Power));
        if is_cut_before {
            return;
        }
        assert_eq!(
            (log.log_start_offset(), log.log_end_offset()),
            (start, end),
            "{where_}"
        );
        assert_eq!(epochs_of(&log), epochs, "{where_}");
    });
}

fn epochs_of(log: &PartitionLog) -> Vec<(i32, i64)> {
    (0..4).map(|epoch| log.end_offset_for_epoch(epoch)).collect()
}

fn stored_epochs(fixture: &Fixture) -> Option<LeaderEpochCache> {
    let path = Path::new("/data/orders-0").join(leader_epoch_cache::FILE_NAME);
    let stored = Disk::simulated(&fixture.sim).read(&path, 1 << 20).ok()?;
    LeaderEpochCache::decode(std::str::from_utf8(&stored).ok()?)
}

#[test]
fn an_error_at_every_call_and_a_power_cut_lose_nothing_flushed() {
    at_every_call(SimFault::Error, Crash::Power, true, false);
}

#[test]
fn preallocated_segments_survive_a_fault_at_every_call_as_others_do() {
    at_every_call(SimFault::PowerCut, Crash::Power, false, true);
    at_every_call(SimFault::PowerCut, Crash::Power, true, true);
    at_every_call(SimFault::Error, Crash::Process, false, true);
    at_every_call(SimFault::Error, Crash::Power, true, true);
}
