//! InitProducerId, API key 22, versions 0-5. Gives an idempotent producer its id and epoch 0.
//!
//! - 1: throttled after the answer (KIP-219). 2: flexible. 3: the producer's present id and epoch (KIP-360).
//! - 4: PRODUCER_FENCED. 5: transactions of KIP-890.
//!
//! Transactions are not built yet: a transactional id gets UNSUPPORTED_VERSION, which clients take as final; a coordinator
//! error would be retried for ever.

use std::sync::Arc;

use bytes::Bytes;
use protocol_compat::ErrorCode;
use protocol_compat::messages::{InitProducerIdRequest, InitProducerIdResponse};

use crate::producer_id_manager::ProducerIdManager;
use crate::request::{Handled, RequestContext, ResponseFrame};

/// Answers when an id is there; at once unless a new block has to be asked for.
pub fn handle(producer_ids: &Arc<ProducerIdManager>, context: &RequestContext, body: Bytes) -> Handled {
    let request: InitProducerIdRequest = match context.decode(body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    if let Err(code) = check(&request) {
        return Handled::Now(refused(context, code));
    }
    let (producer_ids, context) = (producer_ids.clone(), context.clone());
    Handled::Exclusive(Box::pin(async move {
        match producer_ids.next_id().await {
            Ok(id) => {
                let response = InitProducerIdResponse::default()
                    .with_producer_id(id.into())
                    .with_producer_epoch(0);
                context.respond(&response)
            }
            Err(code) => refused(&context, code),
        }
    }))
}

fn check(request: &InitProducerIdRequest) -> Result<(), ErrorCode> {
    // Kafka takes the id and the epoch together or not at all.
    if (request.producer_id.0 == -1) != (request.producer_epoch == -1) {
        return Err(ErrorCode::InvalidRequest);
    }
    match &request.transactional_id {
        None => Ok(()),
        Some(id) if id.0.is_empty() => Err(ErrorCode::InvalidRequest),
        Some(_) => Err(ErrorCode::UnsupportedVersion),
    }
}

fn refused(context: &RequestContext, code: ErrorCode) -> ResponseFrame {
    let response = InitProducerIdResponse::default()
        .with_error_code(code.code())
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    context.respond(&response)
}
