//! Connections over loopback sockets, with a handler that does what the request's body says.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use protocol_compat::ApiKey;
use protocol_compat::messages::HeartbeatResponse;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::clock::Clock;
use crate::request::{CloseReason, Handled, RequestContext, RequestHandler};
use crate::stalls::Stalls;

/// Answers by the first byte of the body: `n`ow, `l`ater or e`x`clusively once the gate of its correlation id is open,
/// `q`uietly, `c`lose; the answer's error code is 9. What `b`egins does what its second byte says once it is finished, which
/// stands in the list of what has begun with its correlation id below zero.
#[derive(Clone)]
struct Scripted {
    gates: watch::Sender<BTreeSet<i32>>,
    begun: watch::Sender<Vec<i32>>,
}

impl RequestHandler for Scripted {
    fn handle(&self, context: &RequestContext, body: Bytes) -> Handled {
        self.begun.send_modify(|begun| begun.push(context.correlation_id));
        self.act(context, &body)
    }
}

impl Scripted {
    fn act(&self, context: &RequestContext, body: &[u8]) -> Handled {
        let answer = HeartbeatResponse::default().with_error_code(9);
        let mut gates = self.gates.subscribe();
        let owned = context.clone();
        let waiting = async move {
            gates
                .wait_for(|open| open.contains(&owned.correlation_id))
                .await
                .expect("the test holds the gates");
            owned.respond_at(0, &answer)
        };
        match body.first() {
            Some(b'l') => Handled::Later(Box::pin(waiting)),
            Some(b'x') => Handled::Exclusive(Box::pin(waiting)),
            Some(b'b') => {
                let (this, context, rest) = (self.clone(), context.clone(), body[1..].to_vec());
                Handled::Begun(Box::new(move || {
                    this.begun
                        .send_modify(|begun| begun.push(-context.correlation_id));
                    this.act(&context, &rest)
                }))
            }
            Some(b'q') => Handled::NoReply,
            Some(b'c') => Handled::Close(CloseReason::FailedWithoutReply),
            _ => Handled::Now(context.respond_at(0, &HeartbeatResponse::default().with_error_code(9))),
        }
    }
}

struct Node {
    address: std::net::SocketAddr,
    handler: Arc<Scripted>,
    metrics: NetworkMetrics,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

impl Node {
    fn start(change: impl FnOnce(&mut ConnectionSettings)) -> Node {
        Node::limited(
            change,
            RequestBudget::unbounded(),
            ConnectionLimits::new(ConnectionLimitValues::new(100, 100)),
        )
    }

