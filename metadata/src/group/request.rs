//! What comes into a shard and what goes out: requests and replies without wire versions.
//!
//! The handlers in `broker` turn a version into a named capability (`member_id_required`, `can_skip_assignment`); versions go
//! no further inward.

use std::sync::Arc;

use bytes::Bytes;
use protocol_compat::{ErrorCode, TopicId};
use uuid::Uuid;

use super::offsets::DeletedTopics;

/// The clocks at one moment. Timers follow the one that never jumps, records carry the one that people read, and what has
/// an age is deleted by the one that no step of the latter puts ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970.
    pub wall_ms: i64,
    /// Milliseconds since 1970, never ahead of the time that has really passed.
    pub deletion_ms: i64,
    /// Milliseconds since some moment, never going back.
    pub monotonic_ms: i64,
}

/// Names a waiting request for the runtime; never interpreted here, unique within a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestToken(pub u64);

/// A member's subscription under one of its assignors: name and opaque metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The assignor's name, such as `range`.
    pub name: Arc<str>,
    /// What the members exchange under it; opaque to the coordinator.
    pub metadata: Bytes,
}

/// JoinGroup.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// The group.
    pub group_id: Arc<str>,
    /// Empty for a client that has no member id yet.
    pub member_id: Arc<str>,
    /// Set for a static member (KIP-345).
    pub group_instance_id: Option<Arc<str>>,
    /// The client's id, empty if it has none.
    pub client_id: Arc<str>,
    /// The client's address as Kafka prints it: `/127.0.0.1`.
    pub client_host: Arc<str>,
    /// How long the member may be silent.
    pub session_timeout_ms: i32,
    /// How long the others wait for the member in a rebalance; the session timeout in version 0.
    pub rebalance_timeout_ms: i32,
    /// `consumer`, `connect`, ...
    pub protocol_type: Arc<str>,
    /// In the member's order of preference.
    pub protocols: Vec<Protocol>,
    /// Whether a dynamic member must come back with the id that it is given (version 4, KIP-394).
    pub member_id_required: bool,
    /// Whether a returning static leader can be told to skip the assignment (version 9, KIP-814).
    pub can_skip_assignment: bool,
    /// Randomness for a new member id, drawn by the caller.
    pub fresh_id: Uuid,
}

/// SyncGroup.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// The group.
    pub group_id: Arc<str>,
    /// The generation that JoinGroup answered.
    pub generation: i32,
    /// The member.
    pub member_id: Arc<str>,
    /// Set for a static member.
    pub group_instance_id: Option<Arc<str>>,
    /// Checked against the group's where given.
    pub protocol_type: Option<Arc<str>>,
    /// Checked against the group's where given.
    pub protocol_name: Option<Arc<str>>,
    /// The leader's work: member id to assignment. Empty from followers.
    pub assignments: Vec<(Arc<str>, Bytes)>,
}

/// Heartbeat.
#[derive(Clone, Debug)]
pub struct HeartbeatRequest {
    /// The group.
    pub group_id: Arc<str>,
    /// The generation that the member believes in.
    pub generation: i32,
    /// The member.
    pub member_id: Arc<str>,
    /// Set for a static member.
    pub group_instance_id: Option<Arc<str>>,
}

/// One member that leaves, by member id or (an administrator's removal) by instance id alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingMember {
    /// Empty when the instance id names the member.
    pub member_id: Arc<str>,
    /// Set for a static member.
    pub group_instance_id: Option<Arc<str>>,
}

/// LeaveGroup.
#[derive(Clone, Debug)]
pub struct LeaveRequest {
    /// The group.
    pub group_id: Arc<str>,
    /// One before version 3.
    pub members: Vec<LeavingMember>,
}

/// One offset that a client wants to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionOffset {
    /// The partition's index.
    pub partition: i32,
    /// The next offset to consume.
    pub offset: i64,
    /// The epoch of the last consumed record, -1 if unknown.
    pub leader_epoch: i32,
    /// Free text of the client.
    pub metadata: Option<Arc<str>>,
}

/// The offsets of one topic; the topic and its partitions are known to exist (see [`super::offsets::topics`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOffsets {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The topic's id, nil if unknown.
    pub topic_id: TopicId,
    /// The offsets.
    pub partitions: Vec<PartitionOffset>,
}

/// OffsetCommit.
#[derive(Clone, Debug)]
pub struct CommitRequest {
    /// The group; the empty group id is allowed, as in Kafka.
    pub group_id: Arc<str>,
    /// Negative for a consumer without group management and for administrators.
    pub generation: i32,
    /// Empty for the same.
    pub member_id: Arc<str>,
    /// Set for a static member.
    pub group_instance_id: Option<Arc<str>>,
    /// Versions 2 to 4: how long to keep the offsets; -1 for the broker's own rule.
    pub retention_time_ms: i64,
    /// Whether a missing group is told as such (version 9) or as a wrong generation.
    pub knows_group_id_not_found: bool,
    /// What to keep.
    pub topics: Vec<TopicOffsets>,
}

/// OffsetDelete.
#[derive(Clone, Debug)]
pub struct DeleteOffsetsRequest {
    /// The group.
    pub group_id: Arc<str>,
    /// Topics and partitions whose offsets go.
    pub topics: Vec<(Arc<str>, Vec<i32>)>,
}

