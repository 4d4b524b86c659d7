//! Record batches for the tests of this module.

use protocol_compat::record_batch::batch::{BATCH_HEADER_BYTES, CHECKSUM_START, LOG_OVERHEAD_BYTES};

/// A batch in the making: one record of its own number as value per record asked for.
#[derive(Clone, Debug)]
pub(super) struct TestBatch {
    producer: (i64, i16, i32),
    records: i32,
    value_bytes: usize,
    timestamp_ms: i64,
    base_offset: i64,
    epoch: i32,
    attributes: i16,
}

/// A batch of one small record without a producer id.
pub(super) fn batch() -> TestBatch {
    TestBatch {
        producer: (-1, -1, -1),
        records: 1,
        value_bytes: 4,
        timestamp_ms: 1_000,
        base_offset: 0,
        epoch: -1,
        attributes: 0,
    }
}

impl TestBatch {
    pub(super) fn producer(mut self, id: i64, epoch: i16, sequence: i32) -> TestBatch {
        self.producer = (id, epoch, sequence);
        self
    }

    pub(super) fn records(mut self, count: i32) -> TestBatch {
        self.records = count;
        self
    }

    pub(super) fn value_bytes(mut self, bytes: usize) -> TestBatch {
        self.value_bytes = bytes;
        self
    }

    pub(super) fn timestamp_ms(mut self, timestamp_ms: i64) -> TestBatch {
        self.timestamp_ms = timestamp_ms;
        self
    }

    pub(super) fn at(mut self, base_offset: i64, epoch: i32) -> TestBatch {
        (self.base_offset, self.epoch) = (base_offset, epoch);
        self
    }

    pub(super) fn attributes(mut self, attributes: i16) -> TestBatch {
        self.attributes = attributes;
        self
    }

    pub(super) fn build(&self) -> Vec<u8> {
        let mut records = Vec::new();
        for index in 0..self.records {
            let value = vec![b'v'; self.value_bytes];
            let mut body = vec![0u8];
            zigzag(&mut body, i64::from(index)); // timestamp delta: one ms a record
            zigzag(&mut body, i64::from(index)); // offset delta
            zigzag(&mut body, -1); // no key
            zigzag(&mut body, value.len() as i64);
            body.extend_from_slice(&value);
            zigzag(&mut body, 0); // no headers
            zigzag(&mut records, body.len() as i64);
            records.extend_from_slice(&body);
        }
        let mut bytes = Vec::with_capacity(BATCH_HEADER_BYTES + records.len());
        let length = (BATCH_HEADER_BYTES + records.len() - LOG_OVERHEAD_BYTES) as i32;
        bytes.extend_from_slice(&self.base_offset.to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.push(2);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.attributes.to_be_bytes());
        bytes.extend_from_slice(&(self.records - 1).to_be_bytes());
        bytes.extend_from_slice(&self.timestamp_ms.to_be_bytes());
        bytes.extend_from_slice(&(self.timestamp_ms + i64::from(self.records) - 1).to_be_bytes());
        bytes.extend_from_slice(&self.producer.0.to_be_bytes());
        bytes.extend_from_slice(&self.producer.1.to_be_bytes());
        bytes.extend_from_slice(&self.producer.2.to_be_bytes());
        bytes.extend_from_slice(&self.records.to_be_bytes());
        bytes.extend_from_slice(&records);
        let crc = protocol_compat::record_batch::batch::checksum(&bytes[CHECKSUM_START..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes
    }
}

fn zigzag(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
