//! The records of `__consumer_offsets`: committed offsets and classic groups, versions of Kafka 4.3.
//!
//! A key is its type as 16 bits and the fields; a value is its version as 16 bits and the fields; no value is a
//! tombstone. Types of newer groups are kept as bytes. What a record means is decided in `metadata`.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use crate::error::{DecodeError, EncodeError};
use crate::messages::declare::{default_or, flexible_from, if_given, last_version, message};
use crate::messages::field::{Field, Form};
use crate::types::TopicId;

/// Key type of a committed offset as Kafka before 0.9 wrote it.
const LEGACY_OFFSET_COMMIT: i16 = 0;
/// Key type of a committed offset.
const OFFSET_COMMIT: i16 = 1;
/// Key type of a classic group.
const GROUP_METADATA: i16 = 2;

/// Keys have neither versions of their own nor compact lengths.
const KEY_FORM: Form = Form {
    version: 0,
    flexible: false,
};
/// Kafka writes committed offsets at this version (`GroupCoordinatorRecordHelpers.offsetCommitValueVersion`), ...
const OFFSET_COMMIT_VALUE_VERSION: i16 = 4;
/// ... at this one where they carry an expiry of their own, ...
const EXPIRING_OFFSET_COMMIT_VALUE_VERSION: i16 = 1;
/// ... and classic groups at this one (`GroupCoordinatorRecordHelpers.newGroupMetadataRecord`).
const GROUP_METADATA_VALUE_VERSION: i16 = 3;

/// A record of `__consumer_offsets`. A missing value is a tombstone.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupRecord {
    /// A committed offset.
    OffsetCommit {
        /// Whose.
        key: OffsetCommitKey,
        /// The offset.
        value: Option<OffsetCommitValue>,
    },
    /// A classic group.
    GroupMetadata {
        /// Which.
        key: GroupMetadataKey,
        /// Its state.
        value: Option<GroupMetadataValue>,
    },
    /// A record of a type that is not read here.
    Unknown {
        /// The key, type included.
        key: Bytes,
        /// The value, version included.
        value: Option<Bytes>,
    },
}

impl GroupRecord {
    /// Key and value as Kafka writes them.
    ///
    /// # Errors
    /// Where a text or an array is longer than its length field can say.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        match self {
            GroupRecord::OffsetCommit { key, value } => {
                let version = match value {
                    Some(value) if value.expire_timestamp != -1 => EXPIRING_OFFSET_COMMIT_VALUE_VERSION,
                    _ => OFFSET_COMMIT_VALUE_VERSION,
                };
                Ok((
                    key.encode()?,
                    encode_value(value.as_ref(), OffsetCommitValue::form(version)?)?,
                ))
            }
            GroupRecord::GroupMetadata { key, value } => {
                let form = GroupMetadataValue::form(GROUP_METADATA_VALUE_VERSION)?;
                Ok((key.encode()?, encode_value(value.as_ref(), form)?))
            }
            GroupRecord::Unknown { key, value } => Ok((key.clone(), value.clone())),
        }
    }

    /// Reads key and value, at any version of Kafka 4.3.
    ///
    /// # Errors
    /// On a version that Kafka 4.3 does not have, on bytes that end early or too late.
    pub fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<GroupRecord, DecodeError> {
        let mut input = key.clone();
        let key_type = i16::read(&mut input, KEY_FORM)?;
        match key_type {
            LEGACY_OFFSET_COMMIT | OFFSET_COMMIT => {
                let key = decode_whole(input, KEY_FORM)?;
                Ok(GroupRecord::OffsetCommit {
                    key,
                    value: decode_value(value, OffsetCommitValue::form)?,
                })
            }
            GROUP_METADATA => {
                let key = decode_whole(input, KEY_FORM)?;
                Ok(GroupRecord::GroupMetadata {
                    key,
                    value: decode_value(value, GroupMetadataValue::form)?,
                })
            }
            _ => Ok(GroupRecord::Unknown {
                key: key.clone(),
                value: value.cloned(),
            }),
        }
    }
}

fn encode_typed<T: Field>(first: i16, fields: &T, form: Form) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::with_capacity(2 + fields.size(form));
    first.write(&mut out, KEY_FORM)?;
    fields.write(&mut out, form)?;
    Ok(out.freeze())
}

fn encode_value<T: Field>(value: Option<&T>, form: Form) -> Result<Option<Bytes>, EncodeError> {
    value
        .map(|value| encode_typed(form.version, value, form))
        .transpose()
}

