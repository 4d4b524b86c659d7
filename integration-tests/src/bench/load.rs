//! Produce and fetch as fast as the broker answers, with a fixed number of requests in flight.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::client::{Client, Request, produce_error};
use super::process;
use crate::record_bytes::Batch;

const PARTITIONS: i32 = 16;
const CONNECTIONS: i32 = 8;
const IN_FLIGHT: i32 = 5;
const RECORDS_PER_BATCH: usize = 16;
const RECORD_BYTES: usize = 1000;
const FETCH_BYTES: i32 = 1 << 20;

/// A rate, and what it cost the broker.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Bytes that the load moved.
    pub bytes: u64,
    /// Bytes per second.
    pub bytes_per_second: f64,
    /// Requests per second.
    pub requests_per_second: f64,
    /// CPU seconds of the broker per gigabyte.
    pub cpu_seconds_per_gb: f64,
}

/// Produces `total_bytes` in 16 KiB batches, acks=1, to 16 partitions of `topic` over 8 connections with 5 in flight each.
pub fn produce(address: SocketAddr, pid: u32, topic: &str, total_bytes: u64) -> io::Result<Rate> {
    Client::connect(address)?.call(&mut Request::create_topic(topic, PARTITIONS))?;
    let value = "x".repeat(RECORD_BYTES);
    let batch = Bytes::from(Batch::of(&[value.as_str(); RECORDS_PER_BATCH]).bytes());
    let requests_each = i32::try_from(total_bytes / batch.len() as u64).unwrap_or(i32::MAX) / CONNECTIONS;
    let mut first = Client::connect(address)?;
    for partition in 0..PARTITIONS {
        first.produce_once_led(&mut Request::produce(topic, partition, 1, batch.clone()))?;
    }
    timed(pid, |connection| {
        let mut requests: Vec<Request> = (0..PARTITIONS / CONNECTIONS)
            .map(|n| Request::produce(topic, connection + n * CONNECTIONS, 1, batch.clone()))
            .collect();
        let mut client = Client::connect(address)?;
        for number in 0..requests_each + IN_FLIGHT {
            if number < requests_each {
                let turn = number as usize % requests.len();
                client.send(&mut requests[turn], number)?;
            }
            if number >= IN_FLIGHT {
                let error = produce_error(client.receive()?);
                if error != Some(0) {
                    return Err(io::Error::other(format!("produce: error {error:?}")));
                }
            }
        }
        Ok((requests_each as u64 * batch.len() as u64, requests_each as u64))
    })
}

/// Fetches everything that [`produce`] wrote, in answers of up to 1 MiB, over 8 connections.
pub fn fetch(address: SocketAddr, pid: u32, topic: &str, total_bytes: u64) -> io::Result<Rate> {
    let value = "x".repeat(RECORD_BYTES);
    let batch_bytes = Batch::of(&[value.as_str(); RECORDS_PER_BATCH]).bytes().len() as u64;
    let requests_each = total_bytes / batch_bytes / CONNECTIONS as u64;
    let records_each = (requests_each / (PARTITIONS / CONNECTIONS) as u64 * RECORDS_PER_BATCH as u64) as i64;
    timed(pid, |connection| {
        let mut client = Client::connect(address)?;
        let (mut bytes, mut requests) = (0, 0);
        for n in 0..PARTITIONS / CONNECTIONS {
            let mut offset = 0;
            while offset < records_each {
                let mut request = Request::fetch(topic, connection + n * CONNECTIONS, offset, FETCH_BYTES);
                let answer = client.call(&mut request)?;
                // What is not a whole batch is the answer's head: the next offset follows from the batches.
                let batches = answer.len() as u64 / batch_bytes;
                if batches == 0 {
                    return Err(io::Error::other(format!(
                        "nothing at offset {offset} of {records_each}"
                    )));
                }
                offset += (batches * RECORDS_PER_BATCH as u64) as i64;
                bytes += answer.len() as u64;
                requests += 1;
            }
        }
        Ok((bytes, requests))
    })
}

/// Runs one thread per connection and puts their bytes and requests over the time of all.
fn timed(pid: u32, work: impl Fn(i32) -> io::Result<(u64, u64)> + Sync) -> io::Result<Rate> {
    let cpu_before = process::cpu_seconds(pid)?;
    let began = Instant::now();
    let results: Vec<io::Result<(u64, u64)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                scope.spawn({
                    let work = &work;
                    move || work(connection)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
            })
            .collect()
    });
    let seconds = began.elapsed().as_secs_f64();
    let cpu = process::cpu_seconds(pid)? - cpu_before;
    let (mut bytes, mut requests) = (0, 0);
    for result in results {
        let (some_bytes, some_requests) = result?;
        bytes += some_bytes;
        requests += some_requests;
    }
    Ok(Rate {
        bytes,
        bytes_per_second: bytes as f64 / seconds,
        requests_per_second: requests as f64 / seconds,
        cpu_seconds_per_gb: cpu / (bytes as f64 / 1e9),
    })
}
