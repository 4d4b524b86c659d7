//! How soon a node with many committed offsets serves again, after a clean stop and after a kill, and what they cost in memory.

use std::io;
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::client::{Client, Request};
use super::process;
use super::recovery::{await_ready, start};
use crate::metrics;
use crate::node::terminate;

const TOPIC: &str = "offsets";
/// Offsets of one group, all in one request.
const OFFSETS_PER_GROUP: i32 = 100;
/// Requests on the way at a time.
const PIPELINE: usize = 64;
/// A node that is not there by then does not come.
const PATIENCE: Duration = Duration::from_secs(120);

/// What one restart took.
#[derive(Clone, Copy, Debug)]
pub struct Restarted {
    /// From the call that starts the process to the first accepted connection.
    pub listening: Duration,
    /// And to the offsets of one group.
    pub fetched: Duration,
    /// And until `/readyz` says yes.
    pub ready: Duration,
    /// Resident memory two seconds later.
    pub resident_bytes: u64,
}

/// What was found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Offsets that were committed.
    pub count: u32,
    /// How long that took.
    pub committed_in: Duration,
    /// Memory of the store behind the commits, and at most.
    pub store_bytes: f64,
    /// Its bound.
    pub store_bytes_limit: f64,
    /// Resident memory behind the commits.
    pub resident_bytes: u64,
    /// After SIGTERM.
    pub stopped: Restarted,
    /// After SIGKILL.
    pub killed: Restarted,
}

/// Starts `command`, commits `count` offsets, and starts it again after a clean stop and after a kill.
pub fn measure(
    command: &mut Command,
    address: SocketAddr,
    http: SocketAddr,
    count: u32,
) -> io::Result<Found> {
    let groups = count.div_ceil(OFFSETS_PER_GROUP as u32);
    let mut first = start(command)?;
    let began = Instant::now();
    let committed = await_ready(http, began).and_then(|()| {
        let committed_in = commit(address, groups)?;
        let scraped = metrics::scrape(http)?;
        let store = |name| metrics::value(&scraped, name).unwrap_or(f64::NAN);
        let used = store("kafka_coordinator_group_offset_store_memory_bytes");
        let limit = store("kafka_coordinator_group_offset_store_memory_limit_bytes");
        Ok((committed_in, used, limit, process::resident_bytes(first.id())?))
    });
    terminate(&mut first)?;
    let (committed_in, store_bytes, store_bytes_limit, resident_bytes) = committed?;
    let began = Instant::now();
    let mut second = start(command)?;
    let stopped = look(&second, began, address, http, groups);
    // So that the kill finds rows that are in no table.
    let more = commit(address, groups.div_ceil(100));
    second.kill()?;
    second.wait()?;
    let (stopped, _) = (stopped?, more?);
    let began = Instant::now();
    let mut third = start(command)?;
    let killed = look(&third, began, address, http, groups);
    third.kill()?;
    third.wait()?;
    Ok(Found {
        count: groups * OFFSETS_PER_GROUP as u32,
        committed_in,
        store_bytes,
        store_bytes_limit,
        resident_bytes,
        stopped,
        killed: killed?,
    })
}

fn group(index: u32) -> String {
    format!("group-{index}")
}

/// Commits the offsets of so many groups.
fn commit(address: SocketAddr, groups: u32) -> io::Result<Duration> {
    let mut client = Client::connect(address)?;
    client.call(&mut Request::create_topic(TOPIC, OFFSETS_PER_GROUP))?;
    let began = Instant::now();
    let mut answers = 0;
    for index in 0..groups {
        let mut request = Request::offset_commit(&group(index), TOPIC, OFFSETS_PER_GROUP, i64::from(index));
        client.send(&mut request, 1)?;
        if index as usize + 1 >= PIPELINE {
            all_committed(client.receive()?)?;
            answers += 1;
        }
    }
    for _ in answers..groups {
        all_committed(client.receive()?)?;
    }
    Ok(began.elapsed())
}

/// Every partition's error code in an answer of the version used here is 0.
fn all_committed(answer: &[u8]) -> io::Result<()> {
    // Correlation id, throttle time, topic count, name with its length, partition count; then index and code of each.
    let rows = answer.get(4 + 4 + 4 + 2 + TOPIC.len() + 4..).unwrap_or_default();
    let (rows, rest) = rows.as_chunks::<6>();
    let is_whole = rows.len() == OFFSETS_PER_GROUP as usize && rest.is_empty();
    if is_whole && rows.iter().all(|row| row[4..] == [0, 0]) {
        return Ok(());
    }
    Err(io::Error::other("offsets were not committed"))
}

/// Watches a process that was just started.
fn look(
    process: &Child,
    began: Instant,
    address: SocketAddr,
    http: SocketAddr,
    groups: u32,
) -> io::Result<Restarted> {
    let readiness = std::thread::spawn(move || await_ready(http, began).map(|()| began.elapsed()));
    let mut client = loop {
        match Client::connect(address) {
            Ok(client) => break client,
            Err(error) if began.elapsed() > PATIENCE => return Err(error),
            Err(_) => {}
        }
    };
    let listening = began.elapsed();
    let last = groups - 1;
    let answer = client.call(&mut Request::offset_fetch(&group(last)))?;
    let fetched = began.elapsed();
    let offset = i64::from(last).to_be_bytes();
    if answer.windows(8).filter(|bytes| *bytes == offset).count() < OFFSETS_PER_GROUP as usize {
        return Err(io::Error::other("offsets are missing after a restart"));
    }
    let ready = readiness
        .join()
        .map_err(|_| io::Error::other("the watcher of /readyz panicked"))??;
    // The figure is about an idle node: let what the start set off come to its end.
    std::thread::sleep(Duration::from_secs(2));
    Ok(Restarted {
        listening,
        fetched,
        ready,
        resident_bytes: process::resident_bytes(process.id())?,
    })
}
