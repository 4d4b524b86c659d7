//! What a log still knows of records that DeleteRecords hid.

use super::*;

/// The last sequence number that the log knows of producer 9.
fn last_sequence(log: &PartitionLog) -> Option<i32> {
    let producers = log.producers();
    producers
        .iter()
        .find(|(id, _)| *id == 9)
        .map(|(_, entry)| entry.last_sequence())
}

/// A start that forgot one of these would take its retry for a new batch, or refuse the one that follows it.
#[test]
fn a_batch_that_was_deleted_in_part_or_whole_is_known_after_a_kill() {
    for (deleted_to, what) in [(7, "within the last batch"), (10, "behind the last batch")] {
        let mut fixture = fixture();
        fixture.config.segment_bytes = 1 << 20;
        let log = fixture.open();
        append(&log, &batch().producer(9, 0, 0).records(5)).unwrap();
        append(&log, &batch().producer(9, 0, 5).records(5)).unwrap();
        log.update_high_watermark(10);
        log.delete_records_before(deleted_to).unwrap();
        drop(log);
        fixture.sim.restart_process();
        fixture.log_start_offset = deleted_to;
        let log = fixture.reopen_after(Some(Crash::Process));
        assert_eq!(last_sequence(&log), Some(9), "deleted to {deleted_to}, {what}");
        let retry = append(&log, &batch().producer(9, 0, 5).records(5)).unwrap();
        assert!(retry.is_duplicate, "{what}: {retry:?}");
        assert!(
            !append(&log, &batch().producer(9, 0, 10)).unwrap().is_duplicate,
            "{what}"
        );
    }
}
