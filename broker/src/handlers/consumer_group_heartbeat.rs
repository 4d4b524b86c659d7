//! ConsumerGroupHeartbeat, API key 68, versions 0-1. Refuses members of the consumer group protocol (KIP-848).
//!
//! - 1: subscription by a regular expression, member ids made by the client.
//!
//! The answer is Apache Kafka's with `group.version` 0: UNSUPPORTED_VERSION, whatever was asked for, so that the body is
//! not read. The API is advertised, as Kafka does then: librdkafka looks for another coordinator for ever where version 1
//! is missing, and takes this answer as final.

use protocol_compat::ErrorCode;
use protocol_compat::messages::{ConsumerGroupHeartbeatResponse, StrBytes};

use crate::request::{Handled, RequestContext};

/// What a client's log says.
const REFUSAL: &str =
    "The consumer group protocol is not supported by this broker; use group.protocol=classic.";

/// Answers at once.
pub fn handle(context: &RequestContext) -> Handled {
    let refused = ConsumerGroupHeartbeatResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_error_message(Some(StrBytes::from_static_str(REFUSAL)));
    Handled::Now(context.respond(&refused))
}
