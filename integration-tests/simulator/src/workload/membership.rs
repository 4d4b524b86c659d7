//! JoinGroup, SyncGroup, Heartbeat and LeaveGroup of one classic member, each told to the history.
//!
//! The members bring their own assignor: the leader deals the partitions out in turn and writes into each assignment whose
//! it is and of which generation, so that a foreign one is known for what it is.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolSubscription, GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    SyncGroupRequest,
};
use kafka_protocol::protocol::{Encodable, StrBytes};
use protocol_compat::error_code::ErrorCode;
use uuid::Uuid;

use crate::check::groups::Assignment;
use crate::check::violation::Violation;
use crate::client::{Client, Failure};
use crate::rng::Rng;
use crate::world::World;

const PROTOCOL_TYPE: &str = "consumer";
const PROTOCOL: &str = "in-turn";
/// The first LeaveGroup that names members one by one.
const FIRST_LEAVE_WITH_MEMBERS: i16 = 3;
/// The first SyncGroup that names the protocol.
const FIRST_SYNC_WITH_PROTOCOL: i16 = 5;

/// The versions that a client of some age speaks.
#[derive(Clone, Copy, Debug)]
pub struct Versions {
    join: i16,
    sync: i16,
    heartbeat: i16,
    leave: i16,
    /// Of OffsetCommit and OffsetFetch.
    pub offsets: i16,
}

const AGES: [Versions; 4] = [
    Versions {
        join: 2,
        sync: 1,
        heartbeat: 1,
        leave: 1,
        offsets: 5,
    },
    Versions {
        join: 5,
        sync: 3,
        heartbeat: 3,
        leave: 3,
        offsets: 7,
    },
    Versions {
        join: 7,
        sync: 5,
        heartbeat: 4,
        leave: 4,
        offsets: 8,
    },
    Versions {
        join: 9,
        sync: 5,
        heartbeat: 4,
        leave: 5,
        offsets: 10,
    },
];

impl Versions {
    /// Some age's versions; the oldest know no static members.
    pub fn chosen(is_static: bool, rng: &mut Rng) -> Versions {
        *rng.pick(if is_static { &AGES[1..] } else { &AGES })
    }
}

/// Who a member is to its group.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The group.
    pub group: String,
    /// The member id; empty before the first join.
    pub member: String,
    /// The static member's own name.
    pub instance: Option<String>,
    /// What it speaks.
    pub versions: Versions,
    /// After this silence the group goes on without it.
    pub session_timeout_ms: i32,
}

/// What a join came to.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The generation.
    pub generation: i32,
    /// Chosen by this member in case it leads.
    nonce: u64,
    /// Everybody's names, where this member leads and is to deal out.
    followers: Vec<(StrBytes, String)>,
}

impl Membership {
    /// By what the assignments know this member.
    fn identity(&self) -> &str {
        self.instance.as_deref().unwrap_or(&self.member)
    }

    fn instance_id(&self) -> Option<StrBytes> {
        self.instance.clone().map(StrBytes::from_string)
    }

    fn group_id(&self) -> GroupId {
        GroupId(StrBytes::from_string(self.group.clone()))
    }

    fn member_id(&self) -> StrBytes {
        StrBytes::from_string(self.member.clone())
    }

