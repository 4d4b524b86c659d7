//! The bounds of a node as clients meet them: thousands of quiet connections, floods of requests, limits that are changed
//! while it runs. A client that behaves is answered all the while.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use integration_tests::bench::{connections, process};
use integration_tests::codec;
use integration_tests::connection::Connection;
use integration_tests::metrics;
use integration_tests::node::Node;
use integration_tests::ports::free_address;
use integration_tests::record_bytes::Batch;
use integration_tests::schema::{Direction, message};
use integration_tests::steady_client::SteadyClient;
use protocol_compat::record_batch::batch::Compression;
use protocol_compat::record_batch::compression::compress;
use serde_json::{Value, json};

/// Idle connections, where this process may open so many files.
const CONNECTIONS: u64 = 5_000;
/// Files that a node or a test opens beside its connections.
const OTHER_FILES: u64 = 500;
/// Of a debug build; a later goal is half of it.
const IDLE_CONNECTION_BYTES: f64 = 16.0 * 1024.0;
/// An answer takes milliseconds; this is for machines with much else to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// The soft limit on open files of a process, raised to the hard one where `prlimit` is there to do it.
fn open_files(pid: u32) -> u64 {
    let raised = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), "--nofile"])
        .args(["--noheadings", "--raw", "--output", "HARD"])
        .output();
    if let Ok(hard) = raised {
        let hard = String::from_utf8_lossy(&hard.stdout).trim().to_owned();
        let limit = format!("--nofile={hard}:{hard}");
        // Without the right to do it, or without a hard limit, the soft one stays, and is read below.
        drop(
            Command::new("prlimit")
                .args(["--pid", &pid.to_string(), &limit])
                .status(),
        );
    }
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("its limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    soft.unwrap_or(1024)
}

#[test]
fn thousands_of_idle_connections_are_no_event() {
    let scraped_at = free_address().expect("a port");
    let node = Node::start("idle", &format!("metrics.listener={scraped_at}\n")).expect("a node");
    let files = open_files(node.pid()).min(open_files(std::process::id()));
    let count = CONNECTIONS.min(files.saturating_sub(OTHER_FILES));
    if count < CONNECTIONS {
        eprintln!("only {files} files may be open here: {count} connections instead of {CONNECTIONS}");
    }
    let steady = SteadyClient::start(node.address).expect("a client");
    let idle = connections::open(node.address, node.pid(), count as u32).expect("idle connections");
    eprintln!(
        "{count} connections in {:?}, {:.0} bytes each",
        idle.opened_in, idle.bytes_each
    );
    let open = |scraped: &str| metrics::value(scraped, "kafka_server_socket_server_connections");
    let scraped = metrics::scrape(scraped_at).expect("its metrics");
    assert_eq!(open(&scraped), Some(count as f64 + 1.0));
    assert!(idle.bytes_each < IDLE_CONNECTION_BYTES, "{}", idle.bytes_each);
    drop(idle.streams);
    let deadline = Instant::now() + PATIENCE;
    while open(&metrics::scrape(scraped_at).expect("its metrics")) != Some(1.0) {
        assert!(Instant::now() < deadline, "connections that are gone stay open");
    }
    let steady = steady.stop().expect("a client that sees no error");
    assert!(steady.rounds > 0 && steady.slowest < PATIENCE, "{steady:?}");
}

/// `queued.max.request.bytes` of the flooded node.
const BUDGET_BYTES: u64 = 8 << 20;
const FRAME_BYTES: usize = 1 << 20;
const FLOODERS: u64 = 24;
/// What the node may hold beyond the budget: 64 KiB for the beginning of each flooder's next frame, answers on their way,
/// the appends of the client that behaves, and what an allocator keeps of each thread's peaks.
const SLACK_BYTES: u64 = FLOODERS * (64 << 10) + (40 << 20);
const FLOODING: Duration = Duration::from_secs(5);