fn decode_whole<T: Field>(mut input: Bytes, form: Form) -> Result<T, DecodeError> {
    let fields = T::read(&mut input, form)?;
    match input.remaining() {
        0 => Ok(fields),
        left => Err(DecodeError::TrailingBytes(left)),
    }
}

fn decode_value<T: Field>(
    value: Option<&Bytes>,
    form_of: fn(i16) -> Result<Form, EncodeError>,
) -> Result<Option<T>, DecodeError> {
    let Some(value) = value else { return Ok(None) };
    let mut input = value.clone();
    let version = i16::read(&mut input, KEY_FORM)?;
    let form = form_of(version).map_err(|_| DecodeError::UnsupportedVersion(version))?;
    decode_whole(input, form).map(Some)
}

impl OffsetCommitKey {
    /// The key with its type; also the key under which a store may keep the offset.
    ///
    /// # Errors
    /// Where a name is longer than 32,767 bytes.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        encode_typed(OFFSET_COMMIT, self, KEY_FORM)
    }
}

impl GroupMetadataKey {
    /// The key with its type.
    ///
    /// # Errors
    /// Where the group's id is longer than 32,767 bytes.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        encode_typed(GROUP_METADATA, self, KEY_FORM)
    }
}

impl OffsetCommitValue {
    /// The value with its version, as [`GroupRecord::encode`] writes it.
    ///
    /// # Errors
    /// Where the metadata is longer than its length field can say.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let version = if self.expire_timestamp == -1 {
            OFFSET_COMMIT_VALUE_VERSION
        } else {
            EXPIRING_OFFSET_COMMIT_VALUE_VERSION
        };
        encode_typed(version, self, OffsetCommitValue::form(version)?)
    }

    /// Reads a value with its version.
    ///
    /// # Errors
    /// As [`GroupRecord::decode`].
    pub fn decode(value: &Bytes) -> Result<OffsetCommitValue, DecodeError> {
        decode_value(Some(value), OffsetCommitValue::form)?.ok_or(DecodeError::UnexpectedNull("value"))
    }
}

impl GroupMetadataValue {
    /// Reads a value with its version.
    ///
    /// # Errors
    /// As [`GroupRecord::decode`].
    pub fn decode(value: &Bytes) -> Result<GroupMetadataValue, DecodeError> {
        decode_value(Some(value), GroupMetadataValue::form)?.ok_or(DecodeError::UnexpectedNull("value"))
    }
}

message! {
    versions 0-0, flexible none;

    /// Whose committed offset.
    pub struct OffsetCommitKey {
        /// The group's id.
        group: Arc<str> = Arc::from(""), v(0+);
        /// The topic's name.
        topic: Arc<str> = Arc::from(""), v(0+);
        /// The partition.
        partition: i32, v(0+);
    }
}

message! {
    versions 0-4, flexible 4+;

    /// A committed offset.
    pub struct OffsetCommitValue {
        /// The next offset to read.
        offset: i64, v(0+);
        /// The leader epoch of the last record read; -1 if unknown.
        leader_epoch: i32 = -1, v(3+; ignorable);
        /// What the client wanted kept beside it.
        metadata: Arc<str> = Arc::from(""), v(0+);
        /// When it was committed, milliseconds since 1970.
        commit_timestamp: i64, v(0+);
        /// When it expires, milliseconds since 1970; -1 for the broker's retention.
        expire_timestamp: i64 = -1, v(1-1; ignorable);
        /// The topic's id; nil if unknown.
        topic_id: TopicId, v(4+; ignorable), tag(0);
    }
}

message! {
    versions 0-0, flexible none;

    /// Which classic group.
    pub struct GroupMetadataKey {
        /// The group's id.
        group: Arc<str> = Arc::from(""), v(0+);
    }
}

