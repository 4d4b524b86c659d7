//! Which transactions the cleaner is in the middle of, so that records of aborted ones go and markers stay as long as a
//! record of theirs does (`CleanedTransactionMetadata` in Kafka).
//!
//! Which transactions were aborted comes from the log itself (`crate::log`): an index of them can be missing or wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol_compat::record_batch::batch::RecordBatch;

use crate::log::{AbortedTransaction, TransactionPart};

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
