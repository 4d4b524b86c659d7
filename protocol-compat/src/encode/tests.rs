//! Frames of responses, and that a fetch response shares its records.

use std::sync::Arc;

use kafka_protocol::protocol::Decodable;

use super::*;
use crate::messages::fetch::{AbortedTransaction, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData};
use crate::messages::{ApiVersionsResponse, FileRecords, HeartbeatResponse, Records};

fn fetch_response(records: &Records) -> FetchResponse {
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
    let response = fetch_response(&records.clone().into());
    for version in 4..=18 {
        let pieces = encode_fetch_response(version, 5, &response).unwrap();
        let shared =
            |piece: &&Piece| matches!(piece, Piece::Bytes(bytes) if bytes.as_ptr() == records.as_ptr());
        assert_eq!(pieces.iter().filter(shared).count(), 2);
        let whole = concat(&pieces, &[]);
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

/// The frame, with `content` for the whole of each file.
fn concat(pieces: &[Piece], content: &[u8]) -> Bytes {
    let mut whole = BytesMut::new();
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => whole.extend_from_slice(bytes),
            Piece::File(part) => {
                let start = usize::try_from(part.position).unwrap();
                whole.extend_from_slice(&content[start..start + part.length]);
            }
        }
    }
    whole.freeze()
}

#[test]
fn a_fetch_response_has_the_same_bytes_where_its_records_stay_in_a_file() {
    let content: Vec<u8> = (0..=255).cycle().take(9000).collect();
    let (file, _) = std::io::pipe().unwrap();
    let part = FileRecords {
        file: Arc::new(file),
        position: 300,
        length: 8000,
    };
    let in_memory = Bytes::copy_from_slice(&content[300..8300]);
    for version in 4..=18 {
        let pieces = encode_fetch_response(version, 5, &fetch_response(&part.clone().into())).unwrap();
        let files = pieces.iter().filter(|piece| matches!(piece, Piece::File(_)));
        assert_eq!(files.count(), 2);
        let expected = encode_fetch_response(version, 5, &fetch_response(&in_memory.clone().into())).unwrap();
        assert_eq!(concat(&pieces, &content), concat(&expected, &[]));
    }
    let refused = encode_response(4, 5, &fetch_response(&part.into()));
    assert!(matches!(refused, Err(EncodeError::Codec(_))), "{refused:?}");
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
