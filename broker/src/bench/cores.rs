//! Threads on chosen cores, and what they cost.
//!
//! Processor time is that of the thread alone (`CLOCK_THREAD_CPUTIME_ID`), so that what else runs on the machine does not
//! count, though it does disturb.

use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::error::{BenchError, Doing};

/// A logical processor, by the kernel's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core(usize);

/// Where the two ends of something run.
#[derive(Clone, Copy, Debug)]
pub struct Placing {
    /// "two" or "one", for the table.
    pub cores: u8,
    /// Of the end under test: the one that a broker would be.
    pub here: Core,
    /// Of the other end.
    pub there: Core,
}

/// What a piece of work took.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// Time on the wall.
    pub wall: Duration,
    /// Time of its thread on a processor.
    pub cpu: Duration,
}

/// The kernel's numbers of the cores that this process may run on.
///
/// # Errors
/// The kernel's.
pub fn allowed() -> Result<Vec<usize>, BenchError> {
    let allowed = sched_getaffinity(None).doing("ask which cores may be used")?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .collect())
}

/// What a piece of work gave, and what it took.
pub type Measured<T> = (T, Spent);

/// The cores that the probe uses: the first two that this process may run on.
#[derive(Clone, Debug)]
pub struct Cores {
    first: Core,
    second: Option<Core>,
}

impl Cores {
    /// Asks the kernel.
    ///
    /// # Errors
    /// The kernel's.
    pub fn of_this_process() -> Result<Self, BenchError> {
        let mut usable = allowed()?.into_iter().map(Core);
        let first = usable.next().unwrap_or(Core(0));
        Ok(Self {
            first,
            second: usable.next(),
        })
    }

    /// The core of the end under test.
    pub fn first(&self) -> Core {
        self.first
    }

    /// Their numbers.
    pub fn numbers(&self) -> Vec<usize> {
        let second = self.second.map(|core| core.0);
        [self.first.0].into_iter().chain(second).collect()
    }

    /// Both ends apart if there are two cores, otherwise together.
    pub fn apart(&self) -> Placing {
        Placing {
            cores: if self.second.is_some() { 2 } else { 1 },
            here: self.first,
            there: self.second.unwrap_or(self.first),
        }
    }

    /// Both ends apart, if that is possible, then together.
    pub fn placings(&self) -> Vec<Placing> {
        let together = Placing {
            cores: 1,
            here: self.first,
            there: self.first,
        };
        let apart = self.second.map(|_| self.apart());
        apart.into_iter().chain([together]).collect()
    }
}

/// Runs work on a thread of its own on one core.
///
/// # Errors
/// Those of the work; [`BenchError::Thread`] if it panicked.
pub fn alone<T: Send>(
    core: Core,
    work: impl FnOnce() -> Result<T, BenchError> + Send,
) -> Result<Measured<T>, BenchError> {
    thread::scope(|scope| scope.spawn(|| pinned(core, work)).join()).map_err(|_| BenchError::Thread)?
}

/// Runs both ends of something at once and waits for both.
///
/// An end that fails must let go of what the other waits for (a connection closes when it is dropped).
///
/// # Errors
/// Those of the end under test first, as the other's may only follow from it.
pub fn side_by_side<A: Send, B: Send>(
    placing: Placing,
    here: impl FnOnce() -> Result<A, BenchError> + Send,
    there: impl FnOnce() -> Result<B, BenchError> + Send,
) -> Result<(Measured<A>, Measured<B>), BenchError> {
    let (here, there) = thread::scope(|scope| {
        let here = scope.spawn(move || pinned(placing.here, here));
        let there = scope.spawn(move || pinned(placing.there, there));
        (here.join(), there.join())
    });
    Ok((
        here.map_err(|_| BenchError::Thread)??,
        there.map_err(|_| BenchError::Thread)??,
    ))
}

fn pinned<T>(core: Core, work: impl FnOnce() -> Result<T, BenchError>) -> Result<Measured<T>, BenchError> {
    let mut only = CpuSet::new();
    only.set(core.0);
    sched_setaffinity(None, &only).doing("bind a thread to a core")?;
    let (began, cpu_before) = (Instant::now(), thread_cpu());
    let value = work()?;
    let spent = Spent {
        wall: began.elapsed(),
        cpu: thread_cpu().saturating_sub(cpu_before),
    };
    Ok((value, spent))
}

/// Processor time of this thread so far.
pub fn thread_cpu() -> Duration {
    duration(clock_gettime(ClockId::ThreadCPUTime))
}

/// Processor time of all threads of this process so far.
pub fn process_cpu() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

/// A clock that counts from zero has no negative part.
fn duration(time: Timespec) -> Duration {
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_on_a_core_pays_for_what_it_computes() {
        let core = Cores::of_this_process().expect("cores").first();
        let worked = || {
            let began = thread_cpu();
            while thread_cpu().saturating_sub(began) < Duration::from_millis(2) {}
            Ok(rustix::thread::sched_getcpu())
        };
        let (ran_on, spent) = alone(core, worked).expect("a thread");
        assert_eq!(ran_on, core.0);
        assert!(spent.cpu >= Duration::from_millis(2), "{spent:?}");
        assert!(spent.wall >= Duration::from_millis(1), "{spent:?}");
    }

    #[test]
    fn one_core_means_that_both_ends_share_it() {
        let cores = Cores {
            first: Core(3),
            second: None,
        };
        assert_eq!(cores.placings().len(), 1);
        assert_eq!(cores.apart().cores, 1);
        assert_eq!(cores.numbers(), [3]);
    }

    #[test]
    fn the_first_end_that_fails_is_named() {
        let placing = Cores::of_this_process().expect("cores").apart();
        let here = || -> Result<(), _> { Err(BenchError::Damaged { frame: 4 }) };
        let failed = side_by_side(placing, here, || Ok(())).map(drop);
        assert!(matches!(failed, Err(BenchError::Damaged { frame: 4 })));
    }
}
