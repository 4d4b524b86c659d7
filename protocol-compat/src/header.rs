//! The header before every request: which API, which version, which correlation id, whose client id.
//!
//! The header's own form follows from key and version, so that a key that Kafka does not know cannot be read past.

use bytes::{Buf, Bytes};
use kafka_protocol::protocol::StrBytes;

use crate::api_key::ApiKey;
use crate::error::DecodeError;
use crate::messages::field::{Field, Form, read_varint, take};

/// The header of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API.
    pub api_key: ApiKey,
    /// The version that the client asks for; not checked here.
    pub api_version: i16,
    /// What the answer repeats.
    pub correlation_id: i32,
    /// The client's `client.id`; null is the same as empty to Kafka. Shares the frame's memory.
    pub client_id: Option<StrBytes>,
}

/// The client id has a 16-bit length in either form of the header.
const PLAIN: Form = Form {
    version: 1,
    flexible: false,
};

/// Takes the header from the front of a frame and leaves the body.
///
/// # Errors
/// On a key that Kafka 4.3 does not have and on bytes that end early. Kafka closes the connection on either.
pub fn decode_request_header(frame: &mut Bytes) -> Result<RequestHeader, DecodeError> {
    let code = i16::read(frame, PLAIN)?;
    let api_version = i16::read(frame, PLAIN)?;
    let api_key = ApiKey::from_code(code).ok_or(DecodeError::UnknownApiKey(code))?;
    let correlation_id = i32::read(frame, PLAIN)?;
    let client_id = Option::<StrBytes>::read(frame, PLAIN)?;
    if api_key.request_header_version(api_version) == 2 {
        skip_tagged_fields(frame)?;
    }
    Ok(RequestHeader {
        api_key,
        api_version,
        correlation_id,
        client_id,
    })
}

fn skip_tagged_fields(frame: &mut Bytes) -> Result<(), DecodeError> {
    let count = read_varint(frame)? as usize;
    if count > frame.remaining() {
        return Err(DecodeError::Truncated {
            needed: count,
            left: frame.remaining(),
        });
    }
    for _ in 0..count {
        read_varint(frame)?;
        let length = read_varint(frame)? as usize;
        take(frame, length)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_header_are_read() {
        let mut plain = Bytes::from_static(&[0, 3, 0, 1, 0, 0, 0, 7, 0, 2, b'm', b'e', 42]);
        let header = decode_request_header(&mut plain).unwrap();
        assert_eq!(
            (header.api_key, header.api_version, header.correlation_id),
            (ApiKey::Metadata, 1, 7)
        );
        assert_eq!(header.client_id.as_deref(), Some("me"));
        assert_eq!(&plain[..], [42]);
        let mut flexible = Bytes::from_static(&[0, 3, 0, 12, 0, 0, 0, 7, 0xff, 0xff, 1, 0, 2, 9, 9, 42]);
        assert_eq!(decode_request_header(&mut flexible).unwrap().client_id, None);
        assert_eq!(&flexible[..], [42]);
    }

    #[test]
    fn every_cut_of_a_header_and_unknown_keys_are_refused() {
        let whole = [0, 3, 0, 12, 0, 0, 0, 7, 0, 1, b'a', 1, 0, 2, 9, 9];
        for cut in 0..whole.len() {
            assert!(decode_request_header(&mut Bytes::copy_from_slice(&whole[..cut])).is_err());
        }
        let mut removed = Bytes::from_static(&[0, 4, 0, 0, 0, 0, 0, 7, 0xff, 0xff]);
        assert_eq!(
            decode_request_header(&mut removed),
            Err(DecodeError::UnknownApiKey(4))
        );
        let tags = [0, 3, 0, 12, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(decode_request_header(&mut Bytes::copy_from_slice(&tags)).is_err());
    }
}
