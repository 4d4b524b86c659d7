//! One partition of `__consumer_offsets` as a state machine: finds the group of an input, lets it decide, remembers what waits
//! for records.
//!
//! The runtime's part of the contract, in this order: [`Shard::step`] or [`Shard::complete`]; send `replies`; append `records`;
//! [`Shard::replay`] each with its offset; once they are committed and in the store, [`Shard::committed`], then
//! [`Shard::complete`] with the ticket. Where the append fails nothing is replayed and the ticket is completed with the error.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

use protocol_compat::ErrorCode;

use super::classic::{ClassicGroup, Turn};
use super::config::GroupConfig;
use super::continuation::{Continuation, Output, response_error};
use super::delete::{delete_group_records, group_tombstone};
use super::hard_state::{CommittedOffsets, CoordinatorRecord, GroupMetadata};
use super::offsets::commit::{commit_records, refuse_commit, validate_commit};
use super::offsets::delete::{delete_records, validate_delete};
use super::offsets::expire::expired_records;
use super::offsets::topic_deletion::deleted_topic_records;
use super::request::{
    CommitRequest, DeleteOffsetsReply, DeleteOffsetsRequest, Input, JoinReply, JoinRequest, LeaveReply,
    LeaveRequest, Now, Reply, RequestToken, SyncReply,
};
use super::timer_queue::{TimerKey, TimerQueue};
use super::uncommitted::{Appended, Uncommitted};

/// Names the records of one decision until their fate is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What a decision wants of the runtime.
#[derive(Debug, Default)]
pub struct Step {
    /// To be sent now.
    pub replies: Vec<(RequestToken, Reply)>,
    /// To be appended, as one batch.
    pub records: Vec<CoordinatorRecord>,
    /// Set whenever there are records: to be completed with their fate.
    pub ticket: Option<Ticket>,
}

/// What a shard has done since it was loaded; for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardCounters {
    /// Rebalances that began.
    pub rebalances_started: u64,
    /// Rebalances that ended in a stable group.
    pub rebalances_completed: u64,
    /// Offsets written by commits.
    pub offset_commits: u64,
    /// Offsets removed by age.
    pub offset_expirations: u64,
    /// Offsets removed by request, or with their topic.
    pub offset_deletions: u64,
}

/// The groups of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct Shard {
    config: GroupConfig,
    /// Groups with members, and those touched since the last pass. All others are rows only.
    groups: BTreeMap<Arc<str>, ClassicGroup>,
    uncommitted: Uncommitted,
    timers: TimerQueue,
    continuations: BTreeMap<Ticket, Continuation>,
    next_ticket: u64,
    counters: ShardCounters,
}

/// A group for reading: the one in memory, or what its rows say.
enum GroupView<'a> {
    InMemory(&'a ClassicGroup),
    FromRows(Box<ClassicGroup>),
}

impl Deref for GroupView<'_> {
    type Target = ClassicGroup;

    fn deref(&self) -> &ClassicGroup {
        match self {
            GroupView::InMemory(group) => group,
            GroupView::FromRows(group) => group,
        }
    }
}

impl Shard {
    /// A shard whose log was never written to; see [`Shard::load`].
    pub fn new(config: GroupConfig) -> Shard {
        Shard {
            config,
            groups: BTreeMap::new(),
            uncommitted: Uncommitted::default(),
            timers: TimerQueue::default(),
            continuations: BTreeMap::new(),
            next_ticket: 0,
            counters: ShardCounters::default(),
        }
    }

    /// Brings the groups with members into memory and starts their sessions. To be called once, before anything else.
    pub fn load(&mut self, now: Now, committed: &dyn CommittedOffsets) -> Step {
        let mut with_members: Vec<(Arc<str>, GroupMetadata)> = Vec::new();
        committed.for_each_group(&mut |group_id, group| {
            if !group.members.is_empty() {
                with_members.push((group_id.into(), group.clone()));
            }
        });
        let mut output = Output::default();
        for (group_id, metadata) in with_members {
            let group = ClassicGroup::from_metadata(group_id.clone(), &metadata);
            self.groups.insert(group_id.clone(), group);
            if let Some(mut turn) = self.turn(now, &group_id, &mut output) {
                turn.on_loaded();
            }
        }
        self.finish(output)
    }