/// Everything that can happen to a shard.
#[derive(Clone, Debug)]
pub enum Input {
    /// A JoinGroup request.
    Join(RequestToken, JoinRequest),
    /// A SyncGroup request.
    Sync(RequestToken, SyncRequest),
    /// A Heartbeat request.
    Heartbeat(RequestToken, HeartbeatRequest),
    /// A LeaveGroup request.
    Leave(RequestToken, LeaveRequest),
    /// An OffsetCommit request.
    CommitOffsets(RequestToken, CommitRequest),
    /// An OffsetDelete request.
    DeleteOffsets(RequestToken, DeleteOffsetsRequest),
    /// The part of a DeleteGroups request that this shard holds.
    DeleteGroups(RequestToken, Vec<Arc<str>>),
    /// The earliest timer, if it is due.
    Timer,
    /// The expiry pass comes to this group.
    ExpireOffsets(Arc<str>),
    /// Topics were deleted; their offsets in this group go.
    TopicsDeleted(Arc<str>, DeletedTopics),
}

/// The answer to JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinReply {
    /// `None` on success.
    pub error: ErrorCode,
    /// -1 with an error.
    pub generation: i32,
    /// The group's protocol type.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol that the members chose.
    pub protocol_name: Option<Arc<str>>,
    /// The leader's member id, empty with an error.
    pub leader: Arc<str>,
    /// Whether a leader must not assign (KIP-814).
    pub skip_assignment: bool,
    /// The member's own id.
    pub member_id: Arc<str>,
    /// For the leader: who takes part.
    pub members: Vec<JoinedMember>,
}

impl JoinReply {
    /// An answer that carries an error and the member id to go on with.
    pub fn error(member_id: impl Into<Arc<str>>, error: ErrorCode) -> JoinReply {
        JoinReply {
            error,
            generation: -1,
            protocol_type: None,
            protocol_name: None,
            leader: "".into(),
            skip_assignment: false,
            member_id: member_id.into(),
            members: Vec::new(),
        }
    }
}

/// One member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// The member's id.
    pub member_id: Arc<str>,
    /// Set for a static member.
    pub group_instance_id: Option<Arc<str>>,
    /// Its metadata under the chosen protocol.
    pub metadata: Bytes,
}

/// The answer to SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncReply {
    /// `None` on success.
    pub error: ErrorCode,
    /// The group's protocol type, on success.
    pub protocol_type: Option<Arc<str>>,
    /// The group's protocol, on success.
    pub protocol_name: Option<Arc<str>>,
    /// What the leader assigned to the member.
    pub assignment: Bytes,
}

impl SyncReply {
    /// An answer that carries only an error.
    pub fn error(error: ErrorCode) -> SyncReply {
        SyncReply {
            error,
            protocol_type: None,
            protocol_name: None,
            assignment: Bytes::new(),
        }
    }
}

/// The answer to LeaveGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveReply {
    /// An error of the whole request.
    pub error: ErrorCode,
    /// Each leaving member with its own outcome, in the order of the request.
    pub members: Vec<(LeavingMember, ErrorCode)>,
}

/// The outcome of a topic's partitions in OffsetCommit and OffsetDelete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicErrors {
    /// The topic's name, empty if only its id is known.
    pub topic: Arc<str>,
    /// The topic's id, nil if unknown.
    pub topic_id: TopicId,
    /// Partition and outcome.
    pub partitions: Vec<(i32, ErrorCode)>,
}

/// The answer to OffsetDelete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteOffsetsReply {
    /// An error of the whole request.
    pub error: ErrorCode,
    /// Outcomes, empty with an error.
    pub topics: Vec<TopicErrors>,
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To JoinGroup.
    Join(JoinReply),
    /// To SyncGroup.
    Sync(SyncReply),
    /// To Heartbeat.
    Heartbeat(ErrorCode),
    /// To LeaveGroup.
    Leave(LeaveReply),
    /// To OffsetCommit.
    CommitOffsets(Vec<TopicErrors>),
    /// To OffsetDelete.
    DeleteOffsets(DeleteOffsetsReply),
    /// To DeleteGroups.
    DeleteGroups(Vec<(Arc<str>, ErrorCode)>),
}

impl Reply {
    /// What is answered instead when the records that this reply depends on could not be committed.
    pub(super) fn failed(self, error: ErrorCode) -> Reply {
        match self {
            Reply::Join(reply) => Reply::Join(JoinReply::error(reply.member_id, error)),
            Reply::Sync(_) => Reply::Sync(SyncReply::error(error)),
            Reply::Heartbeat(_) => Reply::Heartbeat(error),
            Reply::Leave(_) => Reply::Leave(LeaveReply {
                error,
                members: Vec::new(),
            }),
            Reply::CommitOffsets(mut topics) => {
                for topic in &mut topics {
                    topic.partitions.iter_mut().for_each(|(_, code)| *code = error);
                }
                Reply::CommitOffsets(topics)
            }
            Reply::DeleteOffsets(_) => Reply::DeleteOffsets(DeleteOffsetsReply {
                error,
                topics: Vec::new(),
            }),
            Reply::DeleteGroups(groups) => {
                Reply::DeleteGroups(groups.into_iter().map(|(group, _)| (group, error)).collect())
            }
        }
    }
}
