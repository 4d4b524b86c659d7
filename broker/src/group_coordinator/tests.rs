//! The coordinator at work over `__consumer_offsets` in memory.

use std::sync::Arc;
use std::time::Duration;

use metadata::group::offsets::{DeletedTopic, TopicPartitions};
use metadata::group::request::{
    CommitRequest, HeartbeatRequest, JoinRequest, PartitionOffset, Protocol, SyncRequest, TopicOffsets,
};
use metadata::group::{GroupConfig, GroupFilter};
use metadata::image::{TopicImage, TopicsImage};
use protocol_compat::{ErrorCode, TopicId};
use uuid::Uuid;

use super::*;

fn coordinator(topic: &MemoryOffsetsTopic) -> Arc<GroupCoordinator> {
    let config = GroupCoordinatorConfig {
        group: GroupConfig {
            initial_rebalance_delay_ms: 0,
            min_session_timeout_ms: 1,
            ..GroupConfig::default()
        },
        commit_timeout: Duration::from_millis(30),
        retention_check_interval: Duration::from_secs(600),
    };
    let coordinator = GroupCoordinator::new(config, Arc::new(topic.clone()), Clock::real());
    coordinator.start();
    coordinator
}

fn join(member_id: &str, session_timeout_ms: i32) -> JoinRequest {
    JoinRequest {
        group_id: "g".into(),
        member_id: member_id.into(),
        group_instance_id: None,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![Protocol {
            name: "range".into(),
            metadata: bytes::Bytes::from_static(b"opaque"),
        }],
        member_id_required: false,
        can_skip_assignment: true,
        fresh_id: Uuid::from_u128(7),
    }
}

fn sync(member_id: &Arc<str>, generation: i32) -> SyncRequest {
    SyncRequest {
        group_id: "g".into(),
        generation,
        member_id: member_id.clone(),
        group_instance_id: None,
        protocol_type: None,
        protocol_name: None,
        assignments: vec![(member_id.clone(), bytes::Bytes::from_static(b"all"))],
    }
}

fn commit(offset: i64) -> CommitRequest {
    CommitRequest {
        group_id: "simple".into(),
        generation: -1,
        member_id: "".into(),
        group_instance_id: None,
        retention_time_ms: -1,
        knows_group_id_not_found: true,
        topics: vec![TopicOffsets {
            topic: "t".into(),
            topic_id: TopicId::NIL,
            partitions: vec![PartitionOffset {
                partition: 0,
                offset,
                leader_epoch: -1,
                metadata: None,
            }],
        }],
    }
}

async fn fetched(coordinator: &GroupCoordinator, require_stable: bool) -> i64 {
    let asked = [TopicPartitions {
        topic: "t".into(),
        topic_id: TopicId::NIL,
        partitions: vec![0],
    }];
    let topics = coordinator
        .fetch_offsets("simple", Some(&asked), require_stable)
        .await;
    topics.expect("the shard is readable")[0].partitions[0].offset
}

fn outcome(topics: &[TopicErrors]) -> ErrorCode {
    topics[0].partitions[0].1
}

#[tokio::test]
async fn a_group_survives_its_coordinator() {
    let topic = MemoryOffsetsTopic::new(5);
    let first = coordinator(&topic);
    let joined = first.join(join("", 10_000)).await;
    assert_eq!((joined.error, joined.generation), (ErrorCode::None, 1));
    let synced = first.sync(sync(&joined.member_id, 1)).await;
    assert_eq!(&synced.assignment[..], b"all");
    assert_eq!(outcome(&first.commit_offsets(commit(5)).await), ErrorCode::None);

    let second = coordinator(&topic);
    let heartbeat = HeartbeatRequest {
        group_id: "g".into(),
        generation: 1,
        member_id: joined.member_id,
        group_instance_id: None,
    };
    assert_eq!(second.heartbeat(heartbeat).await, ErrorCode::None);
    assert_eq!(fetched(&second, false).await, 5);
    let listed = second.list_groups(&GroupFilter::default()).await.unwrap();
    let mut names: Vec<&str> = listed.iter().map(|group| &*group.group_id).collect();
    names.sort_unstable();
    assert_eq!(names, ["g", "simple"]);
}

#[tokio::test]
async fn an_answer_waits_for_the_commit_of_its_records() {
    let topic = MemoryOffsetsTopic::new(1);
    let coordinator = coordinator(&topic);
    assert_eq!(fetched(&coordinator, true).await, -1);
    topic.hold_commits(true);
    let committing = tokio::spawn({
        let coordinator = coordinator.clone();
        async move { coordinator.commit_offsets(commit(5)).await }
    });
    while topic.records()[0].is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(!committing.is_finished());
    assert_eq!(fetched(&coordinator, false).await, -1);
    let (stable, ()) = tokio::join!(fetched(&coordinator, true), async { topic.hold_commits(false) });
    assert_eq!(stable, 5);
    assert_eq!(outcome(&committing.await.unwrap()), ErrorCode::None);
}

