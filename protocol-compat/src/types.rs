//! The small identities that every crate speaks of: brokers, topics, partitions, epochs, producers.
//!
//! A newtype exists where two integers or two strings could be swapped by mistake. None of them checks a rule of
//! Kafka's; name rules and existence are decided in `metadata`.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// A node's id (`node.id`), at least 0; `-1` on the wire means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerId(pub i32);

impl BrokerId {
    /// The wire's "no broker".
    pub const NONE: BrokerId = BrokerId(-1);
}

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A topic's identity for life (KIP-516): a recreated topic has another one. The nil id means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub Uuid);

impl TopicId {
    /// The wire's "no topic id".
    pub const NIL: TopicId = TopicId(Uuid::nil());
    /// The topic id that Kafka reserves for `__cluster_metadata`.
    pub const CLUSTER_METADATA: TopicId = TopicId(Uuid::from_u128(1));

    /// Whether this is the wire's "no topic id".
    pub fn is_nil(self) -> bool {
        self.0.is_nil()
    }
}

/// Kafka prints ids as 22 characters of unpadded URL-safe base64.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode_base64_id(self.0))
    }
}

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A 128-bit id as Kafka writes it in `meta.properties`, `partition.metadata` and tool output: 22 characters of
/// URL-safe base64 without padding (`org.apache.kafka.common.Uuid`).
pub fn encode_base64_id(id: Uuid) -> String {
    // 22 characters carry 132 bits: the id, then four zero bits.
    let value = id.as_u128();
    (0..22)
        .map(|position| {
            let shift = 128 - 6 * (position + 1);
            let six_bits = if shift >= 0 {
                value >> shift
            } else {
                value << -shift
            } & 0x3f;
            char::from(BASE64_URL.get(six_bits as usize).copied().unwrap_or(b'A'))
        })
        .collect()
}

/// The inverse of [`encode_base64_id`]; `None` unless the text is exactly 22 characters of that alphabet.
pub fn decode_base64_id(text: &str) -> Option<Uuid> {
    if text.len() != 22 {
        return None;
    }
    let mut value: u128 = 0;
    for (position, byte) in text.bytes().enumerate() {
        let six_bits = BASE64_URL.iter().position(|&known| known == byte)? as u128;
        // The last character carries two bits of the id; the rest of it is padding.
        value = if position < 21 {
            value << 6 | six_bits
        } else {
            value << 2 | six_bits >> 4
        };
    }
    Some(Uuid::from_u128(value))
}

/// A partition of a topic by name. Cloning it does not copy the name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index, at least 0.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> TopicPartition {
        TopicPartition {
            topic: topic.into(),
            partition,
        }
    }
}

/// As Kafka writes it, and as the partition's directory is named: `orders-3`.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Counts the leaderships of one partition; stamped on every batch a leader appends. `-1` means unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderEpoch(pub i32);

impl LeaderEpoch {
    /// The wire's "no leader epoch".
    pub const NONE: LeaderEpoch = LeaderEpoch(-1);
}

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An idempotent or transactional producer's id; `-1` in a batch means a producer without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId(pub i64);

impl ProducerId {
    /// The wire's "no producer id".
    pub const NONE: ProducerId = ProducerId(-1);
}

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_as_kafka_prints_them() {
        assert_eq!(TopicId::CLUSTER_METADATA.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = Uuid::from_u128(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210);
        assert_eq!(encode_base64_id(id), "ASNFZ4mrze_-3LqYdlQyEA");
        assert_eq!(decode_base64_id("ASNFZ4mrze_-3LqYdlQyEA"), Some(id));
        assert_eq!(decode_base64_id("ASNFZ4mrze_-3LqYdlQyE"), None);
        assert_eq!(decode_base64_id("ASNFZ4mrze/-3LqYdlQyEA"), None);
    }
}
