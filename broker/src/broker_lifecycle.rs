//! This broker's place in the cluster: its registration at a start.
//!
//! The registration's offset is the broker's epoch (rule C4): a later life has a larger one, and what an earlier life
//! still says is refused by it. The first registration of an empty log also brings the cluster's feature levels, in the
//! same entry, so that no image has brokers and no features.

use metadata::controller::{ApiError, BrokerRegistration};
use thiserror::Error;

use crate::controller_server::{ControllerError, ControllerHandle};

/// Why a broker could not register.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum RegistrationError {
    /// The controller could not be asked.
    #[error("could not register with the controller: {0}")]
    Controller(#[from] ControllerError),
    /// The controller refused.
    #[error("the controller refused this broker's registration with {}: {}", .0.code.name(), .0.message.as_deref().unwrap_or_default())]
    Refused(ApiError),
}

/// Registers this life of the broker and returns its epoch. When it returns, the published image holds the broker.
///
/// # Errors
/// [`RegistrationError`].
pub async fn register_broker(
    controller: &ControllerHandle,
    registration: BrokerRegistration,
) -> Result<i64, RegistrationError> {
    let decided = controller.write_at(move |controller, _now_ms, _ids| {
        let mut decision = controller.register_broker(registration);
        if decision.response.is_ok() {
            let registered = std::mem::replace(&mut decision.records, controller.bootstrap().records);
            decision.records.extend(registered);
        }
        decision
    });
    let (epoch, outcome) = decided.await?;
    outcome.map(|()| epoch).map_err(RegistrationError::Refused)
}
