//! What the log knows of each idempotent producer: epoch, last five batches, open transaction.
//!
//! Decides whether a batch is new, a duplicate or out of order (rules T1–T3). Derived from the log alone: replaying the
//! batches from a snapshot gives the same state as replaying them all (S11). Behaviour: Kafka's `ProducerStateManager`.

use std::collections::{BTreeMap, HashMap, VecDeque};

use protocol_compat::record_batch::batch::RecordBatch;

use super::error::AppendError;

/// Batches remembered per producer: as many as a Kafka producer has in flight.
pub const REMEMBERED_BATCHES: usize = 5;
const NO_EPOCH: i16 = -1;
const NO_SEQUENCE: i32 = -1;

/// One appended batch of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMetadata {
    /// Sequence number of the last record.
    pub last_sequence: i32,
    /// Offset of the last record.
    pub last_offset: i64,
    /// Last offset minus base offset.
    pub offset_delta: i32,
    /// Largest timestamp of the batch, ms since the epoch.
    pub timestamp_ms: i64,
}

impl BatchMetadata {
    /// Sequence number of the first record.
    pub fn first_sequence(&self) -> i32 {
        decrement_sequence(self.last_sequence, self.offset_delta)
    }

    /// Offset of the first record.
    pub fn first_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }
}

/// A producer as the log knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// Epoch of the last batch or marker.
    pub producer_epoch: i16,
    /// Epoch of the transaction coordinator that wrote the last marker, `-1` before one.
    pub coordinator_epoch: i32,
    /// Timestamp of the last batch or marker, ms since the epoch.
    pub last_timestamp_ms: i64,
    /// First offset of the open transaction.
    pub current_transaction_first_offset: Option<i64>,
    /// Last batches, oldest first, at most [`REMEMBERED_BATCHES`].
    pub batches: VecDeque<BatchMetadata>,
}

impl ProducerEntry {
    fn new() -> ProducerEntry {
        ProducerEntry {
            producer_epoch: NO_EPOCH,
            coordinator_epoch: -1,
            last_timestamp_ms: -1,
            current_transaction_first_offset: None,
            batches: VecDeque::new(),
        }
    }

    /// Sequence number of the last record, `-1` before one.
    pub fn last_sequence(&self) -> i32 {
        self.batches
            .back()
            .map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn duplicate_of(&self, batch: &RecordBatch<'_>) -> Option<BatchMetadata> {
        if batch.producer_epoch() != self.producer_epoch {
            return None;
        }
        let last = last_sequence(batch);
        let same = |known: &&BatchMetadata| {
            known.first_sequence() == batch.base_sequence() && known.last_sequence == last
        };
        self.batches.iter().find(same).copied()
    }
}

/// What a check says of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Append it.
    New,
    /// It stands in the log already.
    Duplicate(BatchMetadata),
}

/// A transaction that a marker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletedTransaction {
    /// The producer.
    pub producer_id: i64,
    /// Offset of its first record.
    pub first_offset: i64,
    /// Offset of the marker.
    pub last_offset: i64,
    /// Whether the marker aborts.
    pub is_aborted: bool,
}

/// The producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerState {
    producers: HashMap<i64, ProducerEntry>,
    /// Absent while there is none: most logs never have one.
    transactions: Option<Box<Transactions>>,
}

/// The transactions that hold the last stable offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Transactions {
    /// Open ones by first offset.
    open: BTreeMap<i64, i64>,
    /// Ended ones above the high watermark, by first offset.
    unreplicated: BTreeMap<i64, CompletedTransaction>,
}

impl ProducerState {
    /// Checks a client's batch that carries a producer id.
    ///
    /// # Errors
    /// [`AppendError::InvalidProducerEpoch`], [`AppendError::OutOfOrderSequence`].
    pub fn check(&self, batch: &RecordBatch<'_>) -> Result<Verdict, AppendError> {
        let producer_id = batch.producer_id();
        let Some(entry) = self.producers.get(&producer_id) else {
            return Ok(Verdict::New);
        };
        if let Some(duplicate) = entry.duplicate_of(batch) {
            return Ok(Verdict::Duplicate(duplicate));
        }
        let (found, expected) = (batch.producer_epoch(), entry.producer_epoch);
        if found < expected {
            return Err(AppendError::InvalidProducerEpoch {
                producer_id,
                found,
                expected,
            });
        }
        let last = entry.last_sequence();
        let in_order = if found == expected {
            entry.batches.is_empty() || follows(last, batch.base_sequence())
        } else {
            batch.base_sequence() == 0 || expected == NO_EPOCH
        };
        if in_order {
            Ok(Verdict::New)
        } else {
            Err(AppendError::OutOfOrderSequence {
                producer_id,
                found: batch.base_sequence(),
                expected_after: last,
            })
        }
    }

