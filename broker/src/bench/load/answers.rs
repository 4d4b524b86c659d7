//! What the broker's answers say, in the versions that [`super::requests`] asks in.
//!
//! Reads what a load needs and nothing more. Layouts are those of Kafka's message definitions.

use protocol_compat::record_batch::batch::{BATCH_HEADER_BYTES, claimed_size};

use super::error::Malformed;
use super::fields::Fields;

/// Where a batch's header says how far its last record is from its first (`lastOffsetDelta`), and how many it has.
const LAST_OFFSET_DELTA_AT: usize = 23;
const RECORD_COUNT_AT: usize = 57;

/// What one request's answer said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Of each error in it, the code.
    pub errors: Vec<i16>,
    /// Offset of the first record that was appended, or where the first whole batch begins.
    pub base_offset: Option<i64>,
    /// One past the last record of the whole batches.
    pub next_offset: Option<i64>,
    /// Records of whole batches.
    pub records: u64,
    /// Bytes of whole batches, or of all of the answer if it carries none.
    pub bytes: u64,
    /// Whole batches.
    pub batches: u64,
}

impl Found {
    fn note(&mut self, error: i16) {
        if error != 0 {
            self.errors.push(error);
        }
    }
}

/// Produce, version 9: correlation id, header tags, topics of partitions.
pub fn produce(answer: &[u8]) -> Result<Found, Malformed> {
    let mut found = Found::default();
    let mut fields = body(answer)?;
    for _ in 0..fields.compact_array()? {
        fields.compact_bytes()?;
        for _ in 0..fields.compact_array()? {
            fields.int32()?;
            found.note(fields.int16()?);
            found.base_offset = Some(fields.int64()?);
            fields.int64()?;
            fields.int64()?;
            for _ in 0..fields.compact_array()? {
                fields.int32()?;
                fields.compact_bytes()?;
                fields.skip_tags()?;
            }
            fields.compact_bytes()?;
            fields.skip_tags()?;
        }
        fields.skip_tags()?;
    }
    Ok(found)
}

/// Fetch, version 12, without a session.
pub fn fetch(answer: &[u8]) -> Result<Found, Malformed> {
    let mut found = Found::default();
    let mut fields = body(answer)?;
    fields.int32()?;
    found.note(fields.int16()?);
    fields.int32()?;
    for _ in 0..fields.compact_array()? {
        fields.compact_bytes()?;
        for _ in 0..fields.compact_array()? {
            fields.int32()?;
            found.note(fields.int16()?);
            fields.take(3 * 8)?;
            for _ in 0..fields.compact_array()? {
                fields.take(2 * 8)?;
                fields.skip_tags()?;
            }
            fields.int32()?;
            whole_batches(fields.compact_bytes()?, &mut found);
            fields.skip_tags()?;
        }
        fields.skip_tags()?;
    }
    Ok(found)
}

/// The last batch may be cut off: a broker sends as many bytes as are allowed.
fn whole_batches(mut records: &[u8], found: &mut Found) {
    while let Some((batch, rest)) = claimed_size(records)
        .filter(|size| *size >= BATCH_HEADER_BYTES)
        .and_then(|size| records.split_at_checked(size))
    {
        let (Some(base_offset), Some(delta), Some(count)) = (
            batch.first_chunk().map(|bytes| i64::from_be_bytes(*bytes)),
            int32_at(batch, LAST_OFFSET_DELTA_AT),
            int32_at(batch, RECORD_COUNT_AT),
        ) else {
            return;
        };
        found.base_offset.get_or_insert(base_offset);
        found.next_offset = Some(base_offset.saturating_add(i64::from(delta)).saturating_add(1));
        found.records = found.records.saturating_add(u64::try_from(count).unwrap_or(0));
        found.bytes = found.bytes.saturating_add(batch.len() as u64);
        found.batches += 1;
        records = rest;
    }
}

fn int32_at(bytes: &[u8], at: usize) -> Option<i32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(i32::from_be_bytes(*bytes))
}

/// Of a topic, from Metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFound {
    /// Its name.
    pub name: String,
    /// Its error's code, or zero.
    pub error: i16,
    /// How many partitions it has.
    pub partitions: usize,
}

/// Metadata, version 9: only the errors, of topics and partitions.
pub fn metadata(answer: &[u8]) -> Result<Found, Malformed> {
    let mut found = Found {
        bytes: answer.len() as u64,
        ..Found::default()
    };
    walk_metadata(answer, &mut found, |_, _, _| ())?;
    Ok(found)
}

