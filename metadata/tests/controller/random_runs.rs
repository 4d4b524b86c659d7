//! Random runs from seeds: whatever is decided, the image equals the replay of all records, a snapshot with the tail of
//! the log equals the full replay (rule C11), and the invariants of partitions and producer ids hold.

use std::collections::BTreeMap;

use metadata::configs::ConfigResource;
use metadata::controller::{
    ConfigChange, Controller, CreatableTopic, CreatePartitionsTopic, DeletableTopic, IdSource,
    snapshot_records,
};
use metadata::image::MetadataImage;
use protocol_compat::records::metadata::MetadataRecord;
use protocol_compat::{BrokerId, TopicId};

use crate::script::{Counting, config, registration};

/// A small generator (splitmix64) so that a seed always gives the same run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn decide(
    controller: &Controller,
    random: &mut Random,
    ids: &mut Counting,
    blocks: &mut Vec<i64>,
) -> Vec<MetadataRecord> {
    let broker = BrokerId(1 + random.below(4) as i32);
    let epoch = controller
        .image()
        .brokers
        .get(broker)
        .map_or(0, |broker| broker.epoch);
    let name = format!("t{}", random.below(6));
    match random.below(10) {
        0 => {
            let incarnation = ids.next_id().as_u128();
            let ready = random.below(2) == 0;
            controller
                .register_broker(registration(broker.0, incarnation, ready))
                .records
        }
        1 => controller.fence_broker(broker, epoch).records,
        2 | 3 => controller.unfence_broker(broker, epoch).records,
        4 => controller.begin_controlled_shutdown(broker, epoch).records,
        5 | 6 => {
            let topic = CreatableTopic {
                name: name.as_str().into(),
                num_partitions: 1 + random.below(4) as i32,
                replication_factor: 1 + random.below(3) as i16,
                assignments: vec![],
                configs: vec![],
            };
            controller.create_topics(ids, vec![topic], false).records
        }
        7 if random.below(3) == 0 => {
            let topic = DeletableTopic {
                name: Some(name.as_str().into()),
                id: TopicId::NIL,
            };
            controller.delete_topics(vec![topic]).records
        }
        7 => {
            let topic = CreatePartitionsTopic {
                name: name.as_str().into(),
                count: 1 + random.below(8) as i32,
                assignments: None,
            };
            controller.create_partitions(ids, vec![topic], false).records
        }
        8 => {
            let change = match random.below(3) {
                0 => ConfigChange::Delete,
                _ => ConfigChange::Set(random.below(9).to_string()),
            };
            let changes = BTreeMap::from([("retention.ms".to_owned(), change)]);
            let resource = ConfigResource::topic(name);
            controller
                .incremental_alter_configs(vec![(resource, changes)], false)
                .records
        }
        _ => {
            let decision = controller.allocate_producer_ids(broker, epoch);
            blocks.extend(decision.response.map(|block| block.first_producer_id));
            decision.records
        }
    }
}

fn check(image: &MetadataImage, before: &MetadataImage) {
    let mut partitions = 0;
    for topic in image.topics.iter() {
        assert_eq!(image.topics.by_id(topic.id), Some(topic));
        for (index, partition) in topic.partitions() {
            partitions += 1;
            assert!(
                !partition.isr.is_empty() && partition.isr.iter().all(|id| partition.replicas.contains(id))
            );
            if partition.has_leader() {
                assert!(partition.isr.contains(&partition.leader), "a leader is in sync");
                assert!(image.brokers.is_active(partition.leader), "a leader is active");
            } else {
                let any = partition.isr.iter().any(|id| image.brokers.is_active(*id));
                assert!(!any, "a partition with an active in-sync replica has a leader");
            }
            let old = before
                .topics
                .by_id(topic.id)
                .and_then(|topic| topic.partition(index));
            if let Some(old) = old {
                assert!(partition.leader_epoch >= old.leader_epoch);
                assert!(partition.leader == old.leader || partition.leader_epoch > old.leader_epoch);
                assert!(partition == old || partition.partition_epoch > old.partition_epoch);
            }
        }
    }
    assert_eq!(partitions, image.topics.partition_count());
}

fn run(seed: u64, steps: i64) {
    let mut random = Random(seed);
    let mut ids = Counting(1_000);
    let mut controller = Controller::new(config());
    let mut log: Vec<(i64, MetadataRecord)> = Vec::new();
    let mut blocks = Vec::new();
    let cut = random.below(steps as u64) as i64;
    let mut snapshot = None;
    let first = controller.bootstrap().records;
    for offset in 0..steps {
        let records = match offset {
            0 => first.clone(),
            _ => decide(&controller, &mut random, &mut ids, &mut blocks),
        };
        let before = controller.image();
        for record in records {
            let bytes = record.encode().expect("a decision can be written");
            assert_eq!(MetadataRecord::decode(&bytes).as_ref(), Ok(&record));
            controller
                .replay(offset, &record)
                .expect("a decision can be replayed");
            log.push((offset, record));
        }
        check(&controller.image(), &before);
        if offset == cut {
            snapshot = Some((offset, snapshot_records(&controller.image())));
        }
    }
    let mut replayed = Controller::new(config());
    for (offset, record) in &log {
        replayed.replay(*offset, record).expect("the log can be replayed");
    }
    assert_eq!(replayed.image(), controller.image(), "seed {seed}");
    let (cut, records) = snapshot.expect("the cut lies inside the run");
    let mut restored = Controller::restore(config(), cut, records).expect("a snapshot can be read");
    for (offset, record) in log.iter().filter(|(offset, _)| *offset > cut) {
        restored
            .replay(*offset, record)
            .expect("the tail can be replayed");
    }
    assert_eq!(restored.image().topics, controller.image().topics, "seed {seed}");
    assert_eq!(
        snapshot_records(&restored.image()),
        snapshot_records(&controller.image()),
        "seed {seed}"
    );
    let distinct: std::collections::BTreeSet<i64> = blocks.iter().copied().collect();
    assert_eq!(
        distinct.len(),
        blocks.len(),
        "a producer id block is handed out once"
    );
}

#[test]
fn random_runs_keep_every_invariant() {
    for seed in 0..60 {
        run(seed, 150);
    }
}
