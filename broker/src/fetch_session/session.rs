//! One fetch session (KIP-227): the partitions that a client fetches again and again, and what it was last told of each.
//!
//! Partitions keep the order in which they were added; one that gave records goes to the end, so that no partition starves
//! the others. Which sessions exist is for the cache.

use std::collections::{BTreeMap, HashMap};

use protocol_compat::messages::StrBytes;
use protocol_compat::{ErrorCode, TopicId};

/// A partition as a fetch names it: by topic name, or by topic id with an empty name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FetchKey {
    /// The topic's name; empty where the request names ids.
    pub name: StrBytes,
    /// The topic's id; nil where the request names names.
    pub id: TopicId,
    /// The partition's index.
    pub partition: i32,
}

/// What a fetch wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchTarget {
    /// Where to read from.
    pub fetch_offset: i64,
    /// Most bytes.
    pub max_bytes: i32,
    /// The leader epoch that the client knows; -1 for none.
    pub current_leader_epoch: i32,
    /// The epoch of the last record that the client has; -1 for none.
    pub last_fetched_epoch: i32,
}

/// What decides whether an incremental answer names a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerSummary {
    /// The error.
    pub error: ErrorCode,
    /// The high watermark.
    pub high_watermark: i64,
    /// The log start offset.
    pub log_start_offset: i64,
    /// Whether records are in the answer.
    pub has_records: bool,
    /// Whether the logs part.
    pub is_diverging: bool,
}

#[derive(Clone, Debug)]
struct CachedPartition {
    key: FetchKey,
    target: FetchTarget,
    high_watermark: i64,
    log_start_offset: i64,
}

/// The partitions of a session.
#[derive(Debug, Default)]
pub(super) struct SessionPartitions {
    next_position: u64,
    in_order: BTreeMap<u64, CachedPartition>,
    positions: HashMap<FetchKey, u64>,
}

impl SessionPartitions {
    /// How many partitions the session holds.
    pub(super) fn len(&self) -> usize {
        self.in_order.len()
    }

    /// The partitions with what is wanted of them, in order.
    pub(super) fn targets(&self) -> Vec<(FetchKey, FetchTarget)> {
        self.in_order
            .values()
            .map(|cached| (cached.key.clone(), cached.target))
            .collect()
    }

    /// Adds partitions or changes what is wanted of them, then forgets some.
    pub(super) fn update(&mut self, wanted: &[(FetchKey, FetchTarget)], forgotten: &[FetchKey]) {
        for (key, target) in wanted {
            match self.positions.get(key).and_then(|at| self.in_order.get_mut(at)) {
                Some(cached) => cached.target = *target,
                None => self.push(CachedPartition {
                    key: key.clone(),
                    target: *target,
                    high_watermark: -1,
                    log_start_offset: -1,
                }),
            }
        }
        for key in forgotten {
            if let Some(at) = self.positions.remove(key) {
                self.in_order.remove(&at);
            }
        }
    }

    /// Takes a partition's first answer.
    pub(super) fn add_answered(&mut self, key: FetchKey, target: FetchTarget, answer: &AnswerSummary) {
        self.push(CachedPartition {
            key,
            target,
            high_watermark: answer.high_watermark,
            log_start_offset: answer.log_start_offset,
        });
    }

    /// Whether an answer tells the client something new; remembers it if so
    /// (`FetchSession.CachedPartition.maybeUpdateResponseData`).
    pub(super) fn must_answer(&mut self, key: &FetchKey, answer: &AnswerSummary) -> bool {
        let Some(position) = self.positions.get(key).copied() else {
            return false;
        };
        let Some(cached) = self.in_order.get_mut(&position) else {
            return false;
        };
        let mut is_news = answer.has_records;
        is_news |=
            std::mem::replace(&mut cached.high_watermark, answer.high_watermark) != answer.high_watermark;
        is_news |= std::mem::replace(&mut cached.log_start_offset, answer.log_start_offset)
            != answer.log_start_offset;
        if answer.error != ErrorCode::None || answer.is_diverging {
            // The next answer without an error is news again.
            cached.high_watermark = -1;
            is_news = true;
        }
        if answer.has_records
            && let Some(cached) = self.in_order.remove(&position)
        {
            self.push(cached);
        }
        is_news
    }

    fn push(&mut self, cached: CachedPartition) {
        let position = self.next_position;
        self.next_position = position.wrapping_add(1);
        self.positions.insert(cached.key.clone(), position);
        self.in_order.insert(position, cached);
    }
}
