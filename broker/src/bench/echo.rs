//! `echo`: a request of a few bytes there and the same bytes back. No broker answers sooner or more often.
//!
//! Pipelined, thirty-two requests are on their way. With one call each, both ends pay a system call for every request they
//! send, as a client and a broker do that know nothing of each other; batched, both send all that is due in one call.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::cores::{Cores, Placing, Spent, side_by_side};
use super::error::{BenchError, Doing};
use super::loopback::{Congestion, Settings, connection};
use super::options::Scale;
use super::percentiles::{Durations, Percentiles};

/// Of a request and of its answer.
const REQUEST_BYTES: [usize; 2] = [64, 1024];

/// Requests on their way when they are pipelined.
const DEPTH: usize = 32;

/// Requests in one row at most, which bounds the memory for their durations.
const MAX_REQUESTS: usize = 4_000_000;

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The next when the answer is there.
    OneAtATime,
    /// Thirty-two on their way, a system call for each.
    PipelinedOneCallEach,
    /// Thirty-two on their way, a system call for all that are due.
    PipelinedBatched,
}

impl Mode {
    const ALL: [Mode; 3] = [
        Mode::OneAtATime,
        Mode::PipelinedOneCallEach,
        Mode::PipelinedBatched,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Mode::OneAtATime => "one at a time",
            Mode::PipelinedOneCallEach => "32 deep, one call each",
            Mode::PipelinedBatched => "32 deep, batched",
        }
    }

    /// Bytes that one call sends at most.
    fn bytes_per_call(self, request_bytes: usize) -> usize {
        match self {
            Mode::OneAtATime | Mode::PipelinedOneCallEach => request_bytes,
            Mode::PipelinedBatched => request_bytes * DEPTH,
        }
    }
}

/// One size in one mode.
#[derive(Clone, Debug, Serialize)]
pub struct EchoRow {
    /// The kernel's name for it.
    pub congestion_control: String,
    /// How requests follow each other.
    pub mode: Mode,
    /// Of a request and of its answer.
    pub bytes: usize,
    /// Whether both ends had a core each.
    pub cores: u8,
    /// Answered.
    pub requests_per_s: f64,
    /// From the request to its answer; only one at a time.
    pub round_trip: Option<Percentiles>,
    /// Processor time per request of the end that asks.
    pub client_cpu_us: f64,
    /// Processor time per request of the end that answers.
    pub server_cpu_us: f64,
}

/// Every size in every mode under every setting, with both ends apart and together.
///
/// # Errors
/// The system's.
pub fn measure(settings: &Settings, cores: &Cores, scale: &Scale) -> Result<Vec<EchoRow>, BenchError> {
    let mut rows = Vec::new();
    for congestion in &settings.settings {
        for mode in Mode::ALL {
            for bytes in REQUEST_BYTES {
                for placing in cores.placings() {
                    rows.push(row(mode, bytes, placing, congestion, scale.echo_time)?);
                }
            }
        }
    }
    Ok(rows)
}

fn row(
    mode: Mode,
    bytes: usize,
    placing: Placing,
    congestion: &Congestion,
    time: Duration,
) -> Result<EchoRow, BenchError> {
    let (client, server) = connection(congestion)?;
    let answer = move || answer_all(server, bytes, mode.bytes_per_call(bytes));
    let ask = move || match mode {
        Mode::OneAtATime => ask_one_at_a_time(client, bytes, time),
        Mode::PipelinedOneCallEach | Mode::PipelinedBatched => {
            let requests = ask_pipelined(client, bytes, mode.bytes_per_call(bytes), time)?;
            Ok((requests, None))
        }
    };
    let (((), served), ((requests, round_trip), asked)) = side_by_side(placing, answer, ask)?;
    let per_request = |spent: Spent| spent.cpu.as_secs_f64() * 1e6 / requests as f64;
    Ok(EchoRow {
        congestion_control: congestion.name.clone(),
        mode,
        bytes,
        cores: placing.cores,
        requests_per_s: requests as f64 / asked.wall.as_secs_f64(),
        round_trip: round_trip.map(Durations::percentiles),
        client_cpu_us: per_request(asked),
        server_cpu_us: per_request(served),
    })
}