    /// Takes an input in and decides.
    pub fn step(&mut self, now: Now, input: Input, committed: &dyn CommittedOffsets) -> Step {
        let mut output = Output::default();
        match input {
            Input::Join(token, request) => self.join(now, token, &request, committed, &mut output),
            Input::Sync(token, request) => {
                self.bring_in(now, &request.group_id, committed);
                if request.group_id.is_empty() {
                    output.reply(token, Reply::Sync(SyncReply::error(ErrorCode::InvalidGroupId)));
                } else if let Some(mut turn) = self.turn(now, &request.group_id, &mut output) {
                    turn.sync(token, &request);
                } else {
                    output.reply(token, Reply::Sync(SyncReply::error(ErrorCode::UnknownMemberId)));
                }
            }
            Input::Heartbeat(token, request) => {
                let error = if request.group_id.is_empty() {
                    ErrorCode::InvalidGroupId
                } else if let Some(mut turn) = self.turn(now, &request.group_id, &mut output) {
                    turn.heartbeat(&request)
                } else {
                    // A group that is not in memory has no members.
                    ErrorCode::UnknownMemberId
                };
                output.reply(token, Reply::Heartbeat(error));
            }
            Input::Leave(token, request) => self.leave(now, token, &request, committed, &mut output),
            Input::CommitOffsets(token, request) => {
                self.commit_offsets(now, token, &request, committed, &mut output);
            }
            Input::DeleteOffsets(token, request) => {
                self.delete_offsets(now, token, &request, committed, &mut output);
            }
            Input::DeleteGroups(token, group_ids) => {
                self.delete_groups(token, group_ids, committed, &mut output)
            }
            Input::Timer => self.fire_timer(now, &mut output),
            Input::ExpireOffsets(group_id) => self.expire_offsets(now, &group_id, committed, &mut output),
            Input::TopicsDeleted(group_id, deleted) => {
                output.records = deleted_topic_records(&group_id, &deleted, &self.rows(committed));
                self.counters.offset_deletions += output.records.len() as u64;
                output.then = Some(Continuation::Removal);
            }
        }
        self.finish(output)
    }

    /// Learns what became of the records of an earlier decision.
    pub fn complete(&mut self, now: Now, ticket: Ticket, outcome: Result<(), ErrorCode>) -> Step {
        let mut output = Output::default();
        let outcome = outcome.map_err(response_error);
        match (self.continuations.remove(&ticket), outcome) {
            (None | Some(Continuation::EmptyGeneration | Continuation::Removal), _)
            | (Some(Continuation::NewGroup { .. }), Ok(())) => {}
            (Some(Continuation::Answer(token, reply)), Ok(())) => output.reply(token, reply),
            (Some(Continuation::Answer(token, reply)), Err(error)) => {
                output.reply(token, reply.failed(error))
            }
            (Some(Continuation::NewGroup { group_id }), Err(error)) => {
                self.forget_group(&group_id, error, &mut output);
            }
            (
                Some(Continuation::Assignment {
                    group_id,
                    generation,
                    assignment,
                }),
                outcome,
            ) => {
                if let Some(mut turn) = self.turn(now, &group_id, &mut output) {
                    turn.assignment_written(generation, assignment, outcome);
                }
            }
            (Some(Continuation::StaticMemberReplaced(replacement)), outcome) => {
                let group_id = replacement.group_id.clone();
                if let Some(mut turn) = self.turn(now, &group_id, &mut output) {
                    turn.static_member_written(*replacement, outcome);
                }
            }
        }
        self.finish(output)
    }

