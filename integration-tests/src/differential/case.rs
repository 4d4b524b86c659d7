//! The vocabulary in which a case is written.
//!
//! Any string of a body may name `{own}`, a prefix that no other case has, or a value that an earlier step captured,
//! such as `{id}`. The answers are written back in the same words, so that two runs compare.

use std::ops::RangeInclusive;
use std::sync::LazyLock;
use std::time::SystemTime;

use serde_json::Value;

/// What tells one run from another.
static RUN: LazyLock<u128> = LazyLock::new(|| {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.map_or(0, |elapsed| elapsed.as_nanos())
});

/// The same steps at every version of a range.
pub struct Scenario {
    /// The API under test; also the file of its recording.
    pub api: &'static str,
    /// What the case is about, as a sentence.
    pub name: &'static str,
    /// The versions it runs at.
    pub versions: RangeInclusive<i16>,
    /// The steps at one version.
    pub steps: Box<dyn Fn(i16) -> Vec<Step>>,
}

impl Scenario {
    /// A scenario.
    pub fn new(
        api: &'static str,
        versions: RangeInclusive<i16>,
        name: &'static str,
        steps: impl Fn(i16) -> Vec<Step> + 'static,
    ) -> Scenario {
        Scenario {
            api,
            name,
            versions,
            steps: Box::new(steps),
        }
    }

    /// The prefix of this scenario's topics and groups at `version`, unlike any other's and any other process's: the
    /// broker may have seen a run before.
    pub fn own_prefix(&self, version: i16) -> String {
        let text = format!("{}/{}/{version}/{}", self.api, self.name, *RUN);
        // FNV-1a: stable across platforms and releases, which the standard hasher does not promise.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        format!("d{:012x}", hash & 0xffff_ffff_ffff)
    }
}

/// What a step sends.
#[derive(Clone, Debug)]
pub enum Action {
    /// A request of the table, and its answer.
    Call {
        /// Kafka's name of the API.
        api: &'static str,
        /// Its version.
        version: i16,
        /// Field names to values.
        body: Value,
    },
    /// A header of our own choice and these bytes as the body; the answer, if any, is decoded by the key and version.
    Raw {
        /// The number in the header.
        api_key: i16,
        /// The version in the header.
        version: i16,
        /// The body.
        body: Vec<u8>,
    },
    /// Bytes without any frame of ours.
    Bytes(Vec<u8>),
    /// Nothing is sent; an answer that is still owed to an earlier step is read.
    Receive {
        /// The API of that step.
        api: &'static str,
        /// Its version.
        version: i16,
    },
}

/// One step of a case.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is sent.
    pub action: Action,
    /// Which of the case's connections carries it.
    pub connection: usize,
    /// Names for values of the answer: (name, JSON pointer).
    pub captures: Vec<(&'static str, &'static str)>,
    /// Whether the answer is part of the comparison. A step that is not must succeed.
    pub is_compared: bool,
    /// Error codes that only mean "not yet": the step is sent again while the answer holds one.
    pub retry_on: Vec<i64>,
    /// Whether the answer is awaited at once.
    pub awaits_answer: bool,
    /// Whether topics, groups and directories of other cases are taken out of the answer.
    pub only_own: bool,
}

impl Step {
    fn new(action: Action) -> Step {
        Step {
            action,
            connection: 0,
            captures: Vec::new(),
            is_compared: true,
            retry_on: Vec::new(),
            awaits_answer: true,
            only_own: false,
        }
    }

    /// Sets the scene: the answer must be free of errors and is not compared.
    pub fn quiet(mut self) -> Step {
        self.is_compared = false;
        self
    }

    /// Gives a value of the answer a name.
    pub fn capture(mut self, name: &'static str, pointer: &'static str) -> Step {
        self.captures.push((name, pointer));
        self
    }

    /// Sends again while the answer holds one of these error codes.
    pub fn retry_on(mut self, codes: &[i64]) -> Step {
        self.retry_on.extend(codes);
        self
    }

    /// Uses another connection of the case.
    pub fn on(mut self, connection: usize) -> Step {
        self.connection = connection;
        self
    }

    /// Does not wait for the answer: there is none, or [`receive`] reads it.
    pub fn without_waiting(mut self) -> Step {
        self.awaits_answer = false;
        self
    }

    /// Takes everything out of the answer that other cases have put there.
    pub fn only_own(mut self) -> Step {
        self.only_own = true;
        self
    }
}

/// A request of the table.
pub fn call(api: &'static str, version: i16, body: Value) -> Step {
    Step::new(Action::Call { api, version, body })
}

/// A header of our own choice and a body of bytes.
pub fn raw(api_key: i16, version: i16, body: &[u8]) -> Step {
    Step::new(Action::Raw {
        api_key,
        version,
        body: body.to_vec(),
    })
}

/// Bytes without a frame.
pub fn bytes(bytes: &[u8]) -> Step {
    Step::new(Action::Bytes(bytes.to_vec()))
}

/// The answer that an earlier step did not wait for.
pub fn receive(api: &'static str, version: i16) -> Step {
    Step::new(Action::Receive { api, version })
}
