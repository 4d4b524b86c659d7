//! What idle connections cost: memory of each, and whether the broker still answers somebody else.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::process;

/// ApiVersions version 0 with a client id, as every client begins.
const API_VERSIONS: &[u8] = &[0, 0, 0, 14, 0, 18, 0, 0, 0, 0, 0, 1, 0, 4, b'i', b'd', b'l', b'e'];
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections that are open and quiet.
pub struct IdleConnections {
    /// The connections.
    pub streams: Vec<TcpStream>,
    /// How long it took to open them and to have an answer on each.
    pub opened_in: Duration,
    /// The broker's memory for each.
    pub bytes_each: f64,
}

/// Opens `count` connections, asks for the API versions on each, and looks at the broker's memory once they are quiet.
pub fn open(address: SocketAddr, pid: u32, count: u32) -> io::Result<IdleConnections> {
    // The first connection makes the broker allocate what all share.
    drop(ask(address)?);
    let before = process::resident_bytes(pid)?;
    let began = Instant::now();
    let streams = (0..count)
        .map(|_| ask(address))
        .collect::<io::Result<Vec<TcpStream>>>()?;
    let opened_in = began.elapsed();
    // The allocator gives pages back a moment after they are free.
    std::thread::sleep(Duration::from_secs(2));
    let grown = process::resident_bytes(pid)?.saturating_sub(before);
    Ok(IdleConnections {
        streams,
        opened_in,
        bytes_each: grown as f64 / f64::from(count.max(1)),
    })
}

fn ask(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(API_VERSIONS)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer)?;
    Ok(stream)
}
