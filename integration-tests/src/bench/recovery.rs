//! From the start of a process that was killed with many partitions to its first answer, and to the last partition.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::client::{Client, Request};
use super::{partitions, process};

/// A broker that is not there by then does not come.
const PATIENCE: Duration = Duration::from_secs(300);

const PAUSE: Duration = Duration::from_millis(1);

/// What the second start took.
#[derive(Clone, Copy, Debug)]
pub struct Recovered {
    /// From the call that starts the process to the answer to ApiVersions.
    pub answered: Duration,
    /// And until `/readyz` says yes: every partition is recovered.
    pub ready: Duration,
    /// Resident memory two seconds later, above that of the same node before it had partitions, for each partition.
    pub bytes_each: f64,
}

/// Starts `command`, fills `count` partitions, kills the process and starts it again.
pub fn measure(
    command: &mut Command,
    address: SocketAddr,
    http: SocketAddr,
    count: u32,
) -> io::Result<Recovered> {
    let mut first = start(command)?;
    let filled = await_ready(http, Instant::now()).and_then(|()| {
        let empty = process::resident_bytes(first.id())?;
        Ok((empty, partitions::measure(address, first.id(), count)?.count))
    });
    first.kill()?;
    first.wait()?;
    let (empty, count) = filled?;
    let began = Instant::now();
    let mut second = start(command)?;
    let recovered = look(&second, address, http, began);
    second.kill()?;
    second.wait()?;
    let (answered, ready, resident) = recovered?;
    Ok(Recovered {
        answered,
        ready,
        bytes_each: resident.saturating_sub(empty) as f64 / f64::from(count),
    })
}

fn look(
    process: &Child,
    address: SocketAddr,
    http: SocketAddr,
    began: Instant,
) -> io::Result<(Duration, Duration, u64)> {
    let mut client = loop {
        match Client::connect(address) {
            Ok(client) => break client,
            Err(error) if began.elapsed() > PATIENCE => return Err(error),
            Err(_) => {}
        }
    };
    client.call(&mut Request::api_versions())?;
    let answered = began.elapsed();
    await_ready(http, began)?;
    let ready = began.elapsed();
    // The figure is about an idle broker: let what the start set off come to its end.
    std::thread::sleep(Duration::from_secs(2));
    Ok((answered, ready, process::resident_bytes(process.id())?))
}

/// Starts a process that is not listened to.
pub(super) fn start(command: &mut Command) -> io::Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Waits until `/readyz` says yes.
pub(super) fn await_ready(http: SocketAddr, began: Instant) -> io::Result<()> {
    loop {
        match is_ready(http) {
            Ok(true) => return Ok(()),
            // A node that is asked all the time has less time to recover.
            Ok(false) | Err(_) if began.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            Ok(_) => return Err(io::Error::other("the node is never ready")),
            Err(error) => return Err(error),
        }
    }
}

fn is_ready(http: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(http)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split(' ').nth(1) == Some("200"))
}
