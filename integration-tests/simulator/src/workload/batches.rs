//! Marked records into batches, and what a fetch brought back into what was seen.

use bytes::Bytes;
use protocol_compat::record_batch::batch::{BatchError, Compression, RecordBatch, TimestampType};
use protocol_compat::record_batch::builder::BatchBuilder;
use protocol_compat::record_batch::record::{DecompressionLimit, records};

use crate::check::log::SeenRecord;
use crate::marked_record::{self, MarkedRecord};

/// When every seed begins by a clock that nobody moves, in milliseconds since 1970.
const EPOCH_MS: i64 = 1_790_000_000_000;
const LIMIT: DecompressionLimit = DecompressionLimit(16 << 20);

/// The codecs that a producer may choose.
pub const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// A producer's batch, made `now_ms` after the seed began. `producer` is id, epoch and base sequence.
pub fn batch(
    marked: &[MarkedRecord],
    codec: Compression,
    producer: Option<(i64, i16, i32)>,
    now_ms: i64,
) -> Bytes {
    let mut builder = BatchBuilder::new(0, codec, TimestampType::CreateTime, producer, -1);
    for record in marked {
        let mark = record.mark();
        let headers = [(marked_record::HEADER, Some(mark.as_slice()))];
        builder.append(
            EPOCH_MS + now_ms,
            record.key.as_deref(),
            record.value.as_deref(),
            &headers,
        );
    }
    builder.build()
}

/// What a fetch from `from` brought: the records from there on, and the offset behind the last whole batch.
///
/// # Errors
/// What is wrong with the bytes.
pub fn read(mut bytes: &[u8], from: i64) -> Result<(Vec<SeenRecord>, i64), String> {
    let (mut seen, mut next, mut scratch) = (Vec::new(), from, Vec::new());
    while !bytes.is_empty() {
        let (batch, rest) = match RecordBatch::split_first(bytes) {
            Ok(split) => split,
            // The last batch of a fetch may be cut off.
            Err(BatchError::Truncated { .. }) => break,
            Err(error) => return Err(format!("behind {next}: {error}")),
        };
        bytes = rest;
        batch
            .verify_checksum()
            .map_err(|error| format!("batch at {}: {error}", batch.base_offset()))?;
        for record in records(&batch, &mut scratch, LIMIT).map_err(|error| error.to_string())? {
            let record = record.map_err(|error| format!("batch at {}: {error}", batch.base_offset()))?;
            let (id, checksum) = marked_record::read(&record)?;
            if record.offset >= from {
                let offset = record.offset;
                seen.push(SeenRecord { offset, id, checksum });
            }
        }
        next = next.max(batch.next_offset());
    }
    Ok((seen, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marked_record::RecordId;

    #[test]
    fn what_a_producer_writes_in_any_codec_a_reader_reads() {
        for codec in CODECS {
            for bytes in [0, 1, 100, 6_000] {
                let id = RecordId {
                    producer: 1,
                    number: 0,
                };
                let record = MarkedRecord::new(id, None, Some(bytes));
                let (seen, next) =
                    read(&batch(&[record], codec, Some((1, 0, 0)), 5), 0).expect("whole and sound");
                assert_eq!((seen.len(), next), (1, 1), "{codec:?} {bytes}");
            }
        }
    }
}
