//! A connection: two pipes, one for each direction, and what ails them.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::Instant;

/// Bytes that may be under way in one direction; a writer waits beyond it.
const WINDOW_BYTES: usize = 64 << 10;

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Node,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    latency: Duration,
    state: Mutex<LinkState>,
}

#[derive(Debug, Default)]
struct LinkState {
    to_node: Pipe,
    to_client: Pipe,
    is_reset: bool,
    swallows: bool,
    us_per_kib: u64,
}

#[derive(Debug, Default)]
struct Pipe {
    /// What is under way, with the moment of its arrival.
    segments: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    is_closed: bool,
    waiting: Vec<Waker>,
}

impl Pipe {
    fn wait(&mut self, context: &Context<'_>) {
        if !self.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            self.waiting.push(context.waker().clone());
        }
    }

    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

impl Link {
    pub(super) fn new(latency: Duration) -> Link {
        Link {
            latency,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what has arrived at `end`; 0 at the end of the stream.
    pub(super) fn try_read(&self, end: End, buffer: &mut BytesMut, limit: usize) -> io::Result<usize> {
        let mut state = self.state();
        if state.is_reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let pipe = state.incoming(end);
        let now = Instant::now();
        let mut read = 0;
        while read < limit
            && let Some((arrives, segment)) = pipe.segments.front_mut()
            && *arrives <= now
        {
            let taken = segment.len().min(limit - read);
            buffer.extend_from_slice(&segment[..taken]);
            segment.advance(taken);
            read += taken;
            if segment.is_empty() {
                pipe.segments.pop_front();
            }
        }
        pipe.bytes -= read;
        if read > 0 {
            pipe.wake();
            return Ok(read);
        }
        if pipe.is_closed && pipe.segments.is_empty() {
            return Ok(0);
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Writes at `end` what the window takes.
    pub(super) fn try_write(&self, end: End, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state();
        if state.is_reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let (swallows, us_per_kib) = (state.swallows, state.us_per_kib);
        let pipe = state.outgoing(end);
        if pipe.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = WINDOW_BYTES - pipe.bytes;
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut taken = BytesMut::new();
        for slice in slices {
            let part = slice.len().min(room - taken.len());
            taken.extend_from_slice(&slice[..part]);
        }
        let written = taken.len();
        pipe.bytes += written;
        if !swallows {
            let sending = Duration::from_micros(us_per_kib * written as u64 / 1024);
            let arrives = Instant::now() + self.latency + sending;
            let after_the_last = pipe.segments.back().map_or(arrives, |(last, _)| *last + sending);
            pipe.segments
                .push_back((arrives.max(after_the_last), taken.freeze()));
            pipe.wake();
        }
        Ok(written)
    }

    /// Whether `end` can be read; registers the waker if not, and says when something is known to arrive.
    pub(super) fn poll_readable(&self, end: End, context: &Context<'_>) -> (Poll<()>, Option<Instant>) {
        let mut state = self.state();
        if state.is_reset {
            return (Poll::Ready(()), None);
        }
        let pipe = state.incoming(end);
        match pipe.segments.front() {
            Some((arrives, _)) if *arrives <= Instant::now() => (Poll::Ready(()), None),
            Some((arrives, _)) => (Poll::Pending, Some(*arrives)),
            None if pipe.is_closed => (Poll::Ready(()), None),
            None => {
                pipe.wait(context);
                (Poll::Pending, None)
            }
        }
    }

    /// Whether `end` can be written; registers the waker if not.
    pub(super) fn poll_writable(&self, end: End, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.is_reset {
            return Poll::Ready(());
        }
        let pipe = state.outgoing(end);
        if pipe.is_closed || pipe.bytes < WINDOW_BYTES {
            return Poll::Ready(());
        }
        pipe.wait(context);
        Poll::Pending
    }

    /// `end` goes away: the other one reads what is under way, then the end; what it writes meets nobody.
    pub(super) fn close(&self, end: End) {
        let mut state = self.state();
        state.to_node.wake();
        state.to_client.wake();
        if state.swallows {
            return;
        }
        state.outgoing(end).is_closed = true;
        let incoming = state.incoming(end);
        incoming.is_closed = true;
        incoming.segments.clear();
    }

    pub(super) fn reset(&self) {
        let mut state = self.state();
        state.is_reset = true;
        state.to_node.wake();
        state.to_client.wake();
    }

    pub(super) fn swallow(&self) {
        let mut state = self.state();
        state.swallows = true;
        state.to_node.segments.clear();
        state.to_client.segments.clear();
    }

    pub(super) fn slow_down(&self, us_per_kib: u64) {
        self.state().us_per_kib = us_per_kib;
    }

    pub(super) fn heal(&self) {
        self.state().us_per_kib = 0;
        if self.state().swallows {
            self.reset();
        }
    }

    pub(super) fn is_over(&self) -> bool {
        let state = self.state();
        state.is_reset || (state.to_node.is_closed && state.to_client.is_closed)
    }
}

impl LinkState {
    fn incoming(&mut self, end: End) -> &mut Pipe {
        match end {
            End::Client => &mut self.to_client,
            End::Node => &mut self.to_node,
        }
    }

    fn outgoing(&mut self, end: End) -> &mut Pipe {
        match end {
            End::Client => &mut self.to_node,
            End::Node => &mut self.to_client,
        }
    }
}
