//! The pace of a client: how long it waits between two steps. What a step is, each client decides.

use std::time::Duration;

use tokio::time::sleep;

use crate::client::Failure;
use crate::rng::Rng;

/// Waits, in virtual time, below `most_ms` milliseconds after a step that was answered, and longer after one that was not.
pub async fn pause(rng: &mut Rng, step: Result<(), Failure>, most_ms: u64) {
    let pause_ms = match step {
        Ok(()) => rng.below(most_ms),
        Err(_) => rng.between(50, 400),
    };
    sleep(Duration::from_millis(pause_ms)).await;
}