    /// Takes over a data batch that now stands at `base_offset`, with the broker's timestamp if it got one. Batches
    /// without a producer id change nothing.
    pub fn append(&mut self, batch: &RecordBatch<'_>, base_offset: i64, stamped_ms: Option<i64>) {
        if batch.producer_id() < 0 || batch.is_control() {
            return;
        }
        let timestamp_ms = stamped_ms.unwrap_or_else(|| batch.max_timestamp_ms());
        let entry = self
            .producers
            .entry(batch.producer_id())
            .or_insert_with(ProducerEntry::new);
        if entry.producer_epoch != batch.producer_epoch() {
            entry.producer_epoch = batch.producer_epoch();
            entry.batches.clear();
        }
        if entry.batches.len() == REMEMBERED_BATCHES {
            entry.batches.pop_front();
        }
        entry.batches.push_back(BatchMetadata {
            last_sequence: last_sequence(batch),
            last_offset: base_offset + i64::from(batch.last_offset_delta()),
            offset_delta: batch.last_offset_delta(),
            timestamp_ms,
        });
        entry.last_timestamp_ms = timestamp_ms;
        if batch.is_transactional() && entry.current_transaction_first_offset.is_none() {
            entry.current_transaction_first_offset = Some(base_offset);
            self.begin_transaction(base_offset, batch.producer_id());
        }
    }

    /// Takes over a transaction marker at `offset`; the ended transaction, if one was open.
    pub fn append_marker(
        &mut self,
        batch: &RecordBatch<'_>,
        offset: i64,
        coordinator_epoch: i32,
        is_aborted: bool,
    ) -> Option<CompletedTransaction> {
        let producer_id = batch.producer_id();
        let entry = self
            .producers
            .entry(producer_id)
            .or_insert_with(ProducerEntry::new);
        if entry.producer_epoch != batch.producer_epoch() {
            entry.producer_epoch = batch.producer_epoch();
            entry.batches.clear();
        }
        entry.coordinator_epoch = coordinator_epoch;
        entry.last_timestamp_ms = batch.max_timestamp_ms();
        let first_offset = entry.current_transaction_first_offset.take()?;
        let completed = CompletedTransaction {
            producer_id,
            first_offset,
            last_offset: offset,
            is_aborted,
        };
        let transactions = self.transactions.get_or_insert_default();
        transactions.open.remove(&first_offset);
        transactions.unreplicated.insert(first_offset, completed);
        Some(completed)
    }

    /// Forgets ended transactions whose marker lies below the high watermark.
    pub fn on_high_watermark(&mut self, high_watermark: i64) {
        let Some(transactions) = &mut self.transactions else {
            return;
        };
        transactions
            .unreplicated
            .retain(|_, transaction| transaction.last_offset >= high_watermark);
        if transactions.open.is_empty() && transactions.unreplicated.is_empty() {
            self.transactions = None;
        }
    }

    /// First offset and producer of each open transaction.
    pub fn open_transactions(&self) -> impl Iterator<Item = (i64, i64)> {
        let open = self
            .transactions
            .iter()
            .flat_map(|transactions| &transactions.open);
        open.map(|(first, producer)| (*first, *producer))
    }

    /// First offset of the oldest open transaction.
    pub fn first_open_offset(&self) -> Option<i64> {
        self.open_transactions().next().map(|(first, _)| first)
    }

    /// First offset that is not decided yet, if a transaction is open or its marker not replicated.
    pub fn first_unstable_offset(&self) -> Option<i64> {
        let transactions = self.transactions.as_deref()?;
        let open = transactions.open.keys().next();
        let ended = transactions.unreplicated.keys().next();
        open.into_iter().chain(ended).min().copied()
    }

    /// Forgets producers without an open transaction that were last seen `expiration_ms` ago (rule T12).
    pub fn remove_expired(&mut self, now_ms: i64, expiration_ms: i64) {
        self.producers.retain(|_, entry| {
            entry.current_transaction_first_offset.is_some()
                || now_ms.saturating_sub(entry.last_timestamp_ms) < expiration_ms
        });
    }

    /// The producers in ascending order of their ids.
    pub fn producers(&self) -> Vec<(i64, ProducerEntry)> {
        let mut all: Vec<_> = self
            .producers
            .iter()
            .map(|(id, entry)| (*id, entry.clone()))
            .collect();
        all.sort_by_key(|(id, _)| *id);
        all
    }

