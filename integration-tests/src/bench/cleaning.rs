//! What it costs a broker to compact one log: CPU of the thread that does it and of the whole process, time, bytes.
//!
//! The same records go to every broker in the same batches. The topic is not due until all of them are there; the broker is
//! done when its `cleaner-offset-checkpoint` says so, which Apache Kafka and Cauce both write behind a cleaning.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::client::{Client, Request, produce_error};
use super::keyed_records::{KeyedRecords, Workload};
use super::process::{self, ThreadTimes};

/// Of the topics that are cleaned. The last segment of a log is never cleaned, so that one more than the load is written.
const SEGMENT_BYTES: u64 = 64 << 20;
/// What Apache Kafka's thread is called. A node's is a thread of its pool for blocking work: the one that works most.
pub(super) const CLEANER_THREAD: &str = "kafka-log-clean";
const IN_FLIGHT: usize = 5;
const DIRTY_RATIO: &str = "min.cleanable.dirty.ratio";
/// Coarse beside the seconds that are measured, and cheap beside what is measured.
const POLL: Duration = Duration::from_millis(20);
/// The slowest setting that is measured (a throttled cleaner) takes minutes.
const PATIENCE: Duration = Duration::from_secs(900);

/// A broker that is measured from outside.
#[derive(Clone, Debug)]
pub struct Broker {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub pid: u32,
    /// Its only log directory.
    pub log_dir: PathBuf,
}

/// What a cleaning took.
#[derive(Clone, Debug)]
pub struct Cleaned {
    /// CPU seconds of the cleaner's thread.
    pub thread_cpu_seconds: f64,
    /// What the system calls that thread.
    pub thread_name: String,
    /// CPU seconds of the whole process.
    pub process_cpu_seconds: f64,
    /// From the change that made the log due to the checkpoint.
    pub took: Duration,
    /// Bytes of all segments that may be cleaned, before.
    pub bytes_before: u64,
    /// And afterwards.
    pub bytes_after: u64,
    /// Checksum of what is left, the same for two brokers that keep the same records in the same batches.
    pub checksum_after: u32,
}

/// Writes the load to a new topic, lets the broker clean it once, and looks at what that took.
///
/// # Errors
/// The connection's, a refused batch, or a broker that does not clean in time.
pub fn measure(broker: &Broker, topic: &str, workload: &Workload) -> io::Result<Cleaned> {
    let mut client = Client::connect(broker.address)?;
    fill(&mut client, topic, workload)?;
    let bytes_before = log_bytes(&broker.log_dir, topic)?;
    let (cpu_before, mut threads) = (process::cpu_seconds(broker.pid)?, ThreadTimes::begin(broker.pid)?);
    let cleaned = clean(broker, &mut client, topic, &mut threads)?;
    let (thread_name, thread_cpu_seconds) = threads.named_or_busiest(CLEANER_THREAD);
    Ok(Cleaned {
        thread_cpu_seconds,
        thread_name,
        process_cpu_seconds: process::cpu_seconds(broker.pid)? - cpu_before,
        took: cleaned.end - cleaned.start,
        bytes_before,
        bytes_after: log_bytes(&broker.log_dir, topic)?,
        checksum_after: checksum(&broker.log_dir, topic)?,
    })
}

/// Makes a log that was never cleaned due, waits until it is clean, and looks at the broker's threads meanwhile. From when to
/// when it was cleaned.
pub(super) fn clean(
    broker: &Broker,
    client: &mut Client,
    topic: &str,
    threads: &mut ThreadTimes,
) -> io::Result<Range<Instant>> {
    let begun = Instant::now();
    set_dirty_ratio(client, topic, "0.0")?;
    while cleaned_offset(&broker.log_dir, topic)?.is_none() {
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("{topic} is not cleaned")));
        }
        std::thread::sleep(POLL);
        threads.look()?;
    }
    let cleaned = begun..Instant::now();
    threads.look()?;
    Ok(cleaned)
}

/// Creates a compacted topic that is not due, and writes the load and one segment more to it.
pub(super) fn fill(client: &mut Client, topic: &str, workload: &Workload) -> io::Result<()> {
    client.call(&mut create_topic(topic))?;
    let mut records = KeyedRecords::new(workload, SEGMENT_BYTES);
    if let Some(first) = records.next() {
        client.produce_once_led(&mut Request::produce(topic, 0, 1, first))?;
    }
    let mut in_flight = 0;
    loop {
        let batch = records.next();
        let is_end = batch.is_none();
        if let Some(batch) = batch {
            client.send(&mut Request::produce(topic, 0, 1, batch), 1)?;
            in_flight += 1;
        }
        while in_flight > if is_end { 0 } else { IN_FLIGHT } {
            let error = produce_error(client.receive()?);
            if error != Some(0) {
                return Err(io::Error::other(format!("produce: error {error:?}")));
            }
            in_flight -= 1;
        }
        if is_end {
            return Ok(());
        }
    }
}

fn create_topic(name: &str) -> Request {
    Request::create_topic_with(
        name,
        &[
            ("cleanup.policy", "compact"),
            ("segment.bytes", &SEGMENT_BYTES.to_string()),
            // Nothing is ever as dirty as that.
            (DIRTY_RATIO, "1.0"),
            // What an earlier cleaning left goes from the disk when nothing is measured any more: with the process.
            ("file.delete.delay.ms", "86400000"),
        ],
    )
}

/// Changes `min.cleanable.dirty.ratio`: "0.0" makes a log due, "1.0" leaves it alone.
pub(super) fn set_dirty_ratio(client: &mut Client, topic: &str, ratio: &str) -> io::Result<()> {
    client
        .call(&mut Request::set_topic_key(topic, DIRTY_RATIO, ratio))
        .map(drop)
}

/// Up to where the only partition of a topic was cleaned; `None` before the first cleaning.
pub(super) fn cleaned_offset(log_dir: &Path, topic: &str) -> io::Result<Option<i64>> {
    let text = match fs::read_to_string(log_dir.join("cleaner-offset-checkpoint")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let entry = text.lines().find_map(|line| {
        let mut words = line.split(' ');
        (words.next() == Some(topic) && words.next() == Some("0")).then(|| words.next())?
    });
    Ok(entry.and_then(|offset| offset.parse().ok()))
}

/// The segment files of the only partition of a topic, in order.
fn segment_files(log_dir: &Path, topic: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(log_dir.join(format!("{topic}-0")))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Without the last segment, which is never cleaned.
fn log_bytes(log_dir: &Path, topic: &str) -> io::Result<u64> {
    let files = segment_files(log_dir, topic)?;
    let sealed = files.split_last().map_or(&[][..], |(_, sealed)| sealed);
    let mut bytes = 0;
    for file in sealed {
        bytes += fs::metadata(file)?.len();
    }
    Ok(bytes)
}

fn checksum(log_dir: &Path, topic: &str) -> io::Result<u32> {
    let mut checksum = 0;
    for file in segment_files(log_dir, topic)? {
        checksum = crc32c::crc32c_append(checksum, &fs::read(file)?);
    }
    Ok(checksum)
}
