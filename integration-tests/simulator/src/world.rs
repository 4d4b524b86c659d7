//! What an actor sees of the simulated world, and what an actor is.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use crate::history::History;
use crate::net::{SimNet, SimStream};
use crate::rng::Rng;
use crate::time::SimTime;
use crate::trace::Trace;

/// What is asked of the actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Work; anything may fail.
    Working,
    /// Nothing fails any more: finish what is open and come to an end.
    Healing,
}

/// A client whose memory outlives the node's process.
pub trait Actor {
    /// Its name, unlike every other's in the seed.
    fn name(&self) -> String;

    /// Works until its work is done or the future is dropped, which may happen at any await: what was sent and not answered
    /// is then unknown.
    fn live<'a>(&'a mut self, world: World) -> LocalBoxFuture<'a, ()>;
}

/// The simulated world. Cheap to clone.
#[derive(Clone)]
pub struct World(Rc<Inner>);

struct Inner {
    seed: u64,
    flushed: bool,
    net: SimNet,
    time: &'static SimTime,
    life: Cell<u32>,
    phase: Cell<Phase>,
    history: RefCell<History>,
    trace: Trace,
}

impl World {
    /// The world of `seed`. In `flushed` mode a record is on the disk before it is acknowledged.
    pub fn new(seed: u64, flushed: bool, net: SimNet, trace: Trace) -> World {
        World(Rc::new(Inner {
            seed,
            flushed,
            net,
            time: SimTime::of_this_process(),
            life: Cell::new(0),
            phase: Cell::new(Phase::Working),
            history: RefCell::new(History::new(flushed)),
            trace,
        }))
    }

    /// Connects to the node.
    ///
    /// # Errors
    /// `ConnectionRefused` while no node listens.
    pub async fn connect(&self, client: &str) -> io::Result<SimStream> {
        let connected = self.0.net.connect().await;
        if connected.is_err() {
            self.trace(format_args!("{client}: nobody listens"));
        }
        connected
    }

    /// Virtual milliseconds since the seed began; spans lives, never goes back.
    pub fn now_ms(&self) -> i64 {
        i64::try_from(self.0.time.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// A generator of one's own.
    pub fn rng(&self, name: &str) -> Rng {
        Rng::new(self.0.seed, name)
    }

    /// The number of the node's life, from 0.
    pub fn life(&self) -> u32 {
        self.0.life.get()
    }

    /// What is asked of the actors.
    pub fn phase(&self) -> Phase {
        self.0.phase.get()
    }

    /// Whether acknowledged means on the disk.
    pub fn is_flushed_mode(&self) -> bool {
        self.0.flushed
    }

    /// What every client did and saw.
    pub fn history(&self) -> &RefCell<History> {
        &self.0.history
    }

    /// Adds a line to the readable trace, where one is kept.
    pub fn trace(&self, args: fmt::Arguments<'_>) {
        self.0.trace.line(self.now_ms(), self.life(), args);
    }

    /// The network, for whoever disturbs it.
    pub fn net(&self) -> &SimNet {
        &self.0.net
    }

    /// The time, for whoever bends it.
    pub fn time(&self) -> &'static SimTime {
        self.0.time
    }

    /// The trace.
    pub fn trace_of(&self) -> &Trace {
        &self.0.trace
    }

    /// Begins the life with number `life`.
    pub fn begin_life(&self, life: u32, phase: Phase) {
        self.0.life.set(life);
        self.0.phase.set(phase);
    }
}
