//! A client that behaves, beside those that do not: it produces and fetches all the while, and every answer must be right.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::bench::client::{Client, Request, produce_error};
use crate::record_bytes::Batch;

/// What a record holds; found again in what is fetched.
const VALUE: &str = "a record of the client that behaves";

/// A client on a thread of its own.
pub struct SteadyClient {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Steady>>,
}

/// What it did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steady {
    /// Records produced and fetched again.
    pub rounds: u64,
    /// The longest time that one answer took.
    pub slowest: Duration,
    /// The time within which half of the answers came.
    pub median: Duration,
    /// The time within which 99 of 100 answers came.
    pub p99: Duration,
}

/// Everything that one client measured.
#[derive(Default)]
struct Measured {
    rounds: u64,
    took: Vec<Duration>,
}

impl Measured {
    fn sum_up(mut self) -> Steady {
        self.took.sort_unstable();
        let last = self.took.len().saturating_sub(1);
        let at = |hundredths: usize| {
            self.took
                .get(last * hundredths / 100)
                .copied()
                .unwrap_or_default()
        };
        Steady {
            rounds: self.rounds,
            slowest: at(100),
            median: at(50),
            p99: at(99),
        }
    }
}

impl SteadyClient {
    /// Creates its topic and begins.
    pub fn start(broker: SocketAddr) -> io::Result<SteadyClient> {
        SteadyClient::start_on(broker, "steady")
    }

    /// Creates a topic that nobody else has and begins.
    pub fn start_on(broker: SocketAddr, topic: &'static str) -> io::Result<SteadyClient> {
        let mut client = Client::connect(broker)?;
        client.call(&mut Request::create_topic(topic, 1))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut measured = Measured::default();
            while !stopped.load(Ordering::Relaxed) {
                round(&mut client, topic, &mut measured)?;
            }
            Ok(measured.sum_up())
        });
        Ok(SteadyClient { stop, thread })
    }

    /// Ends it, and says what it did.
    ///
    /// # Errors
    /// The first answer that was wrong, or did not come.
    pub fn stop(self) -> io::Result<Steady> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the client panicked")))
    }
}

fn round(client: &mut Client, topic: &str, measured: &mut Measured) -> io::Result<()> {
    let batch = Bytes::from(Batch::of(&[VALUE]).bytes());
    let began = Instant::now();
    let produced = produce_error(client.call(&mut Request::produce(topic, 0, -1, batch))?);
    if produced != Some(0) {
        return Err(io::Error::other(format!("produce: error {produced:?}")));
    }
    measured.took.push(began.elapsed());
    let began = Instant::now();
    let offset = i64::try_from(measured.rounds).unwrap_or(i64::MAX);
    let fetched = client.call(&mut Request::fetch(topic, 0, offset, 1 << 20))?;
    if !fetched
        .windows(VALUE.len())
        .any(|window| window == VALUE.as_bytes())
    {
        return Err(io::Error::other(format!("no record at offset {offset}")));
    }
    measured.took.push(began.elapsed());
    measured.rounds += 1;
    Ok(())
}
