//! `source`: what any broker must do to answer a fetch of bytes that are in the page cache, by each way there is.
//!
//! The best of all is **L-fetch**.

use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::sendfile;
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, pipe, splice};
use serde::Serialize;

use super::cores::Cores;
use super::error::{BenchError, Doing};
use super::loopback::{Congestion, Settings};
use super::options::Scale;
use super::scratch::Scratch;
use super::stream::{self, Bound, READ_BYTES, Stream, UnderTest};
use super::tcp::discard;

/// Bytes per answer: Kafka's default `max.partition.fetch.bytes`.
const ANSWER_BYTES: usize = 1 << 20;

/// Bytes per read of a copy: they stay in the core's cache until they are sent.
const COPY_BYTES: usize = 64 << 10;

/// How bytes get from where they are into a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// `sendfile` from the file.
    Sendfile,
    /// `splice` from the file into a pipe and from there.
    Splice,
    /// `pread` into a buffer, then `send`.
    PreadAndSend,
    /// `send` from memory that holds the bytes already.
    MemoryAndSend,
}

impl Way {
    const ALL: [Way; 4] = [Way::Sendfile, Way::Splice, Way::PreadAndSend, Way::MemoryAndSend];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Way::Sendfile => "sendfile",
            Way::Splice => "splice",
            Way::PreadAndSend => "pread + send",
            Way::MemoryAndSend => "memory + send",
        }
    }

    /// Whether the bytes come from a file.
    pub fn is_from_file(self) -> bool {
        self != Way::MemoryAndSend
    }
}

/// One way under one setting.
#[derive(Clone, Debug, Serialize)]
pub struct SourceRow {
    /// How bytes are sent.
    pub way: Way,
    /// The sender is the broker's part.
    #[serde(flatten)]
    pub stream: Stream,
}

/// Every way under every setting.
///
/// # Errors
/// The system's.
pub fn measure(
    scratch: &Scratch,
    settings: &Settings,
    cores: &Cores,
    scale: &Scale,
) -> Result<Vec<SourceRow>, BenchError> {
    let hot = scratch.resident_file(scale.window_bytes)?;
    let mut rows = Vec::new();
    for congestion in &settings.settings {
        for way in Way::ALL {
            let stream = send_by(way, &hot, congestion, cores, scale)?;
            rows.push(SourceRow { way, stream });
        }
    }
    Ok(rows)
}

fn send_by(
    way: Way,
    hot: &File,
    congestion: &Congestion,
    cores: &Cores,
    scale: &Scale,
) -> Result<Stream, BenchError> {
    let (bound, window) = (Bound::of(scale), scale.window_bytes);
    // Filled before the clock starts: its first touch is not the sender's work.
    let memory = match way {
        Way::MemoryAndSend => vec![0x5A_u8; scale.memory_bytes as usize],
        Way::Sendfile | Way::Splice | Way::PreadAndSend => Vec::new(),
    };
    let send = |to: TcpStream| match way {
        Way::Sendfile => by_sendfile(hot, window, &to, bound),
        Way::Splice => by_splice(hot, window, &to, bound),
        Way::PreadAndSend => by_pread(hot, window, to, bound),
        Way::MemoryAndSend => from_memory(&memory, to, bound),
    };
    let receive = |from: TcpStream| discard(from, READ_BYTES);
    stream::run(congestion, cores.apart(), UnderTest::Sender, send, receive)
}

fn by_sendfile(hot: &File, window: u64, to: &TcpStream, bound: Bound) -> Result<(), BenchError> {
    bound.keep(|sent| {
        let mut offset = sent % window;
        let length = ANSWER_BYTES.min((window - offset) as usize);
        let bytes = sendfile(to, hot, Some(&mut offset), length).doing("send a file on 127.0.0.1")?;
        Ok(bytes as u64)
    })
}

fn by_splice(hot: &File, window: u64, to: &TcpStream, bound: Bound) -> Result<(), BenchError> {
    let (out_of_pipe, into_pipe) = pipe().doing("make a pipe")?;
    let pipe_bytes = fcntl_setpipe_size(&into_pipe, ANSWER_BYTES).doing("make a pipe larger")?;
    bound.keep(|sent| {
        let mut offset = sent % window;
        let length = pipe_bytes.min((window - offset) as usize);
        let bytes = splice(
            hot,
            Some(&mut offset),
            &into_pipe,
            None,
            length,
            SpliceFlags::MOVE,
        )
        .doing("splice a file")?;
        drain(&out_of_pipe, to, bytes)?;
        Ok(bytes as u64)
    })
}

fn drain(out_of_pipe: &OwnedFd, to: &TcpStream, mut left: usize) -> Result<(), BenchError> {
    while left > 0 {
        left -= splice(out_of_pipe, None, to, None, left, SpliceFlags::MOVE).doing("splice to 127.0.0.1")?;
    }
    Ok(())
}

fn by_pread(hot: &File, window: u64, mut to: TcpStream, bound: Bound) -> Result<(), BenchError> {
    let mut copy = vec![0_u8; COPY_BYTES];
    bound.keep(|sent| {
        let bytes = hot
            .read_at(&mut copy, sent % window)
            .doing("read a file of the probe")?;
        to.write_all(&copy[..bytes]).doing("send on 127.0.0.1")?;
        Ok(bytes as u64)
    })
}

fn from_memory(memory: &[u8], mut to: TcpStream, bound: Bound) -> Result<(), BenchError> {
    let window = memory.len() as u64;
    bound.keep(|sent| {
        let answer = &memory[(sent % window) as usize..];
        let answer = &answer[..ANSWER_BYTES.min(answer.len())];
        to.write_all(answer).doing("send on 127.0.0.1")?;
        Ok(answer.len() as u64)
    })
}
