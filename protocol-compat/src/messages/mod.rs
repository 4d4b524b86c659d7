//! Every message of the protocol by Kafka's name: the codec crate's, and our own where it has none or too old a one.
//!
//! Our own are plain structs with a `Default`; they encode and decode through the same traits as the crate's, so that
//! nobody needs to know which is which.

pub mod base_records;
pub mod declare;
pub mod describe_log_dirs;
pub mod fetch;
pub mod field;
pub mod list_offsets;
pub mod offset_commit;
pub mod offset_fetch;
pub mod output;

pub use base_records::{FileRecords, Records};
pub use describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
pub use fetch::FetchResponse;
pub use kafka_protocol::messages::*;
pub use kafka_protocol::protocol::{Encodable, StrBytes};
pub use list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
pub use offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
pub use offset_fetch::{OffsetFetchRequest, OffsetFetchResponse};
