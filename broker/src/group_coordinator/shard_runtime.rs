//! One shard at work: under its lock a decision is made, appended and replayed; when its records are committed they become rows
//! and the answers that waited for them leave.
//!
//! Rule: records are appended in the order of the decisions, and become rows in the order of the log.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use metadata::group::{
    CommittedOffsets, CoordinatorRecord, Input, Now, Reply, RequestToken, Shard, Step, Ticket,
};
use protocol_compat::ErrorCode;
use tokio::sync::oneshot;
use tracing::error;

use super::GroupCoordinatorConfig;
use super::offsets_topic::OffsetsPartition;
use super::shard_lock::ShardLock;
use super::timer_task::{NO_DEADLINE, TimerWake};
use crate::clock::Clock;
use crate::disk_stalls::DirectoryWatch;

/// A loaded shard.
pub(super) struct ShardRuntime {
    offsets: Arc<dyn OffsetsPartition>,
    /// Of the directory in which the records are appended: whoever waits for the lock may wait for its disk.
    watch: DirectoryWatch,
    clock: Clock,
    commit_timeout: Duration,
    timers: Arc<TimerWake>,
    state: ShardLock<State>,
    next_deadline_ms: AtomicI64,
    /// A task waits until a stalled disk no longer holds the shard, whose timers fire then.
    has_late_timers: AtomicBool,
    is_unloaded: AtomicBool,
}

struct State {
    shard: Shard,
    /// Bounded by the requests in flight of all connections.
    waiting: HashMap<RequestToken, oneshot::Sender<Reply>>,
    next_token: u64,
    in_flight: VecDeque<InFlight>,
    /// Whether a task waits for the commit of what is in flight.
    has_committer: bool,
}

/// The records of one decision, appended and not yet rows.
struct InFlight {
    /// Taken once its fate was told: a commit that takes too long is given up, its records are not.
    ticket: Option<Ticket>,
    records: Vec<CoordinatorRecord>,
    end_offset: i64,
    /// Those who wait until these records are rows.
    settled: Vec<oneshot::Sender<()>>,
}

impl ShardRuntime {
    /// Loads the shard of an opened partition: its groups are in memory and their sessions run. A shard whose rows cannot
    /// be read is given up at once.
    pub(super) fn load(
        offsets: Arc<dyn OffsetsPartition>,
        config: &GroupCoordinatorConfig,
        clock: Clock,
        timers: Arc<TimerWake>,
    ) -> Arc<ShardRuntime> {
        let runtime = Arc::new(ShardRuntime {
            watch: offsets.watch(),
            offsets,
            clock,
            commit_timeout: config.commit_timeout,
            timers,
            state: ShardLock::new(State {
                shard: Shard::new(config.group.clone()),
                waiting: HashMap::new(),
                next_token: 0,
                in_flight: VecDeque::new(),
                has_committer: false,
            }),
            next_deadline_ms: AtomicI64::new(NO_DEADLINE),
            has_late_timers: AtomicBool::new(false),
            is_unloaded: AtomicBool::new(false),
        });
        runtime.turn(|runtime, state| {
            let now = runtime.now();
            runtime.with_rows(|rows| state.shard.load(now, rows))
        });
        runtime
    }

    /// Hands a request to the shard; the receiver gets its answer.
    ///
    /// # Errors
    /// `NOT_COORDINATOR` where the shard was given up.
    pub(super) fn submit(
        self: &Arc<Self>,
        input: impl FnOnce(RequestToken) -> Input,
    ) -> Result<oneshot::Receiver<Reply>, ErrorCode> {
        let (sender, receiver) = oneshot::channel();
        if self.is_unloaded() {
            return Err(ErrorCode::NotCoordinator);
        }
        self.turn(|runtime, state| {
            let token = RequestToken(state.next_token);
            state.next_token += 1;
            state.waiting.insert(token, sender);
            runtime.step(state, input(token))
        });
        Ok(receiver)
    }

    /// The log directory of its partition.
    pub(super) fn watch(&self) -> &DirectoryWatch {
        &self.watch
    }

    /// Whether somebody has the shard who may be waiting for a disk that stalls: whoever asked now would wait, too.
    fn is_held_by_a_disk(&self) -> bool {
        self.watch.is_stalling() && self.state.is_locked()
    }

    /// Resolves when no stalled disk holds the shard. To wait so holds no thread.
    pub(super) async fn is_free(&self) {
        while self.is_held_by_a_disk() {
            self.state.freed().await;
        }
    }

    /// Lets the shard act on something that nobody waits for.
    pub(super) fn act(self: &Arc<Self>, input: Input) {
        self.turn(|runtime, state| runtime.step(state, input));
    }

