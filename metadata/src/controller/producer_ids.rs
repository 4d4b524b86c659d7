//! Blocks of producer ids: each id is handed out once in the life of the cluster.

use protocol_compat::records::metadata::ProducerIdsRecord;
use protocol_compat::{BrokerId, ErrorCode};

use super::decision::{ApiError, Decision};
use super::state::Controller;

/// How many ids a block holds (`ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
pub const PRODUCER_ID_BLOCK_SIZE: i64 = 1000;

/// Ids that one broker may hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdsBlock {
    /// The first.
    pub first_producer_id: i64,
    /// How many.
    pub len: i64,
}

impl Controller {
    /// Gives a broker the next block. The broker's epoch keeps an earlier life of it from taking one.
    pub fn allocate_producer_ids(
        &self,
        broker: BrokerId,
        broker_epoch: i64,
    ) -> Decision<Result<ProducerIdsBlock, ApiError>> {
        if let Err(error) = self.check_broker_epoch(broker, broker_epoch) {
            return Decision::unchanged(Err(error));
        }
        let first = self.image.producer_ids.next_producer_id;
        let Some(next_producer_id) = first.checked_add(PRODUCER_ID_BLOCK_SIZE) else {
            let message = "Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit";
            return Decision::unchanged(Err(ApiError::new(ErrorCode::UnknownServerError, message)));
        };
        let record = ProducerIdsRecord {
            broker_id: broker,
            broker_epoch,
            next_producer_id,
        };
        Decision {
            records: vec![record.into()],
            response: Ok(ProducerIdsBlock {
                first_producer_id: first,
                len: PRODUCER_ID_BLOCK_SIZE,
            }),
        }
    }
}
