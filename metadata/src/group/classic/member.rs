//! One member of a classic group: who it is, what it speaks, what it waits for.

use std::sync::Arc;

use bytes::Bytes;

use super::super::hard_state::MemberMetadata;
use super::super::request::{JoinRequest, Protocol, RequestToken};

/// One member and what it waits for.
#[derive(Clone, Debug)]
pub struct Member {
    pub(super) member_id: Arc<str>,
    pub(super) group_instance_id: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    pub(super) client_host: Arc<str>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
    pub(super) awaiting_join: Option<RequestToken>,
    pub(super) awaiting_sync: Option<RequestToken>,
    /// Its first JoinGroup is not answered yet: it cannot heartbeat.
    pub(super) is_new: bool,
}

impl Member {
    pub(super) fn joining(request: &JoinRequest, member_id: Arc<str>) -> Member {
        Member {
            member_id,
            group_instance_id: request.group_instance_id.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols.clone(),
            assignment: Bytes::new(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: true,
        }
    }

    /// The member's id.
    pub fn member_id(&self) -> &Arc<str> {
        &self.member_id
    }

    /// Set for a static member.
    pub fn group_instance_id(&self) -> Option<&Arc<str>> {
        self.group_instance_id.as_ref()
    }

    /// The client's id.
    pub fn client_id(&self) -> &Arc<str> {
        &self.client_id
    }

    /// The client's address.
    pub fn client_host(&self) -> &Arc<str> {
        &self.client_host
    }

    /// What the member owns; empty before the leader's assignment.
    pub fn assignment(&self) -> &Bytes {
        &self.assignment
    }

    /// The member's metadata under this protocol.
    pub fn metadata(&self, protocol: &str) -> Option<Bytes> {
        let known = self.protocols.iter().find(|known| &*known.name == protocol);
        known.map(|known| known.metadata.clone())
    }

    /// Whether the member waits for an answer, which counts as a heartbeat unless it is new.
    pub(super) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    pub(super) fn to_metadata(&self, subscription: Bytes, assignment: Bytes) -> MemberMetadata {
        MemberMetadata {
            member_id: self.member_id.clone(),
            group_instance_id: self.group_instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription,
            assignment,
        }
    }
}
