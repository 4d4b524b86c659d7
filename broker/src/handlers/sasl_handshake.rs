//! SaslHandshake, API key 17, versions 0-1. Refuses, since no listener asks a client who it is.
//!
//! - 1: what follows is framed as SaslAuthenticate.
//!
//! The answer is Apache Kafka's on a listener without SASL: ILLEGAL_SASL_STATE and no mechanism, whatever was asked for,
//! so that the body is not read. Clients take it as final; a closed connection they would try again for ever. The API is
//! not advertised: some clients then tell their user before they ask.

use protocol_compat::ErrorCode;
use protocol_compat::messages::SaslHandshakeResponse;

use crate::request::{Handled, RequestContext};

/// Answers at once.
pub fn handle(context: &RequestContext) -> Handled {
    let refused = SaslHandshakeResponse::default().with_error_code(ErrorCode::IllegalSaslState.code());
    Handled::Now(context.respond(&refused))
}