    /// Takes over a record that stands in the log at `log_offset`. The only way in which hard state changes.
    pub fn replay(&mut self, log_offset: i64, record: &CoordinatorRecord) {
        self.uncommitted.insert(log_offset, record);
        if let CoordinatorRecord::Group {
            group_id,
            value: None,
        } = record
            && let Some(group) = self.groups.remove(group_id)
        {
            self.cancel_timers(&group);
        }
    }

    /// Everything below `committed_offset` is committed and in the store.
    pub fn committed(&mut self, committed_offset: i64) {
        self.uncommitted.committed(committed_offset);
    }

    /// Answers everybody who waits: the shard is given up.
    pub fn unload(&mut self, error: ErrorCode) -> Vec<(RequestToken, Reply)> {
        let mut output = Output::default();
        for continuation in std::mem::take(&mut self.continuations).into_values() {
            if let Continuation::Answer(token, reply) = continuation {
                output.reply(token, reply.failed(error));
            }
        }
        for group_id in self.groups.keys().cloned().collect::<Vec<_>>() {
            self.forget_group(&group_id, error, &mut output);
        }
        output.replies
    }

    /// Drops groups from memory that their rows describe fully. Returns how many.
    pub fn evict_idle(&mut self, committed: &dyn CommittedOffsets) -> usize {
        if !self.uncommitted.is_empty() {
            return 0;
        }
        let before = self.groups.len();
        self.groups.retain(|group_id, group| {
            !group.is_idle() || !group.is_described_by(committed.group(group_id).as_ref())
        });
        before.saturating_sub(self.groups.len())
    }

