//! Latency of produce at a fixed rate: requests leave when they are due, whether or not earlier ones were answered, and
//! each latency counts from when its request was due, so that a stall counts for all who met it.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, Request, produce_error};
use crate::record_bytes::Batch;

/// Partitions of the topic that the load goes to, and connections, one each.
pub const PARTITIONS: i32 = 4;
const VALUE_BYTES: usize = 1000;

/// Latencies of one run, in order of size, each with when its request was due.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<(Duration, Instant)>);

impl Latencies {
    /// The latency that a part of the requests (0 to 1) did not exceed; zero if there were none.
    pub fn percentile(&self, part: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        let at = (part * last as f64).round() as usize;
        self.0
            .get(at.min(last))
            .map_or(Duration::ZERO, |(latency, _)| *latency)
    }

    /// Of the requests that were due in this time.
    pub fn within(mut self, times: &Range<Instant>) -> Latencies {
        self.0.retain(|(_, due)| times.contains(due));
        self
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Produces one record of 1 KiB `rate` times a second, acks=all, over as many connections as `topic` has partitions.
///
/// # Errors
/// The connections', and a refused record.
pub fn produce(address: SocketAddr, topic: &str, rate: u32, lasting: Duration) -> io::Result<Latencies> {
    produce_until(address, topic, rate, lasting, &AtomicBool::new(false))
}

/// The same, until `is_over` or for as long as `at_most`.
///
/// # Errors
/// The connections', and a refused record.
pub fn produce_until(
    address: SocketAddr,
    topic: &str,
    rate: u32,
    at_most: Duration,
    is_over: &AtomicBool,
) -> io::Result<Latencies> {
    let value = "x".repeat(VALUE_BYTES);
    let batch = bytes::Bytes::from(Batch::of(&[value.as_str()]).bytes());
    let interval = Duration::from_secs(1) * PARTITIONS as u32 / rate;
    let count = (at_most.as_secs_f64() / interval.as_secs_f64()) as u32;
    let begin = Instant::now() + Duration::from_millis(100);
    let mut all = Vec::new();
    thread::scope(|scope| {
        let mut connections = Vec::new();
        for partition in 0..PARTITIONS {
            // Evenly between the requests of the others.
            let begin = begin + interval * partition as u32 / PARTITIONS as u32;
            let due = move |number: u32| begin + interval * number;
            let mut sender = Client::connect(address)?;
            let mut receiver = sender.another_end()?;
            let mut request = Request::produce(topic, partition, -1, batch.clone());
            let ends = Arc::new(AtomicU32::new(count));
            let end = ends.clone();
            let sending = scope.spawn(move || {
                let mut number = 0;
                while number < end.load(Ordering::Acquire) {
                    thread::sleep(due(number).saturating_duration_since(Instant::now()));
                    if is_over.load(Ordering::Acquire) {
                        // Known before the last answer comes.
                        end.store(number + 1, Ordering::Release);
                    }
                    sender.send(&mut request, 1)?;
                    number += 1;
                }
                io::Result::Ok(())
            });
            let receiving = scope.spawn(move || {
                let latency = |number| {
                    let error = produce_error(receiver.receive()?);
                    if error != Some(0) {
                        return Err(io::Error::other(format!("produce: error {error:?}")));
                    }
                    Ok((due(number).elapsed(), due(number)))
                };
                let expected = (0..count).take_while(|number| *number < ends.load(Ordering::Acquire));
                expected.map(latency).collect::<io::Result<Vec<_>>>()
            });
            connections.push((sending, receiving));
        }
        let panicked = |_| io::Error::other("a thread panicked");
        for (sending, receiving) in connections {
            sending.join().map_err(panicked)??;
            all.extend(receiving.join().map_err(panicked)??);
        }
        io::Result::Ok(())
    })?;
    all.sort_unstable();
    Ok(Latencies(all))
}
