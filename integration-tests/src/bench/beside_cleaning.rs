//! Latency of produce to another topic while the broker cleans, and while it does not, in turns.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::cleaning::{Broker, CLEANER_THREAD, clean, cleaned_offset, fill, set_dirty_ratio};
use super::client::{Client, Request};
use super::keyed_records::Workload;
use super::open_loop::{self, Latencies, PARTITIONS};
use super::process::ThreadTimes;
use crate::record_bytes::Batch;

const LOAD: &str = "load";
/// A cleaner that used less than this part of a second is idle.
const IDLE_PART: f64 = 0.05;
const PATIENCE: Duration = Duration::from_secs(120);
/// Connections, files and (on a virtual machine with a compiler) code are warm after that.
const WARM_UP: Duration = Duration::from_secs(10);

/// One turn.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Whether the broker cleaned from its begin to its end.
    pub beside_cleaning: bool,
    /// Of the requests in it.
    pub latencies: Latencies,
    /// Name of the cleaner's thread, and its CPU seconds per second.
    pub cleaner: (String, f64),
}

/// Measures `turns` without cleaning and as many beside it, one after the other.
///
/// The broker's `log.cleaner.dedupe.buffer.size` should be small beside the keys of `workload`, so that it takes many passes
/// to clean it.
///
/// # Errors
/// The connections', a refused record, and a log that was clean before the turns were over.
pub fn measure(
    broker: &Broker,
    workload: &Workload,
    rate: u32,
    lasting: Duration,
    turns: usize,
) -> io::Result<Vec<Turn>> {
    let topic = "cleaned";
    let mut client = Client::connect(broker.address)?;
    fill(&mut client, topic, workload)?;
    sync_file_system(broker)?;
    warm_up(broker, &mut client, rate)?;
    let mut measured = Vec::new();
    for _ in 0..turns {
        measured.push(turn(broker, rate, lasting, false)?);
        let before = cleaned_offset(&broker.log_dir, topic)?;
        set_dirty_ratio(&mut client, topic, "0.0")?;
        let begun = Instant::now();
        // The first pass of the turn is over: the cleaner is at work, and goes on with the next.
        while cleaned_offset(&broker.log_dir, topic)? == before {
            pause(begun)?;
        }
        measured.push(turn(broker, rate, lasting, true)?);
        let cleaned_to = cleaned_offset(&broker.log_dir, topic)?;
        set_dirty_ratio(&mut client, topic, "1.0")?;
        wait_until_idle(broker)?;
        // A pass that had begun ends; had there been none, the log was clean.
        if cleaned_offset(&broker.log_dir, topic)? == cleaned_to {
            return Err(io::Error::other(
                "the log was clean too early: more keys or a smaller buffer are needed",
            ));
        }
    }
    Ok(measured)
}

/// Measures `turns` without cleaning and as many beside one whole cleaning of a log of its own, one after the other. A turn
/// beside it lasts as long as the cleaning, and the requests count that were due while it was cleaned.
///
/// # Errors
/// The connections', a refused record, and a cleaning that does not end.
pub fn measure_whole(
    broker: &Broker,
    workload: &Workload,
    rate: u32,
    lasting: Duration,
    turns: usize,
) -> io::Result<Vec<Turn>> {
    let mut client = Client::connect(broker.address)?;
    warm_up(broker, &mut client, rate)?;
    let mut measured = Vec::new();
    for number in 0..turns {
        let topic = format!("cleaned-{number}");
        fill(&mut client, &topic, workload)?;
        sync_file_system(broker)?;
        wait_until_idle(broker)?;
        measured.push(turn(broker, rate, lasting, false)?);
        let mut threads = ThreadTimes::begin(broker.pid)?;
        let is_clean = AtomicBool::new(false);
        let (cleaned, load) = std::thread::scope(|scope| {
            let load =
                scope.spawn(|| open_loop::produce_until(broker.address, LOAD, rate, PATIENCE, &is_clean));
            // The load has begun by then.
            std::thread::sleep(Duration::from_secs(1));
            let cleaned = clean(broker, &mut client, &topic, &mut threads);
            is_clean.store(true, Ordering::Release);
            let load = load.join().map_err(|_| io::Error::other("the load panicked"));
            (cleaned, load)
        });
        let (cleaned, load) = (cleaned?, load??);
        let latencies = load.within(&cleaned);
        let seconds = (cleaned.end - cleaned.start).as_secs_f64();
        if (latencies.count() as f64) < seconds * f64::from(rate) * 0.9 {
            return Err(io::Error::other("the cleaning took too long"));
        }
        let (name, used) = threads.named_or_busiest(CLEANER_THREAD);
        measured.push(Turn {
            beside_cleaning: true,
            latencies,
            cleaner: (name, used / seconds),
        });
    }
    Ok(measured)
}

/// The kernel writes what is older than half a minute to the disk: what the filling left would fall into the turns.
fn sync_file_system(broker: &Broker) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(&broker.log_dir)?)?)
}

/// The topic of the load is there and led, and what it needs is warm.
fn warm_up(broker: &Broker, client: &mut Client, rate: u32) -> io::Result<()> {
    client.call(&mut Request::create_topic(LOAD, PARTITIONS))?;
    for partition in 0..PARTITIONS {
        let batch = bytes::Bytes::from(Batch::of(&["first"]).bytes());
        client.produce_once_led(&mut Request::produce(LOAD, partition, 1, batch))?;
    }
    open_loop::produce(broker.address, LOAD, rate, WARM_UP).map(drop)
}

fn turn(broker: &Broker, rate: u32, lasting: Duration, beside_cleaning: bool) -> io::Result<Turn> {
    let mut threads = ThreadTimes::begin(broker.pid)?;
    let latencies = open_loop::produce(broker.address, LOAD, rate, lasting)?;
    threads.look()?;
    let (name, seconds) = threads.named_or_busiest(CLEANER_THREAD);
    Ok(Turn {
        beside_cleaning,
        latencies,
        cleaner: (name, seconds / lasting.as_secs_f64()),
    })
}

fn wait_until_idle(broker: &Broker) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        let mut threads = ThreadTimes::begin(broker.pid)?;
        std::thread::sleep(Duration::from_secs(1));
        threads.look()?;
        if threads.named_or_busiest(CLEANER_THREAD).1 < IDLE_PART {
            return Ok(());
        }
        pause(begun)?;
    }
}

fn pause(begun: Instant) -> io::Result<()> {
    if begun.elapsed() > PATIENCE {
        return Err(io::Error::other("the cleaner did not do what it was told"));
    }
    std::thread::sleep(Duration::from_millis(20));
    Ok(())
}
