//! Finds the aborted transactions of a log in the log itself, by its markers.
//!
//! The index of them (`transaction_index`) can be missing or wrong, the log cannot: the index is built anew with this, and
//! compaction believes nothing else.

use std::collections::BTreeMap;

use protocol_compat::record_batch::batch::RecordBatch;

use super::batch_validator::transaction_marker;
use super::transaction_index::AbortedTransaction;

/// What a batch is to transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionPart {
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
    pub(crate) fn of(batch: &RecordBatch<'_>) -> TransactionPart {
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

/// A walk along the batches of a log that notes which transactions were aborted.
#[derive(Debug, Default)]
pub(crate) struct AbortedFinder {
    /// First offsets of the open transactions by producer, and the other way round.
    open: BTreeMap<i64, i64>,
    producers: BTreeMap<i64, i64>,
    aborted: Vec<AbortedTransaction>,
}

impl AbortedFinder {
    /// A walk that begins where these transactions are open: their first offsets and producers.
    pub(crate) fn amid(open: impl Iterator<Item = (i64, i64)>) -> AbortedFinder {
        let producers: BTreeMap<i64, i64> = open.collect();
        AbortedFinder {
            open: producers
                .iter()
                .map(|(first, producer)| (*producer, *first))
                .collect(),
            producers,
            aborted: Vec::new(),
        }
    }

    /// Takes the next batch of the log.
    pub(crate) fn note(&mut self, batch: &RecordBatch<'_>) {
        let producer_id = batch.producer_id();
        match TransactionPart::of(batch) {
            TransactionPart::Data if producer_id < 0 => {}
            TransactionPart::Data => {
                let first_offset = *self.open.entry(producer_id).or_insert(batch.base_offset());
                self.producers.insert(first_offset, producer_id);
            }
            TransactionPart::Marker { is_aborted } => {
                let Some(first_offset) = self.open.remove(&producer_id) else {
                    return;
                };
                self.producers.remove(&first_offset);
                if is_aborted {
                    let last_offset = batch.last_offset();
                    let open = self.producers.keys().next().copied();
                    self.aborted.push(AbortedTransaction {
                        producer_id,
                        first_offset,
                        last_offset,
                        last_stable_offset: open.unwrap_or_else(|| last_offset.saturating_add(1)),
                    });
                }
            }
            TransactionPart::Plain | TransactionPart::EmptiedMarker => {}
        }
    }

    /// All of them, in the order of their markers.
    pub(crate) fn finish(self) -> Vec<AbortedTransaction> {
        self.aborted
    }
}
