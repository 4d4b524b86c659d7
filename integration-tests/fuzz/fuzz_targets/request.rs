//! Every request at every version, through the guard and the codec.
//!
//! The first byte chooses the API and the second the version; the rest is the body. What a decode holds stays within the
//! guard's budget, whatever the bytes claim.

#![no_main]

use bytes::Bytes;
use fuzz::{memory, seeds};
use integration_tests::bad_input::requests;
use libfuzzer_sys::fuzz_target;
use protocol_compat::guard::budget_bytes;
use protocol_compat::messages::*;
use protocol_compat::{ApiKey, RequestMessage, decode_request, decode_request_header};

/// What a decode may hold beside what the guard lets the request take: its structs outside arrays, an error's sentence.
const SLACK_BYTES: usize = 8 << 10;

fn decode<R: RequestMessage>(version: i16, body: Bytes) -> bool {
    let limit = budget_bytes(body.len()) + SLACK_BYTES;
    memory::bounded(limit, || decode_request::<R>(version, body).is_ok())
}

macro_rules! requests {
    ($($key:ident: $request:ty,)*) => {
        const SERVED: &[ApiKey] = &[$(ApiKey::$key,)*];

        fn decode_as(key: ApiKey, version: i16, body: Bytes) -> bool {
            match key {
                $(ApiKey::$key => decode::<$request>(version, body),)*
                _ => false,
            }
        }
    };
}

requests! {
    Produce: ProduceRequest,
    Fetch: FetchRequest,
    ListOffsets: ListOffsetsRequest,
    Metadata: MetadataRequest,
    OffsetCommit: OffsetCommitRequest,
    OffsetFetch: OffsetFetchRequest,
    FindCoordinator: FindCoordinatorRequest,
    JoinGroup: JoinGroupRequest,
    Heartbeat: HeartbeatRequest,
    LeaveGroup: LeaveGroupRequest,
    SyncGroup: SyncGroupRequest,
    DescribeGroups: DescribeGroupsRequest,
    ListGroups: ListGroupsRequest,
    ApiVersions: ApiVersionsRequest,
    CreateTopics: CreateTopicsRequest,
    DeleteTopics: DeleteTopicsRequest,
    DeleteRecords: DeleteRecordsRequest,
    InitProducerId: InitProducerIdRequest,
    OffsetForLeaderEpoch: OffsetForLeaderEpochRequest,
    DescribeConfigs: DescribeConfigsRequest,
    AlterConfigs: AlterConfigsRequest,
    DescribeLogDirs: DescribeLogDirsRequest,
    CreatePartitions: CreatePartitionsRequest,
    DeleteGroups: DeleteGroupsRequest,
    IncrementalAlterConfigs: IncrementalAlterConfigsRequest,
    OffsetDelete: OffsetDeleteRequest,
    DescribeQuorum: DescribeQuorumRequest,
    DescribeCluster: DescribeClusterRequest,
    DescribeProducers: DescribeProducersRequest,
    ListConfigResources: ListConfigResourcesRequest,
    DescribeTopicPartitions: DescribeTopicPartitionsRequest,
}

fuzz_target!(init: begin(), |data: &[u8]| {
    let [api, version, body @ ..] = data else { return };
    let key = SERVED[usize::from(*api) % SERVED.len()];
    let versions = key.kafka_versions();
    // One version below and one above what is served come as well.
    let count = versions.end() - versions.start() + 3;
    let version = versions.start() - 1 + i16::from(*version) % count;
    let decoded = decode_as(key, version, Bytes::copy_from_slice(body));
    assert!(!decoded || versions.contains(&version), "{} version {version}", key.name());
});

fn begin() {
    let served = ApiKey::ALL.iter().filter(|key| key.served_versions().is_some());
    assert!(
        served.eq(SERVED),
        "a request is served that this target does not know"
    );
    seeds::write(seeds);
}

fn seeds() -> Vec<Vec<u8>> {
    requests::all().into_iter().filter_map(seed).collect()
}

fn seed(frame: Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Bytes::from(frame);
    let header = decode_request_header(&mut body).ok()?;
    let api = SERVED.iter().position(|key| *key == header.api_key)?;
    let first = *header.api_key.kafka_versions().start();
    // A version far from the served ones has no byte of its own.
    let version = header.api_version.checked_sub(first)?.checked_add(1)?;
    Some([&[u8::try_from(api).ok()?, u8::try_from(version).ok()?], &body[..]].concat())
}
