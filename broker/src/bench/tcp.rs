//! `tcp`: bytes through a loopback connection, with nothing done to them. No broker moves more.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::cores::Cores;
use super::error::{BenchError, Doing};
use super::loopback::Settings;
use super::options::Scale;
use super::stream::{self, Bound, Stream, UnderTest};

/// Bytes per write and per read: what a broker and its clients hand to the kernel at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Every setting, with both ends apart and together.
///
/// # Errors
/// The system's.
pub fn measure(settings: &Settings, cores: &Cores, scale: &Scale) -> Result<Vec<Stream>, BenchError> {
    let mut rows = Vec::new();
    for congestion in &settings.settings {
        for placing in cores.placings() {
            let bound = Bound::of(scale);
            rows.push(stream::run(
                congestion,
                placing,
                UnderTest::Receiver,
                |to| send(to, bound),
                |from| discard(from, CHUNK_BYTES),
            )?);
        }
    }
    Ok(rows)
}

fn send(mut to: TcpStream, bound: Bound) -> Result<(), BenchError> {
    let chunk = vec![0x5A_u8; CHUNK_BYTES];
    bound.keep(|_| {
        to.write_all(&chunk).doing("send on 127.0.0.1")?;
        Ok(CHUNK_BYTES as u64)
    })
}

/// Reads to the end and keeps nothing.
///
/// # Errors
/// The system's.
pub fn discard(mut from: TcpStream, chunk_bytes: usize) -> Result<u64, BenchError> {
    let mut chunk = vec![0_u8; chunk_bytes];
    let mut received = 0;
    loop {
        match from.read(&mut chunk).doing("receive on 127.0.0.1")? {
            0 => return Ok(received),
            bytes => received += bytes as u64,
        }
    }
}
