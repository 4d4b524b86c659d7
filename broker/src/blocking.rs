//! Where work that blocks on the disk is done.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;

/// Does `work` on a thread that may block. On a runtime of one thread it is a task like every other: there the runtime alone
/// decides the order of all that happens, so that a simulated node does the same thing each time.
///
/// # Panics
/// Outside of a runtime.
pub(crate) fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => tokio::spawn(async move { work() }),
        _ => tokio::task::spawn_blocking(work),
    }
}
