//! One connection that carries as much as it can in one direction, and what both ends pay for it.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::cores::{Placing, Spent, side_by_side};
use super::error::BenchError;
use super::loopback::{Congestion, connection};
use super::options::Scale;

/// Bytes per read of a receiver: a few times what one system call of a sender brings.
pub const READ_BYTES: usize = 256 << 10;

/// When a sender stops: at the first of both.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    time: Duration,
    bytes: u64,
}

impl Bound {
    /// As much as the scale allows one stream.
    pub fn of(scale: &Scale) -> Self {
        Self {
            time: scale.stream_time,
            bytes: scale.stream_bytes,
        }
    }

    /// So many bytes, and as much time as a slow first touch of memory takes: several times that of other streams.
    pub fn bytes(bytes: u64, scale: &Scale) -> Self {
        Self {
            time: scale.stream_time * 4,
            bytes,
        }
    }

    /// Calls `step` with what was sent so far until a bound is reached; it sends some more and says how much. At least once.
    ///
    /// # Errors
    /// Those of a step.
    pub fn keep(self, mut step: impl FnMut(u64) -> Result<u64, BenchError>) -> Result<(), BenchError> {
        let began = Instant::now();
        let mut sent = 0;
        loop {
            sent += step(sent)?;
            if sent >= self.bytes || began.elapsed() >= self.time {
                return Ok(());
            }
        }
    }
}

/// A stream's speed and price.
#[derive(Clone, Debug, Serialize)]
pub struct Stream {
    /// The kernel's name for it.
    pub congestion_control: String,
    /// Whether both ends had a core each.
    pub cores: u8,
    /// 10^9 bytes a second, until the receiver has done its work on the last.
    pub gb_per_s: f64,
    /// Processor time of the sending thread.
    pub sender_cpu_s_per_gb: f64,
    /// Processor time of the receiving thread.
    pub receiver_cpu_s_per_gb: f64,
}

/// Which end of a stream stands where a broker would: it runs on the first core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnderTest {
    /// The one that takes bytes in.
    Receiver,
    /// The one that sends them.
    Sender,
}

/// Runs both ends until the sender is done and the receiver has seen the end.
///
/// `receive` gives how many bytes arrived. Both drop their connection when they end, which ends the other.
///
/// # Errors
/// Those of the ends.
pub fn run(
    congestion: &Congestion,
    placing: Placing,
    under_test: UnderTest,
    send: impl FnOnce(TcpStream) -> Result<(), BenchError> + Send,
    receive: impl FnOnce(TcpStream) -> Result<u64, BenchError> + Send,
) -> Result<Stream, BenchError> {
    let (from, to) = connection(congestion)?;
    let (sent, (bytes, received)) = match under_test {
        UnderTest::Receiver => {
            let (received, ((), sent)) = side_by_side(placing, move || receive(to), move || send(from))?;
            (sent, received)
        }
        UnderTest::Sender => {
            let (((), sent), received) = side_by_side(placing, move || send(from), move || receive(to))?;
            (sent, received)
        }
    };
    Ok(Stream::new(congestion, placing, bytes, sent, received))
}

impl Stream {
    fn new(congestion: &Congestion, placing: Placing, bytes: u64, sent: Spent, received: Spent) -> Self {
        let gb = bytes as f64 / 1e9;
        Self {
            congestion_control: congestion.name.clone(),
            cores: placing.cores,
            gb_per_s: gb / received.wall.as_secs_f64(),
            sender_cpu_s_per_gb: sent.cpu.as_secs_f64() / gb,
            receiver_cpu_s_per_gb: received.cpu.as_secs_f64() / gb,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_stops_at_its_bytes_and_sends_at_least_once() {
        let steps_of = |bound: Bound, each: u64| {
            let mut steps = 0;
            bound
                .keep(|sent| {
                    assert_eq!(sent, steps * each);
                    steps += 1;
                    Ok(each)
                })
                .map(|()| steps)
        };
        let bytes = |bytes| Bound::bytes(bytes, &Scale::full());
        assert_eq!(steps_of(bytes(100), 30).expect("no error"), 4);
        assert_eq!(steps_of(bytes(0), 30).expect("no error"), 1);
        let at_once = Bound {
            time: Duration::ZERO,
            bytes: 100,
        };
        assert_eq!(steps_of(at_once, 30).expect("no error"), 1);
    }
}