#[test]
fn a_flood_is_bounded_by_the_budget_of_requests_and_others_are_answered() {
    let scraped_at = free_address().expect("a port");
    let properties = format!("queued.max.request.bytes={BUDGET_BYTES}\nmetrics.listener={scraped_at}\n");
    let node = Node::start("flood", &properties).expect("a node");
    let steady = SteadyClient::start(node.address).expect("a client");
    let before = process::resident_bytes(node.pid()).expect("its memory");
    let (frame, stop) = (large_frame(), AtomicBool::new(false));
    let most = std::thread::scope(|scope| {
        for number in 0..FLOODERS {
            let (frame, stop, broker) = (&frame, &stop, node.address);
            scope.spawn(move || match number % 3 {
                0 => send_whole_frames(broker, frame, stop),
                1 => drip_a_frame(broker, frame, stop),
                _ => cut_frames_short(broker, frame, stop),
            });
        }
        let began = Instant::now();
        let mut most = 0;
        // On a machine with much else to do, a frame that is to be slow waits long for its bytes, and has its time only then.
        while began.elapsed() < FLOODING || (slow_frames(scraped_at) == 0.0 && began.elapsed() < PATIENCE) {
            most = most.max(process::resident_bytes(node.pid()).expect("its memory"));
            // Between two looks the processor is the node's.
            std::thread::park_timeout(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
        most
    });
    let steady = steady.stop().expect("a client that sees no error");
    let grown = most.saturating_sub(before);
    eprintln!("{steady:?}, grown by {grown} bytes at most");
    assert!(steady.rounds > 0 && steady.slowest < PATIENCE, "{steady:?}");
    assert!(grown < BUDGET_BYTES + SLACK_BYTES, "{grown}");
    let scraped = metrics::scrape(scraped_at).expect("its metrics");
    let pool = |what: &str| {
        metrics::value(
            &scraped,
            &format!("kafka_server_socket_server_memory_pool_{what}"),
        )
    };
    assert_eq!(pool("size_bytes"), Some(BUDGET_BYTES as f64));
    assert!(pool("waits_total") > Some(0.0));
    let slow = slow_frames(scraped_at);
    assert!(slow > 0.0, "who holds the budget and sends nothing is cut off");
}

/// Connections that were closed because a frame took too long.
fn slow_frames(scraped_at: SocketAddr) -> f64 {
    let scraped = metrics::scrape(scraped_at).expect("its metrics");
    let closed = "kafka_server_socket_server_connections_closed_total";
    metrics::sum(&scraped, closed, |labels| labels.contains("slow_frame"))
}

/// A produce of `FRAME_BYTES` to a topic that does not exist, length included: it is read whole and answered.
fn large_frame() -> Vec<u8> {
    let request = message(Direction::Request, "Produce").expect("a known API");
    let records = "00".repeat(FRAME_BYTES - 200);
    let body = json!({"TransactionalId": null, "Acks": 1, "TimeoutMs": 1000, "TopicData": [
        {"Name": "flood?", "PartitionData": [{"Index": 0, "Records": records}]}]});
    let frame = integration_tests::bad_input::requests::framed(0, 9, &codec::encode(request, 9, &body));
    let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
    bytes.extend(frame);
    bytes
}

/// Sends frame after frame and reads the answers in between.
fn send_whole_frames(broker: SocketAddr, frame: &[u8], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut stream = open(broker);
        let mut answer = [0; 4096];
        while !stop.load(Ordering::Relaxed) && stream.write_all(frame).is_ok() {
            if !matches!(stream.read(&mut answer), Ok(1..)) {
                break;
            }
        }
    }
}

/// Announces a large frame, sends half of it, and then a byte now and then.
fn drip_a_frame(broker: SocketAddr, frame: &[u8], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut stream = open(broker);
        let (half, rest) = frame.split_at(FRAME_BYTES / 2);
        let mut sent = stream.write_all(half).is_ok();
        let mut rest = rest.iter();
        let mut answer = [0; 16];
        while sent && !stop.load(Ordering::Relaxed) {
            // The pause between two bytes is the time in which no answer comes.
            sent = !matches!(stream.read(&mut answer), Ok(0))
                && rest.next().is_some_and(|byte| stream.write_all(&[*byte]).is_ok());
        }
    }
}

/// Sends most of a frame and goes.
fn cut_frames_short(broker: SocketAddr, frame: &[u8], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        // A node that takes no bytes for a while, or closes, is as good as one that took them.
        drop(open(broker).write_all(&frame[..FRAME_BYTES * 3 / 4]));
    }
}

fn open(broker: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(broker).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .and_then(|()| stream.set_write_timeout(Some(Duration::from_millis(500))))
        .expect("a timeout");
    stream
}

/// Sends one request and gives its answer; `None` where the connection is closed.
fn ask(connection: &mut Connection, api: &str, version: i16, body: &Value) -> Option<Value> {
    connection
        .ask(api, version, body)
        .expect("a connection that can be read")
}

fn set(connection: &mut Connection, broker: &str, key: &str, value: Option<&str>) -> i64 {
    let operation = if value.is_some() { 0 } else { 1 };
    let config = json!({"Name": key, "ConfigOperation": operation, "Value": value});
    let body = json!({"Resources": [{"ResourceType": 4, "ResourceName": broker, "Configs": [config]}],
        "ValidateOnly": false});
    let answer = ask(connection, "IncrementalAlterConfigs", 1, &body).expect("an answer");
    answer["Responses"][0]["ErrorCode"].as_i64().expect("a code")
}

