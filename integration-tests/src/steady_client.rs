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

const TOPIC: &str = "steady";
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
}

impl SteadyClient {
    /// Creates its topic and begins.
    pub fn start(broker: SocketAddr) -> io::Result<SteadyClient> {
        let mut client = Client::connect(broker)?;
        client.call(&mut Request::create_topic(TOPIC, 1))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut steady = Steady::default();
            while !stopped.load(Ordering::Relaxed) {
                round(&mut client, &mut steady)?;
            }
            Ok(steady)
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

fn round(client: &mut Client, steady: &mut Steady) -> io::Result<()> {
    let batch = Bytes::from(Batch::of(&[VALUE]).bytes());
    let began = Instant::now();
    let produced = produce_error(client.call(&mut Request::produce(TOPIC, 0, -1, batch))?);
    if produced != Some(0) {
        return Err(io::Error::other(format!("produce: error {produced:?}")));
    }
    steady.slowest = steady.slowest.max(began.elapsed());
    let began = Instant::now();
    let offset = i64::try_from(steady.rounds).unwrap_or(i64::MAX);
    let fetched = client.call(&mut Request::fetch(TOPIC, 0, offset, 1 << 20))?;
    if !fetched
        .windows(VALUE.len())
        .any(|window| window == VALUE.as_bytes())
    {
        return Err(io::Error::other(format!("no record at offset {offset}")));
    }
    steady.slowest = steady.slowest.max(began.elapsed());
    steady.rounds += 1;
    Ok(())
}
