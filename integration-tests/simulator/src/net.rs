//! The simulated network between clients and the node: connections of two byte streams with latency, a window, and faults.
//!
//! What is written arrives in order after the link's latency, at the link's rate; a full window stops the writer. A fault is
//! the link's: reset (both ends learn of it), half-open (nothing arrives any more, nobody learns of it), slow.

mod pipe;
mod stream;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use broker::network::transport::Acceptor;

use self::pipe::Link;
pub use self::stream::{NodeStream, SimStream};
use crate::rng::Rng;

/// Where the node listens.
pub const NODE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 9092);

/// How long a client waits to learn that nobody listens.
const REFUSED_AFTER: Duration = Duration::from_millis(1);

/// The network of one seed. Cloning yields the same one.
#[derive(Clone)]
pub struct SimNet(Arc<Mutex<State>>);

struct State {
    rng: Rng,
    /// Whether the port is open, and who waits there to be accepted.
    listening: Option<VecDeque<(NodeStream, SocketAddr)>>,
    acceptor: Option<Waker>,
    links: Vec<Arc<Link>>,
    next_port: u16,
    latency_us: u64,
}

/// What can happen to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// Both ends get an error.
    Reset,
    /// What is written from now on never arrives.
    HalfOpen,
    /// A kilobyte takes this many microseconds.
    Slow(u64),
}

impl SimNet {
    /// A network whose latencies the seed decides.
    pub fn new(seed: u64) -> SimNet {
        let mut rng = Rng::new(seed, "network");
        let latency_us = rng.between(20, 2_000);
        SimNet(Arc::new(Mutex::new(State {
            rng,
            listening: None,
            acceptor: None,
            links: Vec::new(),
            next_port: 10_000,
            latency_us,
        })))
    }

    /// Opens the node's port.
    pub fn listen(&self) -> SimListener {
        self.state().listening = Some(VecDeque::new());
        SimListener(self.clone())
    }

    /// Ends every connection and closes the port, as the death of the node's process does.
    pub fn node_died(&self) {
        let mut state = self.state();
        state.listening = None;
        state.acceptor = None;
        for link in state.links.drain(..) {
            link.reset();
        }
    }

    /// Lets a fault happen to one connection, or to all. The number of connections that it happened to.
    pub fn disturb(&self, fault: LinkFault, all: bool) -> usize {
        let mut state = self.state();
        state.links.retain(|link| !link.is_over());
        let links = state.links.clone();
        let chosen = match links.len() {
            0 => return 0,
            _ if all => links.as_slice(),
            count => {
                let at = state.rng.below(count as u64) as usize;
                &links[at..=at]
            }
        };
        for link in chosen {
            match fault {
                LinkFault::Reset => link.reset(),
                LinkFault::HalfOpen => link.swallow(),
                LinkFault::Slow(us_per_kib) => link.slow_down(us_per_kib),
            }
        }
        chosen.len()
    }

    /// Heals slow links, and ends those that are half open.
    pub fn heal(&self) {
        for link in &self.state().links {
            link.heal();
        }
    }

    /// Connects to the node.
    ///
    /// # Errors
    /// `ConnectionRefused` while nobody listens.
    pub async fn connect(&self) -> io::Result<SimStream> {
        let connected = self.try_connect();
        if connected.is_err() {
            tokio::time::sleep(REFUSED_AFTER).await;
        }
        connected
    }

    fn try_connect(&self) -> io::Result<SimStream> {
        let mut state = self.state();
        if state.listening.is_none() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let least_us = state.latency_us;
        let latency = Duration::from_micros(least_us + state.rng.below(least_us));
        state.next_port = state.next_port.checked_add(1).unwrap_or(10_001);
        let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 1, 1)), state.next_port);
        let link = Arc::new(Link::new(latency));
        state.links.push(link.clone());
        if let Some(waiting) = &mut state.listening {
            waiting.push_back((NodeStream::new(link.clone()), peer));
        }
        if let Some(acceptor) = state.acceptor.take() {
            acceptor.wake();
        }
        Ok(SimStream::new(link))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The node's open port.
pub struct SimListener(SimNet);

impl Acceptor for SimListener {
    type Stream = NodeStream;

    async fn accept(&self) -> io::Result<(NodeStream, SocketAddr)> {
        poll_fn(|context| {
            let mut state = self.0.state();
            let waiting = state.listening.as_mut().and_then(VecDeque::pop_front);
            match waiting {
                Some(connection) => Poll::Ready(Ok(connection)),
                None => {
                    state.acceptor = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.0.state().listening = None;
    }
}

#[cfg(test)]
mod tests;
