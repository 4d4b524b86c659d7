//! Coordinator records as the bytes of `__consumer_offsets`, and back.
//!
//! What the bytes look like belongs to `protocol_compat`; here a sentinel of the wire becomes an `Option` and back.

use bytes::Bytes;
use protocol_compat::error::{DecodeError, EncodeError};
use protocol_compat::records::group::{
    GroupMetadataKey, GroupMetadataValue, GroupRecord, MemberMetadata as WireMember, OffsetCommitKey,
    OffsetCommitValue,
};

use super::hard_state::{CoordinatorRecord, GroupMetadata, MemberMetadata, OffsetAndMetadata};

/// The wire's "does not expire by itself".
const NO_EXPIRE_TIMESTAMP: i64 = -1;

impl CoordinatorRecord {
    /// Key and value as Kafka writes them.
    ///
    /// # Errors
    /// Where a name or text is longer than its length field can say.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        self.to_wire().encode()
    }

    /// Reads a record; `None` for a type that only newer groups have.
    ///
    /// # Errors
    /// On bytes that are no such record.
    pub fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<CoordinatorRecord>, DecodeError> {
        Ok(match GroupRecord::decode(key, value)? {
            GroupRecord::OffsetCommit { key, value } => Some(CoordinatorRecord::Offset {
                group_id: key.group,
                topic: key.topic,
                partition: key.partition,
                value: value.map(OffsetAndMetadata::from),
            }),
            GroupRecord::GroupMetadata { key, value } => Some(CoordinatorRecord::Group {
                group_id: key.group,
                value: value.map(GroupMetadata::from),
            }),
            GroupRecord::Unknown { .. } => None,
        })
    }

    fn to_wire(&self) -> GroupRecord {
        match self {
            CoordinatorRecord::Offset {
                group_id,
                topic,
                partition,
                value,
            } => GroupRecord::OffsetCommit {
                key: OffsetCommitKey {
                    group: group_id.clone(),
                    topic: topic.clone(),
                    partition: *partition,
                },
                value: value.as_ref().map(offset_to_wire),
            },
            CoordinatorRecord::Group { group_id, value } => GroupRecord::GroupMetadata {
                key: GroupMetadataKey {
                    group: group_id.clone(),
                },
                value: value.as_ref().map(group_to_wire),
            },
        }
    }
}

fn offset_to_wire(value: &OffsetAndMetadata) -> OffsetCommitValue {
    OffsetCommitValue {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.clone(),
        commit_timestamp: value.commit_timestamp_ms,
        expire_timestamp: value.expire_timestamp_ms.unwrap_or(NO_EXPIRE_TIMESTAMP),
        topic_id: value.topic_id,
    }
}

impl From<OffsetCommitValue> for OffsetAndMetadata {
    fn from(value: OffsetCommitValue) -> OffsetAndMetadata {
        OffsetAndMetadata {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata,
            commit_timestamp_ms: value.commit_timestamp,
            expire_timestamp_ms: (value.expire_timestamp != NO_EXPIRE_TIMESTAMP)
                .then_some(value.expire_timestamp),
            topic_id: value.topic_id,
        }
    }
}

fn group_to_wire(value: &GroupMetadata) -> GroupMetadataValue {
    GroupMetadataValue {
        protocol_type: value.protocol_type.clone(),
        generation: value.generation,
        protocol: value.protocol.clone(),
        leader: value.leader.clone(),
        current_state_timestamp: value.state_timestamp_ms,
        members: value.members.iter().map(member_to_wire).collect(),
    }
}

impl From<GroupMetadataValue> for GroupMetadata {
    fn from(value: GroupMetadataValue) -> GroupMetadata {
        GroupMetadata {
            protocol_type: value.protocol_type,
            generation: value.generation,
            protocol: value.protocol,
            leader: value.leader,
            state_timestamp_ms: value.current_state_timestamp,
            members: value.members.into_iter().map(member_from_wire).collect(),
        }
    }
}

fn member_to_wire(member: &MemberMetadata) -> WireMember {
    WireMember {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: member.subscription.clone(),
        assignment: member.assignment.clone(),
    }
}

fn member_from_wire(member: WireMember) -> MemberMetadata {
    MemberMetadata {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        rebalance_timeout_ms: member.rebalance_timeout,
        session_timeout_ms: member.session_timeout,
        subscription: member.subscription,
        assignment: member.assignment,
    }
}
