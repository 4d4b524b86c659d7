//! Requests about consumer groups.
//!
//! Fields, versions and tags of Apache Kafka 4.3. The codec crate decodes these; the guard walks them first.

use super::shape;

shape! {
    find_coordinator_request, flexible 3+;

    FindCoordinatorRequest {
        key: StrBytes, v(0-3);
        key_type: i8, v(1+);
        coordinator_keys: Vec<StrBytes>, v(4+);
    }
}

shape! {
    join_group_request, flexible 6+;

    JoinGroupRequest {
        group_id: StrBytes, v(0+);
        session_timeout_ms: i32, v(0+);
        rebalance_timeout_ms: i32, v(1+);
        member_id: StrBytes, v(0+);
        group_instance_id: StrBytes, v(5+), nullable(5+);
        protocol_type: StrBytes, v(0+);
        protocols: Vec<JoinGroupRequestProtocol>, v(0+);
        reason: StrBytes, v(8+), nullable(8+);
    }

    JoinGroupRequestProtocol {
        name: StrBytes, v(0+);
        metadata: Bytes, v(0+);
    }
}

shape! {
    heartbeat_request, flexible 4+;

    HeartbeatRequest {
        group_id: StrBytes, v(0+);
        generation_id: i32, v(0+);
        member_id: StrBytes, v(0+);
        group_instance_id: StrBytes, v(3+), nullable(3+);
    }
}

shape! {
    leave_group_request, flexible 4+;

    LeaveGroupRequest {
        group_id: StrBytes, v(0+);
        member_id: StrBytes, v(0-2);
        members: Vec<MemberIdentity>, v(3+);
    }

    MemberIdentity {
        member_id: StrBytes, v(3+);
        group_instance_id: StrBytes, v(3+), nullable(3+);
        reason: StrBytes, v(5+), nullable(5+);
    }
}

shape! {
    sync_group_request, flexible 4+;

    SyncGroupRequest {
        group_id: StrBytes, v(0+);
        generation_id: i32, v(0+);
        member_id: StrBytes, v(0+);
        group_instance_id: StrBytes, v(3+), nullable(3+);
        protocol_type: StrBytes, v(5+), nullable(5+);
        protocol_name: StrBytes, v(5+), nullable(5+);
        assignments: Vec<SyncGroupRequestAssignment>, v(0+);
    }

    SyncGroupRequestAssignment {
        member_id: StrBytes, v(0+);
        assignment: Bytes, v(0+);
    }
}

shape! {
    describe_groups_request, flexible 5+;

    DescribeGroupsRequest {
        groups: Vec<StrBytes>, v(0+);
        include_authorized_operations: bool, v(3+);
    }
}

shape! {
    list_groups_request, flexible 3+;

    ListGroupsRequest {
        states_filter: Vec<StrBytes>, v(4+);
        types_filter: Vec<StrBytes>, v(5+);
    }
}

shape! {
    delete_groups_request, flexible 2+;

    DeleteGroupsRequest {
        groups_names: Vec<StrBytes>, v(0+);
    }
}

shape! {
    offset_delete_request, flexible none;

    OffsetDeleteRequest {
        group_id: StrBytes, v(0+);
        topics: Vec<OffsetDeleteRequestTopic>, v(0+);
    }

    OffsetDeleteRequestTopic {
        name: StrBytes, v(0+);
        partitions: Vec<OffsetDeleteRequestPartition>, v(0+);
    }

    OffsetDeleteRequestPartition {
        partition_index: i32, v(0+);
    }
}
