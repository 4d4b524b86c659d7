//! Retention, and what stops it halfway: the start that it showed stays.

use super::closed_tests::owner;
use super::tests::{NOW_MS, append, log, partition, sim, start, start_after_power_cut, try_log_with};
use super::*;
use crate::disk::SimFault;

/// A segment for each batch, none of which is kept.
fn nothing_stays() -> LogConfig {
    LogConfig {
        segment_bytes: 100,
        retention_ms: 0,
        flush_messages: 1,
        ..LogConfig::default()
    }
}

#[test]
fn a_start_that_retention_showed_does_not_go_back_whatever_stops_it() {
    for fault in [SimFault::Error, SimFault::PowerCut] {
        let mut shown_starts = Vec::new();
        for call in 0..60 {
            let sim = sim(call);
            let manager = start(&sim);
            let orders = try_log_with(&manager, "orders", nothing_stays()).unwrap();
            for value in 0..4 {
                append(&orders, value).unwrap();
            }
            orders.flush(4).unwrap();
            orders.update_high_watermark(4);
            sim.fail_at(sim.calls() + call, fault);
            manager.retention_pass(&owner(nothing_stays()), NOW_MS + 1);
            let shown = orders.log_start_offset();
            drop((manager, orders));
            let manager = start_after_power_cut(&sim);
            let found = log(&manager, "orders").log_start_offset();
            assert!(found >= shown, "{found} after {shown}, {fault:?} at call {call}");
            assert!(manager.get(&partition("orders")).is_some());
            shown_starts.push(shown);
        }
        assert!(
            shown_starts.contains(&0) && shown_starts.contains(&4),
            "{shown_starts:?}"
        );
    }
}

#[test]
fn a_start_that_delete_records_showed_does_not_go_back_whatever_stops_it() {
    for fault in [SimFault::Error, SimFault::PowerCut] {
        for call in 0..20 {
            let sim = sim(call);
            let manager = start(&sim);
            let orders = log(&manager, "orders");
            for value in 0..4 {
                append(&orders, value).unwrap();
            }
            orders.flush(4).unwrap();
            orders.update_high_watermark(4);
            sim.fail_at(sim.calls() + call, fault);
            let answer = manager.delete_records_before(&partition("orders"), 3);
            let shown = orders.log_start_offset();
            assert!(answer.is_err() || shown == 3);
            drop((manager, orders));
            let found = log(&start_after_power_cut(&sim), "orders").log_start_offset();
            assert!(found >= shown, "{found} after {shown}, {fault:?} at call {call}");
        }
    }
}