message! {
    versions 0-4, flexible 4+;

    /// A classic group as it was when its last rebalance ended.
    pub struct GroupMetadataValue {
        /// `consumer`, `connect`, ...
        protocol_type: Arc<str> = Arc::from(""), v(0+);
        /// The generation.
        generation: i32, v(0+);
        /// The chosen protocol.
        protocol: Option<Arc<str>>, v(0+), nullable(0+);
        /// The leader's member id.
        leader: Option<Arc<str>>, v(0+), nullable(0+);
        /// Since when the group is in its state, milliseconds since 1970; -1 if unknown.
        current_state_timestamp: i64 = -1, v(2+; ignorable);
        /// Its members.
        members: Vec<MemberMetadata>, v(0+);
    }

    /// A member of a classic group.
    pub struct MemberMetadata {
        /// Its id.
        member_id: Arc<str> = Arc::from(""), v(0+);
        /// A static member's `group.instance.id`.
        group_instance_id: Option<Arc<str>> = None, v(3+; ignorable), nullable(3+);
        /// Its `client.id`.
        client_id: Arc<str> = Arc::from(""), v(0+);
        /// Its host, as Kafka writes it: `/127.0.0.1`.
        client_host: Arc<str> = Arc::from(""), v(0+);
        /// Milliseconds it has to rejoin.
        rebalance_timeout: i32 = -1, v(1+; ignorable);
        /// Milliseconds without a heartbeat after which it is dead.
        session_timeout: i32, v(0+);
        /// What it sent when it joined.
        subscription: Bytes, v(0+);
        /// What the leader assigned to it.
        assignment: Bytes, v(0+);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(value: Option<OffsetCommitValue>) -> GroupRecord {
        let key = OffsetCommitKey {
            group: "g".into(),
            topic: "t".into(),
            partition: 2,
        };
        GroupRecord::OffsetCommit { key, value }
    }

    #[test]
    fn a_committed_offset_has_the_bytes_that_kafka_writes() {
        let value = OffsetCommitValue {
            offset: 5,
            leader_epoch: 1,
            metadata: "m".into(),
            commit_timestamp: 9,
            ..Default::default()
        };
        let (key, value) = commit(Some(value)).encode().unwrap();
        assert_eq!(&key[..], [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 2]);
        assert_eq!(
            &value.unwrap()[..],
            [
                0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 2, b'm', 0, 0, 0, 0, 0, 0, 0, 9, 0
            ]
        );
    }

    #[test]
    fn records_survive_the_way_through_their_bytes() {
        let group_key = GroupMetadataKey { group: "g".into() };
        let members = vec![MemberMetadata {
            member_id: "a".into(),
            subscription: Bytes::from_static(b"s"),
            group_instance_id: Some("i".into()),
            ..Default::default()
        }];
        let group = GroupMetadataValue {
            protocol_type: "consumer".into(),
            generation: 3,
            protocol: Some("range".into()),
            members,
            ..Default::default()
        };
        for record in [
            commit(None),
            commit(Some(OffsetCommitValue {
                topic_id: TopicId::CLUSTER_METADATA,
                ..Default::default()
            })),
            commit(Some(OffsetCommitValue {
                expire_timestamp: 12,
                ..Default::default()
            })),
            GroupRecord::GroupMetadata {
                key: group_key.clone(),
                value: Some(group),
            },
            GroupRecord::GroupMetadata {
                key: group_key,
                value: None,
            },
            GroupRecord::Unknown {
                key: Bytes::from_static(&[0, 5, 0, 0]),
                value: None,
            },
        ] {
            let (key, value) = record.encode().unwrap();
            assert_eq!(GroupRecord::decode(&key, value.as_ref()), Ok(record));
        }
    }

    #[test]
    fn an_offset_that_an_old_kafka_wrote_is_read() {
        let key = Bytes::from_static(&[0, 0, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 2]);
        let value = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        let expected = OffsetCommitValue {
            offset: 5,
            commit_timestamp: 9,
            ..Default::default()
        };
        assert_eq!(
            GroupRecord::decode(&key, Some(&value)),
            Ok(commit(Some(expected)))
        );
    }

    #[test]
    fn strange_bytes_are_refused() {
        let key = Bytes::from_static(&[0, 2, 0, 1, b'g']);
        for value in [
            &[][..],
            &[0],
            &[0, 9],
            &[0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff],
        ] {
            assert!(GroupRecord::decode(&key, Some(&Bytes::copy_from_slice(value))).is_err());
        }
        assert!(GroupRecord::decode(&Bytes::from_static(&[0]), None).is_err());
    }

    fn from_hex(hex: &str) -> Bytes {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn what_apache_kafka_wrote_is_read_at_every_version_and_written_at_its_own() {
        let captured = include_str!("../../testdata/group-records.txt");
        for line in captured.lines().filter(|line| !line.starts_with('#')) {
            let [name, version, key, value] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let (key, value) = (from_hex(key), from_hex(value));
            let record =
                GroupRecord::decode(&key, Some(&value)).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(format!("{record:?}").starts_with(name), "{line}");
            let (written_key, written_value) = record.encode().unwrap();
            assert_eq!(written_key, key, "{line}");
            // Kafka writes offsets at 4, at 1 where they expire, and groups at 3.
            if matches!(
                (name, version),
                ("OffsetCommit", "1" | "4") | ("GroupMetadata", "3")
            ) {
                assert_eq!(written_value, Some(value), "{line}");
            }
        }
    }
}