    /// Reads the shard and its rows.
    ///
    /// # Errors
    /// `NOT_COORDINATOR` where the shard was given up, which it is when its rows cannot be read.
    pub(super) fn read<R>(
        &self,
        read: impl FnOnce(&Shard, &dyn CommittedOffsets) -> R,
    ) -> Result<R, ErrorCode> {
        let _inside = self.watch.enter();
        let mut state = self.state.lock();
        let state = &mut *state;
        let seen = self.with_rows(|rows| read(&state.shard, rows));
        seen.map_err(|code| {
            self.unload(state, code);
            ErrorCode::NotCoordinator
        })
    }

    /// Reads what is in memory.
    pub(super) fn inspect<R>(&self, read: impl FnOnce(&Shard) -> R) -> R {
        read(&self.state.lock().shard)
    }

    /// Resolves when everything that is appended now is rows, or the shard was given up.
    pub(super) async fn settled(&self) {
        let receiver = {
            let mut state = self.state.lock();
            let Some(last) = state.in_flight.back_mut() else {
                return;
            };
            let (sender, receiver) = oneshot::channel();
            last.settled.push(sender);
            receiver
        };
        // An error means that the shard was given up, which whoever reads next finds out.
        receiver.await.ok();
    }

    /// Drops groups without members from memory.
    pub(super) fn evict_idle(&self) {
        let _inside = self.watch.enter();
        let mut state = self.state.lock();
        let state = &mut *state;
        if let Err(code) = self.with_rows(|rows| state.shard.evict_idle(rows)) {
            self.unload(state, code);
        }
    }

    /// Fires the timers that are due and returns when the next one is.
    pub(super) fn fire_due_timers(self: &Arc<Self>) -> i64 {
        let next = self.next_deadline_ms.load(Ordering::Acquire);
        if next > self.clock.monotonic_ms() {
            return next;
        }
        if self.is_held_by_a_disk() {
            self.fire_timers_later();
            return NO_DEADLINE;
        }
        // A turn ends with the timers that are due.
        self.turn(|_, _| Ok(Step::default()));
        self.next_deadline_ms.load(Ordering::Acquire)
    }

    /// Tells the timer task anew of the deadline that has passed, as soon as no stalled disk holds the shard.
    fn fire_timers_later(self: &Arc<Self>) {
        if self.has_late_timers.swap(true, Ordering::AcqRel) {
            return;
        }
        let runtime = self.clone();
        tokio::spawn(async move {
            runtime.is_free().await;
            runtime.has_late_timers.store(false, Ordering::Release);
            runtime
                .timers
                .deadline_set(runtime.next_deadline_ms.load(Ordering::Acquire));
        });
    }

