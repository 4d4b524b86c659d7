//! The records of the metadata log (`__cluster_metadata-0`), fields and versions of Kafka 4.3.
//!
//! A record's value is an unsigned varint frame version (1), the record's type and its version as varints, then the
//! message. Records are written at the version of Kafka's newest metadata version and read at every version. What a
//! record means is decided in `metadata`.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use crate::error::{DecodeError, EncodeError};
use crate::messages::declare::{default_or, flexible_from, if_given, last_version, message};
use crate::messages::field::{self, Field};
use crate::types::{BrokerId, LeaderEpoch, TopicId};

/// The version of the frame around a record (`AbstractApiMessageSerde`).
const FRAME_VERSION: u32 = 1;

macro_rules! metadata_records {
    ($($(#[$meta:meta])* $variant:ident($record:ident) = $key:literal, written at $version:literal;)*) => {
        /// A record of the metadata log.
        #[derive(Clone, Debug, PartialEq)]
        pub enum MetadataRecord {
            $($(#[$meta])* $variant($record),)*
        }

        impl MetadataRecord {
            /// The record's type (`MetadataRecordType`).
            pub const fn type_id(&self) -> i16 {
                match self {
                    $(MetadataRecord::$variant(_) => $key,)*
                }
            }

            /// The record's value as Kafka writes it.
            ///
            /// # Errors
            /// Where a text or an array is longer than its length field can say, or a field is set that the version lacks.
            pub fn encode(&self) -> Result<Bytes, EncodeError> {
                match self {
                    $(MetadataRecord::$variant(record) => {
                        framed(record, $key, $version, $record::form($version)?)
                    })*
                }
            }

            /// Reads a record's value, at any version of Kafka 4.3.
            ///
            /// # Errors
            /// On a type, version or frame that Kafka 4.3 does not have, on bytes that end early or too late.
            pub fn decode(value: &Bytes) -> Result<MetadataRecord, DecodeError> {
                let mut input = value.clone();
                let frame = field::read_varint(&mut input)?;
                if frame != FRAME_VERSION {
                    return Err(DecodeError::UnknownRecordType(i64::from(frame)));
                }
                let key = field::read_varint(&mut input)?;
                let version = field::read_varint(&mut input)?;
                let version = i16::try_from(version).map_err(|_| DecodeError::InvalidLength(version.into()))?;
                let record = match key {
                    $($key => {
                        let form = $record::form(version).map_err(|_| DecodeError::UnsupportedVersion(version))?;
                        MetadataRecord::$variant($record::read(&mut input, form)?)
                    })*
                    _ => return Err(DecodeError::UnknownRecordType(key.into())),
                };
                if input.is_empty() { Ok(record) } else { Err(DecodeError::TrailingBytes(input.len())) }
            }
        }

        $(impl From<$record> for MetadataRecord {
            fn from(record: $record) -> MetadataRecord {
                MetadataRecord::$variant(record)
            }
        })*
    };
}

fn framed<R: Field>(record: &R, key: u32, version: u32, form: field::Form) -> Result<Bytes, EncodeError> {
    let size = field::varint_size(FRAME_VERSION)
        + field::varint_size(key)
        + field::varint_size(version)
        + record.size(form);
    let mut out = BytesMut::with_capacity(size);
    field::write_varint(&mut out, FRAME_VERSION);
    field::write_varint(&mut out, key);
    field::write_varint(&mut out, version);
    record.write(&mut out, form)?;
    debug_assert_eq!(out.len(), size, "the size of a record is what is written");
    Ok(out.freeze())
}

metadata_records! {
    /// A broker joined, or joined again.
    RegisterBroker(RegisterBrokerRecord) = 0, written at 4;
    /// A broker left for good.
    UnregisterBroker(UnregisterBrokerRecord) = 1, written at 0;
    /// A topic came to be.
    Topic(TopicRecord) = 2, written at 0;
    /// A partition came to be, or stands in a snapshot.
    Partition(PartitionRecord) = 3, written at 2;
    /// A configuration key was set or removed.
    Config(ConfigRecord) = 4, written at 0;
    /// Something of a partition changed.
    PartitionChange(PartitionChangeRecord) = 5, written at 2;
    /// A broker was fenced (older form of a registration change).
    FenceBroker(FenceBrokerRecord) = 7, written at 0;
    /// A broker was unfenced (older form of a registration change).
    UnfenceBroker(UnfenceBrokerRecord) = 8, written at 0;
    /// A topic and its partitions are gone.
    RemoveTopic(RemoveTopicRecord) = 9, written at 0;
    /// A feature's level was finalized.
    FeatureLevel(FeatureLevelRecord) = 12, written at 0;
    /// A block of producer ids was handed out.
    ProducerIds(ProducerIdsRecord) = 15, written at 0;
    /// A broker was fenced, unfenced, or began to shut down.
    BrokerRegistrationChange(BrokerRegistrationChangeRecord) = 17, written at 3;
    /// Nothing; keeps the log moving.
    NoOp(NoOpRecord) = 20, written at 0;
    /// Opens a run of records that take effect together.
    BeginTransaction(BeginTransactionRecord) = 23, written at 0;
    /// Closes such a run.
    EndTransaction(EndTransactionRecord) = 24, written at 0;
    /// Discards such a run.
    AbortTransaction(AbortTransactionRecord) = 25, written at 0;
}

message! {
    versions 0-4, flexible 0+;

    /// A broker joined, or joined again.
    pub struct RegisterBrokerRecord {
        /// The broker.
        broker_id: BrokerId = BrokerId(0), v(0+);
        /// Whether it is moving off ZooKeeper; false since Kafka 4.
        is_migrating_zk_broker: bool, v(2+);
        /// Differs at every start of the process.
        incarnation_id: Uuid, v(0+);
        /// The epoch that the controller gave it: the offset of this record.
        broker_epoch: i64, v(0+);
        /// Where it listens.
        end_points: Vec<BrokerEndpoint>, v(0+);
        /// What it supports.
        features: Vec<BrokerFeature>, v(0+);
        /// Its rack.
        rack: Option<Arc<str>>, v(0+), nullable(0+);
        /// Whether it may not lead.
        fenced: bool = true, v(0+);
        /// Whether it is shutting down.
        in_controlled_shutdown: bool, v(1+);
        /// The ids of its log directories.
        log_dirs: Vec<Uuid>, v(3+), tag(0);
        /// Those that take no new partitions.
        cordoned_log_dirs: Option<Vec<Uuid>> = None, v(4+), nullable(4+), tag(1);
    }

    /// A listener of a broker.
    pub struct BrokerEndpoint {
        /// The listener's name.
        name: Arc<str> = Arc::from(""), v(0+);
        /// The advertised host.
        host: Arc<str> = Arc::from(""), v(0+);
        /// The advertised port.
        port: u16, v(0+);
        /// Kafka's number of the security protocol.
        security_protocol: i16, v(0+);
    }

    /// A feature that a broker supports.
    pub struct BrokerFeature {
        /// The feature's name.
        name: Arc<str> = Arc::from(""), v(0+);
        /// Lowest level.
        min_supported_version: i16, v(0+);
        /// Highest level.
        max_supported_version: i16, v(0+);
    }
}

message! {
    versions 0-0, flexible 0+;

    /// A broker left for good.
    pub struct UnregisterBrokerRecord {
        /// The broker.
        broker_id: BrokerId = BrokerId(0), v(0+);
        /// Its epoch.
        broker_epoch: i64, v(0+);
    }
}

message! {
    versions 0-0, flexible 0+;

    /// A topic came to be.
    pub struct TopicRecord {
        /// Its name.
        name: Arc<str> = Arc::from(""), v(0+);
        /// Its id.
        topic_id: TopicId, v(0+);
    }
}

message! {
    versions 0-2, flexible 0+;

    /// A partition came to be, or stands in a snapshot.
    pub struct PartitionRecord {
        /// The partition.
        partition_id: i32 = -1, v(0+);
        /// Its topic.
        topic_id: TopicId, v(0+);
        /// The replicas, preferred leader first.
        replicas: Vec<BrokerId>, v(0+);
        /// Those in sync.
        isr: Vec<BrokerId>, v(0+);
        /// Replicas that a reassignment removes.
        removing_replicas: Vec<BrokerId>, v(0+);
        /// Replicas that a reassignment adds.
        adding_replicas: Vec<BrokerId>, v(0+);
        /// The leader, or -1.
        leader: BrokerId = BrokerId::NONE, v(0+);
        /// 1 while an unclean leader recovers, else 0.
        leader_recovery_state: i8, v(0+), tag(0);
        /// Counts the leaderships.
        leader_epoch: LeaderEpoch = LeaderEpoch::NONE, v(0+);
        /// Counts every change.
        partition_epoch: i32 = -1, v(0+);
        /// The log directory of each replica, in the order of `replicas`.
        directories: Vec<Uuid>, v(1+);
        /// Replicas that may lead though they left the in-sync set (KIP-966).
        eligible_leader_replicas: Option<Vec<BrokerId>> = None, v(2+), nullable(2+), tag(1);
        /// The last known of those.
        last_known_elr: Option<Vec<BrokerId>> = None, v(2+), nullable(2+), tag(2);
    }
}

message! {
    versions 0-0, flexible 0+;

    /// A configuration key was set or removed.
    pub struct ConfigRecord {
        /// Kafka's number of the resource type.
        resource_type: i8, v(0+);
        /// The resource; empty for the cluster's default.
        resource_name: Arc<str> = Arc::from(""), v(0+);
        /// The key.
        name: Arc<str> = Arc::from(""), v(0+);
        /// The value; null where it was removed.
        value: Option<Arc<str>>, v(0+), nullable(0+);
    }
}

message! {
    versions 0-2, flexible 0+;

    /// Something of a partition changed; null and the defaults mean unchanged.
    pub struct PartitionChangeRecord {
        /// The partition.
        partition_id: i32 = -1, v(0+);
        /// Its topic.
        topic_id: TopicId, v(0+);
        /// The new in-sync replicas.
        isr: Option<Vec<BrokerId>> = None, v(0+), nullable(0+), tag(0);
        /// The new leader; -1 for none, -2 for unchanged.
        leader: BrokerId = BrokerId(-2), v(0+), tag(1);
        /// The new replicas.
        replicas: Option<Vec<BrokerId>> = None, v(0+), nullable(0+), tag(2);
        /// The new replicas to remove.
        removing_replicas: Option<Vec<BrokerId>> = None, v(0+), nullable(0+), tag(3);
        /// The new replicas to add.
        adding_replicas: Option<Vec<BrokerId>> = None, v(0+), nullable(0+), tag(4);
        /// The new recovery state; -1 for unchanged.
        leader_recovery_state: i8 = -1, v(0+), tag(5);
        /// The new eligible leader replicas (KIP-966).
        eligible_leader_replicas: Option<Vec<BrokerId>> = None, v(2+), nullable(2+), tag(6);
        /// The new last known of those.
        last_known_elr: Option<Vec<BrokerId>> = None, v(2+), nullable(2+), tag(7);
        /// The new log directories, in the order of `replicas`.
        directories: Option<Vec<Uuid>> = None, v(1+), nullable(1+), tag(8);
    }
}

message! {
    versions 0-0, flexible 0+;

    /// A broker was fenced.
    pub struct FenceBrokerRecord {
        /// The broker.
        id: BrokerId = BrokerId(0), v(0+);
        /// Its epoch.
        epoch: i64, v(0+);
    }
}

message! {
    versions 0-0, flexible 0+;

    /// A broker was unfenced.
    pub struct UnfenceBrokerRecord {
        /// The broker.
        id: BrokerId = BrokerId(0), v(0+);
        /// Its epoch.
        epoch: i64, v(0+);
    }
}

message! {
    versions 0-0, flexible 0+;

    /// A topic and its partitions are gone.
    pub struct RemoveTopicRecord {
        /// The topic.
        topic_id: TopicId, v(0+);
    }
}

message! {
    versions 0-0, flexible 0+;

    /// A feature's level was finalized.
    pub struct FeatureLevelRecord {
        /// The feature.
        name: Arc<str> = Arc::from(""), v(0+);
        /// Its level; 0 removes it.
        feature_level: i16, v(0+);
    }
}

message! {
    versions 0-0, flexible 0+;

    /// A block of producer ids was handed out.
    pub struct ProducerIdsRecord {
        /// To whom.
        broker_id: BrokerId = BrokerId(0), v(0+);
        /// Its epoch.
        broker_epoch: i64 = -1, v(0+);
        /// The first id that is still free.
        next_producer_id: i64, v(0+);
    }
}

message! {
    versions 0-3, flexible 0+;

    /// A broker was fenced, unfenced, or began to shut down.
    pub struct BrokerRegistrationChangeRecord {
        /// The broker.
        broker_id: BrokerId = BrokerId(0), v(0+);
        /// Its epoch.
        broker_epoch: i64, v(0+);
        /// 1 fences it, -1 unfences it, 0 leaves it.
        fenced: i8, v(0+), tag(0);
        /// 1 if it began to shut down.
        in_controlled_shutdown: i8, v(1+), tag(1);
        /// Its log directories, if they changed.
        log_dirs: Vec<Uuid>, v(2+), tag(2);
        /// Those that take no new partitions, if they changed.
        cordoned_log_dirs: Option<Vec<Uuid>> = None, v(3+), nullable(3+), tag(3);
    }
}

message! {
    versions 0-0, flexible 0+;

    /// Nothing.
    pub struct NoOpRecord {
    }
}

message! {
    versions 0-0, flexible 0+;

    /// Opens a run of records that take effect together.
    pub struct BeginTransactionRecord {
        /// What it is for.
        name: Option<Arc<str>> = None, v(0+), nullable(0+), tag(0);
    }
}

message! {
    versions 0-0, flexible 0+;

    /// Closes the run.
    pub struct EndTransactionRecord {
    }
}

message! {
    versions 0-0, flexible 0+;

    /// Discards the run.
    pub struct AbortTransactionRecord {
        /// Why.
        reason: Option<Arc<str>> = None, v(0+), nullable(0+), tag(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_record_has_the_bytes_that_kafka_writes() {
        let record = MetadataRecord::from(TopicRecord {
            name: "ab".into(),
            topic_id: TopicId(Uuid::from_u128(1)),
        });
        let mut expected = vec![1, 2, 0, 3, b'a', b'b'];
        expected.extend([0; 15]);
        expected.extend([1, 0]);
        assert_eq!(record.encode().unwrap(), Bytes::from(expected));
    }

    #[test]
    fn a_partition_change_writes_only_what_changed_in_the_order_of_tags() {
        let record = MetadataRecord::from(PartitionChangeRecord {
            partition_id: 1,
            leader: BrokerId(3),
            eligible_leader_replicas: Some(vec![BrokerId(4)]),
            directories: Some(Vec::new()),
            ..Default::default()
        });
        let mut expected = vec![1, 5, 2, 0, 0, 0, 1];
        expected.extend([0; 16]);
        expected.extend([3, 1, 4, 0, 0, 0, 3, 6, 5, 2, 0, 0, 0, 4, 8, 1, 1]);
        let bytes = record.encode().unwrap();
        assert_eq!(bytes, Bytes::from(expected));
        assert_eq!(MetadataRecord::decode(&bytes), Ok(record));
    }

    #[test]
    fn every_kind_of_record_survives_the_way_through_its_bytes() {
        let records: Vec<MetadataRecord> = vec![
            RegisterBrokerRecord {
                broker_id: BrokerId(7),
                incarnation_id: Uuid::from_u128(9),
                end_points: vec![BrokerEndpoint {
                    name: "PLAINTEXT".into(),
                    host: "h".into(),
                    port: 65535,
                    security_protocol: 0,
                }],
                features: vec![BrokerFeature {
                    name: "metadata.version".into(),
                    min_supported_version: 7,
                    max_supported_version: 30,
                }],
                rack: Some("r".into()),
                log_dirs: vec![Uuid::from_u128(5)],
                cordoned_log_dirs: Some(vec![]),
                ..Default::default()
            }
            .into(),
            PartitionRecord {
                replicas: vec![BrokerId(1)],
                isr: vec![BrokerId(1)],
                leader: BrokerId(1),
                leader_epoch: LeaderEpoch(4),
                directories: vec![Uuid::from_u128(5)],
                leader_recovery_state: 1,
                eligible_leader_replicas: Some(vec![BrokerId(2)]),
                ..Default::default()
            }
            .into(),
            ConfigRecord {
                resource_type: 2,
                resource_name: "t".into(),
                name: "k".into(),
                value: None,
            }
            .into(),
            BrokerRegistrationChangeRecord {
                fenced: -1,
                in_controlled_shutdown: 1,
                ..Default::default()
            }
            .into(),
            UnregisterBrokerRecord::default().into(),
            RemoveTopicRecord::default().into(),
            FenceBrokerRecord::default().into(),
            UnfenceBrokerRecord::default().into(),
            FeatureLevelRecord {
                name: "group.version".into(),
                feature_level: 1,
            }
            .into(),
            ProducerIdsRecord {
                next_producer_id: 1000,
                ..Default::default()
            }
            .into(),
            NoOpRecord {}.into(),
            BeginTransactionRecord {
                name: Some("bootstrap".into()),
            }
            .into(),
            EndTransactionRecord {}.into(),
            AbortTransactionRecord {
                reason: Some("no".into()),
            }
            .into(),
        ];
        for record in records {
            let bytes = record.encode().unwrap();
            assert_eq!(MetadataRecord::decode(&bytes), Ok(record.clone()));
            for cut in 0..bytes.len() {
                assert!(
                    MetadataRecord::decode(&bytes.slice(..cut)).is_err(),
                    "{record:?} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn a_strange_frame_type_or_version_is_refused() {
        for bytes in [
            &[0, 2, 0][..],
            &[1, 99, 0],
            &[1, 2, 1],
            &[1, 20, 0, 0, 0],
            &[1, 20, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            assert!(
                MetadataRecord::decode(&Bytes::copy_from_slice(bytes)).is_err(),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn what_apache_kafka_wrote_is_read_and_written_byte_for_byte() {
        let captured = include_str!("../../testdata/metadata-records.txt");
        let lines = captured.lines().filter(|line| !line.starts_with('#'));
        let mut types = Vec::new();
        for line in lines {
            let (name, hex) = line.split_once(' ').unwrap();
            let bytes = Bytes::from(
                (0..hex.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                    .collect::<Vec<_>>(),
            );
            let record = MetadataRecord::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(format!("{record:?}").contains(name), "{name}: {record:?}");
            assert_eq!(record.encode().unwrap(), bytes, "{name}");
            types.push(record.type_id());
        }
        types.sort_unstable();
        assert_eq!(types, [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 17, 20, 23, 24, 25]);
    }
}