    fn limited(
        change: impl FnOnce(&mut ConnectionSettings),
        budget: RequestBudget,
        limits: Arc<ConnectionLimits>,
    ) -> Node {
        let mut settings = ConnectionSettings::new(1 << 20, None);
        change(&mut settings);
        let handler = Arc::new(Scripted {
            gates: watch::Sender::default(),
            begun: watch::Sender::default(),
        });
        let metrics = NetworkMetrics::new(&Registry::new()).unwrap();
        let network = Network::new(
            handler.clone(),
            settings,
            limits,
            budget,
            metrics.clone(),
            Stalls::new(&Registry::new(), Clock::real()).unwrap(),
            Clock::real(),
        );
        let listener = BoundListener::bind(ListenerSettings {
            name: Arc::from("PLAINTEXT"),
            address: "127.0.0.1:0".parse().unwrap(),
            socket: SocketSettings {
                send_buffer_bytes: Some(100 << 10),
                receive_buffer_bytes: Some(100 << 10),
                backlog: 50,
                congestion_control: CongestionControl::Loopback("reno".to_owned()),
            },
        })
        .unwrap();
        let stop = watch::Sender::new(false);
        let address = listener.local_addr();
        let served = tokio::spawn(listener.serve(network, stop.subscribe()));
        Node {
            address,
            handler,
            metrics,
            stop,
            served,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    fn open_gate(&self, correlation_id: i32) {
        self.handler.gates.send_modify(|gates| {
            gates.insert(correlation_id);
        });
    }

    async fn wait_until_begun(&self, count: usize) -> Vec<i32> {
        let mut begun = self.handler.begun.subscribe();
        begun
            .wait_for(|begun| begun.len() >= count)
            .await
            .unwrap()
            .clone()
    }

    fn closed(&self, reason: &str) -> u64 {
        self.metrics.closed.with_label_values(&[reason]).get()
    }
}

pub(super) fn request(correlation_id: i32, body: &[u8]) -> Vec<u8> {
    request_of(ApiKey::Heartbeat, correlation_id, body)
}

/// The same to an API whose requests may begin together.
fn produce(correlation_id: i32, body: &[u8]) -> Vec<u8> {
    request_of(ApiKey::Produce, correlation_id, body)
}

/// The same to another API, whose version 4 has the same header.
fn fetch(correlation_id: i32, body: &[u8]) -> Vec<u8> {
    request_of(ApiKey::Fetch, correlation_id, body)
}

fn request_of(api_key: ApiKey, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let version = match api_key {
        ApiKey::Fetch => 4,
        ApiKey::Produce => 3,
        _ => 0,
    };
    let mut frame = Vec::new();
    frame.extend(api_key.code().to_be_bytes());
    frame.extend([0, version]);
    frame.extend(correlation_id.to_be_bytes());
    frame.extend([0, 2, b'm', b'e']);
    frame.extend(body);
    let mut bytes = i32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(frame);
    bytes
}

async fn answer(stream: &mut TcpStream) -> i32 {
    let length = stream.read_i32().await.unwrap();
    assert_eq!(length, 6);
    let correlation_id = stream.read_i32().await.unwrap();
    assert_eq!(stream.read_i16().await.unwrap(), 9);
    correlation_id
}

/// Reads until the node closes; a reset counts as closed.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _end = stream.read_to_end(&mut rest).await;
    rest
}

#[tokio::test]
async fn answers_leave_in_the_order_of_requests_though_they_are_ready_in_another() {
    let node = Node::start(|_| {});
    let mut stream = node.connect().await;
    let requests = [
        request(1, b"l"),
        request(2, b"l"),
        request(3, b"n"),
        request(4, b"q"),
        request(5, b"n"),
    ];
    stream.write_all(&requests.concat()).await.unwrap();
    assert_eq!(node.wait_until_begun(5).await, [1, 2, 3, 4, 5]);
    node.open_gate(2);
    assert_eq!(node.metrics.requests_in_flight.get(), 4);
    node.open_gate(1);
    for expected in [1, 2, 3, 5] {
        assert_eq!(answer(&mut stream).await, expected);
    }
}

#[tokio::test]
async fn the_next_request_waits_for_an_exclusive_one() {
    let node = Node::start(|_| {});
    let mut stream = node.connect().await;
    stream
        .write_all(&[request(1, b"x"), request(2, b"n")].concat())
        .await
        .unwrap();
    assert_eq!(node.wait_until_begun(1).await, [1]);
    // Another connection is not held up, and its answer is a moment later than the second request would have been.
    let mut other = node.connect().await;
    other.write_all(&request(7, b"n")).await.unwrap();
    assert_eq!(answer(&mut other).await, 7);
    assert_eq!(*node.handler.begun.borrow(), [1, 7]);
    node.open_gate(1);
    assert_eq!(answer(&mut stream).await, 1);
    assert_eq!(answer(&mut stream).await, 2);
}

#[tokio::test]
async fn a_connection_with_too_much_in_flight_is_not_read() {
    let node = Node::start(|settings| settings.max_in_flight_requests = 2);
    let mut stream = node.connect().await;
    let requests: Vec<u8> = (1..=5).flat_map(|id| request(id, b"l")).collect();
    stream.write_all(&requests).await.unwrap();
    assert_eq!(node.wait_until_begun(2).await, [1, 2]);
    let mut other = node.connect().await;
    other.write_all(&request(100, b"n")).await.unwrap();
    assert_eq!(answer(&mut other).await, 100);
    assert_eq!(*node.handler.begun.borrow(), [1, 2, 100]);
    assert_eq!(node.metrics.back_pressure.get(), 1);
    (1..=5).for_each(|id| node.open_gate(id));
    for expected in 1..=5 {
        assert_eq!(answer(&mut stream).await, expected);
    }
}

#[tokio::test]
async fn bytes_in_flight_are_bounded_too() {
    let node = Node::start(|settings| settings.max_in_flight_bytes = 1000);
    let mut stream = node.connect().await;
    let large = [&b"l"[..], &[0; 1000]].concat();
    stream
        .write_all(&[request(1, &large), request(2, &large)].concat())
        .await
        .unwrap();
    assert_eq!(node.wait_until_begun(1).await, [1]);
    node.open_gate(1);
    assert_eq!(answer(&mut stream).await, 1);
    assert_eq!(node.wait_until_begun(2).await, [1, 2]);
}

/// More than a request may have that does not count.
const COUNTED_BYTES: usize = 100 << 10;

#[tokio::test]
async fn a_request_waits_for_the_budget_of_the_node() {
    let limits = ConnectionLimits::new(ConnectionLimitValues::new(100, 100));
    let node = Node::limited(|_| {}, RequestBudget::bytes(2 * COUNTED_BYTES), limits);
    let (mut first, mut second) = (node.connect().await, node.connect().await);
    first
        .write_all(&request(1, &[b'l'; COUNTED_BYTES]))
        .await
        .unwrap();
    node.wait_until_begun(1).await;
    // Larger than the whole budget: it gets all of it, after the first has given its share back.
    second
        .write_all(&request(2, &[b'n'; 5 * COUNTED_BYTES]))
        .await
        .unwrap();
    let mut third = node.connect().await;
    while node.metrics.budget_waits.get() == 0 {
        tokio::task::yield_now().await;
    }
    third
        .write_all(&request(3, &[b'n'; COUNTED_BYTES]))
        .await
        .unwrap();
    while node.metrics.budget_waits.get() == 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*node.handler.begun.borrow(), [1]);
    node.open_gate(1);
    assert_eq!(answer(&mut first).await, 1);
    assert_eq!(answer(&mut second).await, 2);
    assert_eq!(answer(&mut third).await, 3);
}

#[tokio::test]
async fn a_small_request_alone_on_its_connection_does_not_wait_for_what_others_hold() {
    let limits = ConnectionLimits::new(ConnectionLimitValues::new(100, 100));
    let budget = RequestBudget::bytes(COUNTED_BYTES);
    let node = Node::limited(|_| {}, budget.clone(), limits);
    let mut large = node.connect().await;
    large
        .write_all(&request(1, &[b'l'; 2 * COUNTED_BYTES]))
        .await
        .unwrap();
    node.wait_until_begun(1).await;
    let mut small = node.connect().await;
    small.write_all(&request(2, b"n")).await.unwrap();
    assert_eq!(answer(&mut small).await, 2);
    // A second one beside it waits, so that a connection holds no more than one of them.
    small
        .write_all(&[request(3, b"l"), request(4, b"n")].concat())
        .await
        .unwrap();
    while budget.status().waiting == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*node.handler.begun.borrow(), [1, 2, 3]);
    node.open_gate(1);
    node.open_gate(3);
    assert_eq!(answer(&mut large).await, 1);
    assert_eq!(answer(&mut small).await, 3);
    assert_eq!(answer(&mut small).await, 4);
}

