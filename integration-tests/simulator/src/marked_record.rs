//! Records that say who wrote them: a header carries the writer, its running number and a checksum over all the rest,
//! so that a lost, doubled, moved or damaged record is seen for what it is. A tombstone carries it too.

use bytes::Bytes;
use protocol_compat::record_batch::record::RecordView;

/// The header's key.
pub const HEADER: &str = "w";
const MARK_BYTES: usize = 12;

/// A record's name: no two records of a run share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId {
    /// The producer's life between two losses of its sequence numbers.
    pub producer: u32,
    /// Counts up in the order in which the producer first sent.
    pub number: u32,
}

impl std::fmt::Display for RecordId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.producer, self.number)
    }
}

/// A record to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedRecord {
    /// Its name.
    pub id: RecordId,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Bytes>,
}

impl MarkedRecord {
    /// A record whose value of `value_bytes` bytes follows from its name.
    pub fn new(id: RecordId, key: Option<Bytes>, value_bytes: Option<usize>) -> MarkedRecord {
        MarkedRecord {
            id,
            key,
            value: value_bytes.map(|bytes| filler(id, bytes)),
        }
    }

    /// The checksum over name, key and value.
    pub fn checksum(&self) -> u32 {
        checksum(self.id, self.key.as_deref(), self.value.as_deref())
    }

    /// What stands in the header.
    pub fn mark(&self) -> [u8; MARK_BYTES] {
        let mut mark = [0; MARK_BYTES];
        let (name, sum) = mark.split_at_mut(8);
        name.copy_from_slice(&name_bytes(self.id));
        sum.copy_from_slice(&self.checksum().to_be_bytes());
        mark
    }
}

/// Who wrote a record, and its checksum.
///
/// # Errors
/// What is wrong with it: no mark, or bytes that are not the ones that were marked.
pub fn read(record: &RecordView<'_>) -> Result<(RecordId, u32), String> {
    let offset = record.offset;
    let mark = record
        .headers
        .iter()
        .find(|(key, _)| *key == HEADER.as_bytes())
        .and_then(|(_, value)| <[u8; MARK_BYTES]>::try_from(value?).ok())
        .ok_or_else(|| format!("the record at {offset} has no mark"))?;
    let number = |at: usize| {
        let bytes = mark.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_be_bytes(bytes.unwrap_or_default())
    };
    let id = RecordId {
        producer: number(0),
        number: number(4),
    };
    if checksum(id, record.key, record.value) != number(8) {
        return Err(format!(
            "the record at {offset}, marked {id}, has bytes that nobody wrote"
        ));
    }
    Ok((id, number(8)))
}

fn name_bytes(id: RecordId) -> [u8; 8] {
    (u64::from(id.producer) << 32 | u64::from(id.number)).to_be_bytes()
}

fn checksum(id: RecordId, key: Option<&[u8]>, value: Option<&[u8]>) -> u32 {
    let mut sum = crc32c::crc32c(&name_bytes(id));
    for part in [key, value] {
        sum = crc32c::crc32c_append(sum, &[u8::from(part.is_some())]);
        sum = crc32c::crc32c_append(sum, part.unwrap_or_default());
    }
    sum
}

fn filler(id: RecordId, bytes: usize) -> Bytes {
    let mut state = u64::from(id.producer) << 32 | u64::from(id.number) | 1;
    let mut filler = Vec::with_capacity(bytes + 8);
    while filler.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Half of it repeats, so that codecs have something to do.
        filler.extend((state >> 32).to_be_bytes());
    }
    filler.truncate(bytes);
    Bytes::from(filler)
}

#[cfg(test)]
mod tests {
    use protocol_compat::record_batch::batch::{Compression, RecordBatch, TimestampType};
    use protocol_compat::record_batch::builder::BatchBuilder;
    use protocol_compat::record_batch::record::{DecompressionLimit, records};

    use super::*;

    fn read_back(record: &MarkedRecord, value: Option<&[u8]>) -> Result<(RecordId, u32), String> {
        let mut builder = BatchBuilder::new(0, Compression::None, TimestampType::CreateTime, None, -1);
        builder.append(1, record.key.as_deref(), value, &[(HEADER, Some(&record.mark()))]);
        let bytes = builder.build();
        let (batch, _) = RecordBatch::split_first(&bytes).expect("a batch");
        let mut scratch = Vec::new();
        let mut walk = records(&batch, &mut scratch, DecompressionLimit(1 << 20)).expect("records");
        read(&walk.next().expect("one record").expect("a sound one"))
    }

    #[test]
    fn a_record_is_known_by_its_mark_and_a_wrong_byte_is_seen() {
        let id = RecordId {
            producer: 7,
            number: 9,
        };
        let record = MarkedRecord::new(id, Some(Bytes::from_static(b"k")), Some(20));
        assert_eq!(
            read_back(&record, record.value.as_deref()),
            Ok((id, record.checksum()))
        );
        let mut wrong = record.value.clone().expect("a value").to_vec();
        wrong[3] ^= 1;
        assert!(read_back(&record, Some(&wrong)).is_err());
        assert!(read_back(&record, None).is_err(), "a value is not a tombstone");
    }
}
