//! A peer that sends or takes without a pause does not keep the others from their turn.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use prometheus::Registry;
use protocol_compat::ApiKey;
use tokio::io::{Interest, Ready};
use tokio::sync::watch;

use super::transport::{Acceptor, ByteStream};
use super::*;
use crate::clock::Clock;
use crate::request::{Handled, RequestContext, RequestHandler, ResponseFrame};
use crate::stalls::Stalls;

const READ_BYTES: usize = 64 << 10;

/// Always has more, until all is sent, and takes all.
struct Greedy {
    request: Vec<u8>,
    sent: Arc<AtomicUsize>,
    most: usize,
    taken: Arc<AtomicUsize>,
}

impl ByteStream for Greedy {
    async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        if self.sent.load(Ordering::Relaxed) < self.most {
            return Ok(Ready::READABLE | Ready::WRITABLE);
        }
        if interest.is_writable() {
            return Ok(Ready::WRITABLE);
        }
        std::future::pending().await
    }

    fn try_read_buf(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let sent = self.sent.load(Ordering::Relaxed);
        let room = buffer.capacity() - buffer.len();
        let bytes = room.min(READ_BYTES).min(self.most - sent);
        let endless = self.request.iter().copied().cycle();
        for byte in endless.skip(sent % self.request.len()).take(bytes) {
            buffer.put_u8(byte);
        }
        self.sent.store(sent + bytes, Ordering::Relaxed);
        Ok(bytes)
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Ok(bytes)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(address())
    }

    fn prepare(&self, _: &SocketSettings, _: SocketAddr, _: SocketAddr) {}
}

/// One connection and no other.
struct OneConnection(std::sync::Mutex<Option<Greedy>>);

impl Acceptor for OneConnection {
    type Stream = Greedy;

    async fn accept(&self) -> io::Result<(Greedy, SocketAddr)> {
        let stream = self.0.lock().unwrap().take();
        match stream {
            Some(stream) => Ok((stream, address())),
            None => std::future::pending().await,
        }
    }
}

struct Quiet;

impl RequestHandler for Quiet {
    fn handle(&self, _: &RequestContext, _: Bytes) -> Handled {
        Handled::NoReply
    }
}

fn address() -> SocketAddr {
    "127.0.0.1:9092".parse().unwrap()
}

/// Answers each request with so many bytes, in two pieces.
struct Generous(usize);

impl RequestHandler for Generous {
    fn handle(&self, _: &RequestContext, _: Bytes) -> Handled {
        let half = || Bytes::from(vec![7; self.0 / 2]).into();
        Handled::Now(ResponseFrame {
            pieces: Ok(vec![half(), half()]),
            api_key: ApiKey::Metadata,
            errors: Vec::new(),
        })
    }
}

/// Serves a peer that sends so many requests of this size. The most bytes that it got rid of in a turn, and the turns.
async fn served_in_turns(request: Vec<u8>, requests: usize) -> (usize, u32) {
    let sent = Arc::new(AtomicUsize::new(0));
    let bytes = requests * request.len();
    let greedy = Greedy {
        request,
        sent: sent.clone(),
        most: bytes,
        taken: Arc::default(),
    };
    turns_of(greedy, Quiet, &sent, bytes).await
}

/// Serves a peer until `count` has counted `until`. By how much it grew in a turn at most, and the turns.
async fn turns_of(
    greedy: Greedy,
    handler: impl RequestHandler,
    count: &AtomicUsize,
    until: usize,
) -> (usize, u32) {
    let network = Network::new(
        Arc::new(handler),
        ConnectionSettings::new(1 << 20, None),
        ConnectionLimits::new(ConnectionLimitValues::new(100, 100)),
        RequestBudget::unbounded(),
        NetworkMetrics::new(&Registry::new()).unwrap(),
        Stalls::new(&Registry::new(), Clock::real()).unwrap(),
        Clock::real(),
    );
    let settings = ListenerSettings {
        name: Arc::from("PLAINTEXT"),
        address: address(),
        socket: SocketSettings {
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
            backlog: 50,
            congestion_control: CongestionControl::Loopback("reno".to_owned()),
        },
    };
    let acceptor = OneConnection(std::sync::Mutex::new(Some(greedy)));
    let stop = watch::Sender::new(false);
    let listener = BoundListener::of(settings, acceptor, address());
    let served = tokio::spawn(listener.serve(network, stop.subscribe()));
    let (mut before, mut most, mut turns) = (0, 0, 0);
    while before < until {
        tokio::task::yield_now().await;
        let now = count.load(Ordering::Relaxed);
        most = most.max(now - before);
        turns += u32::from(now > before);
        before = now;
    }
    stop.send_replace(true);
    served.await.unwrap();
    (most, turns)
}

#[tokio::test]
async fn a_peer_that_never_pauses_lets_others_have_their_turn_after_a_mebibyte() {
    let request = tests::request(1, &[0; 60_000]);
    let (most, turns) = served_in_turns(request, 1_000).await;
    assert!(most <= (1 << 20) + READ_BYTES, "{most} bytes in one turn");
    assert!(turns >= 32, "{turns} turns");
}

#[tokio::test]
async fn small_requests_of_such_a_peer_end_its_turn_by_their_number() {
    let request = tests::request(1, &[0; 80]);
    let bytes = request.len();
    let (most, turns) = served_in_turns(request, 20_000).await;
    let requests = most / bytes;
    assert!(
        requests <= 64 + READ_BYTES / bytes,
        "{requests} requests in one turn"
    );
    assert!(turns >= 20, "{turns} turns");
}

#[tokio::test]
async fn a_peer_that_takes_whatever_comes_lets_others_have_their_turn_after_a_mebibyte() {
    let request = tests::request(1, &[0; 80]);
    let taken = Arc::new(AtomicUsize::new(0));
    let greedy = Greedy {
        most: request.len(),
        request,
        sent: Arc::default(),
        taken: taken.clone(),
    };
    let (most, turns) = turns_of(greedy, Generous(40 << 20), &taken, 40 << 20).await;
    assert!(most <= 1 << 20, "{most} bytes in one turn");
    assert!(turns >= 40, "{turns} turns");
}
