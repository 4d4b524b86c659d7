//! What a log directory that fails takes with it.

use metadata::image::{PartitionImage, TopicImage};
use protocol_compat::{BrokerId, ErrorCode, TopicId};
use storage::disk::{Disk, SimDisk, SimFault};
use uuid::Uuid;

use super::config_tests::Node;
use super::{FetchLimits, Isolation, PartitionFetch, read_or_wait};

const DIRS: [&str; 2] = ["/a", "/b"];

fn disk() -> (SimDisk, Disk) {
    let sim = SimDisk::new(7, 64 << 20);
    let disk = Disk::simulated(&sim);
    (sim, disk)
}

#[test]
fn a_partition_that_may_lie_in_an_unread_directory_is_not_begun_anew() {
    let (sim, disk) = disk();
    drop(Node::on(&disk, &DIRS).expect("an empty disk"));
    for call in 1.. {
        sim.restart_process();
        sim.fail_at(sim.calls() + call, SimFault::Error);
        let node = Node::on(&disk, &DIRS).expect("one directory works");
        sim.fail_at(0, SimFault::Error);
        if !node.replicas.logs().has_unread_directory() {
            assert!(call > 1);
            break;
        }
        let refused = |name| node.replicas.partition(name, 0).err();
        assert_eq!(
            refused("orders"),
            Some(ErrorCode::KafkaStorageError),
            "before the metadata is known"
        );
        node.replicas.started();
        assert_eq!(refused("orders"), Some(ErrorCode::KafkaStorageError));
        node.publish(|image| {
            let mut topic = TopicImage::new("later".into(), TopicId(Uuid::from_u128(700)));
            let (one, none) = (vec![BrokerId(1)], Vec::new());
            topic.set_partition(0, PartitionImage::created(one.clone(), none, one));
            image.topics.insert(topic);
        });
        assert_eq!(refused("later"), None);
    }
}

#[test]
fn nothing_is_read_from_a_log_that_failed() {
    let (_, disk) = disk();
    let node = Node::on(&disk, &DIRS).expect("an empty disk");
    let orders = node.replicas.partition("orders", 0).expect("led by this node");
    let fetch = || {
        let limits = FetchLimits {
            min_bytes: 0,
            max_bytes: 100,
            max_wait: std::time::Duration::ZERO,
            isolation: Isolation::ReadUncommitted,
        };
        let fetch = PartitionFetch {
            partition: Ok(orders.clone()),
            fetch_offset: 0,
            max_bytes: 100,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
        };
        let reads = read_or_wait(vec![fetch], limits).map_err(|_| "it waits");
        reads.expect("no minimum")[0].error
    };
    assert_eq!(fetch(), ErrorCode::None);
    orders.log().fail();
    assert_eq!(fetch(), ErrorCode::KafkaStorageError);
    assert_eq!(
        node.replicas.partition("orders", 0).err(),
        Some(ErrorCode::KafkaStorageError)
    );
}
