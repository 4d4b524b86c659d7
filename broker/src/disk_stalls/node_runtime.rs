//! The runtime of a node: a worker for each processor, spare ones behind plugs, and the watchdog that lets them out.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Runtime};

use super::slots::Slots;
use super::spares::Spares;
use super::{DiskStalls, watchdog};
use crate::clock::Clock;

/// Spare workers: as many as there are workers, since one stall may hold all of them, but no more than serve every client of
/// a large machine for the moment in which they are needed.
const MOST_SPARES: usize = 4;
/// Threads beside the workers that may touch a partition: the one that waits for the runtime's end.
const OTHER_THREADS: usize = 1;

/// A runtime that goes on while a disk holds its workers.
pub struct NodeRuntime {
    /// Dropped behind everything that `drop` does: it waits for its workers.
    runtime: Runtime,
    stalls: Arc<DiskStalls>,
    spares: Arc<Spares>,
    watchdog: Option<JoinHandle<()>>,
}

impl NodeRuntime {
    /// Starts the threads, for a node with these log directories.
    ///
    /// # Errors
    /// The system gives no thread or no way to wait for sockets.
    pub fn start(directories: &[PathBuf]) -> io::Result<NodeRuntime> {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        NodeRuntime::with_workers(workers, directories)
    }

    /// The same, with so many workers that serve clients at a time.
    ///
    /// # Errors
    /// As [`NodeRuntime::start`].
    pub fn with_workers(workers: usize, directories: &[PathBuf]) -> io::Result<NodeRuntime> {
        let spare = workers.min(MOST_SPARES);
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers + spare)
            .enable_all()
            .build()?;
        let slots = Slots::new(workers, workers + spare, OTHER_THREADS);
        let stalls = DiskStalls::of(Clock::real(), slots, directories);
        let spares = Spares::new(spare);
        spares.let_out(0, runtime.handle());
        let mut started = NodeRuntime {
            runtime,
            stalls,
            spares,
            watchdog: None,
        };
        started.watchdog = Some(started.start_watchdog()?);
        Ok(started)
    }

    fn start_watchdog(&self) -> io::Result<JoinHandle<()>> {
        let (stalls, spares) = (self.stalls.clone(), self.spares.clone());
        let runtime = self.runtime.handle().clone();
        let watchdog = std::thread::Builder::new()
            .name("disk-watchdog".to_owned())
            .spawn(move || watchdog::run(&stalls, &spares, &runtime))?;
        // Nobody else sets it.
        self.stalls.watchdog.get_or_init(|| watchdog.thread().clone());
        Ok(watchdog)
    }

    /// What the workers of this runtime do on the disks.
    pub fn disk_stalls(&self) -> &Arc<DiskStalls> {
        &self.stalls
    }

    #[cfg(test)]
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(future)
    }

    /// Lets so many spare workers out, as the watchdog does.
    #[cfg(test)]
    pub(super) fn let_out(&self, workers: usize) {
        self.spares.let_out(workers, self.runtime.handle());
    }

    /// How many workers are to be kept back at the moment.
    #[cfg(test)]
    pub(super) fn kept_back(&self) -> usize {
        self.spares.wanted()
    }

    /// Runs a future to its end on the calling thread, beside everything that it spawns.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

impl Drop for NodeRuntime {
    fn drop(&mut self) {
        self.spares.close();
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.thread().unpark();
            // It panics with the process, if at all.
            watchdog.join().ok();
        }
    }
}
