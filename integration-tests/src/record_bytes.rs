//! Record batches of magic 2 made by hand, every header field free to be wrong, and their summary for comparison.
//!
//! Layout: KIP-98, `org.apache.kafka.common.record.DefaultRecordBatch`.

use serde_json::{Value, json};

use crate::codec::to_hex;

/// A moment in 2020 that every case uses, so that answers repeat.
pub const TIMESTAMP_MS: i64 = 1_600_000_000_000;

/// A batch to be. The defaults make a valid one.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Key and value of each record.
    pub records: Vec<(Option<String>, Option<String>)>,
    /// First offset.
    pub base_offset: i64,
    /// The leader's epoch; -1 when a producer writes it.
    pub partition_leader_epoch: i32,
    /// Format; 2 is the only one that Kafka 4 takes.
    pub magic: i8,
    /// Codec, timestamp type, transactional, control, delete horizon.
    pub attributes: i16,
    /// Timestamp of every record.
    pub timestamp_ms: i64,
    /// Idempotent producer, or -1.
    pub producer_id: i64,
    /// Its epoch, or -1.
    pub producer_epoch: i16,
    /// The first sequence, or -1.
    pub base_sequence: i32,
    /// What the header says of the number of records, when that is to be wrong.
    pub stated_count: Option<i32>,
    /// What the header says of the last offset, when that is to be wrong.
    pub stated_last_offset_delta: Option<i32>,
    /// Flipped into the checksum.
    pub crc_damage: u32,
    /// Added to the length field.
    pub length_damage: i32,
    /// Bytes in place of the encoded records.
    pub payload: Option<Vec<u8>>,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch {
            records: vec![(None, Some("a".to_owned()))],
            base_offset: 0,
            partition_leader_epoch: -1,
            magic: 2,
            attributes: 0,
            timestamp_ms: TIMESTAMP_MS,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            stated_count: None,
            stated_last_offset_delta: None,
            crc_damage: 0,
            length_damage: 0,
            payload: None,
        }
    }
}

impl Batch {
    /// A batch of records without keys.
    pub fn of(values: &[&str]) -> Batch {
        let records = values
            .iter()
            .map(|value| (None, Some((*value).to_owned())))
            .collect();
        Batch {
            records,
            ..Batch::default()
        }
    }

    /// A batch of one idempotent producer.
    pub fn of_producer(producer_id: i64, epoch: i16, base_sequence: i32, values: &[&str]) -> Batch {
        Batch {
            producer_id,
            producer_epoch: epoch,
            base_sequence,
            ..Batch::of(values)
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut signed = Vec::new();
        let last_delta = self
            .stated_last_offset_delta
            .unwrap_or(self.records.len() as i32 - 1);
        signed.extend(self.attributes.to_be_bytes());
        signed.extend(last_delta.to_be_bytes());
        signed.extend(self.timestamp_ms.to_be_bytes());
        signed.extend(self.timestamp_ms.to_be_bytes());
        signed.extend(self.producer_id.to_be_bytes());
        signed.extend(self.producer_epoch.to_be_bytes());
        signed.extend(self.base_sequence.to_be_bytes());
        signed.extend(
            self.stated_count
                .unwrap_or(self.records.len() as i32)
                .to_be_bytes(),
        );
        match &self.payload {
            Some(payload) => signed.extend(payload),
            None => signed.extend(self.encoded_records()),
        }
        let mut bytes = self.base_offset.to_be_bytes().to_vec();
        let length = signed.len() as i32 + 9 + self.length_damage;
        bytes.extend(length.to_be_bytes());
        bytes.extend(self.partition_leader_epoch.to_be_bytes());
        bytes.push(self.magic as u8);
        bytes.extend((crc32c::crc32c(&signed) ^ self.crc_damage).to_be_bytes());
        bytes.extend(signed);
        bytes
    }

    /// The bytes as a case writes them.
    pub fn hex(&self) -> String {
        to_hex(&self.bytes())
    }

    fn encoded_records(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (offset_delta, (key, value)) in self.records.iter().enumerate() {
            let mut record = vec![0];
            put_varint(&mut record, 0);
            put_varint(&mut record, offset_delta as i64);
            for part in [key, value] {
                match part {
                    Some(text) => {
                        put_varint(&mut record, text.len() as i64);
                        record.extend(text.as_bytes());
                    }
                    None => put_varint(&mut record, -1),
                }
            }
            put_varint(&mut record, 0);
            put_varint(&mut bytes, record.len() as i64);
            bytes.extend(record);
        }
        bytes
    }
}

/// Appends a zigzag varint.
pub fn put_varint(bytes: &mut Vec<u8>, value: i64) {
    crate::codec::put_unsigned_varint(bytes, ((value << 1) ^ (value >> 63)) as u64);
}

/// What a reader sees of the batches in `bytes`: their headers without checksum, and the payload. A timestamp of our
/// own time is written as `<now>`; a batch that is cut off at the end counts as `partial`.
pub fn summary(mut bytes: &[u8]) -> Value {
    let mut batches = Vec::new();
    while bytes.len() >= 61 {
        let int = |at: usize, width: usize| {
            let negative = bytes[at] & 0x80 != 0;
            let start = if negative { -1_i64 } else { 0 };
            bytes[at..at + width]
                .iter()
                .fold(start, |value, byte| value << 8 | i64::from(*byte))
        };
        let end = usize::try_from(int(8, 4)).unwrap_or(0) + 12;
        if end > bytes.len() || end < 61 {
            break;
        }
        batches.push(json!({
            "baseOffset": int(0, 8), "leaderEpoch": int(12, 4), "magic": int(16, 1), "attributes": int(21, 2),
            "lastOffsetDelta": int(23, 4), "baseTimestamp": moment(int(27, 8)), "maxTimestamp": moment(int(35, 8)),
            "producerEpoch": int(51, 2), "baseSequence": int(53, 4), "count": int(57, 4),
            "hasProducer": int(43, 8) >= 0, "payload": to_hex(&bytes[61..end]),
        }));
        bytes = &bytes[end..];
    }
    if !bytes.is_empty() {
        batches.push(json!("partial"));
    }
    Value::Array(batches)
}

/// A time that a broker took from its clock, made equal for every run.
pub fn moment(timestamp_ms: i64) -> Value {
    if timestamp_ms > TIMESTAMP_MS + 100_000_000_000 {
        json!("<now>")
    } else {
        json!(timestamp_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol_compat::record_batch::batch::RecordBatch;

    #[test]
    fn a_batch_made_by_hand_is_one_to_the_broker_and_a_damaged_one_is_not() {
        let bytes = Batch::of(&["a", "b"]).bytes();
        let view = RecordBatch::split_first(&bytes).expect("a batch").0;
        assert!(view.verify_checksum().is_ok());
        let damaged = Batch {
            crc_damage: 1,
            ..Batch::of(&["a"])
        }
        .bytes();
        assert!(
            RecordBatch::split_first(&damaged)
                .expect("a batch")
                .0
                .verify_checksum()
                .is_err()
        );
    }

    #[test]
    fn the_summary_names_whole_batches_and_the_cut_off_rest() {
        let mut bytes = Batch::of(&["a", "b"]).bytes();
        bytes.extend(&Batch::of(&["c"]).bytes()[..30]);
        let summary = summary(&bytes);
        assert_eq!(summary[0]["count"], 2);
        assert_eq!(summary[1], "partial");
    }
}
