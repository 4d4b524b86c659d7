//! From the start of the process to the first acknowledged record.

use std::io;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::client::{Client, Request, produce_error};
use super::process;
use crate::record_bytes::Batch;

/// A broker that is not there by then does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one start took.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// From the call that starts the process to the first accepted connection.
    pub listening: Duration,
    /// And to the first acknowledged record.
    pub acknowledged: Duration,
    /// Resident memory two seconds later.
    pub resident_bytes: u64,
    /// CPU seconds until then.
    pub cpu_seconds: f64,
}

/// Starts `command`, produces one record to a new topic, and stops the process again.
pub fn measure(command: &mut Command, address: SocketAddr) -> io::Result<Started> {
    let began = Instant::now();
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let outcome = first_record(&mut process, address, began);
    process.kill()?;
    process.wait()?;
    outcome
}

fn first_record(process: &mut Child, address: SocketAddr, began: Instant) -> io::Result<Started> {
    let mut client = loop {
        match Client::connect(address) {
            Ok(client) => break client,
            Err(error) => {
                if let Some(status) = process.try_wait()? {
                    return Err(io::Error::other(format!("the broker ended with {status}")));
                }
                if began.elapsed() > PATIENCE {
                    return Err(error);
                }
            }
        }
    };
    let listening = began.elapsed();
    client.call(&mut Request::create_topic("first", 1))?;
    let mut produce = Request::produce("first", 0, -1, Batch::of(&["first"]).bytes().into());
    while produce_error(client.call(&mut produce)?) != Some(0) {
        if began.elapsed() > PATIENCE {
            return Err(io::Error::other("no record was acknowledged"));
        }
    }
    let acknowledged = began.elapsed();
    // The figure is about an idle broker: let what the start set off come to its end.
    std::thread::sleep(Duration::from_secs(2));
    let pid = process.id();
    Ok(Started {
        listening,
        acknowledged,
        resident_bytes: process::resident_bytes(pid)?,
        cpu_seconds: process::cpu_seconds(pid)?,
    })
}