#[tokio::test]
async fn who_takes_no_answers_is_not_read_once_all_of_them_have_left_as_many_as_there_may_be() {
    let limits = ConnectionLimits::new(ConnectionLimitValues::new(100, 100));
    let budget = RequestBudget::bytes(1 << 10);
    let change = |settings: &mut ConnectionSettings| settings.idle_timeout = Some(Duration::from_millis(500));
    let node = Node::limited(change, budget.clone(), limits);
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut greedy = socket.connect(node.address).await.unwrap();
    let requests: Vec<u8> = (0..100_000).flat_map(|id| request(id, &[b'n'; 100])).collect();
    let others = async {
        while !budget.is_full_of_answers() && node.closed("idle") == 0 {
            tokio::task::yield_now().await;
        }
        // Several at once: the next one begins where the answers before it are taken.
        let mut other = node.connect().await;
        let requests: Vec<u8> = (0..10).flat_map(|id| request(id, b"n")).collect();
        other.write_all(&requests).await.unwrap();
        for id in 0..10 {
            assert_eq!(answer(&mut other).await, id);
        }
    };
    let (sent, ()) = tokio::join!(greedy.write_all(&requests), others);
    assert!(sent.is_err(), "all its requests were read");
}

#[tokio::test]
async fn bytes_that_are_no_request_close_the_connection_and_nobody_elses() {
    let node = Node::start(|_| {});
    let mut healthy = node.connect().await;
    let cases: [(&[u8], &str); 7] = [
        (b"GET / HTTP/1.1\r\n\r\n", "invalid_frame"),
        (&[0xff, 0xff, 0xff, 0xff], "invalid_frame"),
        (&[0, 0x10, 0, 1, 0, 12], "invalid_frame"),
        (&[0, 0, 0, 1, 9], "invalid_header"),
        (&[0, 0, 0, 0], "invalid_header"),
        // ControlledShutdown is gone since Kafka 4.
        (
            &[0, 0, 0, 10, 0, 7, 0, 0, 0, 0, 0, 1, 0xff, 0xff],
            "invalid_header",
        ),
        // Heartbeat version 99.
        (
            &[0, 0, 0, 11, 0, 12, 0, 99, 0, 0, 0, 1, 0xff, 0xff, 0],
            "not_served",
        ),
    ];
    for (bytes, reason) in cases {
        let before = node.closed(reason);
        let mut stream = node.connect().await;
        stream.write_all(bytes).await.unwrap();
        assert!(until_closed(&mut stream).await.is_empty(), "{bytes:?}");
        assert_eq!(node.closed(reason), before + 1, "{bytes:?}");
    }
    healthy.write_all(&request(1, b"n")).await.unwrap();
    assert_eq!(answer(&mut healthy).await, 1);
}

