//! What stays of each batch, and the segment that it is written to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol_compat::record_batch::batch::RecordBatch;
use protocol_compat::record_batch::filter::{FilterCounts, Filtered, delete_horizon_ms, emptied, filter};
use protocol_compat::record_batch::record::RecordView;

use super::error::{CleanError, DECOMPRESSED_LIMIT, damaged};
use super::offset_map::OffsetMap;
use crate::log::segment::Segment;
use crate::log::{FileCache, LogConfig, PartitionLog, ProducerEntry, TransactionPart};

/// After so many bytes what was written is synced and leaves the page cache: the next piece gets the same pages, which are
/// warm, no burst is left for the sync at the end, and what clients read stays cached.
const SYNCED_PIECE_BYTES: u64 = 4 << 20;

/// By which a cleaning judges records.
pub(super) struct Rules<'a> {
    pub map: &'a OffsetMap,
    pub now_ms: i64,
    pub delete_retention_ms: i64,
    /// Behind the last batch that this cleaning may touch: that batch stays, if only as a header, so that the end of the
    /// cleaned part is never in doubt.
    pub upper_bound_offset: i64,
    /// The log's active producers, whose last batch stays, if only as a header.
    pub producers: BTreeMap<i64, ProducerEntry>,
}

impl Rules<'_> {
    /// Whether the batch must leave its header behind when it has no record any more.
    fn keeps_header(&self, batch: &RecordBatch<'_>) -> bool {
        batch.next_offset() == self.upper_bound_offset || self.is_last_of_producer(batch)
    }

    /// Kafka's rule: the batch with the producer's last record; for a producer that only ended transactions, a marker of
    /// its present epoch.
    fn is_last_of_producer(&self, batch: &RecordBatch<'_>) -> bool {
        if batch.producer_id() < 0 {
            return false;
        }
        let Some(producer) = self.producers.get(&batch.producer_id()) else {
            return false;
        };
        match producer.batches.back() {
            Some(last) => batch.last_offset() == last.last_offset,
            None => batch.is_control() && batch.producer_epoch() == producer.producer_epoch,
        }
    }

    fn is_past_horizon(&self, batch: &RecordBatch<'_>) -> bool {
        delete_horizon_ms(batch).is_some_and(|horizon_ms| horizon_ms <= self.now_ms)
    }

    /// Whether a record of a batch that is no control batch stays.
    fn keeps(&self, batch: &RecordBatch<'_>, record: &RecordView<'_>, without_key: &mut u64) -> bool {
        if record.offset > self.map.latest_offset() {
            return true;
        }
        let Some(key) = record.key else {
            *without_key += 1;
            return false;
        };
        let is_last = self.map.get(key).is_none_or(|last| record.offset >= last);
        is_last && (record.value.is_some() || !self.is_past_horizon(batch))
    }
}

/// What a rewriter met.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RewriteCounts {
    pub records: FilterCounts,
    pub without_key: u64,
}

/// Writes the batches that stay to a new segment.
pub(super) struct Rewriter<'a> {
    files: &'a FileCache,
    target: Segment,
    index_interval_bytes: u64,
    /// Bytes that are collected before they are written.
    write_bytes: usize,
    buffer: Vec<u8>,
    /// Up to where the file was synced and left the page cache.
    synced_bytes: u64,
    /// Where the batch of the last index entry begins.
    indexed_position: u64,
    /// Offsets of markers of aborted transactions that stay because records of theirs may.
    aborted_markers: BTreeSet<i64>,
    counts: RewriteCounts,
}

