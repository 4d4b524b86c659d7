//! The table of Kafka's API keys: number, versions, header form, and whether this broker serves it.
//!
//! Versions are the stable ones of Apache Kafka 4.3. An API that is served is served at every version of its row; an API
//! that is refused is not decoded, and not advertised unless a client needs its name to understand the refusal.

use std::ops::RangeInclusive;

macro_rules! api_keys {
    ($($name:ident = $key:literal, kafka $first:literal..=$last:literal, flexible $flexible:expr, $standing:ident;)*) => {
        /// A request type of the Kafka protocol (`org.apache.kafka.common.protocol.ApiKeys`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        #[allow(missing_docs, reason = "the variants are Kafka's names, documented by Kafka's protocol guide")]
        pub enum ApiKey {
            $($name = $key,)*
        }

        impl ApiKey {
            /// Every key of Kafka 4.3, in ascending order.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$name,)*];

            /// The key with this number, if Kafka 4.3 has one.
            pub const fn from_code(code: i16) -> Option<ApiKey> {
                match code {
                    $($key => Some(ApiKey::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name of the request, without `Request`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ApiKey::$name => stringify!($name),)*
                }
            }

            /// The stable versions of Apache Kafka 4.3.
            pub const fn kafka_versions(self) -> RangeInclusive<i16> {
                match self {
                    $(ApiKey::$name => $first..=$last,)*
                }
            }

            /// The first version with compact lengths and tagged fields (KIP-482), if any has them.
            const fn first_flexible_version(self) -> Option<i16> {
                match self {
                    $(ApiKey::$name => $flexible,)*
                }
            }

            const fn is_in_served_row(self) -> bool {
                match self {
                    $(ApiKey::$name => api_keys!(@$standing),)*
                }
            }
        }
    };
    (@served) => { true };
    (@refused) => { false };
}

api_keys! {
    Produce = 0, kafka 3..=13, flexible Some(9), served;
    Fetch = 1, kafka 4..=18, flexible Some(12), served;
    ListOffsets = 2, kafka 1..=11, flexible Some(6), served;
    Metadata = 3, kafka 0..=13, flexible Some(9), served;
    OffsetCommit = 8, kafka 2..=10, flexible Some(8), served;
    OffsetFetch = 9, kafka 1..=10, flexible Some(6), served;
    FindCoordinator = 10, kafka 0..=6, flexible Some(3), served;
    JoinGroup = 11, kafka 0..=9, flexible Some(6), served;
    Heartbeat = 12, kafka 0..=4, flexible Some(4), served;
    LeaveGroup = 13, kafka 0..=5, flexible Some(4), served;
    SyncGroup = 14, kafka 0..=5, flexible Some(4), served;
    DescribeGroups = 15, kafka 0..=6, flexible Some(5), served;
    ListGroups = 16, kafka 0..=5, flexible Some(3), served;
    SaslHandshake = 17, kafka 0..=1, flexible None, refused;
    ApiVersions = 18, kafka 0..=4, flexible Some(3), served;
    CreateTopics = 19, kafka 2..=7, flexible Some(5), served;
    DeleteTopics = 20, kafka 1..=6, flexible Some(4), served;
    DeleteRecords = 21, kafka 0..=2, flexible Some(2), served;
    InitProducerId = 22, kafka 0..=5, flexible Some(2), served;
    OffsetForLeaderEpoch = 23, kafka 2..=4, flexible Some(4), served;
    AddPartitionsToTxn = 24, kafka 0..=5, flexible Some(3), refused;
    AddOffsetsToTxn = 25, kafka 0..=4, flexible Some(3), refused;
    EndTxn = 26, kafka 0..=5, flexible Some(3), refused;
    WriteTxnMarkers = 27, kafka 1..=2, flexible Some(1), refused;
    TxnOffsetCommit = 28, kafka 0..=5, flexible Some(3), refused;
    DescribeAcls = 29, kafka 1..=3, flexible Some(2), refused;
    CreateAcls = 30, kafka 1..=3, flexible Some(2), refused;
    DeleteAcls = 31, kafka 1..=3, flexible Some(2), refused;
    DescribeConfigs = 32, kafka 1..=4, flexible Some(4), served;
    AlterConfigs = 33, kafka 0..=2, flexible Some(2), served;
    AlterReplicaLogDirs = 34, kafka 1..=2, flexible Some(2), refused;
    DescribeLogDirs = 35, kafka 1..=5, flexible Some(2), served;
    SaslAuthenticate = 36, kafka 0..=2, flexible Some(2), refused;
    CreatePartitions = 37, kafka 0..=3, flexible Some(2), served;
    CreateDelegationToken = 38, kafka 1..=3, flexible Some(2), refused;
    RenewDelegationToken = 39, kafka 1..=2, flexible Some(2), refused;
    ExpireDelegationToken = 40, kafka 1..=2, flexible Some(2), refused;
    DescribeDelegationToken = 41, kafka 1..=3, flexible Some(2), refused;
    DeleteGroups = 42, kafka 0..=2, flexible Some(2), served;
    ElectLeaders = 43, kafka 0..=2, flexible Some(2), refused;
    IncrementalAlterConfigs = 44, kafka 0..=1, flexible Some(1), served;
    AlterPartitionReassignments = 45, kafka 0..=1, flexible Some(0), refused;
    ListPartitionReassignments = 46, kafka 0..=0, flexible Some(0), refused;
    OffsetDelete = 47, kafka 0..=0, flexible None, served;
    DescribeClientQuotas = 48, kafka 0..=1, flexible Some(1), refused;
    AlterClientQuotas = 49, kafka 0..=1, flexible Some(1), refused;
    DescribeUserScramCredentials = 50, kafka 0..=0, flexible Some(0), refused;
    AlterUserScramCredentials = 51, kafka 0..=0, flexible Some(0), refused;
    Vote = 52, kafka 0..=2, flexible Some(0), refused;
    BeginQuorumEpoch = 53, kafka 0..=1, flexible Some(1), refused;
    EndQuorumEpoch = 54, kafka 0..=1, flexible Some(1), refused;
    DescribeQuorum = 55, kafka 0..=2, flexible Some(0), served;
    AlterPartition = 56, kafka 2..=3, flexible Some(0), refused;
    UpdateFeatures = 57, kafka 0..=2, flexible Some(0), refused;
    Envelope = 58, kafka 0..=0, flexible Some(0), refused;
    FetchSnapshot = 59, kafka 0..=1, flexible Some(0), refused;
    DescribeCluster = 60, kafka 0..=2, flexible Some(0), served;
    DescribeProducers = 61, kafka 0..=0, flexible Some(0), served;
    BrokerRegistration = 62, kafka 0..=4, flexible Some(0), refused;
    BrokerHeartbeat = 63, kafka 0..=2, flexible Some(0), refused;
    UnregisterBroker = 64, kafka 0..=0, flexible Some(0), refused;
    DescribeTransactions = 65, kafka 0..=0, flexible Some(0), refused;
    ListTransactions = 66, kafka 0..=2, flexible Some(0), refused;
    AllocateProducerIds = 67, kafka 0..=0, flexible Some(0), refused;
    ConsumerGroupHeartbeat = 68, kafka 0..=1, flexible Some(0), refused;
    ConsumerGroupDescribe = 69, kafka 0..=1, flexible Some(0), refused;
    ControllerRegistration = 70, kafka 0..=0, flexible Some(0), refused;
    GetTelemetrySubscriptions = 71, kafka 0..=0, flexible Some(0), refused;
    PushTelemetry = 72, kafka 0..=0, flexible Some(0), refused;
    AssignReplicasToDirs = 73, kafka 0..=0, flexible Some(0), refused;
    ListConfigResources = 74, kafka 0..=1, flexible Some(0), served;
    DescribeTopicPartitions = 75, kafka 0..=0, flexible Some(0), served;
    ShareGroupHeartbeat = 76, kafka 1..=1, flexible Some(0), refused;
    ShareGroupDescribe = 77, kafka 1..=1, flexible Some(0), refused;
    ShareFetch = 78, kafka 1..=2, flexible Some(0), refused;
    ShareAcknowledge = 79, kafka 1..=2, flexible Some(0), refused;
    AddRaftVoter = 80, kafka 0..=1, flexible Some(0), refused;
    RemoveRaftVoter = 81, kafka 0..=0, flexible Some(0), refused;
    UpdateRaftVoter = 82, kafka 0..=0, flexible Some(0), refused;
    InitializeShareGroupState = 83, kafka 0..=0, flexible Some(0), refused;
    ReadShareGroupState = 84, kafka 0..=0, flexible Some(0), refused;
    WriteShareGroupState = 85, kafka 0..=1, flexible Some(0), refused;
    DeleteShareGroupState = 86, kafka 0..=0, flexible Some(0), refused;
    ReadShareGroupStateSummary = 87, kafka 0..=1, flexible Some(0), refused;
    StreamsGroupHeartbeat = 88, kafka 0..=0, flexible Some(0), refused;
    StreamsGroupDescribe = 89, kafka 0..=0, flexible Some(0), refused;
    DescribeShareGroupOffsets = 90, kafka 0..=1, flexible Some(0), refused;
    AlterShareGroupOffsets = 91, kafka 0..=0, flexible Some(0), refused;
    DeleteShareGroupOffsets = 92, kafka 0..=0, flexible Some(0), refused;
}

impl ApiKey {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The versions this broker decodes and answers; `None` where the API is refused whole.
    pub fn served_versions(self) -> Option<RangeInclusive<i16>> {
        self.is_in_served_row().then(|| self.kafka_versions())
    }

    /// The versions ApiVersions names. They are the served ones, with two exceptions for librdkafka. It switches
    /// compression off unless version 0 of Produce is named (KAFKA-18659), so Kafka names it and refuses it. And it looks
    /// for another coordinator for ever, in silence, unless version 1 of ConsumerGroupHeartbeat is named.
    pub fn advertised_versions(self) -> Option<RangeInclusive<i16>> {
        match self {
            ApiKey::Produce => Some(0..=*self.kafka_versions().end()),
            ApiKey::ConsumerGroupHeartbeat => Some(self.kafka_versions()),
            _ => self.served_versions(),
        }
    }

    /// Whether `version` gets an answer. Besides what is served, these are APIs that are refused with an error of their
    /// own, because a client would try a closed connection again for ever.
    pub fn is_answered(self, version: i16) -> bool {
        let versions = match self {
            ApiKey::SaslHandshake | ApiKey::ConsumerGroupHeartbeat => Some(self.kafka_versions()),
            _ => self.served_versions(),
        };
        versions.is_some_and(|versions| versions.contains(&version))
    }

    /// Whether lengths are compact and tagged fields present at `version` (KIP-482).
    pub fn is_flexible(self, version: i16) -> bool {
        self.first_flexible_version()
            .is_some_and(|first| version >= first)
    }

    /// The request header's version: 2 with tagged fields, 1 without.
    pub fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The response header's version: 1 with tagged fields, 0 without. ApiVersions always answers with 0, because the
    /// client does not know yet what the broker speaks (KIP-511).
    pub fn response_header_version(self, version: i16) -> i16 {
        if self != ApiKey::ApiVersions && self.is_flexible(version) {
            1
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn produce_is_advertised_from_zero_and_served_from_three() {
        assert_eq!(ApiKey::Produce.advertised_versions(), Some(0..=13));
        assert_eq!(ApiKey::Produce.served_versions(), Some(3..=13));
    }

    #[test]
    fn what_clients_would_ask_for_ever_is_answered_though_not_served() {
        for key in [ApiKey::SaslHandshake, ApiKey::ConsumerGroupHeartbeat] {
            assert_eq!(key.served_versions(), None);
            assert!(key.is_answered(0) && key.is_answered(1) && !key.is_answered(2));
        }
        assert!(!ApiKey::SaslAuthenticate.is_answered(0));
        assert!(ApiKey::Produce.is_answered(3) && !ApiKey::Produce.is_answered(2));
        assert_eq!(ApiKey::SaslHandshake.advertised_versions(), None);
        assert_eq!(ApiKey::ConsumerGroupHeartbeat.advertised_versions(), Some(0..=1));
    }

    #[test]
    fn an_api_versions_answer_has_the_plain_header_at_every_version() {
        assert!(
            ApiKey::ApiVersions
                .kafka_versions()
                .all(|v| ApiKey::ApiVersions.response_header_version(v) == 0)
        );
        assert_eq!(ApiKey::ApiVersions.request_header_version(3), 2);
        assert_eq!(ApiKey::Fetch.response_header_version(12), 1);
    }

    #[test]
    fn keys_survive_the_way_through_their_numbers() {
        assert!(
            ApiKey::ALL
                .iter()
                .all(|&key| ApiKey::from_code(key.code()) == Some(key))
        );
        assert_eq!(ApiKey::from_code(4), None);
    }
}
