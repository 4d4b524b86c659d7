//! Producer ids for InitProducerId, from blocks that the controller gives to this life of the broker.
//!
//! An id is handed out once in the life of the cluster: a block is on record before its first id is used, and what a
//! crash leaves of it is never used again.

use metadata::controller::ProducerIdsBlock;
use protocol_compat::{BrokerId, ErrorCode};
use tokio::sync::Mutex;

use crate::controller_server::ControllerHandle;

/// Hands out producer ids.
pub struct ProducerIdManager {
    controller: ControllerHandle,
    broker: BrokerId,
    broker_epoch: i64,
    rest: Mutex<ProducerIdsBlock>,
}

impl ProducerIdManager {
    /// For the life `broker_epoch` of `broker`. Asks for a block when the first id is needed.
    pub fn new(controller: ControllerHandle, broker: BrokerId, broker_epoch: i64) -> ProducerIdManager {
        ProducerIdManager {
            controller,
            broker,
            broker_epoch,
            rest: Mutex::new(ProducerIdsBlock {
                first_producer_id: 0,
                len: 0,
            }),
        }
    }

    /// The next id.
    ///
    /// # Errors
    /// The code for the client: `COORDINATOR_LOAD_IN_PROGRESS` where the client shall try again, as Kafka answers while
    /// it waits for a block, otherwise what the controller said.
    pub async fn next_id(&self) -> Result<i64, ErrorCode> {
        let mut rest = self.rest.lock().await;
        if rest.len == 0 {
            *rest = self.allocate().await?;
        }
        let id = rest.first_producer_id;
        rest.first_producer_id = id.checked_add(1).ok_or(ErrorCode::UnknownServerError)?;
        rest.len -= 1;
        Ok(id)
    }

    async fn allocate(&self) -> Result<ProducerIdsBlock, ErrorCode> {
        let (broker, epoch) = (self.broker, self.broker_epoch);
        let allocated = self
            .controller
            .write(move |controller, _now_ms, _ids| controller.allocate_producer_ids(broker, epoch));
        match allocated.await {
            Ok(Ok(block)) if block.len > 0 => Ok(block),
            Ok(Ok(_)) => Err(ErrorCode::UnknownServerError),
            Ok(Err(refused)) => Err(refused.code),
            Err(_) => Err(ErrorCode::CoordinatorLoadInProgress),
        }
    }
}
