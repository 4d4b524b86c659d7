//! `cpu`: the small steps of which every request is made, each alone.
//!
//! What never waits is divided by processor time, so that only wake-ups and hand-overs depend on who else runs.

use std::hint::black_box;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use serde::Serialize;

use super::cores::{Cores, Placing, alone, process_cpu, side_by_side};
use super::error::{BenchError, Doing};
use super::options::Scale;
use super::percentiles::{Durations, Percentiles};

/// From one record to a large batch.
const CRC_BYTES: [usize; 4] = [256, 4 << 10, 64 << 10, 1 << 20];

/// Inside a core's own cache.
const CACHED_COPY_BYTES: usize = 64 << 10;

/// Wake-ups and hand-overs in one row at most.
const MAX_HOPS: usize = 1_000_000;

/// Calls between two looks at the clock.
const CALLS_PER_LOOK: u32 = 1_000;

/// All figures of a core.
#[derive(Clone, Debug, Serialize)]
pub struct Cpu {
    /// CRC-32C, with the code that checks record batches.
    pub crc32c: Vec<Speed>,
    /// Copying within memory; a gigabyte is counted once though it is read and written.
    pub memcpy: Vec<Speed>,
    /// `getppid`, which does nothing: what it costs to enter the kernel and leave it.
    pub system_call_ns: f64,
    /// Between two threads: from writing to an eventfd until the thread that waits on it runs. Half of a round trip.
    pub eventfd_wake: Vec<Wake>,
    /// From an async task to a thread that may block, and back.
    pub spawn_blocking: Hop,
}

/// Bytes in a second of processor time.
#[derive(Clone, Debug, Serialize)]
pub struct Speed {
    /// At a time.
    pub bytes: usize,
    /// 10^9 bytes a second.
    pub gb_per_s: f64,
}

/// A wake-up.
#[derive(Clone, Debug, Serialize)]
pub struct Wake {
    /// Whether both threads had a core each.
    pub cores: u8,
    /// Until the other runs.
    #[serde(flatten)]
    pub took: Percentiles,
}

/// A hand-over and the way back.
#[derive(Clone, Debug, Serialize)]
pub struct Hop {
    /// There and back.
    #[serde(flatten)]
    pub took: Percentiles,
    /// Processor time of all threads.
    pub cpu_us: f64,
}

/// Every step.
///
/// # Errors
/// The system's.
pub fn measure(cores: &Cores, scale: &Scale) -> Result<Cpu, BenchError> {
    let mut crc32c = Vec::new();
    for bytes in CRC_BYTES {
        crc32c.push(checksum(cores, bytes, scale.cpu_time)?);
    }
    let mut memcpy = Vec::new();
    for bytes in [CACHED_COPY_BYTES, scale.copy_bytes] {
        memcpy.push(copy(cores, bytes, scale.cpu_time)?);
    }
    let mut eventfd_wake = Vec::new();
    for placing in cores.placings() {
        eventfd_wake.push(wake(placing, scale.cpu_time)?);
    }
    Ok(Cpu {
        crc32c,
        memcpy,
        system_call_ns: system_call(cores, scale.cpu_time)?,
        eventfd_wake,
        spawn_blocking: spawn_blocking(scale.cpu_time)?,
    })
}

fn checksum(cores: &Cores, bytes: usize, time: Duration) -> Result<Speed, BenchError> {
    let data = vec![0x5A_u8; bytes];
    speed(cores, bytes, time, || {
        black_box(crc32c::crc32c(black_box(&data)));
    })
}

fn copy(cores: &Cores, bytes: usize, time: Duration) -> Result<Speed, BenchError> {
    let from = vec![0x5A_u8; bytes];
    let mut to = vec![0xA5_u8; bytes];
    speed(cores, bytes, time, || {
        black_box(&mut to).copy_from_slice(black_box(&from));
    })
}

/// How fast `step` handles its bytes. It looks at the clock once in some 64 KiB.
fn speed(
    cores: &Cores,
    bytes: usize,
    time: Duration,
    mut step: impl FnMut() + Send,
) -> Result<Speed, BenchError> {
    let steps_per_look = (CACHED_COPY_BYTES / bytes).max(1);
    let (steps, spent) = alone(cores.first(), || {
        let began = Instant::now();
        let mut steps = 0_usize;
        while began.elapsed() < time {
            for _ in 0..steps_per_look {
                step();
            }
            steps += steps_per_look;
        }
        Ok(steps)
    })?;
    Ok(Speed {
        bytes,
        gb_per_s: steps as f64 * bytes as f64 / spent.cpu.as_secs_f64() / 1e9,
    })
}

