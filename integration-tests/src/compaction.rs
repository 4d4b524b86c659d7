//! The same topic compacted by two brokers: one produces the same batches to both, lets each clean them once, and compares
//! what is left batch by batch.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol_compat::record_batch::batch::{
    Compression, RecordBatch, TimestampType, header_with_offset_and_epoch,
};
use protocol_compat::record_batch::builder::BatchBuilder;
use protocol_compat::record_batch::record::{DecompressionLimit, records};

use crate::bad_input::Random;
use crate::bench::client::{Client, Request, produce_error};

const TOPIC: &str = "compacted";
/// The smallest that Kafka 4 accepts.
const SEGMENT_BYTES: usize = 1 << 20;
const KEYS: usize = 3_000;
const LIMIT: DecompressionLimit = DecompressionLimit(64 << 20);
/// Both brokers look for something to clean every 15 seconds unless they are told otherwise.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(500);

/// One batch of a log, without what two brokers may choose for themselves: the bytes of codecs, and times of cleaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBatch {
    /// First and last offset.
    pub offsets: (i64, i64),
    /// Producer id, epoch and first sequence.
    pub producer: (i64, i16, i32),
    /// Attributes, codec and delete horizon included.
    pub attributes: i16,
    /// Largest timestamp in ms.
    pub max_timestamp_ms: i64,
    /// Offset, timestamp, key, value and headers of each record, as text.
    pub records: Vec<String>,
}

/// What a comparison found.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Records that were produced.
    pub produced: usize,
    /// Records that each broker kept.
    pub kept: [usize; 2],
    /// Batches that each broker kept, emptied ones included.
    pub batches: [usize; 2],
    /// Batches that differ, at most the first ten.
    pub differences: Vec<String>,
}

/// Compares what two brokers make of some `mebibytes` of batches.
///
/// # Errors
/// A broker that does not answer, refuses a batch, or does not clean in time.
pub fn compare(brokers: [SocketAddr; 2], seed: u64, mebibytes: usize) -> io::Result<Comparison> {
    let (batches, produced) = batches(seed, mebibytes << 20);
    let [first, second] = brokers.map(|broker| cleaned_by(broker, &batches));
    let (first, second) = (first?, second?);
    let count = |kept: &[KeptBatch]| kept.iter().map(|batch| batch.records.len()).sum();
    let mut comparison = Comparison {
        produced,
        kept: [count(&first), count(&second)],
        batches: [first.len(), second.len()],
        differences: Vec::new(),
    };
    let offsets: BTreeSet<i64> = first.iter().chain(&second).map(|batch| batch.offsets.0).collect();
    for offset in offsets {
        let at = |kept: &[KeptBatch]| kept.iter().find(|batch| batch.offsets.0 == offset).cloned();
        let (one, other) = (at(&first), at(&second));
        if one != other && comparison.differences.len() < 10 {
            comparison
                .differences
                .push(format!("at offset {offset}:\n  {one:?}\n  {other:?}"));
        }
    }
    Ok(comparison)
}

/// Batches of some `bytes`: every codec, tombstones, headers with equal keys, idempotent producers.
fn batches(seed: u64, bytes: usize) -> (Vec<Bytes>, usize) {
    let mut random = Random::new(seed);
    let mut sequences = [0_i32; 3];
    let (mut batches, mut size, mut produced) = (Vec::new(), 0, 0);
    while size < bytes {
        let codec = [
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ][random.below(5)];
        let producer = random.below(6);
        let identity = sequences
            .get(producer)
            .map(|sequence| (7_000 + producer as i64, 0, *sequence));
        let mut builder = BatchBuilder::new(0, codec, TimestampType::CreateTime, identity, -1);
        let count = 1 + random.below(40) as i32;
        for _ in 0..count {
            let key = format!("key {}", random.below(KEYS));
            let value: Vec<u8> = (0..random.below(400)).map(|_| random.below(256) as u8).collect();
            let is_tombstone = random.below(5) == 0;
            let headers: [(&str, Option<&[u8]>); 2] = [("same", Some(b"1")), ("same", None)];
            let timestamp_ms = 1_700_000_000_000 + random.below(1_000_000) as i64;
            let value = (!is_tombstone).then_some(value.as_slice());
            builder.append(
                timestamp_ms,
                Some(key.as_bytes()),
                value,
                &headers[..random.below(3)],
            );
        }
        if let Some(sequence) = sequences.get_mut(producer) {
            *sequence += count;
        }
        produced += count as usize;
        let batch = builder.build();
        size += batch.len();
        batches.push(batch);
    }
    (batches, produced)
}

