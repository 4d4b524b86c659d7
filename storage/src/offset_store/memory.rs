//! The store in memory, for the simulator and for tests of the coordinator.

use std::collections::BTreeMap;
use std::ops::Bound;

use parking_lot::RwLock;

use super::{Change, Step};

#[derive(Debug, Default)]
pub(super) struct Memory {
    rows: RwLock<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Memory {
    pub(super) fn write(&self, changes: &[Change<'_>]) {
        let mut rows = self.rows.write();
        for change in changes {
            match change {
                Change::Put(key, value) => {
                    rows.insert(key.clone(), value.to_vec());
                }
                Change::Remove(key) => {
                    rows.remove(key);
                }
                Change::RemoveRange(from, to) => rows.retain(|key, _| key < from || key >= to),
            }
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.rows.read().get(key).cloned()
    }

    pub(super) fn scan(&self, from: Vec<u8>, entry: &mut dyn FnMut(&[u8], &[u8]) -> Step) {
        let rows = self.rows.read();
        let mut at = Bound::Included(from);
        while let Some((key, value)) = rows.range((at, Bound::Unbounded)).next() {
            at = match entry(key, value) {
                Step::Next => Bound::Excluded(key.clone()),
                Step::Seek(key) => Bound::Included(key),
                Step::Stop => return,
            };
        }
    }

    pub(super) fn row_count(&self) -> u64 {
        self.rows.read().len() as u64
    }

    pub(super) fn memory_usage_bytes(&self) -> u64 {
        let rows = self.rows.read();
        rows.iter()
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum()
    }
}
