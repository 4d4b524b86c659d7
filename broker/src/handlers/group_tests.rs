//! A member's life through the handlers, at every version of each request.

use std::sync::Arc;
use std::time::Duration;

use ::metadata::group::GroupConfig;
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};
use protocol_compat::messages::join_group_request::JoinGroupRequestProtocol;
use protocol_compat::messages::leave_group_request::MemberIdentity;
use protocol_compat::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol_compat::messages::*;
use protocol_compat::{ApiKey, ErrorCode};

use super::{delete_groups, describe_groups, heartbeat, join_group, leave_group, list_groups, sync_group};
use crate::clock::Clock;
use crate::group_coordinator::{GroupCoordinator, GroupCoordinatorConfig, MemoryOffsetsTopic};
use crate::request::{Handled, RequestContext};

fn coordinator() -> Arc<GroupCoordinator> {
    let config = GroupCoordinatorConfig {
        group: GroupConfig {
            initial_rebalance_delay_ms: 0,
            ..GroupConfig::default()
        },
        commit_timeout: Duration::from_secs(5),
        retention_check_interval: Duration::from_secs(600),
    };
    GroupCoordinator::new(config, Arc::new(MemoryOffsetsTopic::new(3)), Clock::real())
}

type Handler = fn(&Arc<GroupCoordinator>, &RequestContext, Bytes) -> Handled;

/// Sends a request to a handler and reads the answer.
async fn ask<Q: Encodable, A: Decodable + HeaderVersion>(
    coordinator: &Arc<GroupCoordinator>,
    (key, handler): (ApiKey, Handler),
    version: i16,
    request: Q,
) -> A {
    let context = RequestContext {
        client_id: Some("client".into()),
        ..RequestContext::for_test(key, version)
    };
    let mut body = BytesMut::new();
    request
        .encode(&mut body, version)
        .expect("a request that can be written");
    let frame = match handler(coordinator, &context, body.freeze()) {
        Handled::Now(frame) => frame,
        Handled::Later(answer) | Handled::Exclusive(answer) => answer.await,
        Handled::Begun(_) | Handled::NoReply | Handled::Close(_) => {
            panic!("{key:?} version {version} got no answer")
        }
    };
    let mut bytes = frame.to_bytes();
    bytes.advance(if A::header_version(version) == 1 { 9 } else { 8 });
    let answer = A::decode(&mut bytes, version).expect("an answer that can be read");
    assert!(bytes.is_empty(), "{key:?} version {version} has bytes left");
    answer
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

async fn join(coordinator: &Arc<GroupCoordinator>, version: i16, group: &'static str) -> JoinGroupResponse {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"opaque"));
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(if version == 0 { -1 } else { 10_000 })
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let api: (ApiKey, Handler) = (ApiKey::JoinGroup, join_group::handle);
    let first: JoinGroupResponse = ask(coordinator, api, version, request.clone()).await;
    if version < 4 {
        return first;
    }
    assert_eq!(first.error_code, ErrorCode::MemberIdRequired.code());
    ask(coordinator, api, version, request.with_member_id(first.member_id)).await
}

#[tokio::test]
async fn a_member_joins_syncs_beats_is_seen_and_leaves_at_every_version() {
    let coordinator = coordinator();
    for version in 0..=9 {
        let joined = join(&coordinator, version, "g").await;
        assert_eq!(joined.error_code, 0, "join version {version}");
        assert_eq!((&joined.leader, joined.members.len()), (&joined.member_id, 1));
        let sync = SyncGroupRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone())
            .with_protocol_type((version >= 5).then(|| text("consumer")))
            .with_protocol_name((version >= 5).then(|| text("range")))
            .with_assignments(vec![
                SyncGroupRequestAssignment::default()
                    .with_member_id(joined.member_id.clone())
                    .with_assignment(Bytes::from_static(b"all")),
            ]);
        let synced: SyncGroupResponse = ask(
            &coordinator,
            (ApiKey::SyncGroup, sync_group::handle),
            version.min(5),
            sync,
        )
        .await;
        assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"all"[..]));
        let beat = HeartbeatRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone());
        let beaten: HeartbeatResponse = ask(
            &coordinator,
            (ApiKey::Heartbeat, heartbeat::handle),
            version.min(4),
            beat,
        )
        .await;
        assert_eq!(beaten.error_code, 0);
        let describe =
            DescribeGroupsRequest::default().with_groups(vec![GroupId(text("g")), GroupId(text("none"))]);
        let described: DescribeGroupsResponse = ask(
            &coordinator,
            (ApiKey::DescribeGroups, describe_groups::handle),
            version.min(6),
            describe,
        )
        .await;
        let [group, none] = &described.groups[..] else {
            panic!("two groups were asked for");
        };
        assert_eq!((&*group.group_state, &*none.group_state), ("Stable", "Dead"));
        assert_eq!(&*group.members[0].client_host, "/127.0.0.1");
        assert_eq!(none.error_code, if version >= 6 { 69 } else { 0 });
        let listed: ListGroupsResponse = ask(
            &coordinator,
            (ApiKey::ListGroups, list_groups::handle),
            version.min(5),
            ListGroupsRequest::default(),
        )
        .await;
        assert_eq!(listed.groups.len(), 1);
        let leave = LeaveGroupRequest::default().with_group_id(GroupId(text("g")));
        let leave = if version < 3 {
            leave.with_member_id(joined.member_id)
        } else {
            leave.with_members(vec![MemberIdentity::default().with_member_id(joined.member_id)])
        };
        let left: LeaveGroupResponse = ask(
            &coordinator,
            (ApiKey::LeaveGroup, leave_group::handle),
            version.min(5),
            leave,
        )
        .await;
        assert_eq!(left.error_code, 0);
        let delete = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text("g"))]);
        let deleted: DeleteGroupsResponse = ask(
            &coordinator,
            (ApiKey::DeleteGroups, delete_groups::handle),
            version.min(2),
            delete,
        )
        .await;
        assert_eq!(deleted.results[0].error_code, 0);
    }
}

#[tokio::test]
async fn a_group_that_is_named_again_and_again_is_not_described_as_often() {
    let coordinator = coordinator();
    let groups = [vec![GroupId(text("g")); 1000], vec![GroupId(text("h"))]].concat();
    let described: DescribeGroupsResponse = ask(
        &coordinator,
        (ApiKey::DescribeGroups, describe_groups::handle),
        6,
        DescribeGroupsRequest::default().with_groups(groups),
    )
    .await;
    assert!(described.groups.len() < 100, "{}", described.groups.len());
    assert!(
        described
            .groups
            .last()
            .is_some_and(|last| last.group_id.as_str() == "h")
    );
}
