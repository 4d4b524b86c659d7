//! The frame around a request: a 32-bit length, then header and body.
//!
//! Protects the rule that no frame is read before its length is known to be allowed. Produce may be as large as
//! `socket.request.max.bytes`; no other request is by far, and each is held to a smaller bound, because what a request
//! takes decoded is a multiple of its bytes.

use thiserror::Error;

use crate::api_key::ApiKey;

/// Bytes of the length before each frame.
pub const LENGTH_BYTES: usize = 4;
/// Bytes of the API key at the front of each frame, by which its bound is known.
pub const API_KEY_BYTES: usize = 2;
/// Bound of every request but Produce. A group of thousands of members with large assignments stays below it.
pub const MAX_OTHER_REQUEST_BYTES: usize = 8 << 20;

/// Why a frame is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length is negative.
    #[error("frame length {0} is negative")]
    NegativeLength(i32),
    /// The frame is larger than its API may be.
    #[error("frame of {length} bytes is larger than {limit}")]
    TooLarge {
        /// What the frame says.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
}

/// The length that a frame announces, if `socket_request_max_bytes` allows it.
///
/// # Errors
/// On a negative length and on one above the limit.
pub fn frame_length(
    prefix: [u8; LENGTH_BYTES],
    socket_request_max_bytes: usize,
) -> Result<usize, FrameError> {
    let announced = i32::from_be_bytes(prefix);
    let length = usize::try_from(announced).map_err(|_| FrameError::NegativeLength(announced))?;
    within(length, socket_request_max_bytes)
}

/// The same length, if the API whose key stands at the front of the frame may be that large.
///
/// # Errors
/// On a length above the API's limit.
pub fn request_length(
    length: usize,
    api_key: [u8; API_KEY_BYTES],
    socket_request_max_bytes: usize,
) -> Result<usize, FrameError> {
    let is_produce = i16::from_be_bytes(api_key) == ApiKey::Produce.code();
    let limit = if is_produce {
        socket_request_max_bytes
    } else {
        MAX_OTHER_REQUEST_BYTES
    };
    within(length, limit.min(socket_request_max_bytes))
}

fn within(length: usize, limit: usize) -> Result<usize, FrameError> {
    if length > limit {
        Err(FrameError::TooLarge { length, limit })
    } else {
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_produce_may_be_as_large_as_the_socket_allows() {
        let limit = 100 << 20;
        let large = (64i32 << 20).to_be_bytes();
        let length = frame_length(large, limit).unwrap();
        assert!(request_length(length, [0, 0], limit).is_ok());
        assert!(request_length(length, [0, 1], limit).is_err());
        assert!(request_length(length, [0xff, 0xff], limit).is_err());
        assert!(request_length(600, [0, 1], 500).is_err());
    }

    #[test]
    fn a_negative_or_huge_length_is_refused() {
        assert_eq!(frame_length([0xff; 4], 100), Err(FrameError::NegativeLength(-1)));
        assert_eq!(
            frame_length(*b"GET ", 100 << 20),
            Err(FrameError::TooLarge {
                length: 0x4745_5420,
                limit: 100 << 20
            })
        );
        assert_eq!(frame_length([0; 4], 100), Ok(0));
    }
}
