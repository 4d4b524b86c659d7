//! Runs scripts on connections, spread over a few threads, and takes what this process, the broker and others use of the
//! processors meanwhile.

use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::connection::Connection;
use super::control::{self, PATIENCE};
use super::error::LoadError;
use super::event_loop::{EventLoop, Pace};
use super::plan::Plan;
use super::process::Usage;
use super::requests::Frame;
use super::schedule::Schedule;
use super::script::{Cursor, Produce, Script};
use super::tally::{Period, Tally};
use crate::bench::cores::process_cpu;
use crate::bench::error::{BenchError, Doing};
use crate::bench::foreign_cpu::CpuTimes;

/// A thread serves at least so many connections before there is another.
const CONNECTIONS_PER_THREAD: usize = 4;

/// Files that this process has open beside connections.
const OTHER_FILES: u64 = 64;

/// The longest that a load may take which ends by itself.
const LONGEST: Duration = Duration::from_secs(3600);

/// What has one place in the schedule.
#[derive(Debug)]
pub enum Lane {
    /// One connection.
    One(Script),
    /// Two connections: what one produces arrives on the other.
    Pair(Produce, Cursor, Frame),
}

impl Lane {
    /// How many connections it takes.
    fn connections(&self) -> usize {
        match self {
            Lane::One(_) => 1,
            Lane::Pair(..) => 2,
        }
    }

    /// As the pair of this number on its thread, if it is one.
    fn scripts(self, pair: usize) -> Vec<Script> {
        match self {
            Lane::One(script) => vec![script],
            Lane::Pair(produce, cursor, frame) => {
                vec![Script::Send(produce, pair), Script::Arrive(cursor, frame, pair)]
            }
        }
    }
}

/// How lanes are run.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The broker's.
    pub address: SocketAddr,
    /// Unanswered requests of each connection at most.
    pub in_flight: usize,
    /// Requests due in a second on all lanes together; none in a closed loop.
    pub rate: Option<u64>,
    /// Before anything counts.
    pub warm_up: Duration,
    /// What is measured; none if the scripts end by themselves.
    pub measured: Option<Duration>,
    /// The broker's process.
    pub pid: Option<u32>,
}

impl Terms {
    /// As the plan says.
    pub fn of(plan: &Plan) -> Self {
        Self {
            address: plan.address,
            in_flight: plan.in_flight as usize,
            rate: plan.rate,
            warm_up: plan.warm_up(),
            measured: plan.measured(),
            pid: plan.pid,
        }
    }
}

/// What a run gave.
#[derive(Debug)]
pub struct Measured {
    /// Of all threads.
    pub tally: Tally,
    /// What was measured, by the clock.
    pub seconds: f64,
    /// Threads of the generator.
    pub threads: usize,
    /// Processor time of this process meanwhile.
    pub own_cpu_s: f64,
    /// The broker before and after; not there either if it has ended meanwhile.
    pub broker: Option<(Usage, Usage)>,
    /// The share of all processors that others used meanwhile, in percent: without the broker, if it is known.
    pub foreign_cpu_percent: f64,
}

/// A moment, and what was used up to it.
struct Look {
    at: Instant,
    times: CpuTimes,
    own_cpu: Duration,
    broker: Option<Usage>,
}

impl Look {
    fn now(pid: Option<u32>) -> Result<Self, BenchError> {
        Ok(Self {
            at: Instant::now(),
            times: CpuTimes::now()?,
            own_cpu: process_cpu(),
            broker: pid.map(Usage::of).transpose()?,
        })
    }
}

