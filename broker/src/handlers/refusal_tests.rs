//! The APIs that are refused with an error of their own: what a client reads.

use bytes::Bytes;
use kafka_protocol::protocol::Decodable;
use protocol_compat::messages::{ConsumerGroupHeartbeatResponse, SaslHandshakeResponse};
use protocol_compat::{ApiKey, ErrorCode};

use super::{consumer_group_heartbeat, sasl_handshake};
use crate::request::{Handled, RequestContext};

fn answer(api_key: ApiKey, version: i16, handler: impl Fn(&RequestContext) -> Handled) -> Bytes {
    let context = RequestContext::for_test(api_key, version);
    let Handled::Now(frame) = handler(&context) else {
        panic!("a refusal comes at once");
    };
    frame.to_bytes()
}

#[test]
fn a_client_that_wants_sasl_is_told_that_there_is_none() {
    for version in 0..=1 {
        let frame = answer(ApiKey::SaslHandshake, version, sasl_handshake::handle);
        let read = SaslHandshakeResponse::decode(&mut frame.slice(8..), version).expect("an answer");
        assert_eq!(read.error_code, ErrorCode::IllegalSaslState.code());
        assert!(read.mechanisms.is_empty());
    }
}

#[test]
fn a_member_of_the_consumer_protocol_is_told_to_use_the_classic_one() {
    for version in 0..=1 {
        let frame = answer(
            ApiKey::ConsumerGroupHeartbeat,
            version,
            consumer_group_heartbeat::handle,
        );
        let read = ConsumerGroupHeartbeatResponse::decode(&mut frame.slice(9..), version).expect("an answer");
        assert_eq!(read.error_code, ErrorCode::UnsupportedVersion.code());
        let message = read.error_message.expect("a reason");
        assert!(message.contains("group.protocol=classic"));
    }
}
