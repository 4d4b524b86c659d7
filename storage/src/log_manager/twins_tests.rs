//! A partition in two directories: whose topic the metadata knows, the other makes room.

use super::closed_tests::owner;
use super::tests::{NOW_MS, append, config, new_id, offsets, partition, sim, topic_id};
use super::*;
use crate::disk::SimDisk;

const FORMER: &str = "a topic of the same name";

fn start_in(sim: &SimDisk, dirs: &[&str]) -> Result<LogManager, OpenError> {
    let dirs: Vec<PathBuf> = dirs.iter().map(PathBuf::from).collect();
    let mut config = config();
    config.identity.cluster_id = Some("cluster".to_owned());
    LogManager::open(&Disk::simulated(sim), &dirs, config, new_id())
}

fn open_as(manager: &LogManager, id: TopicId) -> Result<Arc<PartitionLog>, LogError> {
    manager.get_or_open(&partition("orders"), id, Arc::default(), None, NOW_MS)
}

/// `orders-0` of `id` in one directory, with so many records, and flushed if there are several.
fn put(sim: &SimDisk, dir: &str, id: TopicId, records: i64) {
    let manager = start_in(sim, &[dir]).unwrap();
    let log = open_as(&manager, id).unwrap();
    for value in 0..records {
        append(&log, value).unwrap();
    }
    if records > 1 {
        log.flush_all().unwrap();
    }
    drop((manager, log));
    sim.restart_process();
}

fn names(sim: &SimDisk, dir: &str) -> Vec<String> {
    let entries = Disk::simulated(sim).read_dir(Path::new(dir)).unwrap();
    let dirs = entries.into_iter().filter(|entry| entry.is_dir);
    dirs.map(|entry| entry.name).collect()
}

#[test]
fn the_directory_of_the_topic_that_exists_counts_and_the_other_is_removed() {
    let (former, orders) = (topic_id(FORMER), topic_id("orders"));
    for (one, two, winner) in [(former, orders, "/two"), (orders, former, "/one")] {
        for opened_by_recovery in [false, true] {
            let sim = sim(1);
            put(&sim, "/one", one, 2);
            put(&sim, "/two", two, 3);
            let manager = start_in(&sim, &["/one", "/two"]).unwrap();
            assert!(manager.partitions().is_empty() && manager.has_place(&partition("orders")));
            if opened_by_recovery {
                assert_eq!(manager.next_to_recover(), Some(partition("orders")));
                manager
                    .recover(&partition("orders"), &owner(LogConfig::default()), NOW_MS)
                    .unwrap();
            }
            let log = open_as(&manager, orders).unwrap();
            assert_eq!(log.dir(), Path::new(winner).join("orders-0"));
            assert_eq!(offsets(&log).len(), if winner == "/two" { 3 } else { 2 });
            manager.removal_pass(i64::MAX).unwrap();
            let loser = if winner == "/two" { "/one" } else { "/two" };
            assert_eq!(names(&sim, loser), Vec::<String>::new());
            drop((manager, log));
            sim.restart_process();
            assert_eq!(start_in(&sim, &["/one", "/two"]).unwrap().partitions().len(), 1);
        }
    }
}

#[test]
fn a_place_that_was_never_flushed_counts_only_where_no_other_is_the_topics() {
    let (former, orders) = (topic_id(FORMER), topic_id("orders"));
    for (flushed, winner) in [(former, "/two"), (orders, "/one")] {
        let sim = sim(1);
        put(&sim, "/one", flushed, 2);
        drop(start_in(&sim, &["/two"]).unwrap());
        Disk::simulated(&sim)
            .create_dir_all(Path::new("/two/orders-0"))
            .unwrap();
        sim.restart_process();
        let manager = start_in(&sim, &["/one", "/two"]).unwrap();
        let log = open_as(&manager, orders).unwrap();
        assert_eq!(log.dir(), Path::new(winner).join("orders-0"));
    }
}

#[test]
fn all_places_of_topics_that_are_gone_make_room() {
    let sim = sim(1);
    put(&sim, "/one", topic_id(FORMER), 2);
    put(&sim, "/two", topic_id("another of that name"), 2);
    let manager = start_in(&sim, &["/one", "/two"]).unwrap();
    let log = open_as(&manager, topic_id("orders")).unwrap();
    assert_eq!(log.log_end_offset(), 0);
    manager.delete(&partition("orders"), NOW_MS).unwrap();
    manager.removal_pass(i64::MAX).unwrap();
    assert!(names(&sim, "/one").is_empty() && names(&sim, "/two").is_empty());
}

#[test]
fn a_topic_that_is_deleted_takes_all_places_with_it() {
    let sim = sim(1);
    put(&sim, "/one", topic_id(FORMER), 2);
    put(&sim, "/two", topic_id("orders"), 2);
    let manager = start_in(&sim, &["/one", "/two"]).unwrap();
    manager.delete(&partition("orders"), NOW_MS).unwrap();
    manager.removal_pass(i64::MAX).unwrap();
    assert!(names(&sim, "/one").is_empty() && names(&sim, "/two").is_empty());
}

#[test]
fn two_directories_of_one_topic_stop_the_node() {
    let sim = sim(1);
    put(&sim, "/one", topic_id("orders"), 2);
    put(&sim, "/two", topic_id("orders"), 2);
    let refused = start_in(&sim, &["/one", "/two"]);
    assert!(matches!(refused, Err(OpenError::PartitionTwice { .. })));
}

#[test]
fn a_directory_that_fails_at_start_is_not_known_to_lack_a_partition() {
    let sim = sim(1);
    put(&sim, "/one", topic_id("orders"), 2);
    drop(start_in(&sim, &["/one", "/two"]).unwrap());
    let mut unread = 0;
    for call in 1.. {
        sim.restart_process();
        let call = sim.calls() + call;
        sim.fail_at(call, crate::disk::SimFault::Error);
        let started = start_in(&sim, &["/two", "/one"]);
        let was_met = sim.calls() >= call;
        sim.fail_at(0, crate::disk::SimFault::Error);
        if !was_met {
            break;
        }
        let Ok(manager) = started else { continue };
        let has_place = manager.has_place(&partition("orders"));
        assert!(has_place || manager.has_unread_directory(), "call {call}");
        unread += u32::from(!has_place);
    }
    assert!(unread > 0);
}
