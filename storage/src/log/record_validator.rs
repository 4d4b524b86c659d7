//! What the records of a client's batch must be (Kafka's `LogValidator`, the part about single records).
//!
//! Records that are not compressed are walked once, without an allocation: they must fill the batch exactly and stand at
//! the offsets 0, 1, 2 that the header promises, and their largest timestamp is what the header must say. Compressed ones
//! are trusted with that, because looking at them costs more than all the rest of an append; they are decompressed only
//! where a rule is about single records. The header's own rules are `batch_validator`'s.

use protocol_compat::record_batch::batch::{Compression, RecordBatch, TimestampType};
use protocol_compat::record_batch::record::{DecompressionLimit, RecordError, RecordView, records};

use super::config::LogConfig;
use super::error::{AppendError, RecordProblem};

/// Most bytes that a batch may have when its records must be looked at; sixteen times the largest default batch.
pub(super) const DECOMPRESSED_LIMIT: DecompressionLimit = DecompressionLimit(128 << 20);
/// Problems named in an answer: enough to find the cause, few enough to stay small.
const NAMED_PROBLEMS: usize = 100;
/// The wire's "no timestamp".
const NO_TIMESTAMP: i64 = -1;

/// Checks a client's batch. `must_walk` asks to look at the records whatever they are.
///
/// Answers the largest timestamp that the header must be given, where what it says of time is wrong.
///
/// # Errors
/// [`AppendError::InvalidRecord`], [`AppendError::InvalidTimestamp`] and, for a codec that refuses its bytes,
/// [`AppendError::CorruptBatch`].
pub(super) fn check_records(
    batch: &RecordBatch<'_>,
    config: &LogConfig,
    now_ms: i64,
    must_walk: bool,
) -> Result<Option<i64>, AppendError> {
    let is_stamped_by_producer = batch.timestamp_type() == TimestampType::LogAppendTime;
    let is_create_time = config.message_timestamp_type == TimestampType::CreateTime;
    // Kafka minds the bit only where the record's own time is not looked at.
    if is_stamped_by_producer && !(is_create_time && batch.max_timestamp_ms() != NO_TIMESTAMP) {
        return Err(stamped_by_producer(batch.record_count()));
    }
    let bounds = is_create_time.then(|| TimestampBounds::new(config, now_ms));
    let needs_keys = config.cleanup_policy.compact;
    let is_compressed = batch.compression() != Some(Compression::None);
    let may_break_bounds = bounds.is_some_and(|bounds| bounds.may_be_broken(batch.max_timestamp_ms()));
    if is_compressed && !must_walk && !needs_keys && !may_break_bounds {
        return Ok(is_stamped_by_producer.then(|| batch.max_timestamp_ms()));
    }
    let largest_ms = walk(batch, needs_keys, bounds)?;
    let is_wrong = is_create_time && (is_stamped_by_producer || largest_ms != batch.max_timestamp_ms());
    Ok(is_wrong.then_some(largest_ms))
}

/// Looks at every record; the largest timestamp.
fn walk(
    batch: &RecordBatch<'_>,
    needs_keys: bool,
    bounds: Option<TimestampBounds>,
) -> Result<i64, AppendError> {
    let mut scratch = Vec::new();
    let mut problems = Problems::default();
    let mut largest_ms = NO_TIMESTAMP;
    let mut expected_delta = 0;
    for record in records(batch, &mut scratch, DECOMPRESSED_LIMIT).map_err(record_error)? {
        let record = record.map_err(record_error)?;
        if record.offset_delta != expected_delta {
            let found = record.offset_delta;
            let message = format!("record {expected_delta} of the batch stands at offset delta {found}");
            return Err(invalid(message));
        }
        largest_ms = largest_ms.max(record.timestamp_ms);
        if needs_keys && record.key.is_none() {
            let message = "a compacted topic does not accept a record without a key".to_owned();
            problems.add(expected_delta, message);
        } else if let Some(bounds) = bounds.filter(|bounds| bounds.are_broken_by(&record)) {
            problems.are_about_time = true;
            problems.add(expected_delta, bounds.message(record.timestamp_ms));
        }
        expected_delta = expected_delta.saturating_add(1);
    }
    problems.refusal().map_or(Ok(largest_ms), Err)
}

fn record_error(error: RecordError) -> AppendError {
    match error {
        RecordError::UnknownCompression(_) | RecordError::Compression(_) => {
            AppendError::CorruptBatch(error.to_string())
        }
        RecordError::NegativeCount(_) | RecordError::Invalid { .. } | RecordError::TrailingBytes(_) => {
            invalid(error.to_string())
        }
    }
}

fn invalid(message: String) -> AppendError {
    AppendError::InvalidRecord {
        message,
        problems: Vec::new(),
    }
}

fn stamped_by_producer(record_count: i32) -> AppendError {
    let message = "a producer may not set the timestamp type to log append time";
    let mut problems = Problems {
        are_about_time: true,
        ..Problems::default()
    };
    for index in (0..record_count).take(NAMED_PROBLEMS) {
        problems.add(index, message.to_owned());
    }
    problems.refusal().unwrap_or_else(|| invalid(message.to_owned()))
}

