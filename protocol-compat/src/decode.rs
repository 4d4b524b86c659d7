//! A request's bytes to its message: the guard, then the codec.
//!
//! Bytes after the message are ignored, as Kafka ignores them. On an error Kafka closes the connection, and so does the
//! broker.

use bytes::Bytes;
use kafka_protocol::protocol::Request;

use crate::error::DecodeError;
use crate::guard;
use crate::shapes::Shaped;

/// A request that the broker serves.
pub trait RequestMessage: Request + Shaped {}

impl<R: Request + Shaped> RequestMessage for R {}

/// Decodes the body of a request. Texts and byte strings in it share the body's memory: copy what outlives the request.
///
/// # Errors
/// On a version that the message does not have, and on every body that the guard or the codec refuses.
pub fn decode_request<R: RequestMessage>(version: i16, mut body: Bytes) -> Result<R, DecodeError> {
    if version < R::VERSIONS.min || version > R::VERSIONS.max {
        return Err(DecodeError::UnsupportedVersion(version));
    }
    let length = guard::check(R::SHAPE, version, &body)?;
    let message = R::decode(&mut body.split_to(length), version);
    message.map_err(|error| DecodeError::Codec(error.to_string()))
}

#[cfg(test)]
mod amplification;
#[cfg(test)]
mod tests;