fn ask_one_at_a_time(
    mut server: TcpStream,
    bytes: usize,
    time: Duration,
) -> Result<(usize, Option<Durations>), BenchError> {
    let mut request = vec![0x5A_u8; bytes];
    let mut round_trips = Durations::with_capacity(1 << 16);
    let began = Instant::now();
    let mut asked_at = began;
    while round_trips.count() < MAX_REQUESTS {
        let exchanged = server
            .write_all(&request)
            .and_then(|()| server.read_exact(&mut request));
        exchanged.doing("ask on 127.0.0.1")?;
        let answered_at = Instant::now();
        round_trips.push(answered_at - asked_at);
        asked_at = answered_at;
        if answered_at - began >= time {
            break;
        }
    }
    Ok((round_trips.count(), Some(round_trips)))
}

/// Keeps the pipeline full until the time is up, then waits for what is on its way.
fn ask_pipelined(
    mut server: TcpStream,
    bytes: usize,
    bytes_per_call: usize,
    time: Duration,
) -> Result<usize, BenchError> {
    let requests = vec![0x5A_u8; bytes * DEPTH];
    let mut answers = vec![0_u8; bytes * DEPTH];
    let (mut asked, mut received) = (DEPTH, 0);
    let began = Instant::now();
    send(&mut server, &requests, bytes_per_call).doing("ask on 127.0.0.1")?;
    loop {
        let got = server.read(&mut answers).doing("receive on 127.0.0.1")?;
        let due = (received + got) / bytes - received / bytes;
        received += got;
        if got == 0 || asked >= MAX_REQUESTS || began.elapsed() >= time {
            break;
        }
        send(&mut server, &requests[..due * bytes], bytes_per_call).doing("ask on 127.0.0.1")?;
        asked += due;
    }
    server.shutdown(Shutdown::Write).doing("close a connection")?;
    while received < asked * bytes {
        match server.read(&mut answers).doing("receive on 127.0.0.1")? {
            0 => break,
            got => received += got,
        }
    }
    Ok(received / bytes)
}

/// Sends back whatever whole requests have come, until the other end closes.
fn answer_all(mut client: TcpStream, bytes: usize, bytes_per_call: usize) -> Result<(), BenchError> {
    let mut requests = vec![0_u8; bytes * DEPTH];
    let mut filled = 0;
    loop {
        let got = match client.read(&mut requests[filled..]) {
            // The end that asks one at a time closes when it has seen enough.
            Err(cause) if cause.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            got => got.doing("receive on 127.0.0.1")?,
        };
        if got == 0 {
            return Ok(());
        }
        filled += got;
        let whole = filled - filled % bytes;
        send(&mut client, &requests[..whole], bytes_per_call).doing("answer on 127.0.0.1")?;
        requests.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

fn send(to: &mut impl Write, bytes: &[u8], bytes_per_call: usize) -> io::Result<()> {
    bytes
        .chunks(bytes_per_call)
        .try_for_each(|call| to.write_all(call))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_of_a_pipeline_is_answered() {
        let settings = Settings::of_this_machine().expect("settings").settings;
        let placing = Cores::of_this_process().expect("cores").apart();
        for mode in Mode::ALL {
            let found = row(mode, 64, placing, &settings[0], Duration::from_millis(5)).expect("a row");
            assert!(found.requests_per_s > 0.0, "{found:?}");
            assert_eq!(found.round_trip.is_some(), mode == Mode::OneAtATime);
        }
    }

    #[test]
    fn a_call_carries_one_request_or_all_that_are_due() {
        struct Calls(Vec<usize>);
        impl Write for Calls {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(bytes.len());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let calls_of = |mode: Mode| {
            let mut calls = Calls(Vec::new());
            send(&mut calls, &[0; 192], mode.bytes_per_call(64)).expect("no error");
            calls.0
        };
        assert_eq!(calls_of(Mode::PipelinedOneCallEach), [64, 64, 64]);
        assert_eq!(calls_of(Mode::PipelinedBatched), [192]);
    }
}
