//! Which transactions the cleaner is in the middle of, so that records of aborted ones go and markers stay as long as a
//! record of theirs does (`CleanedTransactionMetadata` in Kafka).
//!
//! Aborted transactions are found in the log itself, by its markers: an index of them can be missing or wrong, the log cannot.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol_compat::record_batch::batch::RecordBatch;

use crate::log::transaction_marker;

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose it was.
    pub producer_id: i64,
    /// First offset of its first batch.
    pub first_offset: i64,
    /// Offset of its marker.
    pub last_offset: i64,
}

/// What a batch is to transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionPart {
    /// Data outside of transactions, or records of a broker that end none.
    Plain,
    /// Data inside a transaction.
    Data,
    /// The end of a transaction.
    Marker {
        /// Whether it was aborted.
        is_aborted: bool,
    },
    /// A marker whose record an earlier cleaning took.
    EmptiedMarker,
}

impl TransactionPart {
    /// What a batch is.
    pub fn of(batch: &RecordBatch<'_>) -> TransactionPart {
        if !batch.is_control() {
            return if batch.is_transactional() {
                TransactionPart::Data
            } else {
                TransactionPart::Plain
            };
        }
        match transaction_marker(batch) {
            Some(marker) => TransactionPart::Marker {
                is_aborted: marker.is_aborted,
            },
            None if batch.record_count() == 0 => TransactionPart::EmptiedMarker,
            None => TransactionPart::Plain,
        }
    }
}

/// Finds the aborted transactions of a log, batch by batch.
#[derive(Debug, Default)]
pub struct AbortedFinder {
    open: BTreeMap<i64, i64>,
    aborted: Vec<AbortedTransaction>,
}

impl AbortedFinder {
    /// Takes the next batch of the log.
    pub fn note(&mut self, batch: &RecordBatch<'_>, part: TransactionPart) {
        let producer_id = batch.producer_id();
        match part {
            TransactionPart::Data => {
                self.open.entry(producer_id).or_insert(batch.base_offset());
            }
            TransactionPart::Marker { is_aborted } => {
                if let (Some(first_offset), true) = (self.open.remove(&producer_id), is_aborted) {
                    self.aborted.push(AbortedTransaction {
                        producer_id,
                        first_offset,
                        last_offset: batch.last_offset(),
                    });
                }
            }
            TransactionPart::Plain | TransactionPart::EmptiedMarker => {}
        }
    }

    /// All of them, by first offset.
    pub fn finish(mut self) -> Vec<AbortedTransaction> {
        self.aborted.sort_by_key(|transaction| transaction.first_offset);
        self.aborted
    }
}

/// The transactions that a walk along the log is in the middle of.
#[derive(Debug, Default)]
pub struct OngoingTransactions {
    ahead: VecDeque<AbortedTransaction>,
    /// By producer, with whether a batch of it was met.
    aborted: BTreeMap<i64, bool>,
    committed: BTreeSet<i64>,
}

impl OngoingTransactions {
    /// A walk that meets its first transactional batch at `offset`, with the aborted transactions of the log by first offset.
    pub fn new(aborted: &[AbortedTransaction], offset: i64) -> OngoingTransactions {
        let ahead = aborted
            .iter()
            .filter(|transaction| transaction.last_offset >= offset);
        OngoingTransactions {
            ahead: ahead.copied().collect(),
            ..OngoingTransactions::default()
        }
    }

    /// Takes the next batch of the walk. Whether it may go: data of an aborted transaction, a marker of which no batch was
    /// met any more.
    pub fn may_discard(&mut self, batch: &RecordBatch<'_>, part: TransactionPart) -> bool {
        self.enter_up_to(batch.last_offset());
        let producer_id = batch.producer_id();
        match part {
            TransactionPart::Plain => false,
            TransactionPart::EmptiedMarker => true,
            TransactionPart::Data => match self.aborted.get_mut(&producer_id) {
                Some(met) => {
                    *met = true;
                    true
                }
                None => {
                    self.committed.insert(producer_id);
                    false
                }
            },
            TransactionPart::Marker { is_aborted: true } => {
                !self.aborted.remove(&producer_id).unwrap_or(false)
            }
            TransactionPart::Marker { is_aborted: false } => !self.committed.remove(&producer_id),
        }
    }

    fn enter_up_to(&mut self, offset: i64) {
        while let Some(next) = self.ahead.pop_front_if(|next| next.first_offset <= offset) {
            self.aborted.entry(next.producer_id).or_insert(false);
        }
    }
}
