//! Where in each response the error codes stand.
//!
//! One table for every response that the broker gives, so that answers can be counted by their codes (Kafka's
//! `AbstractResponse.errorCounts`). A code counts only where the response's version carries it to the client. Who counts,
//! and what a code means, is decided elsewhere.

use crate::messages::*;

/// A response whose error codes can be counted.
pub trait ErrorCodes {
    /// Gives every error code field of the response at `version` to `visit`, those of success (0) included.
    fn visit_error_codes(&self, version: i16, visit: impl FnMut(i16));
}

/// A path of lists that ends in the field of a code.
macro_rules! visit_path {
    ($value:expr, $visit:ident, $code:ident) => {
        $visit($value.$code)
    };
    ($value:expr, $visit:ident, $list:ident / $($rest:ident)/+) => {
        for element in &$value.$list {
            visit_path!(element, $visit, $($rest)/+);
        }
    };
}

/// Whether the version is one of these; without any, every version is.
macro_rules! carries {
    ($version:ident) => {
        $version >= 0
    };
    ($version:ident, $versions:expr) => {
        $versions.contains(&$version)
    };
}

/// A row for each response: its paths, each with the versions that carry it where not all do.
macro_rules! error_codes {
    ($($response:ty: $($([$versions:expr])? $($step:ident)/+),+;)*) => {
        $(impl ErrorCodes for $response {
            fn visit_error_codes(&self, version: i16, mut visit: impl FnMut(i16)) {
                $(if carries!(version $(, ($versions))?) {
                    visit_path!(self, visit, $($step)/+);
                })+
            }
        })*
    };
}

error_codes! {
    AlterConfigsResponse: responses/error_code;
    ApiVersionsResponse: error_code;
    ConsumerGroupHeartbeatResponse: error_code;
    CreatePartitionsResponse: results/error_code;
    CreateTopicsResponse: topics/error_code, [5..] topics/topic_config_error_code;
    DeleteGroupsResponse: results/error_code;
    DeleteRecordsResponse: topics/partitions/error_code;
    DeleteTopicsResponse: responses/error_code;
    DescribeClusterResponse: error_code;
    DescribeConfigsResponse: results/error_code;
    DescribeGroupsResponse: groups/error_code;
    DescribeLogDirsResponse: [3..] error_code, results/error_code;
    DescribeProducersResponse: topics/partitions/error_code;
    DescribeQuorumResponse: error_code, topics/partitions/error_code;
    DescribeTopicPartitionsResponse: topics/error_code, topics/partitions/error_code;
    FetchResponse: [7..] error_code, responses/partitions/error_code;
    FindCoordinatorResponse: [..=3] error_code, [4..] coordinators/error_code;
    HeartbeatResponse: error_code;
    IncrementalAlterConfigsResponse: responses/error_code;
    InitProducerIdResponse: error_code;
    JoinGroupResponse: error_code;
    LeaveGroupResponse: error_code, [3..] members/error_code;
    ListConfigResourcesResponse: error_code;
    ListGroupsResponse: error_code;
    ListOffsetsResponse: topics/partitions/error_code;
    MetadataResponse: [13..] error_code, topics/error_code, topics/partitions/error_code;
    OffsetCommitResponse: topics/partitions/error_code;
    OffsetDeleteResponse: error_code, topics/partitions/error_code;
    OffsetFetchResponse: [2..=7] error_code, [..=7] topics/partitions/error_code,
        [8..] groups/error_code, [8..] groups/topics/partitions/error_code;
    OffsetForLeaderEpochResponse: topics/partitions/error_code;
    ProduceResponse: responses/partition_responses/error_code;
    SaslHandshakeResponse: error_code;
    SyncGroupResponse: error_code;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::leave_group_response::MemberResponse;
    use crate::messages::offset_fetch::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
    };

    fn codes(response: &impl ErrorCodes, version: i16) -> Vec<i16> {
        let mut codes = Vec::new();
        response.visit_error_codes(version, |code| codes.push(code));
        codes
    }

    #[test]
    fn codes_of_the_response_and_of_its_elements_are_visited() {
        let member = |code| MemberResponse::default().with_error_code(code);
        let response = LeaveGroupResponse::default()
            .with_error_code(1)
            .with_members(vec![member(2), member(0), member(3)]);
        assert_eq!(codes(&response, 5), [1, 2, 0, 3]);
    }

    #[test]
    fn what_a_version_does_not_carry_is_not_visited() {
        let response = MetadataResponse::default().with_error_code(42);
        assert_eq!(codes(&response, 13), [42]);
        assert!(codes(&response, 12).is_empty());
    }

    #[test]
    fn codes_are_found_through_every_list() {
        let partition = |error_code| OffsetFetchResponsePartitions {
            error_code,
            ..Default::default()
        };
        let topic = OffsetFetchResponseTopics {
            partitions: vec![partition(5), partition(6)],
            ..Default::default()
        };
        let group = OffsetFetchResponseGroup {
            error_code: 4,
            topics: vec![topic],
            ..Default::default()
        };
        let response = OffsetFetchResponse {
            groups: vec![group],
            ..Default::default()
        };
        assert_eq!(codes(&response, 8), [4, 5, 6]);
    }
}
