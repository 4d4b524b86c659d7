//! What an acknowledgement says of the log, on the simulated disk.

use std::path::PathBuf;
use std::sync::Arc;

use metadata::image::PartitionImage;
use protocol_compat::record_batch::batch::{Compression, TimestampType};
use protocol_compat::record_batch::builder::BatchBuilder;
use protocol_compat::{BrokerId, TopicId, TopicPartition};
use storage::disk::{Disk, SimDisk};
use storage::log::{AppendInfo, AppendOrigin, LogConfig};
use storage::log_dirs::NodeIdentity;
use storage::log_manager::{LogManager, LogManagerConfig};
use uuid::Uuid;

use super::partition::PartitionEvents;
use super::{Partition, RequiredAcks};

fn partition(flush_messages: i64) -> Arc<Partition> {
    let config = LogManagerConfig {
        identity: NodeIdentity {
            node_id: 1,
            cluster_id: None,
        },
        boot_id: None,
        max_open_files: 8,
        flush_threads: 1,
        flush_journal_bytes: 1 << 20,
        reserve_bytes: 0,
        append_watch: None,
    };
    let disk = Disk::simulated(&SimDisk::new(7, 64 << 20));
    let ids = Box::new(|| Uuid::from_u128(500));
    let logs = LogManager::open(&disk, &[PathBuf::from("/data")], config, ids).expect("an empty disk");
    let logs = Arc::new(logs);
    let (id, place) = (TopicId(Uuid::from_u128(501)), TopicPartition::new("orders", 0));
    let events = PartitionEvents::new();
    let config = LogConfig {
        flush_messages,
        ..LogConfig::default()
    };
    let log = logs.get_or_open(&place, id, Arc::new(config), Some(events.clone()), 0);
    let registration = PartitionImage::created(vec![BrokerId(1)], Vec::new(), vec![BrokerId(1)]);
    Partition::new(
        id,
        &registration,
        log.expect("an empty log"),
        logs,
        &crate::disk_stalls::DiskStalls::unwatched(),
        &events,
    )
}

fn append(partition: &Partition) -> AppendInfo {
    let mut batch = BatchBuilder::new(0, Compression::None, TimestampType::CreateTime, None, -1);
    batch.append(1, None, Some(b"value"), &[]);
    partition
        .append(batch.build(), AppendOrigin::Client, 1)
        .expect("the log takes records")
}

#[tokio::test]
async fn the_append_that_reaches_flush_messages_is_acknowledged_after_the_flush_with_any_acks() {
    for acks in [RequiredAcks::Leader, RequiredAcks::AllInSync] {
        let partition = partition(3);
        for round in 1..20 {
            for _ in 0..2 {
                let info = append(&partition);
                if let Some(wait) = partition.acknowledgement(&info, acks) {
                    wait.given().await.expect("the disk works");
                }
            }
            let info = append(&partition);
            if let Some(wait) = partition.acknowledgement(&info, acks) {
                wait.given().await.expect("the disk works");
            }
            assert!(partition.log().durable_offset() >= round * 3, "{acks:?}");
        }
    }
}

#[tokio::test]
async fn the_coordinator_s_records_wait_for_the_flush_as_well() {
    let partition = partition(2);
    for round in 1..20 {
        append(&partition);
        let last = append(&partition).last_offset;
        partition.committed(last + 1).await.expect("the disk works");
        assert!(partition.log().durable_offset() >= round * 2);
    }
}

#[tokio::test]
async fn nothing_waits_for_a_flush_by_default() {
    let partition = partition(i64::MAX);
    let info = append(&partition);
    assert!(
        partition
            .acknowledgement(&info, RequiredAcks::AllInSync)
            .is_none()
    );
    assert!(partition.acknowledgement(&info, RequiredAcks::Leader).is_none());
    assert_eq!(partition.log().durable_offset(), 0);
}