#[tokio::test]
async fn answers_before_a_bad_request_are_still_written() {
    let node = Node::start(|_| {});
    let mut stream = node.connect().await;
    stream
        .write_all(&[request(1, b"l"), request(2, b"c"), request(3, b"n")].concat())
        .await
        .unwrap();
    assert_eq!(node.wait_until_begun(2).await, [1, 2]);
    node.open_gate(1);
    assert_eq!(answer(&mut stream).await, 1);
    assert!(until_closed(&mut stream).await.is_empty());
    assert_eq!(*node.handler.begun.borrow(), [1, 2]);
    assert_eq!(node.closed("failed_without_reply"), 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_whose_request_waits_is_not() {
    let node = Node::start(|settings| settings.idle_timeout = Some(Duration::from_millis(40)));
    let (mut idle, mut waiting) = (node.connect().await, node.connect().await);
    waiting.write_all(&request(1, b"l")).await.unwrap();
    node.wait_until_begun(1).await;
    assert!(until_closed(&mut idle).await.is_empty());
    assert_eq!(node.closed("idle"), 1);
    node.open_gate(1);
    assert_eq!(answer(&mut waiting).await, 1);
}

#[tokio::test]
async fn a_peer_that_takes_no_answers_is_not_read_and_closed_as_idle() {
    let node = Node::start(|settings| {
        settings.max_in_flight_bytes = 1 << 10;
        settings.idle_timeout = Some(Duration::from_millis(60));
    });
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut stream = socket.connect(node.address).await.unwrap();
    // More than the buffers of both sockets hold; the last ones wait behind answers that cannot leave.
    let body = |id: i32| [if id % 3 == 0 { b'l' } else { b'n' }; 100];
    let requests: Vec<u8> = (0..100_000).flat_map(|id| request(id, &body(id))).collect();
    node.handler.gates.send_replace((0..100_000).collect());
    assert!(stream.write_all(&requests).await.is_err());
    assert_eq!(node.closed("idle"), 1);
}

#[tokio::test]
async fn half_a_frame_has_a_deadline() {
    let node = Node::start(|settings| settings.frame_timeout = Duration::from_millis(40));
    let whole = request(1, b"n");
    for cut in [1, 5, 10] {
        let mut stream = node.connect().await;
        stream.write_all(&whole[..cut]).await.unwrap();
        assert!(until_closed(&mut stream).await.is_empty());
    }
    assert_eq!(node.closed("slow_frame"), 3);
}

#[tokio::test]
async fn an_address_has_only_so_many_connections() {
    let limits = ConnectionLimits::new(ConnectionLimitValues::new(100, 1));
    let node = Node::limited(|_| {}, RequestBudget::unbounded(), limits);
    let mut first = node.connect().await;
    first.write_all(&request(1, b"n")).await.unwrap();
    assert_eq!(answer(&mut first).await, 1);
    let mut second = node.connect().await;
    assert!(until_closed(&mut second).await.is_empty());
    assert_eq!(node.metrics.refused_per_ip.get(), 1);
}

#[tokio::test]
async fn an_address_of_its_own_limit_and_other_limits_at_run_time() {
    let mut values = ConnectionLimitValues::new(100, 1);
    let address: IpAddr = "127.0.0.1".parse().unwrap();
    values.overrides = HashMap::from([(address, 2)]);
    let limits = ConnectionLimits::new(values.clone());
    let node = Node::limited(|_| {}, RequestBudget::unbounded(), limits.clone());
    let mut open = Vec::new();
    for id in 0..2 {
        let mut stream = node.connect().await;
        stream.write_all(&request(id, b"n")).await.unwrap();
        assert_eq!(answer(&mut stream).await, id);
        open.push(stream);
    }
    assert!(until_closed(&mut node.connect().await).await.is_empty());
    values.overrides.insert(address, 3);
    limits.set(values);
    let mut third = node.connect().await;
    third.write_all(&request(3, b"n")).await.unwrap();
    assert_eq!(answer(&mut third).await, 3);
}

#[tokio::test]
async fn a_connection_beyond_the_most_waits_until_another_ends_or_the_limit_is_raised() {
    let limits = ConnectionLimits::new(ConnectionLimitValues::new(1, 100));
    let node = Node::limited(|_| {}, RequestBudget::unbounded(), limits.clone());
    let mut first = node.connect().await;
    first.write_all(&request(1, b"n")).await.unwrap();
    assert_eq!(answer(&mut first).await, 1);
    let (mut second, mut third) = (node.connect().await, node.connect().await);
    second.write_all(&request(2, b"n")).await.unwrap();
    third.write_all(&request(3, b"n")).await.unwrap();
    drop(first);
    assert_eq!(answer(&mut second).await, 2);
    assert_eq!(*node.handler.begun.borrow(), [1, 2]);
    limits.set(ConnectionLimitValues::new(2, 100));
    assert_eq!(answer(&mut third).await, 3);
    assert!(node.metrics.connection_waits.get() >= 2);
    assert_eq!(limits.max_connections(), 2);
}

#[tokio::test]
async fn connections_come_at_the_rate_they_may() {
    let mut values = ConnectionLimitValues::new(100, 100);
    values.creation_rate = 1;
    let limits = ConnectionLimits::new(values.clone());
    let node = Node::limited(|_| {}, RequestBudget::unbounded(), limits.clone());
    for id in 1..=2 {
        let mut stream = node.connect().await;
        stream.write_all(&request(id, b"n")).await.unwrap();
        if id == 2 {
            // Without another rate this one would come a second later.
            assert_eq!(node.metrics.accepted.get(), 1);
            values.creation_rate = u32::MAX;
            limits.set(values.clone());
        }
        assert_eq!(answer(&mut stream).await, id);
    }
    assert!(node.metrics.connection_rate_waits.get() >= 1);
}

#[tokio::test]
async fn a_second_fetch_waits_for_the_first_and_other_requests_do_not() {
    let node = Node::start(|_| {});
    let mut stream = node.connect().await;
    let requests = [request(1, b"l"), fetch(2, b"l"), request(3, b"l"), fetch(4, b"n")];
    stream.write_all(&requests.concat()).await.unwrap();
    assert_eq!(node.wait_until_begun(3).await, [1, 2, 3]);
    let mut other = node.connect().await;
    other.write_all(&request(9, b"n")).await.unwrap();
    assert_eq!(answer(&mut other).await, 9);
    assert_eq!(*node.handler.begun.borrow(), [1, 2, 3, 9]);
    for id in 1..=3 {
        node.open_gate(id);
    }
    for expected in 1..=4 {
        assert_eq!(answer(&mut stream).await, expected);
    }
}

/// A node whose requests share `COUNTED_BYTES`. A frame that is not whole may hold them for so long where others wait.
fn contended(time: Duration) -> (Node, RequestBudget) {
    let limits = ConnectionLimits::new(ConnectionLimitValues::new(100, 100));
    let budget = RequestBudget::bytes(COUNTED_BYTES);
    let change = |settings: &mut ConnectionSettings| {
        settings.contended_frame_timeout = time;
        settings.frame_timeout = Duration::from_secs(3600);
    };
    (Node::limited(change, budget.clone(), limits), budget)
}

/// Sends the beginning of a frame, and after a pause so much of it that it holds all that there is.
async fn hold(node: &Node, budget: &RequestBudget, pause: Duration) -> TcpStream {
    let mut slow = node.connect().await;
    let whole = request(1, &[b'n'; 2 * COUNTED_BYTES]);
    slow.write_all(&whole[..2]).await.unwrap();
    // The pause is the time in which a frame does not come.
    tokio::time::sleep(pause).await;
    slow.write_all(&whole[2..100]).await.unwrap();
    let mut status = budget.status();
    while status.used_bytes < COUNTED_BYTES {
        tokio::task::yield_now().await;
        status = budget.status();
    }
    assert_eq!((status.total_bytes, status.waiting), (COUNTED_BYTES, 0));
    slow
}

/// Another connection wants what the slow one holds, which is cut off for it. Gives the time that this took.
async fn want(node: &Node, mut slow: TcpStream) -> Duration {
    assert_eq!(node.closed("slow_frame"), 0);
    let mut other = node.connect().await;
    let wanted = Instant::now();
    let whole = request(2, &[b'n'; COUNTED_BYTES]);
    other.write_all(&whole).await.unwrap();
    let rest = tokio::time::timeout(Duration::from_secs(20), until_closed(&mut slow)).await;
    assert!(rest.expect("it is cut off").is_empty());
    let took = wanted.elapsed();
    assert_eq!(answer(&mut other).await, 2);
    assert_eq!(node.closed("slow_frame"), 1);
    took
}

#[tokio::test]
async fn a_slow_frame_that_holds_what_others_wait_for_is_cut_off_early() {
    let time = Duration::from_millis(40);
    let (node, budget) = contended(time);
    let slow = hold(&node, &budget, Duration::ZERO).await;
    want(&node, slow).await;
}

#[tokio::test]
async fn a_frame_whose_length_came_late_is_cut_off_where_others_wait() {
    let time = Duration::from_millis(40);
    let (node, budget) = contended(time);
    let slow = hold(&node, &budget, 2 * time).await;
    want(&node, slow).await;
}

#[tokio::test]
async fn a_frame_that_was_slow_for_long_is_cut_off_as_soon_as_others_wait() {
    let time = Duration::from_secs(1);
    let (node, budget) = contended(time);
    let slow = hold(&node, &budget, Duration::ZERO).await;
    // It keeps what nobody wants, though its time is over.
    tokio::time::sleep(time + Duration::from_millis(50)).await;
    let took = want(&node, slow).await;
    assert!(took < time / 2, "{took:?}");
}

#[tokio::test]
async fn a_stop_lets_answers_leave_and_takes_no_request() {
    let node = Node::start(|_| {});
    let (mut idle, mut waiting) = (node.connect().await, node.connect().await);
    waiting.write_all(&request(1, b"l")).await.unwrap();
    node.wait_until_begun(1).await;
    node.stop.send_replace(true);
    assert!(until_closed(&mut idle).await.is_empty());
    node.open_gate(1);
    assert_eq!(answer(&mut waiting).await, 1);
    assert!(until_closed(&mut waiting).await.is_empty());
    node.served.await.unwrap();
    assert!(TcpStream::connect(node.address).await.is_err());
    assert_eq!(node.metrics.connections.get(), 0);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_answers_that_do_not_come() {
    let node = Node::start(|settings| settings.drain_timeout = Duration::from_millis(20));
    let mut waiting = node.connect().await;
    waiting.write_all(&request(1, b"l")).await.unwrap();
    node.wait_until_begun(1).await;
    node.stop.send_replace(true);
    node.served.await.unwrap();
    assert_eq!(node.metrics.requests_in_flight.get(), 0);
}

#[tokio::test]
async fn a_sampled_request_is_counted_once_it_was_answered_and_never_if_it_is_given_up() {
    let node = Node::start(|_| {});
    let sampled = || node.metrics.stages.sampled(ApiKey::Heartbeat);
    // The second request of the first connection is sampled, and the third one of the second.
    let mut first = node.connect().await;
    first
        .write_all(&[request(1, b"n"), request(2, b"l")].concat())
        .await
        .unwrap();
    assert_eq!(answer(&mut first).await, 1);
    node.wait_until_begun(2).await;
    drop(first);
    while node.closed("peer") == 0 {
        tokio::task::yield_now().await;
    }
    let mut second = node.connect().await;
    for id in 3..=6 {
        assert_eq!(sampled(), u64::from(id == 6));
        second.write_all(&request(id, b"n")).await.unwrap();
        assert_eq!(answer(&mut second).await, id);
    }
    assert_eq!(sampled(), 1);
}

#[tokio::test]
async fn a_large_answer_reaches_a_slow_reader_whole() {
    let node = Node::start(|settings| settings.max_in_flight_bytes = 64 << 10);
    let mut stream = node.connect().await;
    let requests: Vec<u8> = (0..2000).flat_map(|id| request(id, b"n")).collect();
    let (mut read, mut write) = stream.split();
    let send = async { write.write_all(&requests).await.unwrap() };
    let receive = async {
        let mut all = vec![0; 2000 * 10];
        read.read_exact(&mut all).await.unwrap();
        all
    };
    let ((), all) = tokio::join!(send, receive);
    for (id, frame) in (0i32..).zip(all.chunks(10)) {
        assert_eq!(frame[4..8], id.to_be_bytes());
    }
}

#[tokio::test]
async fn what_has_begun_is_finished_in_order_once_all_that_arrived_has_begun() {
    let node = Node::start(|_| {});
    let mut client = node.connect().await;
    let requests = [
        produce(1, b"bn"),
        produce(2, b"bn"),
        produce(3, b"n"),
        produce(4, b"bn"),
    ];
    client.write_all(&requests.concat()).await.unwrap();
    for expected in 1..=4 {
        assert_eq!(answer(&mut client).await, expected);
    }
    assert_eq!(node.wait_until_begun(7).await, [1, 2, 3, -1, -2, 4, -4]);
}

#[tokio::test]
async fn what_has_begun_is_finished_before_a_request_of_another_kind_begins() {
    let node = Node::start(|_| {});
    let mut client = node.connect().await;
    let requests = [
        produce(1, b"bn"),
        produce(2, b"bn"),
        request(3, b"n"),
        produce(4, b"bn"),
    ];
    client.write_all(&requests.concat()).await.unwrap();
    for expected in 1..=4 {
        assert_eq!(answer(&mut client).await, expected);
    }
    assert_eq!(node.wait_until_begun(7).await, [1, 2, -1, -2, 3, 4, -4]);
}

#[tokio::test]
async fn what_has_begun_may_wait_and_is_answered_though_the_connection_closes_behind_it() {
    let node = Node::start(|_| {});
    let mut client = node.connect().await;
    let requests = [
        produce(1, b"bl"),
        produce(2, b"bn"),
        produce(3, b"c"),
        produce(4, b"n"),
    ];
    client.write_all(&requests.concat()).await.unwrap();
    assert_eq!(node.wait_until_begun(5).await, [1, 2, 3, -1, -2]);
    node.open_gate(1);
    assert_eq!(answer(&mut client).await, 1);
    assert_eq!(answer(&mut client).await, 2);
    assert!(until_closed(&mut client).await.is_empty());
    assert_eq!(node.wait_until_begun(5).await.len(), 5, "the fourth never began");
}

#[tokio::test]
async fn no_more_begin_than_may_be_in_flight() {
    let node = Node::start(|settings| settings.max_in_flight_requests = 2);
    let mut client = node.connect().await;
    let requests: Vec<u8> = (1..=5).flat_map(|number| produce(number, b"bn")).collect();
    client.write_all(&requests).await.unwrap();
    for expected in 1..=5 {
        assert_eq!(answer(&mut client).await, expected);
    }
    assert_eq!(
        node.wait_until_begun(10).await,
        [1, 2, -1, -2, 3, 4, -3, -4, 5, -5]
    );
}
