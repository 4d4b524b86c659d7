//! Start and clean shutdown, with a fault or a power cut at every call.

use super::*;
use crate::disk::{OpenMode, SimDisk, SimFault};
use crate::meta_properties::{self, MetaProperties};

fn ids() -> impl FnMut() -> Uuid {
    let mut next = 0;
    move || {
        next += 1;
        Uuid::from_u128(next)
    }
}

fn node(node_id: i32) -> NodeIdentity {
    NodeIdentity {
        node_id,
        cluster_id: None,
    }
}

fn open_at(sim: &SimDisk, paths: &[&str], identity: &NodeIdentity) -> Result<LogDirs, OpenError> {
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    open(&Disk::simulated(sim), &paths, identity, &mut ids())
}

#[test]
fn a_missing_directory_is_made_and_formatted_on_the_spot() {
    let sim = SimDisk::new(1, 1 << 20);
    let first = open_at(&sim, &["/var/a", "/var/b"], &node(1)).unwrap();
    assert_eq!(first.dirs.len(), 2);
    assert_ne!(first.dirs[0].id(), first.dirs[1].id());
    let (cluster_id, id) = (first.cluster_id.clone(), first.dirs[1].id());
    drop(first);
    sim.cut_power();
    sim.restart();
    let again = open_at(&sim, &["/var/a", "/var/b"], &node(1)).unwrap();
    assert_eq!((again.cluster_id, again.dirs[1].id()), (cluster_id, id));
}

#[test]
fn a_directory_in_use_is_refused() {
    let sim = SimDisk::new(1, 1 << 20);
    let held = open_at(&sim, &["/a"], &node(1)).unwrap();
    assert!(matches!(
        open_at(&sim, &["/a"], &node(1)),
        Err(OpenError::InUse(_))
    ));
    drop(held);
    open_at(&sim, &["/a"], &node(1)).unwrap();
}

#[test]
fn a_foreign_directory_is_refused_and_left_as_it_was() {
    let sim = SimDisk::new(1, 1 << 20);
    let owned = open_at(&sim, &["/a"], &node(1)).unwrap();
    owned.dirs[0].mark_clean_shutdown(9).unwrap();
    drop(owned);
    let refused = open_at(&sim, &["/a"], &node(2)).unwrap_err();
    assert!(
        matches!(refused, OpenError::Foreign { what: "node", .. }),
        "{refused}"
    );
    let other = NodeIdentity {
        node_id: 1,
        cluster_id: Some("other".to_owned()),
    };
    let refused = open_at(&sim, &["/a"], &other).unwrap_err();
    assert!(
        matches!(refused, OpenError::Foreign { what: "cluster", .. }),
        "{refused}"
    );
    assert!(
        refused
            .to_string()
            .contains("the configured cluster id says other"),
        "{refused}"
    );
    let again = open_at(&sim, &["/a"], &node(1)).unwrap();
    assert_eq!(
        again.dirs[0].clean_shutdown(),
        Some(CleanShutdown { broker_epoch: 9 })
    );
}

#[test]
fn partitions_without_an_owner_are_refused() {
    let sim = SimDisk::new(1, 1 << 20);
    Disk::simulated(&sim)
        .create_dir_all(Path::new("/a/orders-0"))
        .unwrap();
    assert!(matches!(
        open_at(&sim, &["/a"], &node(1)),
        Err(OpenError::Unowned(_))
    ));
}

#[test]
fn a_copy_of_a_directory_is_refused() {
    let sim = SimDisk::new(1, 1 << 20);
    drop(open_at(&sim, &["/a"], &node(1)).unwrap());
    let disk = Disk::simulated(&sim);
    disk.create_dir_all(Path::new("/b")).unwrap();
    let copied = disk.read(Path::new("/a/meta.properties"), 4096).unwrap();
    disk.replace(Path::new("/b/meta.properties"), &copied).unwrap();
    assert!(matches!(
        open_at(&sim, &["/a", "/b"], &node(1)),
        Err(OpenError::SameId { .. })
    ));
}

#[test]
fn a_damaged_owner_file_stops_the_node() {
    let sim = SimDisk::new(1, 1 << 20);
    let disk = Disk::simulated(&sim);
    disk.create_dir_all(Path::new("/a")).unwrap();
    let file = disk
        .open(Path::new("/a/meta.properties"), OpenMode::Create)
        .unwrap();
    file.write_all_at(b"version=1\n", 0).unwrap();
    assert!(matches!(
        open_at(&sim, &["/a"], &node(1)),
        Err(OpenError::MetaProperties(_))
    ));
}