/// Produces some `mebibytes` of batches to a broker, lets it clean them once, and checks that what is left has every last
/// record. How many records were produced and kept.
///
/// # Errors
/// As [`compare`], and a last record that is gone.
pub fn check(broker: SocketAddr, seed: u64, mebibytes: usize) -> io::Result<(usize, usize)> {
    let (batches, produced) = batches(seed, mebibytes << 20);
    let kept = cleaned_by(broker, &batches)?;
    let kept_records = kept.iter().map(|batch| batch.records.len()).sum();
    let kept_texts: BTreeSet<&str> = kept
        .iter()
        .flat_map(|batch| batch.records.iter().map(String::as_str))
        .collect();
    let mut last_of_key = BTreeMap::new();
    let mut offset = 0;
    for batch in &batches {
        let (view, _) = RecordBatch::split_first(batch).map_err(io::Error::other)?;
        let mut moved = header_with_offset_and_epoch(&view, offset, 0).to_vec();
        moved.extend_from_slice(view.records_bytes());
        let (moved, _) = RecordBatch::split_first(&moved).map_err(io::Error::other)?;
        offset = moved.next_offset();
        for text in kept_batch(&moved)?.records {
            let key = text.split(' ').nth(2).map(str::to_owned);
            last_of_key.insert(key, text);
        }
    }
    match last_of_key
        .values()
        .find(|text| !kept_texts.contains(text.as_str()))
    {
        Some(lost) => Err(io::Error::other(format!(
            "the last record of a key is gone: {lost}"
        ))),
        None => Ok((produced, kept_records)),
    }
}

/// Produces the batches to a broker, lets it clean them once, and reads what is left.
fn cleaned_by(broker: SocketAddr, batches: &[Bytes]) -> io::Result<Vec<KeptBatch>> {
    let mut client = Client::connect(broker)?;
    // Not before everything is there: with this ratio nothing is ever dirty enough.
    client.call(&mut create_topic("1.0"))?;
    for batch in batches {
        let answer = client.call(&mut Request::produce(TOPIC, 0, -1, batch.clone()))?;
        if produce_error(answer) != Some(0) {
            let code = produce_error(answer);
            return Err(io::Error::other(format!("{broker} refused a batch: {code:?}")));
        }
    }
    let before = read_all(&mut client)?.len();
    client.call(&mut set_dirty_ratio("0.0"))?;
    let begun = Instant::now();
    loop {
        std::thread::sleep(POLL);
        let now = read_all(&mut client)?;
        // Segments are swapped one by one; the last sealed one is done when nothing changes any more.
        if now.len() < before {
            std::thread::sleep(POLL);
            if read_all(&mut client)? == now {
                return Ok(now);
            }
        }
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other(format!(
                "{broker} cleaned nothing in {PATIENCE:?}"
            )));
        }
    }
}

fn create_topic(dirty_ratio: &str) -> Request {
    Request::create_topic_with(
        TOPIC,
        &[
            ("cleanup.policy", "compact"),
            ("segment.bytes", &SEGMENT_BYTES.to_string()),
            ("min.cleanable.dirty.ratio", dirty_ratio),
            ("message.timestamp.before.max.ms", "9223372036854775807"),
        ],
    )
}

fn set_dirty_ratio(ratio: &str) -> Request {
    Request::set_topic_key(TOPIC, "min.cleanable.dirty.ratio", ratio)
}

fn read_all(client: &mut Client) -> io::Result<Vec<KeptBatch>> {
    let mut kept = Vec::new();
    let mut offset = 0;
    loop {
        let answer = client.call(&mut Request::fetch(TOPIC, 0, offset, 4 << 20))?;
        let bytes =
            records_of(answer).ok_or_else(|| io::Error::other("a fetch answer has no records field"))?;
        let before = kept.len();
        let mut rest = bytes;
        while let Ok((batch, after)) = RecordBatch::split_first(rest) {
            if batch.base_offset() >= offset {
                kept.push(kept_batch(&batch)?);
            }
            rest = after;
        }
        match kept.last() {
            Some(last) if kept.len() > before => offset = last.offsets.1 + 1,
            _ => return Ok(kept),
        }
    }
}

fn kept_batch(batch: &RecordBatch<'_>) -> io::Result<KeptBatch> {
    let mut scratch = Vec::new();
    let all = records(batch, &mut scratch, LIMIT).map_err(io::Error::other)?;
    let mut texts = Vec::new();
    for record in all {
        let record = record.map_err(io::Error::other)?;
        let headers: Vec<_> = record.headers.iter().collect();
        texts.push(format!(
            "{} {} {} {:?} {headers:?}",
            record.offset,
            record.timestamp_ms,
            String::from_utf8_lossy(record.key.unwrap_or_default()).replace(' ', "-"),
            record.value
        ));
    }
    Ok(KeptBatch {
        offsets: (batch.base_offset(), batch.last_offset()),
        producer: (batch.producer_id(), batch.producer_epoch(), batch.base_sequence()),
        attributes: batch.attributes(),
        max_timestamp_ms: batch.max_timestamp_ms(),
        records: texts,
    })
}

/// The records of the only partition in a fetch answer of the version used here.
fn records_of(answer: &[u8]) -> Option<&[u8]> {
    // Correlation id, header tags, throttle time, error, session, topic count; the name; partition count, index, error,
    // three offsets; aborted transactions (none or an empty list), preferred replica.
    let name_at = 4 + 1 + 4 + 2 + 4 + 1;
    let name_length = usize::from(*answer.get(name_at)?).checked_sub(1)?;
    let mut rest = answer.get(name_at + 1 + name_length + 1 + 4 + 2 + 24..)?;
    let (aborted, after) = rest.split_first()?;
    if *aborted > 1 {
        return None;
    }
    rest = after.get(4..)?;
    let (length, after) = unsigned_varint(rest)?;
    after.get(..length.checked_sub(1)?)
}

fn unsigned_varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}
