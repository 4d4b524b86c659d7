//! A flood of requests through hundreds of connections, and a client that behaves beside it.
//!
//! What the node holds at most and how long the client that behaves waits are measured; the bound is worked out from the
//! node's configuration alone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use protocol_compat::guard::budget_bytes;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

use crate::bad_input::requests::framed;
use crate::bench::process;
use crate::codec;
use crate::metrics;
use crate::node::Node;
use crate::schema::{Direction, message};
use crate::steady_client::{Steady, SteadyClient};

const FRAME_BYTES: usize = 1 << 20;
/// Of a frame that asks about topics, and more than its answer has.
const ASKING_BYTES: usize = 64 << 10;
const ANSWER_BYTES: u64 = 128 << 10;
/// What a node reads ahead of a frame, and lets a connection's only request have beyond the budget.
const BEGINNING_BYTES: u64 = 64 << 10;
/// Handlers that run at one time: the node's threads.
const THREADS: u64 = 2;
/// How long a flooder that reads no answers waits for the node to take another request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at the node.
const LOOK: Duration = Duration::from_millis(100);
const RECEIVED: &str = "kafka_server_socket_server_received_bytes_total";

/// What a flood is.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// Connections that are open at one time.
    pub connections: usize,
    /// Bytes that the node has to receive.
    pub bytes: u64,
    /// The node's `queued.max.request.bytes`.
    pub budget_bytes: u64,
    /// The longest that it lasts.
    pub most: Duration,
    /// How long the client that behaves is measured without it.
    pub quiet: Duration,
}

/// What it did.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Bytes that the node received.
    pub received_bytes: u64,
    /// How long that took.
    pub took: Duration,
    /// Memory of the node when nothing was sent to it.
    pub idle_bytes: u64,
    /// The most that it ever held.
    pub peak_bytes: u64,
    /// The most that it may hold.
    pub bound_bytes: u64,
    /// The client that behaves without the flood.
    pub quiet: Steady,
    /// The client that behaves beside the flood.
    pub beside: Steady,
}

impl Flood {
    /// What a node with this configuration may hold (`docs/limits.md`): what it holds when idle; `queued.max.request.bytes`
    /// of requests, and as many of answers that are not taken; for each connection the beginning of the next frame, a
    /// small request, and an answer; and the largest request of the flood, decoded, on each of the node's threads.
    pub fn bound_bytes(&self, idle_bytes: u64) -> u64 {
        let each = 2 * BEGINNING_BYTES + ANSWER_BYTES;
        let decoded = budget_bytes(FRAME_BYTES) as u64;
        idle_bytes + 2 * self.budget_bytes + self.connections as u64 * each + THREADS * decoded
    }

    /// Starts a node, measures it without the flood and under it.
    ///
    /// # Errors
    /// The first answer to the client that behaves that is wrong or does not come; a node that does not start.
    pub fn run(&self) -> io::Result<Found> {
        let scraped_at = crate::ports::free_address()?;
        let node = Node::start(
            "flood",
            &format!(
                "queued.max.request.bytes={}\nmetrics.listener={scraped_at}\n",
                self.budget_bytes
            ),
        )?;
        let quiet = self.quiet(&node)?;
        let idle_bytes = process::resident_bytes(node.pid())?;
        let steady = SteadyClient::start_on(node.address, "beside")?;
        let began = Instant::now();
        let received_bytes = self.send(&node, scraped_at)?;
        let took = began.elapsed();
        let beside = steady.stop()?;
        Ok(Found {
            received_bytes,
            took,
            idle_bytes,
            peak_bytes: process::peak_resident_bytes(node.pid())?,
            bound_bytes: self.bound_bytes(idle_bytes),
            quiet,
            beside,
        })
    }

    fn quiet(&self, node: &Node) -> io::Result<Steady> {
        let steady = SteadyClient::start_on(node.address, "quiet")?;
        park_timeout(self.quiet);
        steady.stop()
    }