fn system_call(cores: &Cores, time: Duration) -> Result<f64, BenchError> {
    let (calls, spent) = alone(cores.first(), || {
        let began = Instant::now();
        let mut calls = 0_u64;
        while began.elapsed() < time {
            for _ in 0..CALLS_PER_LOOK {
                black_box(rustix::process::getppid());
            }
            calls += u64::from(CALLS_PER_LOOK);
        }
        Ok(calls)
    })?;
    Ok(spent.cpu.as_secs_f64() * 1e9 / calls as f64)
}

/// What the thread that answers writes; the one that asks says [`ENOUGH`] in the end.
const AGAIN: u64 = 1;
const ENOUGH: u64 = 2;

/// Two threads wake each other in turn until the time is up.
///
/// Neither can be left waiting: reading and writing eight bytes of an open eventfd does not fail.
fn wake(placing: Placing, time: Duration) -> Result<Wake, BenchError> {
    let (there, back) = (signal()?, signal()?);
    let ask = || {
        let mut durations = Durations::with_capacity(1 << 16);
        let began = Instant::now();
        loop {
            let asked = Instant::now();
            write_signal(&there, AGAIN)?;
            read_signal(&back)?;
            durations.push(asked.elapsed() / 2);
            if began.elapsed() >= time || durations.count() >= MAX_HOPS {
                write_signal(&there, ENOUGH)?;
                return Ok(durations);
            }
        }
    };
    let answer = || {
        while read_signal(&there)? != ENOUGH {
            write_signal(&back, AGAIN)?;
        }
        Ok(())
    };
    let ((durations, _), _) = side_by_side(placing, ask, answer)?;
    Ok(Wake {
        cores: placing.cores,
        took: durations.percentiles(),
    })
}

fn signal() -> Result<OwnedFd, BenchError> {
    eventfd(0, EventfdFlags::CLOEXEC).doing("make an eventfd")
}

fn write_signal(to: impl AsFd, value: u64) -> Result<(), BenchError> {
    rustix::io::write(to, &value.to_ne_bytes())
        .map(drop)
        .doing("write to an eventfd")
}

fn read_signal(from: impl AsFd) -> Result<u64, BenchError> {
    let mut value = [0_u8; 8];
    rustix::io::read(from, &mut value).doing("read an eventfd")?;
    Ok(u64::from_ne_bytes(value))
}

/// On a runtime like the node's, from a task on one of its workers.
fn spawn_blocking(time: Duration) -> Result<Hop, BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .build()
        .doing("start a runtime")?;
    let cpu_before = process_cpu();
    let hops = runtime.block_on(runtime.spawn(async move {
        let mut durations = Durations::with_capacity(1 << 16);
        let began = Instant::now();
        while began.elapsed() < time && durations.count() < MAX_HOPS {
            let left = Instant::now();
            tokio::task::spawn_blocking(|| ()).await?;
            durations.push(left.elapsed());
        }
        Ok::<_, tokio::task::JoinError>(durations)
    }));
    let cpu = process_cpu().saturating_sub(cpu_before);
    let durations = hops.and_then(|hops| hops).map_err(|_| BenchError::Thread)?;
    let cpu_us = cpu.as_secs_f64() * 1e6 / durations.count().max(1) as f64;
    Ok(Hop {
        took: durations.percentiles(),
        cpu_us,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_wake_each_other_until_the_time_is_up() {
        for placing in Cores::of_this_process().expect("cores").placings() {
            let found = wake(placing, Duration::from_millis(3)).expect("a wake-up");
            assert!(
                found.took.p50_us > 0.0 && found.took.p99_us >= found.took.p50_us,
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_system_call_takes_nanoseconds() {
        let cores = Cores::of_this_process().expect("cores");
        let ns = system_call(&cores, Duration::from_millis(1)).expect("a figure");
        assert!((1.0..1e6).contains(&ns), "{ns}");
    }
}