/// Metadata, version 9: the topics.
pub fn topics(answer: &[u8]) -> Result<Vec<TopicFound>, Malformed> {
    let mut topics = Vec::new();
    walk_metadata(answer, &mut Found::default(), |name, error, partitions| {
        topics.push(TopicFound {
            name: String::from_utf8_lossy(name).into_owned(),
            error,
            partitions,
        });
    })?;
    Ok(topics)
}

fn walk_metadata<'a>(
    answer: &'a [u8],
    found: &mut Found,
    mut topic: impl FnMut(&'a [u8], i16, usize),
) -> Result<(), Malformed> {
    let mut fields = body(answer)?;
    fields.int32()?;
    for _ in 0..fields.compact_array()? {
        fields.int32()?;
        fields.compact_bytes()?;
        fields.int32()?;
        fields.compact_bytes()?;
        fields.skip_tags()?;
    }
    fields.compact_bytes()?;
    fields.int32()?;
    for _ in 0..fields.compact_array()? {
        let error = fields.int16()?;
        found.note(error);
        let name = fields.compact_bytes()?;
        fields.take(1)?;
        let partitions = fields.compact_array()?;
        for _ in 0..partitions {
            found.note(fields.int16()?);
            fields.take(3 * 4)?;
            for _ in ["replicas", "in-sync", "offline"] {
                let brokers = fields.compact_array()?;
                fields.take(brokers.checked_mul(4).ok_or(Malformed::Truncated)?)?;
            }
            fields.skip_tags()?;
        }
        fields.int32()?;
        fields.skip_tags()?;
        topic(name, error, partitions);
    }
    Ok(())
}

/// CreateTopics, version 5, of one topic: its error's code, and what the broker says about it.
pub fn create_topic(answer: &[u8]) -> Result<(i16, String), Malformed> {
    let mut fields = body(answer)?;
    fields.int32()?;
    one(&mut fields)?;
    fields.compact_bytes()?;
    let error = fields.int16()?;
    Ok((
        error,
        String::from_utf8_lossy(fields.compact_bytes()?).into_owned(),
    ))
}

/// DeleteTopics, version 4, of one topic: its error's code.
pub fn delete_topic(answer: &[u8]) -> Result<i16, Malformed> {
    let mut fields = body(answer)?;
    fields.int32()?;
    one(&mut fields)?;
    fields.compact_bytes()?;
    fields.int16()
}

/// An answer about one topic has one.
fn one(fields: &mut Fields<'_>) -> Result<(), Malformed> {
    match fields.compact_array()? {
        0 => Err(Malformed::Truncated),
        _ => Ok(()),
    }
}

/// The key of an API, and the lowest and the highest version that is served.
pub type Served = (i16, i16, i16);

/// ApiVersions, version 0: its error's code, and what is served.
pub fn api_versions(answer: &[u8]) -> Result<(i16, Vec<Served>), Malformed> {
    let mut fields = Fields::of(answer);
    fields.int32()?;
    let error = fields.int16()?;
    let mut served = Vec::new();
    for _ in 0..fields.int32()? {
        served.push((fields.int16()?, fields.int16()?, fields.int16()?));
    }
    Ok((error, served))
}