impl<'a> Rewriter<'a> {
    pub fn new(
        log: &'a PartitionLog,
        target: Segment,
        config: &LogConfig,
        write_bytes: usize,
    ) -> Rewriter<'a> {
        Rewriter {
            files: log.file_cache(),
            target,
            index_interval_bytes: config.index_interval_bytes,
            write_bytes,
            buffer: Vec::new(),
            synced_bytes: 0,
            indexed_position: 0,
            aborted_markers: BTreeSet::new(),
            counts: RewriteCounts::default(),
        }
    }

    /// Takes the next batch. How many bytes of it stay.
    pub fn take(
        &mut self,
        batch: &RecordBatch<'_>,
        rules: &Rules<'_>,
        may_discard: bool,
        segment: &Segment,
    ) -> Result<u64, CleanError> {
        let is_control = batch.is_control();
        if !may_discard && TransactionPart::of(batch) == (TransactionPart::Marker { is_aborted: true }) {
            self.aborted_markers.insert(batch.last_offset());
        }
        let discards_all = may_discard && (!is_control || rules.is_past_horizon(batch));
        let keeps_header = rules.keeps_header(batch);
        if discards_all && !keeps_header {
            return Ok(0);
        }
        let RewriteCounts { records, without_key } = &mut self.counts;
        let new_horizon_ms = rules.now_ms.saturating_add(rules.delete_retention_ms);
        let filtered = filter(
            batch,
            may_discard && is_control,
            new_horizon_ms,
            DECOMPRESSED_LIMIT,
            records,
            |record| !discards_all && (is_control || rules.keeps(batch, record, without_key)),
        )
        .map_err(|error| damaged(segment, batch, &error))?;
        match filtered {
            Filtered::Whole => {
                self.note(batch.max_timestamp_ms(), batch)?;
                self.buffer.extend_from_slice(batch.header());
                self.buffer.extend_from_slice(batch.records_bytes());
                Ok(batch.size_bytes() as u64)
            }
            Filtered::Rewritten(bytes) => {
                let max_timestamp_ms = RecordBatch::split_first(&bytes)
                    .map_or(batch.max_timestamp_ms(), |(rewritten, _)| {
                        rewritten.max_timestamp_ms()
                    });
                self.note(max_timestamp_ms, batch)?;
                self.buffer.extend_from_slice(&bytes);
                Ok(bytes.len() as u64)
            }
            Filtered::Nothing if keeps_header => {
                let header = emptied(batch);
                self.note(batch.max_timestamp_ms(), batch)?;
                self.buffer.extend_from_slice(&header);
                Ok(header.len() as u64)
            }
            Filtered::Nothing => Ok(0),
        }
    }

    /// Notes a batch that is about to stand at the end of the buffer, in the indexes and in the segment's timestamp.
    fn note(&mut self, max_timestamp_ms: i64, batch: &RecordBatch<'_>) -> Result<(), CleanError> {
        if self.buffer.len() >= self.write_bytes {
            self.write_out()?;
        }
        let position = self.target.size_bytes() + self.buffer.len() as u64;
        self.target.note_timestamp(max_timestamp_ms, batch.last_offset());
        if position - self.indexed_position > self.index_interval_bytes {
            self.target
                .append_index_entries(self.files, batch.last_offset(), position)?;
            self.indexed_position = position;
        }
        Ok(())
    }

    fn write_out(&mut self) -> Result<(), CleanError> {
        let size = self.target.size_bytes();
        let file = self.target.log.create(self.files)?;
        file.write_all_at(&self.buffer, size)?;
        let size = size + self.buffer.len() as u64;
        self.target.set_size_bytes(size);
        self.buffer.clear();
        if size - self.synced_bytes >= SYNCED_PIECE_BYTES {
            file.sync_data()?;
            file.forget_cached();
            self.synced_bytes = size;
        }
        Ok(())
    }

    /// Writes what is left of `group` and makes all files durable.
    pub fn sync(&mut self, group: &[Arc<Segment>]) -> Result<(), CleanError> {
        self.write_out()?;
        self.target.append_time_entry(self.files)?;
        self.target.offset_index.sync(self.files)?;
        self.target.time_index.sync(self.files)?;
        self.target.seal(self.files)?;
        let known = group.iter().flat_map(|segment| segment.aborted_transactions());
        let aborted = known.filter(|transaction| self.aborted_markers.contains(&transaction.last_offset));
        self.target
            .set_aborted_transactions(self.files, aborted.collect())?;
        self.target.log.get(self.files)?.sync_all()?;
        self.target.set_flushed(self.target.size_bytes());
        Ok(())
    }

    pub fn finish(self) -> (Segment, RewriteCounts) {
        (self.target, self.counts)
    }
}