    /// Requests that wait for an answer.
    pub(super) fn waiting_requests(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// Whether the shard may go on. If its topic was deleted it is given up now; another one must be loaded.
    pub(super) fn is_current(&self) -> bool {
        if self.offsets.is_gone() && !self.is_unloaded() {
            self.unload(&mut self.state.lock(), ErrorCode::NotCoordinator);
        }
        !self.is_unloaded()
    }

    fn is_unloaded(&self) -> bool {
        self.is_unloaded.load(Ordering::Acquire)
    }

    fn now(&self) -> Now {
        Now {
            wall_ms: self.clock.stamp_ms(),
            deletion_ms: self.clock.deletion_ms(),
            monotonic_ms: self.clock.monotonic_ms(),
        }
    }

    fn with_rows<R>(&self, read: impl FnOnce(&dyn CommittedOffsets) -> R) -> Result<R, ErrorCode> {
        let mut read = Some(read);
        let mut result = None;
        self.offsets.with_rows(&mut |rows| {
            if let Some(read) = read.take() {
                result = Some(read(rows));
            }
        })?;
        Ok(result.expect("a partition that read its rows has shown them"))
    }

    fn step(&self, state: &mut State, input: Input) -> Result<Step, ErrorCode> {
        let now = self.now();
        self.with_rows(|rows| state.shard.step(now, input, rows))
    }

    /// One decision and everything that follows from it, under the lock.
    fn turn(self: &Arc<Self>, decide: impl FnOnce(&Self, &mut State) -> Result<Step, ErrorCode>) {
        let _inside = self.watch.enter();
        let mut state = self.state.lock();
        let state = &mut *state;
        if self.is_unloaded() {
            return;
        }
        let decided = decide(self, state);
        self.carry_out_decided(state, decided);
        self.fire_due(state);
        self.publish_deadline(state);
    }

    /// A decision on rows that could not be read is none.
    fn carry_out_decided(self: &Arc<Self>, state: &mut State, decided: Result<Step, ErrorCode>) {
        match decided {
            Ok(step) => self.carry_out(state, step),
            Err(code) => self.unload(state, code),
        }
    }

    fn fire_due(self: &Arc<Self>, state: &mut State) {
        while !self.is_unloaded()
            && state
                .shard
                .next_deadline_ms()
                .is_some_and(|due| due <= self.clock.monotonic_ms())
        {
            let decided = self.step(state, Input::Timer);
            self.carry_out_decided(state, decided);
        }
    }

    fn publish_deadline(&self, state: &State) {
        let next = match state.shard.next_deadline_ms() {
            Some(next) if !self.is_unloaded() => next,
            _ => NO_DEADLINE,
        };
        self.next_deadline_ms.store(next, Ordering::Release);
        self.timers.deadline_set(next);
    }

    /// Sends the answers of a step, appends its records, and goes on with what their fate leads to.
    fn carry_out(self: &Arc<Self>, state: &mut State, step: Step) {
        let mut steps = VecDeque::from([step]);
        while let Some(step) = steps.pop_front() {
            answer(state, step.replies);
            let Some(ticket) = step.ticket else {
                continue;
            };
            match self.offsets.append(&step.records, self.clock.wall_ms()) {
                Ok(first_offset) => {
                    self.replay(state, ticket, first_offset, step.records);
                    steps.extend(self.settle(state));
                }
                Err(code) => steps.push_back(state.shard.complete(self.now(), ticket, Err(code))),
            }
        }
        if !state.in_flight.is_empty() && !state.has_committer {
            state.has_committer = true;
            tokio::spawn(self.clone().await_commits());
        }
    }

    fn replay(&self, state: &mut State, ticket: Ticket, first_offset: i64, records: Vec<CoordinatorRecord>) {
        let mut offset = first_offset;
        for record in &records {
            state.shard.replay(offset, record);
            offset += 1;
        }
        state.in_flight.push_back(InFlight {
            ticket: Some(ticket),
            records,
            end_offset: offset,
            settled: Vec::new(),
        });
    }

    /// Makes rows of what is committed; returns what the shard does about it.
    fn settle(&self, state: &mut State) -> Vec<Step> {
        let committed = self.offsets.committed_offset();
        let mut steps = Vec::new();
        while state
            .in_flight
            .front()
            .is_some_and(|batch| batch.end_offset <= committed)
        {
            let Some(batch) = state.in_flight.pop_front() else {
                break;
            };
            if let Err(code) = self.offsets.materialise(&batch.records, batch.end_offset) {
                self.unload(state, code);
                break;
            }
            state.shard.committed(batch.end_offset);
            if let Some(ticket) = batch.ticket {
                steps.push(state.shard.complete(self.now(), ticket, Ok(())));
            }
            for waiter in batch.settled {
                waiter.send(()).ok();
            }
        }
        steps
    }

    /// Waits for the commit of what is in flight, until nothing is.
    async fn await_commits(self: Arc<Self>) {
        while let Some(end_offset) = self.first_in_flight() {
            let waited = tokio::time::timeout(self.commit_timeout, self.offsets.committed(end_offset)).await;
            self.is_free().await;
            let mut state = self.state.lock();
            let state = &mut *state;
            match waited {
                Ok(Ok(())) => {
                    for step in self.settle(state) {
                        self.carry_out(state, step);
                    }
                }
                Ok(Err(code)) => {
                    error!(%code, "lost the log of the group coordinator");
                    self.unload(state, code);
                }
                Err(_) => self.give_up_waiting(state),
            }
            self.publish_deadline(state);
        }
    }

    /// The end of the first records in flight; the committer's job is done when there are none.
    fn first_in_flight(&self) -> Option<i64> {
        let mut state = self.state.lock();
        let end_offset = state.in_flight.front().map(|batch| batch.end_offset);
        state.has_committer = end_offset.is_some();
        end_offset
    }

    /// The commit takes too long: the clients learn so, the records stay and may yet be committed.
    fn give_up_waiting(self: &Arc<Self>, state: &mut State) {
        let tickets: Vec<Ticket> = state
            .in_flight
            .iter_mut()
            .filter_map(|batch| batch.ticket.take())
            .collect();
        for ticket in tickets {
            let step = state
                .shard
                .complete(self.now(), ticket, Err(ErrorCode::RequestTimedOut));
            self.carry_out(state, step);
        }
    }

    /// Gives the shard up: its log or its rows cannot be trusted any more. The next touch loads another one.
    fn unload(&self, state: &mut State, code: ErrorCode) {
        let error = match code {
            ErrorCode::KafkaStorageError | ErrorCode::NotLeaderOrFollower => ErrorCode::NotCoordinator,
            other => other,
        };
        self.is_unloaded.store(true, Ordering::Release);
        let replies = state.shard.unload(error);
        answer(state, replies);
        state.waiting.clear();
        state.in_flight.clear();
    }
}

fn answer(state: &mut State, replies: Vec<(RequestToken, Reply)>) {
    for (token, reply) in replies {
        if let Some(sender) = state.waiting.remove(&token) {
            // A client that is gone needs no answer.
            sender.send(reply).ok();
        }
    }
}
