//! What can go wrong with a log, by operation. Which Kafka code a client gets for it is the broker's table.

use std::io;

use thiserror::Error;

/// A log could not be opened, changed or removed.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file system failed. The log takes no more appends (rule S1), unless there only was no room
    /// ([`LogError::is_no_space`]).
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Bytes on disk are not what was written, and cutting them off would lose valid records (rule S4).
    #[error("{file} is corrupt at byte {position} (offset {offset}): {reason}")]
    Corrupt {
        /// The segment file.
        file: String,
        /// Where the first bad batch begins.
        position: u64,
        /// The offset that should stand there.
        offset: i64,
        /// What is wrong with it.
        reason: String,
    },
    /// The log's directory failed before; a restart is needed.
    #[error("log {0} is offline after an input/output error")]
    Offline(String),
    /// An offset outside of the log was asked for.
    #[error("offset {offset} lies outside of {log_start_offset} to {log_end_offset}")]
    OffsetOutOfRange {
        /// What was asked for.
        offset: i64,
        /// First offset of the log.
        log_start_offset: i64,
        /// End of what may be asked for, exclusive.
        log_end_offset: i64,
    },
    /// `partition.metadata` names another topic id.
    #[error("directory {dir} belongs to topic id {found}, not {expected}")]
    ForeignTopic {
        /// The partition's directory.
        dir: String,
        /// What stands in the file.
        found: String,
        /// What the metadata says.
        expected: String,
    },
}

impl LogError {
    /// Whether the disk had no room: nothing is broken, and the same works again when there is room.
    pub fn is_no_space(&self) -> bool {
        matches!(self, LogError::Io(error) if error.kind() == io::ErrorKind::StorageFull)
    }
}

/// What is wrong with single records of a rejected batch (KIP-467).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordProblem {
    /// Index of the record in its batch.
    pub batch_index: i32,
    /// A sentence for the client.
    pub message: String,
}

/// Why an append was refused. Nothing of the request is in the log then.
#[derive(Debug, Error)]
pub enum AppendError {
    /// The bytes are not whole, valid batches.
    #[error("corrupt record batch: {0}")]
    CorruptBatch(String),
    /// A rule for record batches is broken.
    #[error("invalid record batch: {message}")]
    InvalidRecord {
        /// What is wrong with the batch.
        message: String,
        /// The records at fault, if it is about records.
        problems: Vec<RecordProblem>,
    },
    /// A timestamp lies outside of what the topic allows.
    #[error("timestamp out of range: {message}")]
    InvalidTimestamp {
        /// What is wrong.
        message: String,
        /// The records at fault.
        problems: Vec<RecordProblem>,
    },
    /// A batch is larger than `max.message.bytes`.
    #[error("record batch of {size_bytes} bytes is larger than {limit_bytes}")]
    BatchTooLarge {
        /// The batch's size.
        size_bytes: u64,
        /// `max.message.bytes`.
        limit_bytes: u64,
    },
    /// All batches together are larger than a segment.
    #[error("record batches of {size_bytes} bytes are larger than a segment of {limit_bytes}")]
    LargerThanSegment {
        /// Size of all batches.
        size_bytes: u64,
        /// `segment.bytes`.
        limit_bytes: u64,
    },
    /// Magic 0 or 1, which Kafka 4 no longer takes.
    #[error("record batch has magic {0}, which is not supported")]
    UnsupportedMagic(i8),
    /// The codec is not one that the topic or the request's version may use.
    #[error("unsupported compression type")]
    UnsupportedCompression,
    /// The producer's epoch is older than the log's.
    #[error("producer {producer_id} has epoch {found}, the log has {expected}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: i64,
        /// Its epoch in the batch.
        found: i16,
        /// The log's.
        expected: i16,
    },
    /// The batch does not follow the producer's last one.
    #[error("producer {producer_id} sent sequence {found} after {expected_after}")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// First sequence number of the batch.
        found: i32,
        /// Last sequence number in the log.
        expected_after: i32,
    },
    /// Offsets of a replicated append do not continue the log.
    #[error("append at offset {found} does not continue the log at {expected}")]
    UnexpectedOffset {
        /// The batch's base offset.
        found: i64,
        /// The log's end.
        expected: i64,
    },
    /// The disk has no room. Nothing was changed; an append works again when there is room.
    #[error("no space left on the log directory's device")]
    NoSpace,
    /// The log's directory is offline (rules S1, S2).
    #[error("log directory is offline: {0}")]
    Offline(String),
}

/// Why a read gave nothing.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The offset lies outside of the log.
    #[error("offset {offset} lies outside of {log_start_offset} to {log_end_offset}")]
    OffsetOutOfRange {
        /// What was asked for.
        offset: i64,
        /// First offset of the log.
        log_start_offset: i64,
        /// End of the log, exclusive.
        log_end_offset: i64,
    },
    /// The bytes on disk are not a batch.
    #[error("{file} is corrupt at byte {position}: {reason}")]
    Corrupt {
        /// The segment file.
        file: String,
        /// Where.
        position: u64,
        /// What is wrong.
        reason: String,
    },
    /// The file system failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}
