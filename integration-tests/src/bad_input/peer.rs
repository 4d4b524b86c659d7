//! A peer that misbehaves: connects, sends what a seed says, reads a while, and goes in one way or another.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::Random;
use super::damage::{damage, with_length};
use crate::differential::runner::decoded;

/// Answers are read until none comes for so long.
const READING: Duration = Duration::from_millis(40);
/// A broker that takes no bytes for so long is a finding.
const WRITING: Duration = Duration::from_secs(20);
/// What answers to bad requests may be.
const LARGEST_ANSWER: usize = 64 << 20;

/// What a peer saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Requests that were sent whole.
    pub requests: u64,
    /// Answers that came, each decodable.
    pub answers: u64,
    /// Connections that the broker closed.
    pub closed: u64,
}

/// A request of which an answer may come.
struct Sent {
    correlation_id: [u8; 4],
    api_key: i16,
    version: i16,
}

/// Connects from an address of its own, so that the broker's log tells peers apart.
pub fn connect(source: IpAddr, broker: SocketAddr) -> io::Result<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let connected = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(source, 0))?;
        socket.connect(broker).await?.into_std()
    })?;
    connected.set_nonblocking(false)?;
    connected.set_read_timeout(Some(READING))?;
    connected.set_write_timeout(Some(WRITING))?;
    connected.set_nodelay(true)?;
    Ok(connected)
}

/// One connection's life.
///
/// # Errors
/// What a broker must not do, as a sentence.
pub fn live(
    random: &mut Random,
    source: IpAddr,
    broker: SocketAddr,
    requests: &[Vec<u8>],
) -> Result<Seen, String> {
    let mut stream = connect(source, broker).map_err(|error| format!("cannot connect: {error}"))?;
    let mut seen = Seen::default();
    let mut sent = VecDeque::new();
    for turn in 0..=random.below(8) {
        let bytes = bytes_of_turn(random, requests, turn, &mut sent);
        // A broker that has closed is seen at the next read.
        if send(&mut stream, random, &bytes).map_err(|error| format!("cannot write: {error}"))? {
            break;
        }
        if random.one_in(3) && read(&mut stream, &mut sent, &mut seen)? {
            break;
        }
    }
    seen.requests += sent.len() as u64;
    leave(random, &mut stream, &mut sent, &mut seen)?;
    Ok(seen)
}

fn bytes_of_turn(
    random: &mut Random,
    requests: &[Vec<u8>],
    turn: usize,
    sent: &mut VecDeque<Sent>,
) -> Vec<u8> {
    if random.one_in(15) {
        let count = random.below(300);
        return random.bytes(count);
    }
    let mut frame = requests[random.below(requests.len())].clone();
    if let Some(id) = frame.get_mut(4..8) {
        id.copy_from_slice(&(turn as u32 + 1).to_be_bytes());
    }
    if random.one_in(2) {
        damage(random, &mut frame);
    }
    if let [a, b, c, d, id @ ..] = &frame[..]
        && let Some(correlation_id) = id.first_chunk()
    {
        sent.push_back(Sent {
            correlation_id: *correlation_id,
            api_key: i16::from_be_bytes([*a, *b]),
            version: i16::from_be_bytes([*c, *d]),
        });
    }
    let lies = random.one_in(20);
    let mut bytes = with_length(random, &frame, lies);
    if random.one_in(20) {
        bytes.truncate(random.below(bytes.len()));
    }
    bytes
}

/// Whole or in two pieces; whether the broker has closed.
fn send(stream: &mut TcpStream, random: &mut Random, bytes: &[u8]) -> io::Result<bool> {
    let cut = if random.one_in(4) {
        random.below(bytes.len())
    } else {
        0
    };
    for piece in [&bytes[..cut], &bytes[cut..]] {
        match stream.write_all(piece) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                return Ok(true);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Goes at once (which resets the connection where answers are unread), after a look, or after a half close.
fn leave(
    random: &mut Random,
    stream: &mut TcpStream,
    sent: &mut VecDeque<Sent>,
    seen: &mut Seen,
) -> Result<(), String> {
    match random.below(4) {
        0 => return Ok(()),
        // The other side may be gone already.
        1 => drop(stream.shutdown(Shutdown::Write)),
        _ => {}
    }
    if read(stream, sent, seen)? {
        seen.closed += 1;
    }
    Ok(())
}

/// Reads answers while they come; whether the broker has closed.
fn read(stream: &mut TcpStream, sent: &mut VecDeque<Sent>, seen: &mut Seen) -> Result<bool, String> {
    loop {
        let mut length = [0; 4];
        match stream.read(&mut length[..1]) {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(error) => {
                return Ok(!matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut
                ));
            }
        }
        // An answer that has begun comes whole, unless the connection is reset meanwhile.
        if !read_whole(stream, &mut length[1..])? {
            return Ok(true);
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > LARGEST_ANSWER {
            return Err(format!("an answer of {length} bytes"));
        }
        let mut frame = vec![0; length];
        if !read_whole(stream, &mut frame)? {
            return Ok(true);
        }
        check(&frame, sent)?;
        seen.answers += 1;
        seen.requests += 1;
    }
}

fn read_whole(stream: &mut TcpStream, mut rest: &mut [u8]) -> Result<bool, String> {
    let mut silences = 0;
    while !rest.is_empty() {
        match stream.read(rest) {
            Ok(0) => return Ok(false),
            Ok(count) => rest = &mut rest[count..],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                silences += 1;
                if silences > 250 {
                    return Err("half an answer".to_owned());
                }
            }
            Err(_) => return Ok(false),
        }
    }
    Ok(true)
}

/// The answer must be that of a request that was sent, in order, and hold what its version says.
fn check(frame: &[u8], sent: &mut VecDeque<Sent>) -> Result<(), String> {
    let Some(correlation_id) = frame.first_chunk::<4>() else {
        return Err(format!("an answer of {} bytes", frame.len()));
    };
    while let Some(request) = sent.pop_front() {
        if request.correlation_id != *correlation_id {
            continue;
        }
        let answer = decoded(request.api_key, request.version, frame);
        return match answer.get("undecodable") {
            Some(why) => Err(format!(
                "the answer to API {} version {} cannot be decoded: {why}",
                request.api_key, request.version
            )),
            None => Ok(()),
        };
    }
    Err(format!(
        "an answer with the correlation id {correlation_id:?} that nobody asked for"
    ))
}