fn is_served(broker: SocketAddr) -> bool {
    let mut connection = Connection::open(broker).expect("the kernel connects");
    ask(&mut connection, "ApiVersions", 0, &json!({})).is_some()
}

#[test]
fn limits_on_connections_change_while_the_node_runs() {
    let node = Node::start("dynamic-limits", "max.connections.per.ip=50\n").expect("a node");
    let mut admin = Connection::open(node.address).expect("a connection");
    assert!(is_served(node.address));

    // The connection of the administrator is the one that may be.
    assert_eq!(set(&mut admin, "1", "max.connections.per.ip", Some("1")), 0);
    assert!(!is_served(node.address));
    let overrides = "max.connections.per.ip.overrides";
    assert_eq!(set(&mut admin, "", overrides, Some("127.0.0.1:30")), 0);
    assert!(is_served(node.address));
    assert_eq!(set(&mut admin, "", overrides, None), 0);
    assert!(!is_served(node.address));
    assert_eq!(set(&mut admin, "1", "max.connections.per.ip", None), 0);
    assert!(is_served(node.address));

    // Whoever comes while there is no place is served once there is one.
    assert_eq!(set(&mut admin, "1", "max.connections", Some("1")), 0);
    let broker = node.address;
    let waiting = std::thread::spawn(move || is_served(broker));
    assert_eq!(set(&mut admin, "", "max.connection.creation.rate", Some("5")), 0);
    assert_eq!(set(&mut admin, "1", "max.connections", None), 0);
    assert!(waiting.join().expect("a thread that ends"));

    for (key, value) in [
        ("max.connections", "-1"),
        (overrides, "somewhere:5"),
        ("max.connection.creation.rate", "fast"),
        // Not dynamic in Kafka either.
        ("fetch.max.bytes", "2000"),
        ("connections.max.idle.ms", "1000"),
    ] {
        assert_ne!(set(&mut admin, "1", key, Some(value)), 0, "{key}={value}");
    }
}

#[test]
fn the_largest_batch_changes_while_the_node_runs() {
    let node = Node::start("dynamic-batch", "").expect("a node");
    let mut admin = Connection::open(node.address).expect("a connection");
    let topic =
        json!({"Topics": [{"Name": "a", "NumPartitions": 1, "ReplicationFactor": 1}], "timeoutMs": 5000});
    ask(&mut admin, "CreateTopics", 5, &topic).expect("an answer");
    let records = Batch::of(&["x".repeat(2000).as_str()]).hex();
    let produce = json!({"TransactionalId": null, "Acks": -1, "TimeoutMs": 5000, "TopicData": [
        {"Name": "a", "PartitionData": [{"Index": 0, "Records": records}]}]});
    let code = |admin: &mut Connection| {
        let answer = ask(admin, "Produce", 9, &produce).expect("an answer");
        answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"].as_i64()
    };
    assert_eq!(code(&mut admin), Some(0));
    assert_eq!(set(&mut admin, "", "message.max.bytes", Some("1000")), 0);
    assert_eq!(code(&mut admin), Some(10), "MESSAGE_TOO_LARGE");
    assert_eq!(set(&mut admin, "", "message.max.bytes", None), 0);
    assert_eq!(code(&mut admin), Some(0));
}

/// Every `kafka_...` between backticks of the table of limits.
fn documented_metrics() -> Vec<&'static str> {
    let document = include_str!("../../docs/limits.md");
    let spans = document.split('`').skip(1).step_by(2);
    spans
        .filter(|span| span.starts_with("kafka_") || span.starts_with("process_"))
        .collect()
}

#[test]
fn every_metric_of_the_table_of_limits_is_served() {
    let scraped_at = free_address().expect("a port");
    let node = Node::start("metrics", &format!("metrics.listener={scraped_at}\n")).expect("a node");
    // Counters by reason and by code have no row before their first count: a connection that ends, and a refusal.
    let mut refused = Connection::open(node.address).expect("a connection");
    assert_ne!(set(&mut refused, "", "max.connections", Some("-1")), 0);
    let mut bad = TcpStream::connect(node.address).expect("a connection");
    bad.write_all(&[0xff; 4]).expect("sent");
    assert_eq!(bad.read(&mut [0; 1]).expect("an end"), 0);
    let deadline = Instant::now() + PATIENCE;
    let mut missing = documented_metrics();
    assert!(missing.len() > 15, "{missing:?}");
    while !missing.is_empty() {
        assert!(Instant::now() < deadline, "not served: {missing:?}");
        let scraped = metrics::scrape(scraped_at).expect("its metrics");
        missing.retain(|name| !scraped.contains(&format!("# TYPE {name} ")));
    }
}