/// The records at fault; one about time decides what the batch is refused for, as in Kafka.
#[derive(Default)]
struct Problems {
    named: Vec<RecordProblem>,
    are_about_time: bool,
}

impl Problems {
    fn add(&mut self, batch_index: i32, message: String) {
        if self.named.len() < NAMED_PROBLEMS {
            self.named.push(RecordProblem { batch_index, message });
        }
    }

    fn refusal(self) -> Option<AppendError> {
        if self.named.is_empty() {
            return None;
        }
        let message = "one or more records have been rejected".to_owned();
        let problems = self.named;
        Some(if self.are_about_time {
            AppendError::InvalidTimestamp { message, problems }
        } else {
            AppendError::InvalidRecord { message, problems }
        })
    }
}

/// What a topic with the producers' timestamps allows.
#[derive(Clone, Copy)]
struct TimestampBounds {
    has_lower: bool,
    earliest_ms: i64,
    latest_ms: i64,
}

impl TimestampBounds {
    fn new(config: &LogConfig, now_ms: i64) -> TimestampBounds {
        TimestampBounds {
            has_lower: config.message_timestamp_before_max_ms != i64::MAX,
            earliest_ms: now_ms.saturating_sub(config.message_timestamp_before_max_ms),
            latest_ms: now_ms.saturating_add(config.message_timestamp_after_max_ms),
        }
    }

    /// Whether a batch whose header names this timestamp may hold a record outside.
    fn may_be_broken(self, max_timestamp_ms: i64) -> bool {
        self.has_lower || max_timestamp_ms > self.latest_ms
    }

    fn are_broken_by(self, record: &RecordView<'_>) -> bool {
        let at = record.timestamp_ms;
        at != NO_TIMESTAMP && (at > self.latest_ms || (self.has_lower && at < self.earliest_ms))
    }

    fn message(self, timestamp_ms: i64) -> String {
        let (from, to) = (self.earliest_ms, self.latest_ms);
        format!("timestamp {timestamp_ms} lies outside of {from} to {to}")
    }
}

#[cfg(test)]
mod tests {
    use protocol_compat::record_batch::batch::{BATCH_HEADER_BYTES, CHECKSUM_START, checksum};

    use super::super::testing::batch;
    use super::*;

    fn checked(bytes: &[u8], config: &LogConfig) -> Result<Option<i64>, AppendError> {
        let (view, _) = RecordBatch::split_first(bytes).expect("a batch");
        check_records(&view, config, 2_000, false)
    }

    fn with_max_timestamp(mut bytes: Vec<u8>, max_timestamp_ms: i64) -> Vec<u8> {
        bytes[35..43].copy_from_slice(&max_timestamp_ms.to_be_bytes());
        let crc = checksum(&bytes[CHECKSUM_START..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    #[test]
    fn sound_records_pass_and_every_changed_length_or_delta_does_not() {
        let config = LogConfig::default();
        let sound = batch().records(3).build();
        assert_eq!(checked(&sound, &config).expect("sound"), None);
        // A record: length, attributes, timestamp delta, offset delta, key and value length, four bytes, header count.
        let record_bytes = (sound.len() - BATCH_HEADER_BYTES) / 3;
        for index in 0..3 {
            for place in [0, 3, 5, record_bytes - 1] {
                let mut wrong = sound.clone();
                wrong[BATCH_HEADER_BYTES + index * record_bytes + place] ^= 0x02;
                assert!(
                    matches!(checked(&wrong, &config), Err(AppendError::InvalidRecord { .. })),
                    "byte {place} of record {index}"
                );
            }
        }
    }

    #[test]
    fn a_largest_timestamp_that_contradicts_the_records_is_put_right() {
        let config = LogConfig::default();
        let wrong = with_max_timestamp(batch().records(3).build(), 1_500);
        assert_eq!(checked(&wrong, &config).expect("sound records"), Some(1_002));
    }

    #[test]
    fn the_log_append_time_bit_is_taken_off_where_the_topic_keeps_the_producers_time() {
        let mut config = LogConfig::default();
        let stamped = batch().attributes(0x08).build();
        assert_eq!(checked(&stamped, &config).expect("taken"), Some(1_000));
        let never = batch().attributes(0x08).timestamp_ms(-1).build();
        assert!(matches!(
            checked(&never, &config),
            Err(AppendError::InvalidTimestamp { .. })
        ));
        config.message_timestamp_type = TimestampType::LogAppendTime;
        assert!(matches!(
            checked(&stamped, &config),
            Err(AppendError::InvalidTimestamp { .. })
        ));
    }

    #[test]
    fn compressed_records_are_looked_at_only_where_a_rule_needs_it() {
        let mut config = LogConfig::default();
        let not_gzip = batch().attributes(1).build();
        assert_eq!(checked(&not_gzip, &config).expect("trusted"), None);
        config.cleanup_policy.compact = true;
        assert!(matches!(
            checked(&not_gzip, &config),
            Err(AppendError::CorruptBatch(_))
        ));
    }
}
