//! A response's bytes: length, header, message.
//!
//! What is returned is a whole frame, ready to be written. The header's form follows from the message.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Encodable, HeaderVersion};

use crate::error::EncodeError;
use crate::messages::FetchResponse;
use crate::messages::field::Field;
use crate::messages::output::{Output, Piece, Pieces};

/// A message that answers a request.
pub trait ResponseMessage: Encodable + HeaderVersion {}

impl<M: Encodable + HeaderVersion> ResponseMessage for M {}

/// Bytes of the length prefix.
const LENGTH_BYTES: usize = 4;

/// Bytes of the correlation id, the whole of the oldest header.
const CORRELATION_ID_BYTES: usize = 4;

/// Bytes of the header: the correlation id, and from header version 1 the count of tagged fields, which is 0.
fn header_bytes<M: HeaderVersion>(version: i16) -> usize {
    CORRELATION_ID_BYTES + usize::from(M::header_version(version) >= 1)
}

/// What stands before the message.
fn prefix(message_bytes: usize, header_bytes: usize, correlation_id: i32) -> Result<Vec<u8>, EncodeError> {
    let frame_bytes = message_bytes.saturating_add(header_bytes);
    let length = i32::try_from(frame_bytes).map_err(|_| EncodeError::TooLong(frame_bytes))?;
    let mut prefix = Vec::with_capacity(LENGTH_BYTES + header_bytes);
    prefix.put_i32(length);
    prefix.put_i32(correlation_id);
    prefix.resize(LENGTH_BYTES + header_bytes, 0);
    Ok(prefix)
}

fn codec_error(error: anyhow::Error) -> EncodeError {
    EncodeError::Codec(error.to_string())
}

/// The frame that answers the request with `correlation_id`.
///
/// # Errors
/// Where a field is set that the version does not have, or something is longer than its length field can say: faults of
/// the caller.
pub fn encode_response<M: ResponseMessage>(
    version: i16,
    correlation_id: i32,
    message: &M,
) -> Result<Bytes, EncodeError> {
    let message_bytes = message.compute_size(version).map_err(codec_error)?;
    let prefix = prefix(message_bytes, header_bytes::<M>(version), correlation_id)?;
    let mut out = BytesMut::with_capacity(prefix.len() + message_bytes);
    out.extend_from_slice(&prefix);
    message.encode(&mut out, version).map_err(codec_error)?;
    if out.len() != prefix.len() + message_bytes {
        return Err(EncodeError::Codec(format!(
            "{} bytes where {message_bytes} were computed",
            out.len()
        )));
    }
    Ok(out.freeze())
}

/// The frame of a response that was encoded for another request: `rest` is what stood behind its correlation id.
///
/// # Errors
/// Where that is longer than a frame's length field can say.
pub fn encode_again(correlation_id: i32, rest: Bytes) -> Result<Vec<Piece>, EncodeError> {
    let prefix = prefix(rest.len(), CORRELATION_ID_BYTES, correlation_id)?;
    Ok(vec![Bytes::from(prefix).into(), rest.into()])
}

/// The frame of a fetch response in pieces: heads and records in order, the records not copied.
///
/// # Errors
/// As [`encode_response`].
pub fn encode_fetch_response(
    version: i16,
    correlation_id: i32,
    response: &FetchResponse,
) -> Result<Vec<Piece>, EncodeError> {
    let form = FetchResponse::form(version)?;
    let mut out = Pieces::default();
    out.put_slice(&prefix(
        response.size(form),
        header_bytes::<FetchResponse>(version),
        correlation_id,
    )?);
    response.write(&mut out, form)?;
    Ok(out.finish())
}

#[cfg(test)]
mod tests;
