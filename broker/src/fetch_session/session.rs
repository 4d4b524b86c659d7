//! One fetch session (KIP-227): the partitions that a client fetches again and again, and what it was last told of each.
//!
//! Partitions keep the order in which they were added; one that gave records goes to the end, so that no partition starves
//! the others. A partition is *settled* once the client has read to its high watermark and was told what there is: it is
//! left alone until its watch tells a change, the client wants something else of it, or a fetch looks at everything. The
//! others are *open* and looked at by each fetch, so that a fetch costs what changed and not what the session holds. Which
//! sessions exist is for the cache.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use protocol_compat::messages::StrBytes;
use protocol_compat::{ErrorCode, TopicId};

use crate::replica_manager::{ChangedPartitions, Partition, PartitionWatch};

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

struct CachedPartition {
    key: FetchKey,
    target: FetchTarget,
    high_watermark: i64,
    log_start_offset: i64,
    /// Among all; those that are read first have the lowest.
    position: u64,
    watch: Option<PartitionWatch>,
}

impl CachedPartition {
    /// Whether nothing but a change that the watch tells can make the next answer another than this one.
    fn is_settled_by(&self, answer: &AnswerSummary) -> bool {
        self.watch.is_some()
            && answer.error == ErrorCode::None
            && !answer.is_diverging
            && !answer.has_records
            && self.target.fetch_offset == answer.high_watermark
    }
}

/// The partitions of a session. A partition keeps its number while it is in the session.
#[derive(Default)]
pub(super) struct SessionPartitions {
    next_position: u64,
    cached: Vec<Option<CachedPartition>>,
    free_numbers: Vec<u32>,
    numbers: HashMap<FetchKey, u32>,
    /// Those that are not settled, by their positions.
    open: BTreeMap<u64, u32>,
    changed: Arc<ChangedPartitions>,
}

impl SessionPartitions {
    /// How many partitions the session holds.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// What the watches tell.
    pub(super) fn changed(&self) -> &Arc<ChangedPartitions> {
        &self.changed
    }

    /// The open partitions with what is wanted of them, in order.
    pub(super) fn targets(&self) -> Vec<(FetchKey, FetchTarget)> {
        let open = self.open.values().filter_map(|number| self.get(*number));
        open.map(|cached| (cached.key.clone(), cached.target)).collect()
    }

    /// Whether there are settled partitions.
    pub(super) fn has_settled(&self) -> bool {
        self.open.len() < self.numbers.len()
    }

    /// Opens the partitions that changed and arms the watches of the others that did. Whether some were settled.
    pub(super) fn take_changes(&mut self) -> bool {
        let mut were_settled = false;
        for number in self.changed.take() {
            let Some(Some(cached)) = self.cached.get(number as usize) else {
                continue;
            };
            if self.open.insert(cached.position, number).is_none() {
                were_settled = true;
            } else if let Some(watch) = &cached.watch {
                watch.arm();
            }
        }
        were_settled
    }

    /// Opens all partitions.
    pub(super) fn open_all(&mut self) {
        for (number, cached) in (0..).zip(&self.cached) {
            if let Some(cached) = cached {
                self.open.insert(cached.position, number);
            }
        }
    }

    /// Has the open partitions watched, which were found as `found` in their order: from before they are read.
    pub(super) fn watch<'a>(&mut self, found: impl Iterator<Item = Option<&'a Arc<Partition>>>) {
        for (number, found) in self.open.values().zip(found) {
            let Some(Some(cached)) = self.cached.get_mut(*number as usize) else {
                continue;
            };
            match (found, &cached.watch) {
                (Some(partition), Some(watch)) if watch.is_of(partition) => watch.arm(),
                (Some(partition), _) => {
                    cached.watch = Some(PartitionWatch::new(partition, &self.changed, *number));
                }
                (None, _) => cached.watch = None,
            }
        }
    }

    /// Adds partitions or changes what is wanted of them, then forgets some.
    pub(super) fn update(&mut self, wanted: &[(FetchKey, FetchTarget)], forgotten: &[FetchKey]) {
        for (key, target) in wanted {
            let known = self.numbers.get(key).copied();
            match known.and_then(|number| Some((number, self.get_mut(number)?))) {
                Some((number, cached)) => {
                    cached.target = *target;
                    let position = cached.position;
                    self.open.insert(position, number);
                }
                None => self.add(key.clone(), *target, (-1, -1)),
            }
        }
        for key in forgotten {
            if let Some(number) = self.numbers.remove(key)
                && let Some(cached) = self.cached.get_mut(number as usize).and_then(Option::take)
            {
                self.open.remove(&cached.position);
                self.free_numbers.push(number);
            }
        }
    }

    /// Takes a partition's first answer.
    pub(super) fn add_answered(&mut self, key: FetchKey, target: FetchTarget, answer: &AnswerSummary) {
        self.add(key, target, (answer.high_watermark, answer.log_start_offset));
    }

    /// Whether an answer tells the client something new; remembers it if so
    /// (`FetchSession.CachedPartition.maybeUpdateResponseData`).
    pub(super) fn must_answer(&mut self, key: &FetchKey, answer: &AnswerSummary) -> bool {
        let Some(number) = self.numbers.get(key).copied() else {
            return false;
        };
        let Some(Some(cached)) = self.cached.get_mut(number as usize) else {
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
        if answer.has_records {
            let position = self.next_position;
            self.next_position = position.wrapping_add(1);
            self.open.remove(&cached.position);
            self.open.insert(position, number);
            cached.position = position;
        } else if cached.is_settled_by(answer) {
            self.open.remove(&cached.position);
        }
        is_news
    }

    /// Adds a partition of which the client knows the high watermark and the log start offset.
    fn add(&mut self, key: FetchKey, target: FetchTarget, told: (i64, i64)) {
        let position = self.next_position;
        self.next_position = position.wrapping_add(1);
        let cached = Some(CachedPartition {
            key: key.clone(),
            target,
            high_watermark: told.0,
            log_start_offset: told.1,
            position,
            watch: None,
        });
        let number = match self.free_numbers.pop() {
            Some(number) => {
                self.cached[number as usize] = cached;
                number
            }
            None => {
                self.cached.push(cached);
                u32::try_from(self.cached.len() - 1).expect("a request names fewer partitions")
            }
        };
        self.numbers.insert(key, number);
        self.open.insert(position, number);
    }

    fn get(&self, number: u32) -> Option<&CachedPartition> {
        self.cached.get(number as usize)?.as_ref()
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut CachedPartition> {
        self.cached.get_mut(number as usize)?.as_mut()
    }
}
