//! One non-blocking connection: what it asks, and which requests are in flight.
//!
//! Protects the rule that never more are in flight than allowed. Bytes on their way are `buffers`'s.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::time::Instant;

use super::buffers::{Input, Output};
use super::error::{Broken, Malformed};
use super::script::{Counting, InTransit, Script, Sent};

/// A connection and what it does.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Its place among all connections that share a schedule.
    pub turn: u64,
    /// What it does.
    pub script: Script,
    /// The most requests in flight.
    limit: usize,
    in_flight: VecDeque<InFlight>,
    correlation_id: i32,
    /// Requests that were taken from the schedule.
    pub sent: u64,
    output: Output,
    input: Input,
    /// Whether it can still be used.
    pub is_open: bool,
    /// Whether the event loop is told when it can be written to.
    pub awaits_room: bool,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    correlation_id: i32,
    sent: Sent,
    /// Where its last byte stands in all that is written.
    ends_at: u64,
}

impl Connection {
    /// Takes over a connection; it is non-blocking from now on.
    ///
    /// # Errors
    /// The system's.
    pub fn new(stream: TcpStream, turn: u64, script: Script, limit: usize) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            turn,
            script,
            limit,
            in_flight: VecDeque::new(),
            correlation_id: 0,
            sent: 0,
            output: Output::default(),
            input: Input::new(),
            is_open: true,
            awaits_room: false,
        })
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether one more request may be sent now.
    pub fn may_send(&self, transit: &[InTransit]) -> bool {
        self.is_open && self.script.has_next(self.in_flight.len(), self.limit, transit)
    }

    /// Queues the next request; the caller flushes when it has queued all.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn queue(&mut self, due: Instant, transit: &mut [InTransit]) -> Result<(), Broken> {
        let Some((frame, slot)) = self.script.next(due, transit) else {
            return Ok(());
        };
        self.correlation_id = self.correlation_id.wrapping_add(1);
        frame.set_correlation_id(self.correlation_id);
        self.output.put(&mut self.stream, frame.bytes())?;
        self.sent += 1;
        self.in_flight.push_back(InFlight {
            correlation_id: self.correlation_id,
            sent: Sent { due, slot },
            ends_at: self.output.put_total(),
        });
        Ok(())
    }

    /// Writes what is queued, as far as the kernel takes it. Requests without an answer are done when they are written.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn flush(&mut self, counting: &mut Counting<'_>) -> Result<(), Broken> {
        self.output.flush(&mut self.stream)?;
        if !self.script.is_answered() {
            counting.now = Instant::now();
            while let Some(done) = self
                .in_flight
                .pop_front_if(|request| request.ends_at <= self.output.written_total())
            {
                self.script.left(done.sent, counting);
            }
        }
        Ok(())
    }

    /// Whether something waits for the kernel to take it.
    pub fn has_output(&self) -> bool {
        self.output.waits()
    }

    /// Reads once, and handles every answer that is whole.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn receive(&mut self, transit: &mut [InTransit], counting: &mut Counting<'_>) -> Result<(), Broken> {
        self.input.read(&mut self.stream)?;
        counting.now = Instant::now();
        while let Some(range) = self.input.next_answer()? {
            let answer = self.input.answer(range)?;
            let asked = match self.script.is_answered() {
                true => self.in_flight.pop_front(),
                false => None,
            };
            let asked = asked.ok_or(Malformed::Unasked)?;
            let found = answer
                .first_chunk()
                .map(|id| i32::from_be_bytes(*id))
                .ok_or(Malformed::Truncated);
            let understood = found.and_then(|found| match found == asked.correlation_id {
                true => self.script.answered(answer, asked.sent, transit, counting),
                false => Err(Malformed::CorrelationId {
                    expected: asked.correlation_id,
                    found,
                }),
            });
            if let Err(cause) = understood {
                // It has no answer, and counts with the others of this connection.
                self.in_flight.push_front(asked);
                return Err(cause.into());
            }
        }
        Ok(())
    }

    /// Requests in flight, in order.
    pub fn in_flight(&self) -> impl Iterator<Item = Sent> {
        self.in_flight.iter().map(|request| request.sent)
    }

    /// Whether nothing is in flight.
    pub fn is_quiet(&self) -> bool {
        self.in_flight.is_empty()
    }
}
