//! Why a resource is not described.

use protocol_compat::ErrorCode;

/// The code, and where Kafka gives one, the sentence.
pub(super) type Refusal = (ErrorCode, Option<String>);
