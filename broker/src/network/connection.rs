//! One connection: requests begin in order, answers overlap and leave in order.
//!
//! ```text
//!            try_read                step            handle                 write
//!   socket ----------> FrameReader -------> frame ----------> FuturesOrdered -------> WriteQueue --> socket
//!      ^ not read while: too much in flight | no budget | an exclusive request | closing | draining
//! ```
//!
//! Everything happens on the connection's task; nothing is handed to another one. The rules kept here: bytes in flight
//! are bounded by not reading, a frame that has begun must go on, an idle connection is closed, and a request that
//! cannot be read closes the connection after the answers before it, as in Kafka.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use protocol_compat::frame::FrameError;
use protocol_compat::{ApiKey, EncodeError, decode_request_header};
use storage::stages::{Record, Stage, Work};
use thiserror::Error;
use tokio::io::Interest;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::environment::Network;
use super::input::{FrameReader, Step};
use super::limits::{BudgetShare, UntakenAnswers};
use super::output::WriteQueue;
use super::rereads::Rereads;
use super::sends::{Sends, Write};
use super::settings::{CONTENDED_FRAME_BYTES_PER_SECOND, MIN_FRAME_BYTES_PER_SECOND};
use super::stages::{Recorded, Sampler};
use super::transport::ByteStream;
use crate::request::{CloseReason, Handled, NoFrame, RequestContext, ResponseFrame};

/// The principal of a connection without authentication.
const ANONYMOUS: &str = "User:ANONYMOUS";
/// Nothing is due before this; a timer has to point somewhere.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Requests of this size need no share of the budget while nothing else of their connection is in flight: this much is read
/// ahead of every frame.
const UNCOUNTED_REQUEST_BYTES: usize = 64 << 10;

/// After so many bytes a connection lets the others have their turn: a peer that sends, or takes, without a pause is always
/// ready.
const BYTES_OF_A_TURN: usize = 1 << 20;
/// As how many bytes a request counts, whatever its size: what it costs to serve it.
const BYTES_OF_A_REQUEST: usize = 16 << 10;

/// Why a connection ended.
#[derive(Debug, Error)]
pub(super) enum End {
    #[error("the peer closed it")]
    Peer,
    #[error("idle for {0:?}")]
    Idle(Duration),
    #[error("a frame did not arrive in time")]
    SlowFrame,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Request(#[from] CloseReason),
    #[error("an answer could not be encoded: {0}")]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the node stops")]
    Shutdown,
}

impl End {
    /// The label under which it is counted.
    pub(super) fn label(&self) -> &'static str {
        match self {
            End::Peer => "peer",
            End::Idle(_) => "idle",
            End::SlowFrame => "slow_frame",
            End::Frame(_) => "invalid_frame",
            End::Request(CloseReason::Header(_)) => "invalid_header",
            End::Request(CloseReason::NotServed { .. }) => "not_served",
            End::Request(CloseReason::Undecodable { .. }) => "undecodable",
            End::Request(CloseReason::FailedWithoutReply) => "failed_without_reply",
            End::Encode(_) => "unencodable_answer",
            End::Io(_) => "io",
            End::Shutdown => "shutdown",
        }
    }
}

impl From<NoFrame> for End {
    fn from(no_frame: NoFrame) -> End {
        match no_frame {
            NoFrame::Encode(error) => End::Encode(error),
            NoFrame::Close(reason) => End::Request(reason),
        }
    }
}

/// An answer on its way, with what its request holds.
struct Reply {
    frame: ResponseFrame,
    record: Option<Box<Record>>,
    held_bytes: usize,
    exclusive: bool,
    is_fetch: bool,
    _share: BudgetShare,
}

/// A request that has begun and is to be finished with those that were read with it.
struct Begun {
    finish: Box<dyn FnOnce() -> Handled + Send>,
    taken: Taken,
    record: Option<Box<Record>>,
}

/// What a request takes until it is answered.
struct Taken {
    api_key: ApiKey,
    bytes: usize,
    share: BudgetShare,
}

