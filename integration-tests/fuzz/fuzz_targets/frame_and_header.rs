//! The front of a connection's bytes: length, API key, request header.
//!
//! The first four bytes are a length, the rest is the frame. A frame that is let through is within its bound, and a header
//! that is read leaves the rest of the frame as it stands.

#![no_main]

use bytes::Bytes;
use fuzz::{memory, seeds};
use integration_tests::bad_input::requests;
use libfuzzer_sys::fuzz_target;
use protocol_compat::decode_request_header;
use protocol_compat::frame::{MAX_OTHER_REQUEST_BYTES, frame_length, request_length};

const SOCKET_REQUEST_MAX_BYTES: usize = 100 << 20;
/// A header shares the frame's memory; an error is a sentence.
const HEADER_MEMORY_BYTES: usize = 4 << 10;

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let Some((prefix, frame)) = data.split_first_chunk::<4>() else { return };
    if let Ok(length) = frame_length(*prefix, SOCKET_REQUEST_MAX_BYTES) {
        assert!(length <= SOCKET_REQUEST_MAX_BYTES);
        if let Some(key) = frame.first_chunk::<2>()
            && request_length(length, *key, SOCKET_REQUEST_MAX_BYTES).is_ok()
        {
            assert!(length <= MAX_OTHER_REQUEST_BYTES || *key == [0, 0]);
        }
    }
    let whole = Bytes::copy_from_slice(frame);
    let mut rest = whole.clone();
    let header = memory::bounded(HEADER_MEMORY_BYTES, || decode_request_header(&mut rest));
    assert!(whole.ends_with(&rest));
    if let Ok(header) = header {
        assert_eq!(&whole[..2], header.api_key.code().to_be_bytes());
        assert_eq!(&whole[2..4], header.api_version.to_be_bytes());
        assert_eq!(&whole[4..8], header.correlation_id.to_be_bytes());
        assert!(header.client_id.is_none_or(|id| id.len() <= whole.len() - rest.len()));
    }
});

fn seeds() -> Vec<Vec<u8>> {
    let frames = requests::all().into_iter();
    frames
        .map(|frame| {
            [
                &(frame.len() as i32).to_be_bytes()[..],
                &frame[..frame.len().min(64)],
            ]
            .concat()
        })
        .collect()
}