    /// When [`Input::Timer`] is due next.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.timers.next_deadline_ms()
    }

    /// What was done so far.
    pub fn counters(&self) -> ShardCounters {
        self.counters
    }

    /// The groups in memory: all with members, some without.
    pub fn groups(&self) -> impl Iterator<Item = &ClassicGroup> {
        self.groups.values()
    }

    /// Every group that has an offset, written or about to be, in order of its id.
    pub fn groups_with_offsets(&self, committed: &dyn CommittedOffsets) -> BTreeSet<Arc<str>> {
        let mut groups: BTreeSet<Arc<str>> = self.uncommitted.groups_with_offsets().cloned().collect();
        committed.for_each_group_with_offsets(&mut |group_id| {
            groups.insert(group_id.into());
        });
        groups
    }

    /// A group in memory.
    pub fn group(&self, group_id: &str) -> Option<&ClassicGroup> {
        self.groups.get(group_id)
    }

    fn finish(&mut self, output: Output) -> Step {
        self.counters.rebalances_started += output.rebalances_started;
        self.counters.rebalances_completed += output.rebalances_completed;
        let ticket = (!output.records.is_empty()).then(|| {
            let ticket = Ticket(self.next_ticket);
            self.next_ticket += 1;
            self.continuations
                .insert(ticket, output.then.unwrap_or(Continuation::EmptyGeneration));
            ticket
        });
        Step {
            replies: output.replies,
            records: output.records,
            ticket,
        }
    }

    fn turn<'a>(&'a mut self, now: Now, group_id: &str, output: &'a mut Output) -> Option<Turn<'a>> {
        Some(Turn {
            now,
            config: &self.config,
            timers: &mut self.timers,
            group: self.groups.get_mut(group_id)?,
            output,
        })
    }

    fn rows<'a>(&'a self, committed: &'a dyn CommittedOffsets) -> Appended<'a> {
        self.uncommitted.over(committed)
    }

    /// What the rows say of a group that is not in memory.
    fn group_from_rows(&self, now: Now, group_id: &Arc<str>, rows: &Appended<'_>) -> Option<ClassicGroup> {
        match rows.group(group_id) {
            Some(metadata) => Some(ClassicGroup::from_metadata(group_id.clone(), &metadata)),
            None if rows.has_offsets(group_id) => Some(ClassicGroup::new(group_id.clone(), now.wall_ms)),
            None => None,
        }
    }

    fn view<'a>(&'a self, now: Now, group_id: &Arc<str>, rows: &Appended<'_>) -> Option<GroupView<'a>> {
        if let Some(group) = self.groups.get(group_id) {
            return Some(GroupView::InMemory(group));
        }
        let group = self.group_from_rows(now, group_id, rows)?;
        Some(GroupView::FromRows(Box::new(group)))
    }

    /// Makes sure that a group of which rows exist is in memory. False if there is no such group.
    fn bring_in(&mut self, now: Now, group_id: &Arc<str>, committed: &dyn CommittedOffsets) -> bool {
        if self.groups.contains_key(group_id) {
            return true;
        }
        match self.group_from_rows(now, group_id, &self.rows(committed)) {
            Some(group) => {
                self.groups.insert(group_id.clone(), group);
                true
            }
            None => false,
        }
    }

    fn join(
        &mut self,
        now: Now,
        token: RequestToken,
        request: &JoinRequest,
        committed: &dyn CommittedOffsets,
        output: &mut Output,
    ) {
        let mut refuse = |error| {
            output.reply(
                token,
                Reply::Join(JoinReply::error(request.member_id.clone(), error)),
            )
        };
        let allowed_timeouts = self.config.min_session_timeout_ms..=self.config.max_session_timeout_ms;
        if request.group_id.is_empty() {
            return refuse(ErrorCode::InvalidGroupId);
        }
        if !allowed_timeouts.contains(&request.session_timeout_ms) {
            return refuse(ErrorCode::InvalidSessionTimeout);
        }
        let exists = self.bring_in(now, &request.group_id, committed);
        if !exists && !request.member_id.is_empty() {
            return refuse(ErrorCode::UnknownMemberId);
        }
        let record = (!exists).then(|| self.create_group(now, &request.group_id));
        if let Some(mut turn) = self.turn(now, &request.group_id, output) {
            turn.join(token, request);
        }
        if let Some(record) = record.filter(|_| output.records.is_empty()) {
            let group_id = request.group_id.clone();
            output.write(record, Continuation::NewGroup { group_id });
        }
    }

    /// A new group and the record that makes it known.
    fn create_group(&mut self, now: Now, group_id: &Arc<str>) -> CoordinatorRecord {
        self.groups
            .insert(group_id.clone(), ClassicGroup::new(group_id.clone(), now.wall_ms));
        CoordinatorRecord::Group {
            group_id: group_id.clone(),
            value: Some(GroupMetadata {
                protocol_type: "".into(),
                generation: 0,
                protocol: None,
                leader: None,
                state_timestamp_ms: now.wall_ms,
                members: Vec::new(),
            }),
        }
    }

    fn leave(
        &mut self,
        now: Now,
        token: RequestToken,
        request: &LeaveRequest,
        committed: &dyn CommittedOffsets,
        output: &mut Output,
    ) {
        if request.group_id.is_empty() {
            let reply = LeaveReply {
                error: ErrorCode::InvalidGroupId,
                members: Vec::new(),
            };
            return output.reply(token, Reply::Leave(reply));
        }
        self.bring_in(now, &request.group_id, committed);
        if let Some(mut turn) = self.turn(now, &request.group_id, output) {
            return turn.leave(token, request);
        }
        let members = request.members.iter();
        let reply = LeaveReply {
            error: ErrorCode::None,
            members: members
                .map(|member| (member.clone(), ErrorCode::UnknownMemberId))
                .collect(),
        };
        output.reply(token, Reply::Leave(reply));
    }

    fn commit_offsets(
        &mut self,
        now: Now,
        token: RequestToken,
        request: &CommitRequest,
        committed: &dyn CommittedOffsets,
        output: &mut Output,
    ) {
        let rows = self.rows(committed);
        let group = self.view(now, &request.group_id, &rows);
        if let Err(error) = validate_commit(group.as_deref(), request) {
            let refused = refuse_commit(&request.topics, error);
            return output.reply(token, Reply::CommitOffsets(refused));
        }
        if let Some(mut turn) = self.turn(now, &request.group_id, output) {
            turn.heartbeat_by_commit(&request.member_id);
        }
        let (records, outcomes) = commit_records(now.wall_ms, &self.config, request);
        self.counters.offset_commits += records.len() as u64;
        output.records = records;
        output.reply_when_committed(token, Reply::CommitOffsets(outcomes));
    }

    fn delete_offsets(
        &mut self,
        now: Now,
        token: RequestToken,
        request: &DeleteOffsetsRequest,
        committed: &dyn CommittedOffsets,
        output: &mut Output,
    ) {
        // A simple group stays known when its last offset is deleted, until the expiry pass finds it empty.
        self.bring_in(now, &request.group_id, committed);
        let checked = match self.groups.get(&request.group_id) {
            _ if request.group_id.is_empty() => Err(ErrorCode::InvalidGroupId),
            None => Err(ErrorCode::GroupIdNotFound),
            Some(group) => validate_delete(group).map(|()| group),
        };
        let (records, reply) = match checked {
            Err(error) => (Vec::new(), (error, Vec::new())),
            Ok(group) => {
                let (records, topics) = delete_records(group, request, &self.rows(committed));
                (records, (ErrorCode::None, topics))
            }
        };
        self.counters.offset_deletions += records.len() as u64;
        output.records = records;
        let (error, topics) = reply;
        output.reply_when_committed(token, Reply::DeleteOffsets(DeleteOffsetsReply { error, topics }));
    }

    fn delete_groups(
        &mut self,
        token: RequestToken,
        group_ids: Vec<Arc<str>>,
        committed: &dyn CommittedOffsets,
        output: &mut Output,
    ) {
        let mut outcomes = Vec::with_capacity(group_ids.len());
        for group_id in group_ids {
            let rows = self.rows(committed);
            let group = self.view(Now::default(), &group_id, &rows);
            let error = match delete_group_records(group.as_deref(), &group_id, &rows) {
                Ok(records) => {
                    self.counters.offset_deletions += records.len().saturating_sub(1) as u64;
                    output.records.extend(records);
                    ErrorCode::None
                }
                Err(error) => error,
            };
            outcomes.push((group_id, error));
        }
        output.reply_when_committed(token, Reply::DeleteGroups(outcomes));
    }

    fn expire_offsets(
        &mut self,
        now: Now,
        group_id: &Arc<str>,
        committed: &dyn CommittedOffsets,
        output: &mut Output,
    ) {
        let rows = self.rows(committed);
        let Some(group) = self.view(now, group_id, &rows) else {
            return;
        };
        let (mut records, none_remains) =
            expired_records(now.deletion_ms, &self.config, &group, group_id, &rows);
        let expired = records.len() as u64;
        if none_remains && group.state() == super::classic::GroupState::Empty {
            records.push(group_tombstone(group_id));
        }
        self.counters.offset_expirations += expired;
        output.records = records;
        output.then = Some(Continuation::Removal);
    }

    fn fire_timer(&mut self, now: Now, output: &mut Output) {
        let Some((key, event)) = self.timers.take_due(now.monotonic_ms) else {
            return;
        };
        if let Some(mut turn) = self.turn(now, key.group_id(), output) {
            turn.timer_fired(&key, event);
        }
    }

    /// Drops a group from memory; whoever waits in it learns `error`.
    fn forget_group(&mut self, group_id: &Arc<str>, error: ErrorCode, output: &mut Output) {
        let Some(group) = self.groups.remove(group_id) else {
            return;
        };
        self.cancel_timers(&group);
        for (token, reply) in group.waiting_replies(error) {
            output.reply(token, reply);
        }
    }

    fn cancel_timers(&mut self, group: &ClassicGroup) {
        let group_id = group.group_id();
        self.timers.cancel(&TimerKey::Join(group_id.clone()));
        self.timers.cancel(&TimerKey::Sync(group_id.clone()));
        for member_id in group.heartbeating_ids() {
            self.timers
                .cancel(&TimerKey::Heartbeat(group_id.clone(), member_id.clone()));
        }
    }
}