#[tokio::test]
async fn a_commit_that_takes_too_long_is_answered_and_may_still_come_true() {
    let topic = MemoryOffsetsTopic::new(1);
    let coordinator = coordinator(&topic);
    topic.hold_commits(true);
    let refused = coordinator.commit_offsets(commit(5)).await;
    assert_eq!(outcome(&refused), ErrorCode::CoordinatorNotAvailable);
    topic.hold_commits(false);
    assert_eq!(fetched(&coordinator, true).await, 5);
}

#[tokio::test]
async fn a_failed_append_is_answered_and_leaves_nothing() {
    let topic = MemoryOffsetsTopic::new(1);
    let coordinator = coordinator(&topic);
    topic.fail_appends(Some(ErrorCode::KafkaStorageError));
    let refused = coordinator.commit_offsets(commit(5)).await;
    assert_eq!(outcome(&refused), ErrorCode::NotCoordinator);
    assert_eq!(
        coordinator.join(join("", 10_000)).await.error,
        ErrorCode::NotCoordinator
    );
    topic.fail_appends(None);
    assert_eq!(fetched(&coordinator, true).await, -1);
    assert!(
        coordinator
            .list_groups(&GroupFilter::default())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_silent_member_is_removed_by_the_timer_task() {
    let topic = MemoryOffsetsTopic::new(1);
    let coordinator = coordinator(&topic);
    let joined = coordinator.join(join("", 20)).await;
    let assigned = coordinator.sync(sync(&joined.member_id, joined.generation)).await;
    assert_eq!(assigned.error, ErrorCode::None);
    // The empty generation is the third record of the log: the group, its first generation, the end of it.
    while topic.records()[0].len() < 3 {
        tokio::task::yield_now().await;
    }
    let group = coordinator.describe_group("g").await.unwrap();
    assert_eq!(group.expect("an empty group is a group").state, GroupState::Empty);
    assert_eq!(coordinator.figures().groups.get(&GroupState::Empty), Some(&1));
}

#[tokio::test]
async fn groups_without_offsets_go_with_the_expiry_pass() {
    let topic = MemoryOffsetsTopic::new(3);
    let coordinator = coordinator(&topic);
    let mut pending = join("", 10_000);
    pending.member_id_required = true;
    assert_eq!(coordinator.join(pending).await.error, ErrorCode::MemberIdRequired);
    assert!(coordinator.describe_group("g").await.unwrap().is_some());
    coordinator.expire_offsets().await;
    assert_eq!(coordinator.describe_group("g").await, Ok(None));
}

/// Topics that exist: `t` under this id.
fn topic_t(id: u128) -> TopicsImage {
    let mut topics = TopicsImage::default();
    topics.insert(TopicImage::new("t".into(), topic_id(id)));
    topics
}

fn topic_id(id: u128) -> TopicId {
    TopicId(Uuid::from_u128(id))
}

async fn committed_for(coordinator: &GroupCoordinator, id: u128) {
    let mut request = commit(5);
    request.topics[0].topic_id = topic_id(id);
    assert_eq!(
        outcome(&coordinator.commit_offsets(request).await),
        ErrorCode::None
    );
}

#[tokio::test]
async fn offsets_go_when_their_topic_is_deleted() {
    let topic = MemoryOffsetsTopic::new(3);
    let coordinator = coordinator(&topic);
    committed_for(&coordinator, 1).await;
    let deleted = |id| DeletedTopic {
        name: "t".into(),
        id: topic_id(id),
    };
    coordinator.clone().topics_deleted(vec![deleted(2)]).await;
    assert_eq!(fetched(&coordinator, true).await, 5);
    coordinator
        .clone()
        .topics_deleted(vec![deleted(2), deleted(1)])
        .await;
    assert_eq!(fetched(&coordinator, true).await, -1);
}

#[tokio::test]
async fn offsets_of_a_topic_that_was_deleted_meanwhile_go_when_their_shard_is_loaded() {
    let topic = MemoryOffsetsTopic::new(1);
    topic.set_topics(topic_t(1));
    committed_for(&coordinator(&topic), 1).await;
    let same = coordinator(&topic);
    assert_eq!(fetched(&same, true).await, 5);
    assert_eq!(topic.records()[0].len(), 1);

    // The node was killed between the deletion and the tombstones, and a topic of this name exists again.
    topic.set_topics(topic_t(2));
    let next = coordinator(&topic);
    fetched(&next, true).await;
    while topic.records()[0].len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fetched(&next, true).await, -1);
}