/// The file has no checksum: of two directories that differ either may be the damaged one.
#[test]
fn directories_of_two_clusters_are_refused_with_both_files_and_both_ids() {
    let sim = SimDisk::new(1, 1 << 20);
    let disk = Disk::simulated(&sim);
    let cluster_id = open_at(&sim, &["/a", "/b"], &node(1)).unwrap().cluster_id;
    let mut damaged = meta_properties::read(&disk, Path::new("/b")).unwrap().unwrap();
    damaged.cluster_id = format!("{}!", damaged.cluster_id);
    meta_properties::write(&disk, Path::new("/b"), &damaged).unwrap();
    let refused = open_at(&sim, &["/a", "/b"], &node(1)).unwrap_err().to_string();
    for word in [
        "/b",
        &damaged.cluster_id,
        &format!("/a/meta.properties says {cluster_id}"),
    ] {
        assert!(refused.contains(word), "{refused}");
    }
}

#[test]
fn an_older_directory_gets_an_id() {
    let sim = SimDisk::new(1, 1 << 20);
    let disk = Disk::simulated(&sim);
    disk.create_dir_all(Path::new("/a/orders-0")).unwrap();
    let without = MetaProperties {
        cluster_id: "old".to_owned(),
        node_id: 1,
        directory_id: None,
    };
    meta_properties::write(&disk, Path::new("/a"), &without).unwrap();
    let dirs = open_at(&sim, &["/a"], &node(1)).unwrap();
    let found = meta_properties::read(&disk, Path::new("/a")).unwrap().unwrap();
    assert_eq!(
        (found.cluster_id.as_str(), found.directory_id),
        ("old", Some(dirs.dirs[0].id()))
    );
}

#[test]
fn the_marker_counts_once() {
    let sim = SimDisk::new(1, 1 << 20);
    let dirs = open_at(&sim, &["/a"], &node(1)).unwrap();
    assert_eq!(dirs.dirs[0].clean_shutdown(), None);
    dirs.dirs[0].mark_clean_shutdown(14).unwrap();
    drop(dirs);
    let dirs = open_at(&sim, &["/a"], &node(1)).unwrap();
    assert_eq!(
        dirs.dirs[0].clean_shutdown(),
        Some(CleanShutdown { broker_epoch: 14 })
    );
    drop(dirs);
    sim.cut_power();
    sim.restart();
    assert_eq!(
        open_at(&sim, &["/a"], &node(1)).unwrap().dirs[0].clean_shutdown(),
        None
    );
}

#[test]
fn an_error_at_any_call_of_a_start_takes_one_directory_offline_or_refuses_clearly() {
    for call in 1.. {
        let sim = SimDisk::new(call, 1 << 20);
        sim.fail_at(call, SimFault::Error);
        let opened = open_at(&sim, &["/a", "/b"], &node(1)).unwrap();
        let failed = opened.dirs.iter().filter(|dir| dir.failure().is_some()).count();
        if sim.calls() < call {
            assert_eq!(failed, 0);
            return;
        }
        assert!(failed <= 1);
        drop(opened);
        let again = open_at(&sim, &["/a", "/b"], &node(1)).unwrap();
        assert!(
            again.dirs.iter().all(|dir| dir.failure().is_none()),
            "call {call}"
        );
    }
}

#[test]
fn a_power_cut_at_any_call_of_a_start_never_looks_like_a_clean_shutdown() {
    for call in 1.. {
        let sim = SimDisk::new(call, 1 << 20);
        let before = open_at(&sim, &["/a", "/b"], &node(1)).unwrap();
        let cluster_id = before.cluster_id.clone();
        for dir in &before.dirs {
            dir.mark_clean_shutdown(5).unwrap();
        }
        drop(before);
        let start = sim.calls();
        sim.fail_at(start + call, SimFault::PowerCut);
        let cut = open_at(&sim, &["/a", "/b"], &node(1));
        let finished = cut.is_ok() && !sim.is_cut();
        let offline = |index: usize| {
            cut.as_ref()
                .map_or(true, |cut| cut.dirs[index].failure().is_some())
        };
        let worked = [!offline(0), !offline(1)];
        drop(cut);
        sim.cut_power();
        sim.restart();
        let after = open_at(&sim, &["/a", "/b"], &node(1)).unwrap();
        assert_eq!(after.cluster_id, cluster_id);
        for (dir, worked) in after.dirs.iter().zip(worked) {
            // Where the start came through, a write may have followed: the marker must not count again.
            assert!(!(worked && dir.clean_shutdown().is_some()), "call {call}");
        }
        if finished {
            return;
        }
    }
}

#[test]
fn a_power_cut_at_any_call_of_a_first_start_leaves_a_directory_that_starts() {
    for seed in 0..4 {
        for call in 1.. {
            let sim = SimDisk::new(seed, 1 << 20);
            sim.fail_at(call, SimFault::PowerCut);
            let finished = open_at(&sim, &["/var/a"], &node(1)).map(|dirs| dirs.cluster_id.clone());
            let is_cut = sim.is_cut();
            sim.cut_power();
            sim.restart();
            let after = open_at(&sim, &["/var/a"], &node(1)).unwrap();
            if let Ok(cluster_id) = finished {
                assert_eq!(after.cluster_id, cluster_id);
            }
            if !is_cut {
                break;
            }
        }
    }
}
