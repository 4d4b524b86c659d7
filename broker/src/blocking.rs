//! Where work that blocks on the disk is done.

use std::cell::Cell;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;

thread_local! {
    static DELAY: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// From now on work on this thread's runtime begins so much later, as behind a slow disk, while everything else goes on. It
/// concerns runtimes of one thread only: a simulated node's.
pub fn delay_on_this_thread(delay: Duration) {
    DELAY.set(delay);
}

/// Does `work` on a thread that may block. On a runtime of one thread it is a task like every other: there the runtime alone
/// decides the order of all that happens, so that a simulated node does the same thing each time.
///
/// # Panics
/// Outside of a runtime.
pub(crate) fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => {
            let delay = DELAY.get();
            tokio::spawn(async move {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                work()
            })
        }
        _ => tokio::task::spawn_blocking(work),
    }
}
