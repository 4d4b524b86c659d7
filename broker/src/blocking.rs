//! Where work that blocks on the disk is done.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;

/// How much a thread that works aside gives way to those that serve clients (`nice`): it gets a tenth of the processor that
/// it shares with one of them, and all of one that is free.
const ASIDE_NICENESS: i32 = 10;
/// Linux knows none above.
const MOST_NICENESS: i32 = 19;

thread_local! {
    static DELAY: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static IS_HERE: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread does such work at the moment: nobody else waits for it.
pub(crate) fn is_on_this_thread() -> bool {
    IS_HERE.get()
}

/// The thread does such work until this is dropped.
struct Here;

impl Here {
    fn begin() -> Here {
        IS_HERE.set(true);
        Here
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        IS_HERE.set(false);
    }
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
        _ => tokio::task::spawn_blocking(|| {
            let _here = Here::begin();
            work()
        }),
    }
}

/// Lowers the calling thread's priority.
fn give_way() -> io::Result<()> {
    let usual = getpriority_process(None)?;
    Ok(setpriority_process(
        None,
        usual.saturating_add(ASIDE_NICENESS).min(MOST_NICENESS),
    )?)
}

/// Like [`spawn`], for long work that nobody waits for: on a thread of its own, which gives way to those that serve clients
/// where there are not enough processors for all. The result is an error where no thread could be started.
///
/// # Panics
/// Outside of a runtime.
pub(crate) fn spawn_aside<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<io::Result<T>> {
    let runtime = Handle::current();
    if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return spawn(move || Ok(work()));
    }
    // Niceness cannot be taken back without a privilege: such a thread never becomes one of the runtime's.
    spawn(move || {
        let work_aside = move || {
            if let Err(cause) = give_way() {
                tracing::warn!(thread = name, %cause, "a thread keeps the usual priority");
            }
            let _runtime = runtime.enter();
            let _here = Here::begin();
            work()
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(work_aside)?;
        thread.join().or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_thread_aside_gives_way_and_no_thread_of_the_runtime_does() {
        let niceness = || getpriority_process(None).unwrap();
        let usual = spawn(niceness).await.unwrap();
        let aside = spawn_aside("aside", niceness).await.unwrap().unwrap();
        assert_eq!(aside, (usual + ASIDE_NICENESS).min(MOST_NICENESS));
        assert_eq!(spawn(niceness).await.unwrap(), usual);
    }
}