/// A frame of which some bytes are there.
struct BegunFrame {
    /// Since when it could have been read.
    since: Instant,
    /// Where it has had its time and may stay only while nobody wants what it holds: ready as soon as somebody does.
    contention: Option<BoxFuture<'static, ()>>,
}

/// What a connection waits for.
enum Event {
    Reply(Reply),
    Budget(BudgetShare),
    Readable,
    Writable,
    /// A deadline, or others that wait for what a frame holds.
    Timer,
    Shutdown,
}

/// A connection and all that it holds.
pub(super) struct Connection<S> {
    stream: S,
    network: Arc<Network>,
    context: RequestContext,
    input: FrameReader,
    rereads: Rereads,
    output: WriteQueue,
    sends: Sends,
    sampler: Sampler,
    untaken: UntakenAnswers,
    begun: Vec<Begun>,
    replies: FuturesOrdered<BoxFuture<'static, Reply>>,
    in_flight_bytes: usize,
    /// The share of the frame that is being read.
    share: Option<BudgetShare>,
    awaited_share: Option<BoxFuture<'static, BudgetShare>>,
    exclusive: bool,
    /// Whether a fetch waits for data. Its answer may be as large as `fetch.max.bytes`: another one begins after it.
    fetching: bool,
    /// The fetch that waits for the one before it, and when it was read.
    parked: Option<(Bytes, Instant)>,
    held_back: bool,
    /// Bytes read and written since the others had their turn, and what the requests among them count as.
    spent_in_turn: usize,
    closing: Option<End>,
    last_activity: Instant,
    /// When bytes were last read. While a whole frame waits, nothing behind it is read.
    last_read: Instant,
    /// The frame that has begun, while it can be read.
    frame: Option<BegunFrame>,
    drain_until: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    shutdown: watch::Receiver<bool>,
}

impl<S: ByteStream> Connection<S> {
    pub(super) fn new(
        stream: S,
        peer: SocketAddr,
        listener: Arc<str>,
        connection_id: u64,
        network: Arc<Network>,
        shutdown: watch::Receiver<bool>,
    ) -> io::Result<Connection<S>> {
        let context = RequestContext {
            api_key: ApiKey::ApiVersions,
            version: 0,
            correlation_id: 0,
            client_id: None,
            peer,
            local: stream.local_addr()?,
            listener,
            connection_id,
            received_ms: 0,
            principal: Arc::from(ANONYMOUS),
            more_follows: false,
        };
        Ok(Connection {
            stream,
            context,
            input: FrameReader::new(network.settings.max_request_bytes),
            rereads: Rereads::default(),
            output: WriteQueue::default(),
            sends: Sends::default(),
            sampler: Sampler::new(connection_id),
            untaken: network.budget.untaken_answers(),
            begun: Vec::new(),
            replies: FuturesOrdered::new(),
            in_flight_bytes: 0,
            share: None,
            awaited_share: None,
            exclusive: false,
            fetching: false,
            parked: None,
            held_back: false,
            spent_in_turn: 0,
            closing: None,
            last_activity: Instant::now(),
            last_read: Instant::now(),
            frame: None,
            drain_until: None,
            timer: Box::pin(tokio::time::sleep(network.settings.idle_timeout.unwrap_or(NEVER))),
            shutdown,
            network,
        })
    }

    /// Serves the connection until it ends, and says why it did.
    pub(super) async fn run(mut self) -> End {
        loop {
            match self.turn().await {
                Ok(()) => {}
                Err(end) => {
                    // What is in flight is dropped with the connection.
                    let waiting = i64::try_from(self.replies.len()).unwrap_or(i64::MAX);
                    self.network.metrics.requests_in_flight.sub(waiting);
                    return end;
                }
            }
        }
    }