    /// Joins the next generation. Takes the member id that the group gives.
    ///
    /// # Errors
    /// No answer.
    pub async fn join(
        &mut self,
        client: &mut Client,
        world: &World,
        topic: &str,
        rng: &mut Rng,
    ) -> Result<Result<Joined, ErrorCode>, Failure> {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str(PROTOCOL))
            .with_metadata(subscription(topic));
        let request = JoinGroupRequest::default()
            .with_group_id(self.group_id())
            .with_session_timeout_ms(self.session_timeout_ms)
            .with_rebalance_timeout_ms(*rng.pick(&[1_000, 3_000]))
            .with_member_id(self.member_id())
            .with_group_instance_id(self.instance_id())
            .with_protocol_type(StrBytes::from_static_str(PROTOCOL_TYPE))
            .with_protocols(vec![protocol]);
        let floor = world.history().borrow().stable_generation(&self.group);
        let answer = client.call(self.versions.join, &request).await?;
        let code = ErrorCode::from_code(answer.error_code);
        world.trace(format_args!(
            "{} joins {} as {}: {} generation {} led by {}",
            self.identity(),
            self.group,
            answer.member_id,
            code.name(),
            answer.generation_id,
            answer.leader
        ));
        if code == ErrorCode::MemberIdRequired || code == ErrorCode::None {
            self.member = answer.member_id.to_string();
        }
        if code != ErrorCode::None {
            return Ok(Err(code));
        }
        world
            .history()
            .borrow_mut()
            .joined(&self.group, answer.generation_id, floor);
        let is_dealing = answer.leader == answer.member_id && !answer.skip_assignment;
        let names = answer.members.iter().filter(|_| is_dealing).map(|member| {
            let instance = member.group_instance_id.as_ref().unwrap_or(&member.member_id);
            (member.member_id.clone(), instance.to_string())
        });
        Ok(Ok(Joined {
            generation: answer.generation_id,
            nonce: rng.bits(),
            followers: names.collect(),
        }))
    }

    /// Gives the assignments where this member leads, and takes its own.
    ///
    /// # Errors
    /// No answer.
    pub async fn sync(
        &self,
        client: &mut Client,
        world: &World,
        joined: &Joined,
        topic_id: Uuid,
        partitions: i32,
    ) -> Result<Result<Vec<i32>, ErrorCode>, Failure> {
        let count = joined.followers.len().max(1);
        let dealt = joined
            .followers
            .iter()
            .enumerate()
            .map(|(at, (member_id, identity))| {
                let indexes = (0..partitions).filter(|index| *index as usize % count == at);
                let assignment = Assignment {
                    nonce: joined.nonce,
                    generation: joined.generation,
                    member: identity.clone(),
                    partitions: indexes.map(|index| (topic_id, index)).collect(),
                };
                SyncGroupRequestAssignment::default()
                    .with_member_id(member_id.clone())
                    .with_assignment(encode(&assignment))
            });
        let names_protocol = self.versions.sync >= FIRST_SYNC_WITH_PROTOCOL;
        let name = |name| names_protocol.then(|| StrBytes::from_static_str(name));
        let request = SyncGroupRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(joined.generation)
            .with_member_id(self.member_id())
            .with_group_instance_id(self.instance_id())
            .with_protocol_type(name(PROTOCOL_TYPE))
            .with_protocol_name(name(PROTOCOL))
            .with_assignments(dealt.collect());
        let answer = client.call(self.versions.sync, &request).await?;
        let code = ErrorCode::from_code(answer.error_code);
        if code != ErrorCode::None {
            return Ok(Err(code));
        }
        let mut history = world.history().borrow_mut();
        let Some(mut assignment) = decode(answer.assignment.clone()) else {
            let what = format!(
                "{} of {} got an assignment that no leader made",
                self.identity(),
                self.group
            );
            history.violated(Violation::new("G8", "foreign-assignment", what));
            return Ok(Err(ErrorCode::UnknownServerError));
        };
        if self
            .instance
            .as_ref()
            .is_some_and(|instance| assignment.member.starts_with(instance))
        {
            // A leader of the oldest versions knows a static member by its member id alone, which the name begins.
            self.identity().clone_into(&mut assignment.member);
        }
        history.assigned(&self.group, joined.generation, self.identity(), &assignment);
        Ok(Ok(assignment
            .partitions
            .iter()
            .map(|(_, index)| *index)
            .collect()))
    }

    /// Says that the member lives.
    ///
    /// # Errors
    /// No answer.
    pub async fn heartbeat(
        &self,
        client: &mut Client,
        world: &World,
        generation: i32,
    ) -> Result<ErrorCode, Failure> {
        let request = HeartbeatRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(generation)
            .with_member_id(self.member_id())
            .with_group_instance_id(self.instance_id());
        let floor = world.history().borrow().stable_generation(&self.group);
        let answer = client.call(self.versions.heartbeat, &request).await?;
        if answer.error_code == 0 {
            let mut history = world.history().borrow_mut();
            history.accepted(&self.group, "a heartbeat", generation, floor);
        }
        Ok(ErrorCode::from_code(answer.error_code))
    }

    /// Leaves the group.
    ///
    /// # Errors
    /// No answer.
    pub async fn leave(&self, client: &mut Client) -> Result<(), Failure> {
        let mut request = LeaveGroupRequest::default().with_group_id(self.group_id());
        if self.versions.leave >= FIRST_LEAVE_WITH_MEMBERS {
            let member = MemberIdentity::default()
                .with_member_id(self.member_id())
                .with_group_instance_id(self.instance_id());
            request.members = vec![member];
        } else {
            request.member_id = self.member_id();
        }
        client.call(self.versions.leave, &request).await?;
        Ok(())
    }
}

/// The group reads the topics out of it, to know what its offsets are for.
fn subscription(topic: &str) -> Bytes {
    let subscription =
        ConsumerProtocolSubscription::default().with_topics(vec![StrBytes::from_string(topic.to_owned())]);
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    subscription
        .encode(&mut bytes, 0)
        .expect("a subscription of our own can be encoded");
    bytes.freeze()
}

fn encode(assignment: &Assignment) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u64(assignment.nonce);
    bytes.put_i32(assignment.generation);
    bytes.put_u16(assignment.member.len() as u16);
    bytes.put_slice(assignment.member.as_bytes());
    for (topic, index) in &assignment.partitions {
        bytes.put_u128(topic.as_u128());
        bytes.put_i32(*index);
    }
    bytes.freeze()
}

fn decode(mut bytes: Bytes) -> Option<Assignment> {
    let nonce = bytes.try_get_u64().ok()?;
    let generation = bytes.try_get_i32().ok()?;
    let length = usize::from(bytes.try_get_u16().ok()?);
    if bytes.len() < length {
        return None;
    }
    let member = String::from_utf8(bytes.split_to(length).to_vec()).ok()?;
    let mut partitions = Vec::new();
    while !bytes.is_empty() {
        let topic = Uuid::from_u128(bytes.try_get_u128().ok()?);
        partitions.push((topic, bytes.try_get_i32().ok()?));
    }
    Some(Assignment {
        nonce,
        generation,
        member,
        partitions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_survives_the_way_through_the_group_and_other_bytes_are_none() {
        let assignment = Assignment {
            nonce: 1,
            generation: 2,
            member: "m".to_owned(),
            partitions: vec![(Uuid::from_u128(3), 4)],
        };
        let bytes = encode(&assignment);
        assert_eq!(decode(bytes.clone()), Some(assignment));
        assert_eq!(decode(bytes.slice(..bytes.len() - 1)), None);
        assert_eq!(decode(Bytes::new()), None);
    }
}