    /// How many producers are known.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer is known.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Takes over a producer from a snapshot.
    pub fn load(&mut self, producer_id: i64, entry: ProducerEntry) {
        if let Some(first_offset) = entry.current_transaction_first_offset {
            self.begin_transaction(first_offset, producer_id);
        }
        self.producers.insert(producer_id, entry);
    }

    fn begin_transaction(&mut self, first_offset: i64, producer_id: i64) {
        let transactions = self.transactions.get_or_insert_default();
        transactions.open.insert(first_offset, producer_id);
    }
}

/// Sequence number of a batch's last record.
pub fn last_sequence(batch: &RecordBatch<'_>) -> i32 {
    increment_sequence(batch.base_sequence(), batch.last_offset_delta())
}

/// Sequence numbers run to 2^31 - 1 and start again at 0 (rule T3).
fn increment_sequence(sequence: i32, by: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(by);
    i32::try_from(sum % (i64::from(i32::MAX) + 1)).unwrap_or(0)
}

fn decrement_sequence(sequence: i32, by: i32) -> i32 {
    let difference = i64::from(sequence) - i64::from(by);
    let wrapped = if difference < 0 {
        difference + i64::from(i32::MAX) + 1
    } else {
        difference
    };
    i32::try_from(wrapped).unwrap_or(0)
}

fn follows(last: i32, next: i32) -> bool {
    i64::from(next) == i64::from(last) + 1 || (next == 0 && last == i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::testing::batch;
    use super::*;

    fn state_with(batches: &[(i16, i32, i32)]) -> ProducerState {
        let mut state = ProducerState::default();
        let mut offset = 0;
        for &(epoch, sequence, count) in batches {
            let bytes = batch().producer(7, epoch, sequence).records(count).build();
            let (view, _) = RecordBatch::split_first(&bytes).unwrap();
            state.append(&view, offset, None);
            offset += i64::from(count);
        }
        state
    }

    fn verdict(state: &ProducerState, epoch: i16, sequence: i32, count: i32) -> Result<Verdict, String> {
        let bytes = batch().producer(7, epoch, sequence).records(count).build();
        state
            .check(&RecordBatch::split_first(&bytes).unwrap().0)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn one_of_the_last_five_batches_is_a_duplicate_with_its_first_offset() {
        let state = state_with(&[(0, 0, 2), (0, 2, 2), (0, 4, 2), (0, 6, 2), (0, 8, 2), (0, 10, 2)]);
        let Ok(Verdict::Duplicate(found)) = verdict(&state, 0, 2, 2) else {
            panic!("not a duplicate")
        };
        assert_eq!((found.first_offset(), found.last_offset), (2, 3));
        assert!(
            verdict(&state, 0, 0, 2).is_err(),
            "the sixth batch back is forgotten"
        );
    }

    #[test]
    fn a_gap_and_an_old_epoch_are_refused_and_a_new_epoch_starts_at_zero() {
        let state = state_with(&[(3, 0, 2)]);
        assert_eq!(verdict(&state, 3, 2, 1), Ok(Verdict::New));
        assert!(
            verdict(&state, 3, 3, 1)
                .unwrap_err()
                .contains("sequence 3 after 1")
        );
        assert!(verdict(&state, 2, 0, 1).unwrap_err().contains("epoch"));
        assert_eq!(verdict(&state, 4, 0, 1), Ok(Verdict::New));
        assert!(verdict(&state, 4, 1, 1).is_err());
    }

    #[test]
    fn an_unknown_producer_may_start_anywhere() {
        assert_eq!(verdict(&ProducerState::default(), 0, 77, 1), Ok(Verdict::New));
    }

    #[test]
    fn sequence_numbers_wrap() {
        let state = state_with(&[(0, i32::MAX - 1, 3)]);
        assert_eq!(state.producers()[0].1.last_sequence(), 0);
        assert_eq!(verdict(&state, 0, 1, 1), Ok(Verdict::New));
        let Ok(Verdict::Duplicate(_)) = verdict(&state, 0, i32::MAX - 1, 3) else {
            panic!("not a duplicate")
        };
    }

    #[test]
    fn a_producer_expires_after_its_time() {
        let mut state = state_with(&[(0, 0, 1)]);
        let seen = state.producers()[0].1.last_timestamp_ms;
        state.remove_expired(seen + 9, 10);
        assert_eq!(state.len(), 1);
        state.remove_expired(seen + 10, 10);
        assert!(state.is_empty());
    }
}
