//! What a batch must be before it may enter a log (Kafka's `LogValidator`, magic 2).
//!
//! Checks the header and the checksum, and rewrites a batch where the topic wants another codec or where what its header
//! says of time is wrong; what single records must be is `record_validator`'s. Runs outside of every lock.

use bytes::Bytes;
use protocol_compat::record_batch::batch::{BatchError, Compression, RecordBatch, with_create_time};
use protocol_compat::record_batch::builder::recompress;
use protocol_compat::record_batch::control::{ControlRecordType, EndTransactionMarker};
use protocol_compat::record_batch::record::records;

use super::config::{LogConfig, TopicCompression};
use super::error::AppendError;
use super::record_validator::{DECOMPRESSED_LIMIT, check_records};

/// Who appends, and so which rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A client's Produce: every rule.
    Client,
    /// A coordinator of this broker: no producer sequence.
    Coordinator,
    /// The Raft log: no limits on size, offsets as given.
    Raft,
    /// A leader's batches: offsets and epochs as given.
    Replication,
}

/// Batches that may be appended.
#[derive(Debug)]
pub(super) struct Validated {
    batches: Vec<ValidBatch>,
    size_bytes: u64,
    record_count: i64,
    offset_span: i64,
    max_timestamp_ms: i64,
}

/// A batch that was checked.
#[derive(Debug)]
pub(super) struct ValidBatch {
    bytes: Bytes,
}

impl ValidBatch {
    /// The batch's view.
    pub fn view(&self) -> RecordBatch<'_> {
        let split = RecordBatch::split_first(&self.bytes);
        split
            .expect("because the batch was split from whole bytes when it was validated")
            .0
    }

    /// The bytes behind the header.
    pub fn records(&self) -> Bytes {
        self.bytes
            .slice(protocol_compat::record_batch::batch::BATCH_HEADER_BYTES..)
    }
}

impl Validated {
    pub fn batches(&self) -> &[ValidBatch] {
        &self.batches
    }

    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub fn record_count(&self) -> i64 {
        self.record_count
    }

    /// How many offsets the batches take.
    pub fn offset_span(&self) -> i64 {
        self.offset_span
    }

    pub fn max_timestamp_ms(&self) -> i64 {
        self.max_timestamp_ms
    }
}

/// What a control batch says, if it is a transaction marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TransactionMarker {
    pub coordinator_epoch: i32,
    pub is_aborted: bool,
}

/// Checks all batches in `bytes`.
pub(super) fn validate(
    bytes: Bytes,
    config: &LogConfig,
    origin: AppendOrigin,
    now_ms: i64,
) -> Result<Validated, AppendError> {
    let mut validated = Validated {
        batches: Vec::with_capacity(1),
        size_bytes: 0,
        record_count: 0,
        offset_span: 0,
        max_timestamp_ms: -1,
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        let size = {
            let (batch, _) = RecordBatch::split_first(&rest).map_err(batch_error)?;
            batch.verify_checksum().map_err(batch_error)?;
            check_header(&batch, origin)?;
            check_size(batch.size_bytes() as u64, config, origin)?;
            batch.size_bytes()
        };
        let checked = ValidBatch {
            bytes: rest.split_to(size),
        };
        let kept = if origin == AppendOrigin::Client {
            check_and_rewrite(checked, config, now_ms)?
        } else {
            checked
        };
        let view = kept.view();
        validated.size_bytes += view.size_bytes() as u64;
        validated.record_count += i64::from(view.last_offset_delta()) + 1;
        validated.offset_span += i64::from(view.last_offset_delta()) + 1;
        validated.max_timestamp_ms = validated.max_timestamp_ms.max(view.max_timestamp_ms());
        validated.batches.push(kept);
    }
    let is_limited = matches!(origin, AppendOrigin::Client | AppendOrigin::Coordinator);
    if is_limited && validated.size_bytes > config.segment_bytes {
        let (size_bytes, limit_bytes) = (validated.size_bytes, config.segment_bytes);
        return Err(AppendError::LargerThanSegment {
            size_bytes,
            limit_bytes,
        });
    }
    Ok(validated)
}

