//! Frames of responses, and that a fetch response shares its records.

use kafka_protocol::protocol::Decodable;

use super::*;
use crate::messages::fetch::{AbortedTransaction, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData};
use crate::messages::{ApiVersionsResponse, HeartbeatResponse};

fn fetch_response(records: &Bytes) -> FetchResponse {
    let partition = |partition_index| PartitionData {
        partition_index,
        high_watermark: 9,
        current_leader: LeaderIdAndEpoch {
            leader_id: 1,
            leader_epoch: 2,
        },
        aborted_transactions: Some(vec![AbortedTransaction {
            producer_id: 1,
            first_offset: 2,
        }]),
        records: Some(records.clone()),
        ..Default::default()
    };
    let topic = FetchableTopicResponse {
        topic: "orders".into(),
        partitions: vec![partition(0), partition(1)],
        ..Default::default()
    };
    FetchResponse {
        responses: vec![topic],
        ..Default::default()
    }
}

#[test]
fn a_fetch_response_has_the_bytes_of_the_codec_crate_and_shares_its_records() {
    let records = Bytes::from(vec![7; 4096]);
    let response = fetch_response(&records);
    for version in 4..=18 {
        let pieces = encode_fetch_response(version, 5, &response).unwrap();
        assert_eq!(
            pieces
                .iter()
                .filter(|piece| piece.as_ptr() == records.as_ptr())
                .count(),
            2
        );
        let whole = Bytes::from(pieces.concat());
        assert_eq!(
            usize::try_from(i32::from_be_bytes(*whole.first_chunk().unwrap())).unwrap(),
            whole.len() - 4
        );
        let mut body = whole.slice(4 + header_bytes::<FetchResponse>(version)..);
        let theirs = kafka_protocol::messages::FetchResponse::decode(&mut body.clone(), version).unwrap();
        assert_eq!(
            encode_response(version, 5, &theirs).unwrap(),
            whole,
            "version {version}"
        );
        assert_eq!(
            FetchResponse::decode(&mut body, version).unwrap().responses.len(),
            1
        );
    }
}

#[test]
fn a_frame_has_length_header_and_message() {
    let plain = encode_response(0, 7, &HeartbeatResponse::default()).unwrap();
    assert_eq!(&plain[..], [0, 0, 0, 6, 0, 0, 0, 7, 0, 0]);
    let flexible = encode_response(4, 7, &HeartbeatResponse::default()).unwrap();
    assert_eq!(&flexible[..], [0, 0, 0, 12, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
    // ApiVersions has the plain header in its flexible versions as well (KIP-511).
    let api_versions = encode_response(3, 7, &ApiVersionsResponse::default()).unwrap();
    assert_eq!(api_versions.len(), 4 + 4 + 2 + 1 + 4 + 1);
}

#[test]
fn a_field_that_the_version_lacks_is_refused() {
    let response = FetchResponse {
        session_id: 3,
        ..Default::default()
    };
    assert_eq!(
        encode_fetch_response(6, 0, &response),
        Err(EncodeError::NotAtThisVersion("session_id"))
    );
    assert!(encode_fetch_response(7, 0, &response).is_ok());
    assert_eq!(
        encode_fetch_response(19, 0, &response),
        Err(EncodeError::UnsupportedVersion(19))
    );
}
