//! A node that was killed with a thousand partitions serves first and recovers afterwards.
//!
//! Recovery goes partition by partition, in the order of names, on one thread here. The first one stands behind a gate: a
//! pipe in the place of a file that recovery reads, which stays closed until the test opens it. Whatever happens before is
//! before the end of recovery, on the slowest machine.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use integration_tests::bench::client::{Client, Request, produce_error};
use integration_tests::node::Node;
use integration_tests::ports::free_address;
use integration_tests::record_bytes::Batch;

/// Recovered first.
const GATED: &str = "a-gated";
const TOPIC: &str = "many";
const PARTITIONS: i32 = 999;
/// Far above what recovery takes anywhere: a node that is not done by then never is.
const PATIENCE: Duration = Duration::from_secs(300);
/// Linux's `O_NONBLOCK`: to open a pipe for writing fails until somebody reads it.
const O_NONBLOCK: i32 = 0o4000;

fn value(topic: &str, partition: i32) -> String {
    format!("record of {topic}-{partition}.")
}

fn produce(client: &mut Client, topic: &str, partition: i32) {
    let batch = Batch::of(&[&value(topic, partition)]).bytes();
    let mut request = Request::produce(topic, partition, 1, batch.into());
    let error = produce_error(client.call(&mut request).expect("an answer"));
    assert_eq!(error, Some(0), "{topic}-{partition}");
}

fn has_its_record(client: &mut Client, topic: &str, partition: i32) -> bool {
    let mut request = Request::fetch(topic, partition, 0, 1 << 20);
    let answer = client.call(&mut request).expect("an answer");
    let value = value(topic, partition);
    answer.windows(value.len()).any(|bytes| bytes == value.as_bytes())
}

/// The status of an HTTP answer.
fn get(address: SocketAddr, path: &str) -> u16 {
    let mut stream = TcpStream::connect(address).expect("the HTTP port is open");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout that is not 0");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status: {answer}"))
}

/// Keeps whoever reads a file waiting.
struct Gate(PathBuf);

impl Gate {
    /// Puts a pipe in the place of `file`. The node takes its emptiness for a file that a crash tore, and writes it anew.
    fn instead_of(file: &Path) -> Gate {
        fs::remove_file(file).expect("the file is there");
        let made = Command::new("mkfifo")
            .arg(file)
            .status()
            .expect("mkfifo is there");
        assert!(made.success());
        Gate(file.to_owned())
    }

    fn open(self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let opened = OpenOptions::new()
                .write(true)
                .custom_flags(O_NONBLOCK)
                .open(&self.0);
            match opened {
                Ok(_) => return,
                Err(error) => assert!(Instant::now() < deadline, "nobody reads the gate: {error}"),
            }
        }
    }
}

#[test]
fn a_killed_node_with_a_thousand_partitions_serves_before_they_are_recovered() {
    let http = free_address().expect("a free port");
    let properties = format!("metrics.listener={http}\nnum.recovery.threads.per.data.dir=1");
    let mut node = Node::start("many-partitions", &properties).expect("a node");
    let mut client = Client::connect(node.address).expect("a connection");
    for (topic, partitions) in [(GATED, 1), (TOPIC, PARTITIONS)] {
        client
            .call(&mut Request::create_topic(topic, partitions))
            .expect("an answer");
        (0..partitions).for_each(|partition| produce(&mut client, topic, partition));
    }
    node.kill().expect("the node runs");
    let gate = Gate::instead_of(&node.directory.join("data/a-gated-0/partition.metadata"));
    node.start_again().expect("the node starts again");

    let mut client = Client::connect(node.address).expect("a connection");
    let versions = client
        .call(&mut Request::api_versions())
        .expect("an answer to ApiVersions");
    assert_eq!(versions.get(4..6), Some(&[0, 0][..]), "no error");
    assert_eq!((get(http, "/healthz"), get(http, "/readyz")), (200, 503));
    // The only thread that recovers has not come past the first: whoever asks for another has it recovered at once.
    for partition in [PARTITIONS - 1, 500] {
        assert!(has_its_record(&mut client, TOPIC, partition));
        produce(&mut client, TOPIC, partition);
    }
    assert_eq!((get(http, "/healthz"), get(http, "/readyz")), (200, 503));

    gate.open();
    // Whoever recovers a partition first, its record is there.
    assert!(has_its_record(&mut client, GATED, 0));
    let missing: Vec<i32> = (0..PARTITIONS)
        .filter(|&partition| !has_its_record(&mut client, TOPIC, partition))
        .collect();
    assert!(missing.is_empty(), "no record in {missing:?}");
    let deadline = Instant::now() + PATIENCE;
    while get(http, "/readyz") != 200 {
        assert!(Instant::now() < deadline, "never ready:\n{}", node.output());
    }
}