fn batch_error(error: BatchError) -> AppendError {
    match error {
        BatchError::UnsupportedMagic(magic @ (0 | 1)) => AppendError::UnsupportedMagic(magic),
        other => AppendError::CorruptBatch(other.to_string()),
    }
}

fn invalid(message: String) -> AppendError {
    AppendError::InvalidRecord {
        message,
        problems: Vec::new(),
    }
}

fn check_header(batch: &RecordBatch<'_>, origin: AppendOrigin) -> Result<(), AppendError> {
    let (count, delta) = (batch.record_count(), batch.last_offset_delta());
    if delta < 0 {
        return Err(invalid(format!("last offset delta {delta} is negative")));
    }
    if batch.compression().is_none() {
        return Err(AppendError::UnsupportedCompression);
    }
    if matches!(origin, AppendOrigin::Replication | AppendOrigin::Raft) {
        return Ok(());
    }
    if count <= 0 {
        return Err(invalid(format!("record count {count} is not positive")));
    }
    if i64::from(delta) + 1 != i64::from(count) {
        return Err(invalid(format!(
            "last offset delta {delta} does not fit record count {count}"
        )));
    }
    if origin != AppendOrigin::Client {
        return Ok(());
    }
    if batch.base_offset() != 0 {
        return Err(invalid(format!("base offset {} is not 0", batch.base_offset())));
    }
    if batch.is_control() {
        return Err(invalid("clients may not write control records".to_owned()));
    }
    if batch.producer_id() >= 0 && batch.base_sequence() < 0 {
        return Err(invalid(format!(
            "base sequence {} of an idempotent producer is negative",
            batch.base_sequence()
        )));
    }
    if batch.producer_id() >= 0 && batch.producer_epoch() < 0 {
        return Err(invalid(format!(
            "producer epoch {} is negative",
            batch.producer_epoch()
        )));
    }
    Ok(())
}

fn check_size(size_bytes: u64, config: &LogConfig, origin: AppendOrigin) -> Result<(), AppendError> {
    let is_limited = matches!(origin, AppendOrigin::Client | AppendOrigin::Coordinator);
    if is_limited && size_bytes > config.max_message_bytes {
        return Err(AppendError::BatchTooLarge {
            size_bytes,
            limit_bytes: config.max_message_bytes,
        });
    }
    Ok(())
}

/// Checks the records of a client's batch and rewrites it where its header is wrong about time, or where the topic asks
/// for another codec than the producer's.
fn check_and_rewrite(batch: ValidBatch, config: &LogConfig, now_ms: i64) -> Result<ValidBatch, AppendError> {
    let wanted = match config.compression {
        TopicCompression::Codec(codec, level) if batch.view().compression() != Some(codec) => {
            Some((codec, level))
        }
        _ => None,
    };
    let max_timestamp_ms = check_records(&batch.view(), config, now_ms, wanted.is_some())?;
    let timed = match max_timestamp_ms {
        Some(max_timestamp_ms) => ValidBatch {
            bytes: with_create_time(&batch.view(), max_timestamp_ms),
        },
        None => batch,
    };
    let Some((codec, level)) = wanted else {
        return Ok(timed);
    };
    let bytes = recompress(&timed.view(), codec, level, DECOMPRESSED_LIMIT)
        .map_err(|error| AppendError::CorruptBatch(error.to_string()))?;
    check_size(bytes.len() as u64, config, AppendOrigin::Client)?;
    Ok(ValidBatch { bytes })
}

/// Reads a control batch; `None` for other batches and for other control records.
pub(crate) fn transaction_marker(batch: &RecordBatch<'_>) -> Option<TransactionMarker> {
    if !batch.is_control() || batch.compression() != Some(Compression::None) {
        return None;
    }
    let mut scratch = Vec::new();
    let record = records(batch, &mut scratch, DECOMPRESSED_LIMIT)
        .ok()?
        .next()?
        .ok()?;
    let is_aborted = match ControlRecordType::of_key(record.key?).ok()?? {
        ControlRecordType::Abort => true,
        ControlRecordType::Commit => false,
        _ => return None,
    };
    let marker = EndTransactionMarker::decode(record.value?).ok()?;
    Some(TransactionMarker {
        coordinator_epoch: marker.coordinator_epoch,
        is_aborted,
    })
}
