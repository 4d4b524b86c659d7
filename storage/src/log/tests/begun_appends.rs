//! Appends that are begun together and finished afterwards.

use super::*;

fn begin(log: &PartitionLog, batch: &TestBatch) -> BegunAppend {
    log.begin_append_as_leader(Bytes::from(batch.build()), 1, AppendOrigin::Client, 2_000)
        .unwrap()
}

fn first_offsets(log: &PartitionLog) -> Vec<i64> {
    read_all(log, 10_000)
        .into_iter()
        .map(|(first, _, _)| first)
        .collect()
}

#[test]
fn the_first_that_is_finished_writes_all_that_have_begun() {
    let fixture = fixture();
    let log = fixture.open();
    append(&log, &batch()).unwrap();
    let before = fixture.sim.calls();
    let begun = [batch().records(2), batch(), batch()].map(|batch| begin(&log, &batch));
    assert_eq!(fixture.sim.calls(), before, "nothing is written");
    assert_eq!(log.log_end_offset(), 1);
    let mut begun = begun.into_iter();
    let first = log.finish_append(begun.next().unwrap()).unwrap();
    assert_eq!((first.first_offset, first.last_offset), (1, 2));
    assert_eq!(log.log_end_offset(), 5);
    let after = fixture.sim.calls();
    assert_eq!(after, before + 1, "one write");
    let rest: Vec<i64> = begun
        .map(|begun| log.finish_append(begun).unwrap().first_offset)
        .collect();
    assert_eq!(rest, [3, 4]);
    assert_eq!(fixture.sim.calls(), after);
    assert_eq!(first_offsets(&log), [0, 1, 3, 4]);
}

#[test]
fn an_append_of_somebody_else_writes_what_has_begun_before_it() {
    let fixture = fixture();
    let log = fixture.open();
    let begun = begin(&log, &batch());
    assert_eq!(append(&log, &batch()).unwrap().first_offset, 1);
    assert_eq!(first_offsets(&log), [0, 1]);
    assert_eq!(log.finish_append(begun).unwrap().first_offset, 0);
}

#[test]
fn a_batch_that_is_sent_again_before_it_is_finished_is_a_duplicate_that_can_be_read() {
    let fixture = fixture();
    let log = fixture.open();
    let batch = batch().producer(7, 0, 0);
    let (first, again) = (begin(&log, &batch), begin(&log, &batch));
    let again = log.finish_append(again).unwrap();
    assert!(again.is_duplicate && again.first_offset == 0);
    assert_eq!(first_offsets(&log), [0]);
    let first = log.finish_append(first).unwrap();
    assert!(!first.is_duplicate && first.first_offset == 0);
}

#[test]
fn none_of_what_has_begun_is_there_if_the_disk_is_full() {
    let fixture = fixture();
    let log = fixture.open();
    append(&log, &batch()).unwrap();
    let begun = [begin(&log, &batch()), begin(&log, &batch())];
    fixture.sim.set_capacity_bytes(1);
    for begun in begun {
        assert!(matches!(log.finish_append(begun), Err(AppendError::NoSpace)));
    }
    assert_eq!(first_offsets(&log), [0]);
    fixture.sim.set_capacity_bytes(1 << 20);
    assert_eq!(append(&log, &batch()).unwrap().first_offset, 1);
}

#[test]
fn what_has_begun_is_not_acknowledged_by_a_log_that_failed() {
    let fixture = fixture();
    let log = fixture.open();
    let begun = begin(&log, &batch());
    log.fail();
    assert!(matches!(log.finish_append(begun), Err(AppendError::Offline(_))));
    let refused = log.begin_append_as_leader(Bytes::from(batch().build()), 1, AppendOrigin::Client, 2_000);
    assert!(matches!(refused, Err(AppendError::Offline(_))));
}