/// What follows a flexible response header.
fn body(answer: &[u8]) -> Result<Fields<'_>, Malformed> {
    let mut fields = Fields::of(answer);
    fields.int32()?;
    fields.skip_tags()?;
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use protocol_compat::encode_response;
    use protocol_compat::messages::create_topics_response::CreatableTopicResult;
    use protocol_compat::messages::delete_topics_response::DeletableTopicResult;
    use protocol_compat::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
    use protocol_compat::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
    use protocol_compat::messages::{
        BrokerId, CreateTopicsResponse, DeleteTopicsResponse, MetadataResponse, ProduceResponse, StrBytes,
        TopicName,
    };
    use protocol_compat::record_batch::batch::{Compression, TimestampType};
    use protocol_compat::record_batch::builder::BatchBuilder;

    use super::*;

    fn name() -> TopicName {
        TopicName(StrBytes::from_static_str("orders"))
    }

    /// Without its length.
    fn encoded<M: protocol_compat::ResponseMessage>(version: i16, message: &M) -> Bytes {
        encode_response(version, 5, message)
            .expect("every field is one of this version")
            .slice(4..)
    }

    /// Every cut is an error or an answer, and never more than that.
    fn cut<T>(answer: &[u8], read: impl Fn(&[u8]) -> Result<T, Malformed>) {
        for end in 0..answer.len() {
            drop(read(&answer[..end]));
        }
        assert_eq!(read(&answer[..5]).err(), Some(Malformed::Truncated));
    }

    #[test]
    fn a_produce_answer_has_an_offset_or_an_error() {
        let partition = |error, offset| {
            PartitionProduceResponse::default()
                .with_error_code(error)
                .with_base_offset(offset)
        };
        let topic = TopicProduceResponse::default()
            .with_name(name())
            .with_partition_responses(vec![partition(0, 70), partition(7, -1)]);
        let answer = encoded(9, &ProduceResponse::default().with_responses(vec![topic]));
        let found = produce(&answer).expect("an answer");
        assert_eq!((found.errors, found.base_offset), (vec![7], Some(-1)));
        cut(&answer, produce);
    }

    /// A Fetch answer of version 12 with these records, behind one aborted transaction.
    fn fetched(error: i16, records: &[u8]) -> Vec<u8> {
        let mut answer = vec![0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        answer.extend([2, 2, b't', 2, 0, 0, 0, 3]);
        answer.extend(error.to_be_bytes());
        answer.extend([0; 3 * 8]);
        answer.push(2);
        answer.extend([0; 2 * 8 + 1]);
        answer.extend([0xFF; 4]);
        let mut length = records.len() + 1;
        while length >= 0x80 {
            answer.push(length as u8 | 0x80);
            length >>= 7;
        }
        answer.push(length as u8);
        answer.extend(records);
        answer.extend([0, 0, 0]);
        answer
    }

    #[test]
    fn a_fetch_answer_counts_whole_batches() {
        let mut records = Vec::new();
        for base_offset in [40, 42] {
            let mut batch =
                BatchBuilder::new(base_offset, Compression::None, TimestampType::CreateTime, None, 0);
            batch.append(1, None, Some(&[7; 100]), &[]);
            batch.append(1, None, Some(&[7; 100]), &[]);
            records.extend(batch.build());
        }
        let whole = records.len() as u64;
        records.extend_from_slice(&records.clone()[..100]);
        let found = fetch(&fetched(0, &records)).expect("an answer");
        assert_eq!((found.base_offset, found.next_offset), (Some(40), Some(44)));
        assert_eq!((found.records, found.batches, found.bytes), (4, 2, whole));
        assert!(found.errors.is_empty());
        cut(&fetched(0, &records), fetch);
    }

    #[test]
    fn a_fetch_answer_without_records_has_none() {
        let found = fetch(&fetched(1, &[])).expect("an answer");
        assert_eq!((found.errors, found.next_offset), (vec![1], None));
        for lies in [[0xFF; 200], [0; 200], [0x7F; 200]] {
            assert_eq!(fetch(&fetched(0, &lies)).expect("an answer").batches, 0);
        }
    }

    #[test]
    fn metadata_tells_topics_and_errors() {
        let partition = MetadataResponsePartition::default()
            .with_error_code(5)
            .with_replica_nodes(vec![BrokerId(1)])
            .with_isr_nodes(vec![BrokerId(1)]);
        let topic = MetadataResponseTopic::default()
            .with_name(Some(name()))
            .with_partitions(vec![partition.clone().with_error_code(0), partition]);
        let answer = encoded(9, &MetadataResponse::default().with_topics(vec![topic]));
        let found = topics(&answer).expect("an answer");
        assert_eq!(
            found,
            [TopicFound {
                name: "orders".to_owned(),
                error: 0,
                partitions: 2
            }]
        );
        assert_eq!(metadata(&answer).expect("an answer").errors, [5]);
        cut(&answer, metadata);
    }

    #[test]
    fn topics_are_created_and_deleted_with_an_error_or_without() {
        let topic = CreatableTopicResult::default()
            .with_name(name())
            .with_error_code(36)
            .with_error_message(Some(StrBytes::from_static_str("it exists")));
        let answer = encoded(5, &CreateTopicsResponse::default().with_topics(vec![topic]));
        assert_eq!(create_topic(&answer), Ok((36, "it exists".to_owned())));
        cut(&answer, create_topic);
        let topic = DeletableTopicResult::default()
            .with_name(Some(name()))
            .with_error_code(3);
        let answer = encoded(4, &DeleteTopicsResponse::default().with_responses(vec![topic]));
        assert_eq!(delete_topic(&answer), Ok(3));
        cut(&answer, delete_topic);
        let none = encoded(4, &DeleteTopicsResponse::default());
        assert_eq!(delete_topic(&none), Err(Malformed::Truncated));
    }
}
