//! A node in this process, to which connections of a few requests are sent one after the other.
//!
//! The node is the real one, with its sockets and files; what it keeps between connections (topics, groups, sessions) is
//! what makes a sequence matter. It begins anew after some thousand connections, so that a finding can be repeated from few.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use broker::config::{NodeConfig, Settings, parse_properties};
use broker::disk_stalls::NodeRuntime;
use broker::server::Server;
use integration_tests::differential::runner::decoded;
use tokio::signal::unix::{SignalKind, signal};

/// Connections that one node serves.
const CONNECTIONS: u32 = 4_000;
/// The longest wait for an answer: a request may wait by right (a rebalance, a fetch without records).
const PATIENCE: Duration = Duration::from_millis(40);
const LARGEST_ANSWER: usize = 64 << 20;

struct Node {
    runtime: NodeRuntime,
    server: Server,
    address: SocketAddr,
    directory: PathBuf,
    connections: u32,
}

static NODE: Mutex<Option<Node>> = Mutex::new(None);

impl Node {
    fn start() -> Node {
        let directory = std::env::temp_dir().join(format!("cauce-fuzz-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&directory));
        std::fs::create_dir_all(&directory).expect("a directory");
        let own = format!(
            "node.id=1\nlisteners=PLAINTEXT://127.0.0.1:0\nmetrics.listener=none\noffsets.topic.num.partitions=2\nlog.dirs={}\n",
            directory.display()
        );
        let file = [
            include_bytes!("../../testdata/differential.properties"),
            own.as_bytes(),
        ]
        .concat();
        let mut settings = Settings::default();
        for (key, value) in parse_properties(&file).expect("a properties file") {
            settings.set(&key, &value, "server.properties").expect("a value");
        }
        let config = NodeConfig::new(settings, None).expect("a configuration");
        let runtime = NodeRuntime::with_workers(1, &config.directories()).expect("a runtime");
        // A peer that is gone is an error to the writer. Programs with an entry of their own, as these, are killed instead
        // unless they say what they want.
        runtime
            .block_on(async { signal(SignalKind::pipe()).map(drop) })
            .expect("a signal");
        let started = Server::start(config, runtime.disk_stalls().clone());
        let server = runtime.block_on(started).expect("a node");
        let address = server.ports()[0].1;
        Node {
            runtime,
            server,
            address,
            directory,
            connections: 0,
        }
    }

    fn stop(self) {
        self.runtime.block_on(self.server.stop());
        drop(self.runtime);
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// Sends the frames (without their lengths) on one connection and reads what comes back.
///
/// # Panics
/// If an answer cannot be decoded, nobody asked for it, or the node takes no connection.
pub fn converse(frames: &[Vec<u8>]) {
    let mut slot = NODE.lock().expect("no panic");
    if slot.as_ref().is_some_and(|node| node.connections >= CONNECTIONS)
        && let Some(node) = slot.take()
    {
        node.stop();
    }
    let node = slot.get_or_insert_with(Node::start);
    node.connections += 1;
    let mut stream = TcpStream::connect(node.address).expect("the node listens");
    stream.set_nodelay(true).expect("an option");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream
        .set_write_timeout(Some(Duration::from_secs(20)))
        .expect("an option");
    for frame in frames {
        let length = i32::try_from(frame.len()).expect("a short frame");
        let sent = stream.write_all(&[&length.to_be_bytes()[..], frame].concat());
        if sent.is_err() || !answered(&mut stream, frame) {
            return;
        }
    }
}

/// Reads the answer to a frame; false once the connection has no more use: closed, or an answer that takes its time.
fn answered(stream: &mut TcpStream, frame: &[u8]) -> bool {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Ok(()) => {}
        // No answer is asked for (acks=0), or it waits: the next request may come all the same.
        Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
    let length = u32::from_be_bytes(length) as usize;
    assert!(length <= LARGEST_ANSWER, "an answer of {length} bytes");
    let mut answer = vec![0; length];
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("an option");
    stream.read_exact(&mut answer).expect("an answer comes whole");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    // A late answer to an earlier frame is not looked into.
    if let [a, b, c, d, id @ ..] = frame
        && id.get(..4) == answer.get(..4)
    {
        let (api_key, version) = (i16::from_be_bytes([*a, *b]), i16::from_be_bytes([*c, *d]));
        let decoded = decoded(api_key, version, &answer);
        assert!(
            decoded.get("undecodable").is_none(),
            "the answer to API {api_key} version {version} cannot be decoded: {decoded}"
        );
    }
    true
}
