//! Kafka's wire protocol: bytes to types and back.
//!
//! Holds no state and decides nothing. Request bytes are checked by our own bounded guard before the codec crate sees
//! them; record batches stay bytes.

pub mod api_key;
pub mod decode;
pub mod encode;
pub mod error;
pub mod error_code;
pub mod error_codes;
pub mod frame;
pub mod guard;
pub mod header;
pub mod messages;
pub mod record_batch;
pub mod records;
pub mod shapes;
pub mod types;

pub use api_key::ApiKey;
pub use decode::{RequestMessage, decode_request};
pub use encode::{ResponseMessage, encode_again, encode_fetch_response, encode_response};
pub use error::{DecodeError, EncodeError};
pub use error_code::ErrorCode;
pub use error_codes::ErrorCodes;
pub use header::{RequestHeader, decode_request_header};
pub use types::{BrokerId, LeaderEpoch, ProducerId, TopicId, TopicPartition};
