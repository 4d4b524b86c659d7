//! Kafka's wire protocol: bytes to types and back.
//!
//! Holds no state and decides nothing. Request bytes are checked by our own bounded guard before the codec crate sees
//! them; record batches stay bytes.

pub mod api_key;
pub mod error;
pub mod error_code;
pub mod guard;
pub mod messages;
pub mod record_batch;
pub mod records;
pub mod types;

pub use api_key::ApiKey;
pub use error_code::ErrorCode;
pub use types::{BrokerId, LeaderEpoch, ProducerId, TopicId, TopicPartition};