    /// Does what can be done at once, then waits for the next event.
    async fn turn(&mut self) -> Result<(), End> {
        loop {
            let taken = self.take_frames();
            if let Err(end) = self.finish_begun().and(taken) {
                self.close(end);
            }
            let was_full = self.is_full();
            self.write()?;
            // Where the write made room, what was read before goes on: no event would tell.
            if !was_full || self.is_full() {
                break;
            }
            if self.has_had_its_turn() {
                tokio::task::yield_now().await;
            }
        }
        self.finish_if_done()?;
        self.watch_frame();
        if self.has_had_its_turn() {
            tokio::task::yield_now().await;
        }
        match self.next_event().await? {
            Event::Reply(reply) => self.finish(reply),
            Event::Budget(share) => {
                self.awaited_share = None;
                self.grant(share);
            }
            Event::Readable => self.read()?,
            Event::Writable => {}
            Event::Timer => self.check_deadlines()?,
            Event::Shutdown => self.drain(),
        }
        Ok(())
    }

    /// Whether others are to have theirs now. Says so once.
    fn has_had_its_turn(&mut self) -> bool {
        let is_over = self.spent_in_turn >= BYTES_OF_A_TURN;
        if is_over {
            self.spent_in_turn = 0;
        }
        is_over
    }

    async fn next_event(&mut self) -> Result<Event, End> {
        let read = self.may_read();
        let write = !self.output.is_empty();
        let interest = match (read, write) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (false, _) => Interest::WRITABLE,
        };
        let may_encode =
            self.output.bytes() < self.network.settings.max_in_flight_bytes && !self.must_take_answers();
        tokio::select! {
            biased;
            Some(reply) = self.replies.next(), if may_encode && !self.replies.is_empty() => Ok(Event::Reply(reply)),
            share = poll_share(&mut self.awaited_share), if self.awaited_share.is_some() => Ok(Event::Budget(share)),
            ready = self.stream.ready(interest), if read || write => {
                let ready = ready?;
                Ok(if read && (ready.is_readable() || ready.is_read_closed()) { Event::Readable } else { Event::Writable })
            }
            () = poll_contention(&mut self.frame), if self.frame.is_some() => Ok(Event::Timer),
            () = self.timer.as_mut() => Ok(Event::Timer),
            // A sender that is gone means that the node is being torn down.
            Ok(()) | Err(_) = self.shutdown.changed(), if self.drain_until.is_none() => Ok(Event::Shutdown),
        }
    }

    /// Whether as much is in flight as may be.
    fn is_full(&self) -> bool {
        let settings = &self.network.settings;
        self.replies.len() + self.begun.len() >= settings.max_in_flight_requests
            || self.in_flight_bytes.saturating_add(self.output.bytes()) >= settings.max_in_flight_bytes
            || self.must_take_answers()
    }

    /// Whether the peer has to take answers first, because all peers together have left too many. Whoever has none is
    /// served: each connection may have one answer beyond the bound.
    fn must_take_answers(&self) -> bool {
        !self.output.is_empty() && self.network.budget.is_full_of_answers()
    }

    fn may_begin(&self) -> bool {
        !self.exclusive
            && self.parked.is_none()
            && self.closing.is_none()
            && self.drain_until.is_none()
            && self.awaited_share.is_none()
            && !self.is_full()
    }

    /// Whether the socket may be read. While an exclusive request runs, the beginning of the next frame is read, so that
    /// a peer that is gone is noticed, and no more.
    fn may_read(&self) -> bool {
        self.may_begin() || (self.exclusive && self.closing.is_none() && self.input.begun_bytes().is_none())
    }

    fn read(&mut self) -> Result<(), End> {
        let room = self.input.room();
        let read = match self.rereads.may_be_last() {
            true => self.stream.try_read_last_buf(room),
            false => self.stream.try_read_buf(room),
        };
        match read {
            Ok(0) => Err(End::Peer),
            Ok(bytes) => {
                self.rereads.took(room.len() < room.capacity());
                self.last_read = Instant::now();
                self.last_activity = self.last_read;
                self.spent_in_turn = self.spent_in_turn.saturating_add(bytes);
                self.network.metrics.received_bytes.inc_by(bytes as u64);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.rereads.found_nothing();
                self.input.release_unused();
                Ok(())
            }
            Err(error) => Err(End::Io(error)),
        }
    }

    fn write(&mut self) -> Result<(), End> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.network.stalls.expect();
        let began = Instant::now();
        // Not what is left of the turn: whoever reads it up would never write.
        let written = self.output.write_to(&self.stream, BYTES_OF_A_TURN)?;
        self.spent_in_turn = self.spent_in_turn.saturating_add(written);
        let mut write = Write {
            began,
            ended: began,
            written,
            left: self.output.bytes(),
        };
        if written > 0 {
            write.ended = Instant::now();
            self.last_activity = write.ended;
            self.network.metrics.sent_bytes.inc_by(written as u64);
        }
        self.untaken.set(write.left);
        let (network, peer) = (&self.network, self.context.peer);
        self.sends.wrote(write, &network.metrics.stages, |stall| {
            network.stalls.send_stalled(peer, stall);
        });
        Ok(())
    }

    /// Begins every request that is there and may begin.
    fn take_frames(&mut self) -> Result<(), End> {
        if !self.fetching
            && self.closing.is_none()
            && self.drain_until.is_none()
            && let Some((fetch, read)) = self.parked.take()
        {
            self.begin(fetch, read)?;
        }
        while self.may_begin() {
            match self.input.step()? {
                Step::NeedBytes => break,
                Step::NeedGrant(length) => self.ask_for_share(length),
                Step::Frame(frame) => {
                    self.frame = None;
                    if self.fetching && is_fetch(&frame) {
                        self.parked = Some((frame, self.last_read));
                    } else {
                        self.begin(frame, self.last_read)?;
                    }
                }
            }
        }
        self.note_back_pressure();
        Ok(())
    }

    fn note_back_pressure(&mut self) {
        let held_back = self.is_full();
        if held_back && !self.held_back {
            self.network.metrics.back_pressure.inc();
        }
        self.held_back = held_back;
    }

    fn ask_for_share(&mut self, length: usize) {
        match self.network.budget.try_share(length) {
            Some(share) => self.grant(share),
            // The only request of its connection, no larger than what is read ahead of any: it does not wait for what
            // others hold.
            None if length <= UNCOUNTED_REQUEST_BYTES && self.replies.is_empty() => {
                self.grant(BudgetShare::uncounted());
            }
            None => {
                self.network.metrics.budget_waits.inc();
                self.awaited_share = Some(Box::pin(self.network.budget.clone().share(length)));
            }
        }
    }

    fn grant(&mut self, share: BudgetShare) {
        self.share = Some(share);
        self.input.grant();
    }

    /// Hands one request, which was read at this moment, to its handler.
    fn begin(&mut self, mut frame: Bytes, read: Instant) -> Result<(), End> {
        let record = (self.sampler.is_due()).then(|| self.network.record(read.elapsed()));
        let request_bytes = frame.len();
        self.spent_in_turn = self.spent_in_turn.saturating_add(BYTES_OF_A_REQUEST);
        let Some(share) = self.share.take() else {
            return Err(End::Shutdown);
        };
        let header = decode_request_header(&mut frame).map_err(CloseReason::Header)?;
        self.context.api_key = header.api_key;
        self.context.version = header.api_version;
        self.context.correlation_id = header.correlation_id;
        self.context.received_ms = self.network.clock.wall_ms();
        let client_id = header.client_id.filter(|id| !id.is_empty());
        if self.context.client_id.as_deref() != client_id.as_deref() {
            self.context.client_id = client_id.map(|id| Arc::from(id.as_str()));
        }
        self.check_served()?;
        self.network.metrics.request(header.api_key);
        self.context.more_follows = self.input.has_frame();
        if header.api_key != ApiKey::Produce {
            self.finish_begun()?;
        }
        let taken = Taken {
            api_key: header.api_key,
            bytes: request_bytes,
            share,
        };
        let work = Work::begin(record, Stage::Local);
        let handled = self.network.handler.handle(&self.context, frame);
        let mut record = work.end();
        if let Handled::Begun(finish) = handled {
            if let Some(record) = record.as_mut() {
                record.enter(Stage::Wait);
            }
            self.begun.push(Begun {
                finish,
                taken,
                record,
            });
            return Ok(());
        }
        self.finish_begun()?;
        self.take_handled(handled, taken, record)
    }

    /// Finishes what has begun, in its order. All of it takes effect, also where an answer cannot be given.
    fn finish_begun(&mut self) -> Result<(), End> {
        if self.begun.is_empty() {
            return Ok(());
        }
        let mut ended = Ok(());
        for begun in std::mem::take(&mut self.begun) {
            let work = Work::begin(begun.record, Stage::Local);
            let handled = (begun.finish)();
            let record = work.end();
            if ended.is_ok() {
                ended = self.take_handled(handled, begun.taken, record);
            }
        }
        ended
    }

    /// Answers a request, or notes that its answer waits.
    fn take_handled(
        &mut self,
        handled: Handled,
        taken: Taken,
        mut record: Option<Box<Record>>,
    ) -> Result<(), End> {
        let Taken {
            api_key,
            bytes: mut held_bytes,
            share,
        } = taken;
        let (frame, exclusive, waits) = match handled {
            Handled::Now(frame) if self.replies.is_empty() => return self.answer(frame, record),
            Handled::Now(frame) => {
                held_bytes = held_bytes.saturating_add(frame.bytes());
                if let Some(record) = record.as_mut() {
                    record.enter(Stage::Order);
                }
                (futures_util::future::ready(frame).boxed(), false, false)
            }
            Handled::Later(frame) => (frame, false, true),
            Handled::Exclusive(frame) => (frame, true, true),
            // Finishing ends what began.
            Handled::Begun(finish) => {
                return self.take_handled(
                    finish(),
                    Taken {
                        api_key,
                        bytes: held_bytes,
                        share,
                    },
                    record,
                );
            }
            Handled::NoReply => {
                if let Some(record) = record {
                    self.network.metrics.stages.observe(api_key, &record.end());
                }
                return Ok(());
            }
            Handled::Close(reason) => return Err(reason.into()),
        };
        let is_fetch = waits && api_key == ApiKey::Fetch;
        self.in_flight_bytes = self.in_flight_bytes.saturating_add(held_bytes);
        self.exclusive = exclusive;
        self.fetching |= is_fetch;
        self.network.metrics.requests_in_flight.inc();
        self.replies.push_back(
            async move {
                let (frame, record) = match record {
                    Some(record) if waits => Recorded::new(frame, record).await,
                    record => (frame.await, record),
                };
                Reply {
                    frame,
                    record,
                    held_bytes,
                    exclusive,
                    is_fetch,
                    _share: share,
                }
            }
            .boxed(),
        );
        Ok(())
    }

    /// ApiVersions answers every version; anything else only its own.
    fn check_served(&self) -> Result<(), CloseReason> {
        let (api_key, version) = (self.context.api_key, self.context.version);
        if api_key.is_answered(version) || api_key == ApiKey::ApiVersions {
            Ok(())
        } else {
            Err(CloseReason::NotServed { api_key, version })
        }
    }

    fn answer(&mut self, frame: ResponseFrame, record: Option<Box<Record>>) -> Result<(), End> {
        self.network.metrics.errors(frame.api_key, &frame.errors);
        self.output.push(frame.pieces?);
        if let Some(record) = record {
            self.sends.sampled(self.output.bytes(), frame.api_key, record);
        }
        Ok(())
    }

    /// Takes the answer of the oldest request.
    fn finish(&mut self, reply: Reply) {
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(reply.held_bytes);
        self.network.metrics.requests_in_flight.dec();
        if reply.exclusive {
            self.exclusive = false;
        }
        if reply.is_fetch {
            self.fetching = false;
        }
        if let Err(end) = self.answer(reply.frame, reply.record) {
            self.close(end);
        }
    }

    /// No request begins from here on; answers that are under way are still written.
    fn close(&mut self, end: End) {
        if self.closing.is_none() {
            self.closing = Some(end);
        }
    }

    fn drain(&mut self) {
        let until = Instant::now() + self.network.settings.drain_timeout;
        self.drain_until = Some(until);
        self.timer.as_mut().reset(until);
    }

    fn finish_if_done(&mut self) -> Result<(), End> {
        if !self.replies.is_empty() || !self.output.is_empty() {
            return Ok(());
        }
        if let Some(end) = self.closing.take() {
            return Err(end);
        }
        if self.drain_until.is_some() {
            Err(End::Shutdown)
        } else {
            Ok(())
        }
    }

    /// Starts the clock of a frame that has begun, and stops it while the connection is not read on purpose.
    fn watch_frame(&mut self) {
        if !self.may_begin() || self.input.begun_bytes().is_none() {
            self.frame = None;
        } else if self.frame.is_none() {
            let now = Instant::now();
            self.frame = Some(BegunFrame {
                since: now,
                contention: None,
            });
            let settings = &self.network.settings;
            let due = now + settings.frame_timeout.min(settings.contended_frame_timeout);
            if due < self.timer.deadline() {
                self.timer.as_mut().reset(due);
            }
        }
    }

    fn check_deadlines(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.drain_until.is_some_and(|until| now >= until) {
            return Err(End::Shutdown);
        }
        let mut next = self.drain_until.unwrap_or(now + NEVER);
        if let Some(idle) = self.network.settings.idle_timeout {
            // A connection whose request waits is not idle, however long that takes; one that does not take its answers is.
            let waits = !self.replies.is_empty() && self.output.is_empty();
            let idle_since = if waits { now } else { self.last_activity };
            if now >= idle_since + idle {
                return Err(End::Idle(idle));
            }
            next = next.min(idle_since + idle);
        }
        if let (Some(frame), Some(bytes)) = (&mut self.frame, self.input.begun_bytes()) {
            let (settings, budget) = (&self.network.settings, &self.network.budget);
            let earned = |rate: u64| Duration::from_secs(bytes as u64 / rate);
            let due = frame.since + settings.frame_timeout + earned(MIN_FRAME_BYTES_PER_SECOND);
            let contended =
                frame.since + settings.contended_frame_timeout + earned(CONTENDED_FRAME_BYTES_PER_SECOND);
            let may_not_hold = now >= contended && self.share.is_some();
            if now >= due || (may_not_hold && budget.is_contended()) {
                return Err(End::SlowFrame);
            }
            frame.contention = may_not_hold.then(|| budget.clone().contention().boxed());
            next = next.min(due);
            if now < contended {
                next = next.min(contended);
            } else if self.share.is_none() {
                // Its length is not there yet, so that it holds nothing: looked at again once it may.
                next = next.min(now + settings.contended_frame_timeout);
            }
        }
        self.timer.as_mut().reset(next);
        Ok(())
    }
}

/// Whether the API key at the front of a frame is Fetch.
fn is_fetch(frame: &Bytes) -> bool {
    frame.first_chunk() == Some(&ApiKey::Fetch.code().to_be_bytes())
}

/// The awaited share; never ready where none is awaited.
async fn poll_share(awaited: &mut Option<BoxFuture<'static, BudgetShare>>) -> BudgetShare {
    match awaited {
        Some(share) => share.await,
        None => std::future::pending().await,
    }
}

/// That others wait for what a frame holds; never ready where it still has time.
async fn poll_contention(frame: &mut Option<BegunFrame>) {
    match frame.as_mut().and_then(|frame| frame.contention.as_mut()) {
        Some(contention) => contention.await,
        None => std::future::pending().await,
    }
}