/// Every `errors{request="...",error="..."}` of the table of limits, as its labels.
fn documented_refusals() -> Vec<(&'static str, &'static str)> {
    let document = include_str!("../../docs/limits.md");
    let label =
        |span: &'static str, name: &str| span.split_once(name)?.1.strip_prefix('"')?.split('"').next();
    let spans = document.split('`').skip(1).step_by(2);
    spans
        .filter(|span| span.starts_with("errors{"))
        .filter_map(|span| Some((label(span, "request=")?, label(span, "error=")?)))
        .collect()
}

/// One request of more than its limit allows for each row that says so.
fn exceed_every_limit(node: &Node) {
    let mut connection = Connection::open(node.address).expect("a connection");
    let mut send = |api: &str, version: i16, body: Value| ask(&mut connection, api, version, &body);
    let create = |name: &str, partitions: i32, configs: Value| {
        json!({"timeoutMs": 5000, "Topics": [{"Name": name, "NumPartitions": partitions, "ReplicationFactor": 1,
            "Configs": configs}]})
    };
    // A compressed batch is opened only where its records must have keys.
    let compact = json!([{"Name": "cleanup.policy", "Value": "compact"}]);
    let small = json!([{"Name": "max.message.bytes", "Value": "1000"}]);
    send("CreateTopics", 5, create("small", 1, small));
    send("CreateTopics", 5, create("compacted", 1, compact));
    send("CreateTopics", 5, create(&"n".repeat(250), 1, json!([])));
    send("CreateTopics", 5, create("many", 10_001, json!([])));

    let produce = |topic: &str, batch: &Batch| {
        json!({"TransactionalId": null, "Acks": -1, "TimeoutMs": 5000, "TopicData": [
            {"Name": topic, "PartitionData": [{"Index": 0, "Records": batch.hex()}]}]})
    };
    let zeros = vec![0; (128 << 20) + 1];
    let bomb = Batch {
        attributes: 4,
        payload: Some(compress(Compression::Zstd, 3, &zeros).expect("compressed")),
        ..Batch::default()
    };
    send(
        "Produce",
        9,
        produce("small", &Batch::of(&["x".repeat(2000).as_str()])),
    );
    send("Produce", 9, produce("compacted", &bomb));

    let join = |session_timeout_ms: i32| {
        json!({"GroupId": "group", "SessionTimeoutMs": session_timeout_ms, "RebalanceTimeoutMs": 30000, "MemberId": "",
            "ProtocolType": "consumer", "Protocols": [{"Name": "range", "Metadata": "0001"}]})
    };
    for session_timeout_ms in [1, 30_000, 30_000] {
        send("JoinGroup", 3, join(session_timeout_ms));
    }
    let long = json!({"PartitionIndex": 0, "CommittedOffset": 1, "CommittedLeaderEpoch": -1,
        "CommittedMetadata": "m".repeat(5000)});
    let commit = json!({"GroupId": "other", "GenerationIdOrMemberEpoch": -1, "MemberId": "",
        "GroupInstanceId": null, "Topics": [{"Name": "small", "Partitions": [long]}]});
    send("OffsetCommit", 8, commit);
    let value = "v".repeat(32_768);
    let change = json!([{"Name": "cleanup.policy", "ConfigOperation": 0, "Value": value}]);
    let alter = json!({"ValidateOnly": false,
        "Resources": [{"ResourceType": 2, "ResourceName": "small", "Configs": change}]});
    send("IncrementalAlterConfigs", 1, alter);
}

#[test]
fn every_refusal_of_the_table_of_limits_is_counted_by_its_code() {
    let scraped_at = free_address().expect("a port");
    let properties = "group.max.size=1\ngroup.initial.rebalance.delay.ms=0";
    let node = Node::start(
        "refusals",
        &format!("{properties}\nmetrics.listener={scraped_at}\n"),
    )
    .expect("a node");
    exceed_every_limit(&node);
    let scraped = metrics::scrape(scraped_at).expect("its metrics");
    let refusals = documented_refusals();
    assert!(refusals.len() >= 8, "{refusals:?}");
    for (request, error) in refusals {
        let labels = format!("{{error=\"{error}\",request=\"{request}\"}}");
        let counted = metrics::sum(&scraped, "kafka_network_requestmetrics_errors_total", |found| {
            found == labels
        });
        assert_eq!(counted, 1.0, "{labels}");
    }
}