    /// Floods the node until it has received what it has to, or the time is over. All flooders share one thread, so that
    /// they do not take the processors from the node and from the client that behaves.
    fn send(&self, node: &Node, scraped_at: SocketAddr) -> io::Result<u64> {
        let frames = Arc::new(Frames::new());
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        for number in 0..self.connections {
            runtime.spawn(flood(number, node.address, frames.clone()));
        }
        let received = self.watch(scraped_at);
        runtime.shutdown_background();
        received
    }

    fn watch(&self, scraped_at: SocketAddr) -> io::Result<u64> {
        let received =
            || metrics::scrape(scraped_at).map(|text| metrics::value(&text, RECEIVED).unwrap_or(0.0) as u64);
        let (before, began) = (received()?, Instant::now());
        loop {
            let so_far = received()?.saturating_sub(before);
            if so_far >= self.bytes || began.elapsed() >= self.most {
                return Ok(so_far);
            }
            // Between two looks the processor is the node's.
            park_timeout(LOOK);
        }
    }
}

/// What is sent, each with its length, made once.
struct Frames {
    produce: Vec<u8>,
    metadata: Vec<u8>,
    undecodable: Vec<u8>,
}

impl Frames {
    fn new() -> Frames {
        let records = "00".repeat(FRAME_BYTES - 200);
        let produce = json!({"TransactionalId": null, "Acks": 1, "TimeoutMs": 1000, "TopicData": [
            {"Name": "flood?", "PartitionData": [{"Index": 0, "Records": records}]}]});
        let topics: Vec<_> = (0..ASKING_BYTES / 16)
            .map(|number| json!({"Name": format!("{number}?")}))
            .collect();
        let metadata = json!({"Topics": topics, "AllowAutoTopicCreation": false,
            "IncludeTopicAuthorizedOperations": false});
        let produce = whole("Produce", 9, &produce);
        let mut undecodable = produce.clone();
        undecodable[40..].fill(0xff);
        Frames {
            produce,
            metadata: whole("Metadata", 9, &metadata),
            undecodable,
        }
    }
}

fn whole(api: &str, version: i16, body: &serde_json::Value) -> Vec<u8> {
    let request = message(Direction::Request, api).expect("a known API");
    let frame = framed(request.api_key, version, &codec::encode(request, version, body));
    [&(frame.len() as u32).to_be_bytes()[..], &frame].concat()
}

/// One flooder, without an end.
async fn flood(number: usize, node: SocketAddr, frames: Arc<Frames>) {
    loop {
        // A connection that is refused or ends is opened again.
        let Ok(mut stream) = TcpStream::connect(node).await else {
            continue;
        };
        let half = &frames.produce[..FRAME_BYTES / 2];
        let _ended = match number % 20 {
            0..12 => ask(&mut stream, &frames.produce).await,
            12..15 => send_only(&mut stream, &frames.produce).await,
            15 => ask(&mut stream, &frames.metadata).await,
            16 => send_only(&mut stream, &frames.metadata).await,
            17 => ask(&mut stream, &frames.undecodable).await,
            // Half a frame, and gone.
            18 => stream.write_all(half).await,
            // Half a frame, and silence until the node has enough of it.
            _ => half_and_silence(&mut stream, half).await,
        };
    }
}

/// Requests and their answers, one after the other.
async fn ask(stream: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    loop {
        stream.write_all(frame).await?;
        let left = stream.read_u32().await?;
        let answer = &mut stream.take(left.into());
        tokio::io::copy(answer, &mut tokio::io::sink()).await?;
    }
}

/// Requests whose answers are never read. A node that takes no more is left alone for a while, and met anew.
async fn send_only(stream: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    loop {
        tokio::time::timeout(PATIENCE, stream.write_all(frame)).await??;
    }
}

async fn half_and_silence(stream: &mut TcpStream, half: &[u8]) -> io::Result<()> {
    stream.write_all(half).await?;
    stream.read_u8().await.map(drop)
}