/// Connects all lanes, runs them, and waits until every request is answered or given up.
///
/// # Errors
/// If the broker can not be connected to, and the system's. What goes wrong with single connections later is in the tally.
pub fn run(lanes: Vec<Lane>, terms: &Terms) -> Result<Measured, LoadError> {
    let connections: usize = lanes.iter().map(Lane::connections).sum();
    allow_open_files(connections)?;
    let threads = threads_for(connections).min(lanes.len().max(1));
    let turns = lanes.len() as u64;
    let mut shares: Vec<Share> = (0..threads).map(|_| Share::default()).collect();
    for (turn, lane) in lanes.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(turn % threads) {
            share.take(lane, turn as u64, terms)?;
        }
    }
    let period = period(terms);
    let pace = match terms.rate {
        None => Pace::Closed,
        Some(rate) => Pace::Open(Schedule::new(period.start, rate, turns)),
    };
    let mut loops = Vec::with_capacity(threads);
    for share in shares {
        loops.push(EventLoop::new(share.connections, share.pairs, pace, period)?);
    }
    watch(loops, &period, terms.pid)
}

fn period(terms: &Terms) -> Period {
    let start = Instant::now();
    let measure_from = start + terms.warm_up;
    let until = measure_from + terms.measured.unwrap_or(LONGEST);
    Period {
        start,
        measure_from,
        until,
        give_up: until + PATIENCE,
    }
}

/// The connections of a thread, connected.
#[derive(Default)]
struct Share {
    connections: Vec<Connection>,
    pairs: usize,
}

impl Share {
    fn take(&mut self, lane: Lane, turn: u64, terms: &Terms) -> Result<(), LoadError> {
        let is_pair = matches!(lane, Lane::Pair(..));
        for script in lane.scripts(self.pairs) {
            let stream = control::connect(terms.address)?;
            let connection =
                Connection::new(stream, turn, script, terms.in_flight).doing("prepare a connection")?;
            self.connections.push(connection);
        }
        self.pairs += usize::from(is_pair);
        Ok(())
    }
}

fn threads_for(connections: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    connections.div_ceil(CONNECTIONS_PER_THREAD).clamp(1, cores)
}

/// Runs the loops and looks at the processors when the measured time begins and when it ends.
fn watch(loops: Vec<EventLoop>, period: &Period, pid: Option<u32>) -> Result<Measured, LoadError> {
    let threads = loops.len();
    let (ended, ends) = mpsc::channel();
    thread::scope(|scope| {
        let mut running = Vec::with_capacity(threads);
        for event_loop in loops {
            let ended = ended.clone();
            running.push(scope.spawn(move || {
                // Dropped when the loop has ended, however it did.
                let _ended = ended;
                event_loop.run()
            }));
        }
        drop(ended);
        wait_until(period.measure_from, &ends);
        let before = Look::now(pid);
        wait_until(period.until, &ends);
        let after = Look::now(pid).or_else(|_| Look::now(None));
        let mut tally = Tally::new();
        for one in running {
            tally.add(&one.join().map_err(|_| BenchError::Thread)??);
        }
        Ok(measured(tally, threads, period, &before?, &after?))
    })
}

/// Until the moment, or until no thread runs any more.
fn wait_until(moment: Instant, ends: &mpsc::Receiver<()>) {
    let left = moment.saturating_duration_since(Instant::now());
    match ends.recv_timeout(left) {
        Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
    }
}

fn measured(tally: Tally, threads: usize, period: &Period, before: &Look, after: &Look) -> Measured {
    let broker = before.broker.zip(after.broker);
    let broker_cpu_s = broker.map_or(0.0, |(before, after)| after.cpu_s - before.cpu_s);
    Measured {
        tally,
        seconds: after
            .at
            .min(period.until)
            .saturating_duration_since(period.measure_from)
            .as_secs_f64(),
        threads,
        own_cpu_s: after.own_cpu.saturating_sub(before.own_cpu).as_secs_f64(),
        broker,
        foreign_cpu_percent: after.times.foreign_percent_beside(&before.times, broker_cpu_s),
    }
}

/// Lets this process have so many connections.
///
/// # Errors
/// A refusal, if the system's hard limit is lower.
pub fn allow_open_files(connections: usize) -> Result<(), LoadError> {
    let needed = connections as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        return Err(LoadError::Refused(format!(
            "{connections} connections need {needed} open files, and this process may have {} (ulimit -Hn)",
            limit.maximum.unwrap_or(0)
        )));
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised).doing("raise the limit on open files")?)
}
