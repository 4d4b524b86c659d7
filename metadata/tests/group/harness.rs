//! A shard with the runtime's part played in memory: a log, the committed rows, a clock that moves when told.

use std::collections::BTreeMap;
use std::sync::Arc;

use metadata::group::{
    CoordinatorRecord, GroupConfig, Input, MemoryOffsets, Now, Reply, RequestToken, Shard, Step, Ticket,
};
use protocol_compat::ErrorCode;

/// A shard, its log and its rows.
pub struct Harness {
    pub shard: Shard,
    pub config: GroupConfig,
    pub now_ms: i64,
    /// By how much the wall clock was set.
    pub wall_step_ms: i64,
    pub log: Vec<CoordinatorRecord>,
    pub committed: MemoryOffsets,
    committed_offset: usize,
    /// Appended batches whose commit is held back.
    in_flight: Vec<(Ticket, usize)>,
    pub hold_commits: bool,
    /// The error of the next appends.
    pub fail_appends: Option<ErrorCode>,
    next_token: u64,
    pub replies: BTreeMap<RequestToken, Reply>,
    /// What happened since it was last asked, for transcripts.
    pub events: Vec<Event>,
}

/// What a step did.
pub enum Event {
    Replied(RequestToken, Reply),
    Appended(CoordinatorRecord),
    Failed(ErrorCode),
}

impl Harness {
    pub fn new(config: GroupConfig) -> Harness {
        Harness {
            shard: Shard::new(config.clone()),
            config,
            now_ms: 0,
            wall_step_ms: 0,
            log: Vec::new(),
            committed: MemoryOffsets::default(),
            committed_offset: 0,
            in_flight: Vec::new(),
            hold_commits: false,
            fail_appends: None,
            next_token: 0,
            replies: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    pub fn token(&mut self) -> RequestToken {
        self.next_token += 1;
        RequestToken(self.next_token)
    }

    fn now(&self) -> Now {
        Now {
            wall_ms: self.now_ms + self.wall_step_ms.max(0),
            deletion_ms: self.now_ms + self.wall_step_ms.min(0),
            monotonic_ms: self.now_ms,
        }
    }

    pub fn step(&mut self, input: Input) {
        let step = self.shard.step(self.now(), input, &self.committed);
        self.run(step);
    }

    /// Moves the clock; every timer fires at its own time.
    pub fn advance_to(&mut self, now_ms: i64) {
        while let Some(deadline_ms) = self.shard.next_deadline_ms().filter(|due| *due <= now_ms) {
            self.now_ms = self.now_ms.max(deadline_ms);
            self.step(Input::Timer);
        }
        self.now_ms = now_ms;
    }

    /// Commits everything that was appended.
    pub fn commit(&mut self) {
        for (ticket, end_offset) in std::mem::take(&mut self.in_flight) {
            for record in &self.log[self.committed_offset..end_offset] {
                self.committed.apply(record);
            }
            self.committed_offset = end_offset;
            self.shard.committed(end_offset as i64);
            let step = self.shard.complete(self.now(), ticket, Ok(()));
            self.run(step);
        }
    }

    /// Stops the node and starts it again from its log.
    pub fn restart(&mut self) {
        self.commit();
        let replies = self.shard.unload(ErrorCode::NotCoordinator);
        self.record_replies(replies);
        self.committed = MemoryOffsets::default();
        self.log.iter().for_each(|record| self.committed.apply(record));
        self.committed_offset = self.log.len();
        self.shard = Shard::new(self.config.clone());
        let step = self.shard.load(self.now(), &self.committed);
        self.run(step);
    }

    fn run(&mut self, step: Step) {
        self.record_replies(step.replies);
        let Some(ticket) = step.ticket else {
            assert!(step.records.is_empty(), "records without a ticket");
            return;
        };
        if let Some(error) = self.fail_appends {
            self.events.push(Event::Failed(error));
            let step = self.shard.complete(self.now(), ticket, Err(error));
            return self.run(step);
        }
        for record in step.records {
            let (key, value) = record.encode().expect("a record of the tests fits its fields");
            let decoded = CoordinatorRecord::decode(&key, value.as_ref()).expect("own bytes are readable");
            assert_eq!(decoded.as_ref(), Some(&record), "a record survives its bytes");
            self.shard.replay(self.log.len() as i64, &record);
            self.events.push(Event::Appended(record.clone()));
            self.log.push(record);
        }
        self.in_flight.push((ticket, self.log.len()));
        if !self.hold_commits {
            self.commit();
        }
    }

    fn record_replies(&mut self, replies: Vec<(RequestToken, Reply)>) {
        for (token, reply) in replies {
            let before = self.replies.insert(token, reply.clone());
            assert!(
                before.is_none(),
                "{token:?} was answered twice: {before:?} and {reply:?}"
            );
            self.events.push(Event::Replied(token, reply));
        }
    }
}

/// A subscription of the consumer protocol, version 1, to these topics.
pub fn subscription(topics: &[&str]) -> bytes::Bytes {
    let mut out = vec![0, 1];
    out.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        out.extend((topic.len() as i16).to_be_bytes());
        out.extend(topic.as_bytes());
    }
    out.extend([255, 255, 255, 255, 0, 0, 0, 0]);
    out.into()
}

/// A name as the requests carry it.
pub fn name(text: &str) -> Arc<str> {
    text.into()
}
