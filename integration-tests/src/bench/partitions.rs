//! What idle partitions cost: time to create them, memory of each.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::client::{Client, Request};
use super::process;
use crate::record_bytes::Batch;

/// Partitions per topic: one request creates as many.
const PER_TOPIC: i32 = 1_000;

/// What the partitions took.
#[derive(Clone, Copy, Debug)]
pub struct Partitions {
    /// How many were created.
    pub count: u32,
    /// How long that took.
    pub created_in: Duration,
    /// Memory of each, none of them written to.
    pub idle_bytes_each: f64,
    /// Memory of each after one record to each.
    pub used_bytes_each: f64,
}

/// Creates `count` partitions, then writes a record to each.
pub fn measure(address: SocketAddr, pid: u32, count: u32) -> io::Result<Partitions> {
    let mut client = Client::connect(address)?;
    // The first thousand cost what buffers and caches cost once; what each further one costs is asked for.
    let batch = bytes::Bytes::from(Batch::of(&["used"]).bytes());
    client.call(&mut Request::create_topic("first", PER_TOPIC))?;
    produce_to_all(&mut client, "first", &batch)?;
    let before = process::resident_bytes(pid)?;
    let began = Instant::now();
    let topics = count.div_ceil(PER_TOPIC as u32);
    for topic in 0..topics {
        client.call(&mut Request::create_topic(&format!("idle-{topic}"), PER_TOPIC))?;
    }
    let created_in = began.elapsed();
    std::thread::sleep(Duration::from_secs(2));
    let count = topics * PER_TOPIC as u32;
    let each = |bytes: u64| bytes.saturating_sub(before) as f64 / f64::from(count);
    let idle_bytes_each = each(process::resident_bytes(pid)?);
    for topic in 0..topics {
        produce_to_all(&mut client, &format!("idle-{topic}"), &batch)?;
    }
    Ok(Partitions {
        count,
        created_in,
        idle_bytes_each,
        used_bytes_each: each(process::resident_bytes(pid)?),
    })
}

fn produce_to_all(client: &mut Client, topic: &str, batch: &bytes::Bytes) -> io::Result<()> {
    for partition in 0..PER_TOPIC {
        client.produce_once_led(&mut Request::produce(topic, partition, 1, batch.clone()))?;
    }
    Ok(())
}
