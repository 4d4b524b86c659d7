//! One of two log directories stalls: clients of the other one, groups and the scraper are answered meanwhile, and
//! everything that was acknowledged is read afterwards, in the order in which its connection sent it.
//!
//! Once with a simulated disk beneath a node of this process, and once with a file system that is frozen beneath a process of
//! its own, which needs root and a loop device.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use broker::clock::Clock;
use broker::config::{NodeConfig, Settings};
use broker::disk_stalls::NodeRuntime;
use broker::network::{BoundListener, CongestionControl, ListenerSettings, SocketSettings};
use broker::server::{Server, Surroundings};
use integration_tests::codec;
use integration_tests::connection::{Answer, Connection};
use integration_tests::metrics;
use integration_tests::node::Node;
use integration_tests::ports::free_address;
use integration_tests::record_bytes::Batch;
use integration_tests::schema::{Direction, message};
use metadata::quorum::WriterMode;
use serde_json::{Value, json};
use storage::disk::{Disk, SimDisk};

/// Connections that produce to the directory that stalls: more than there are workers.
const CLIENTS: usize = 6;
/// Requests that each has in flight.
const IN_FLIGHT: usize = 5;
/// What the client of the other directory asks while it stalls, one thing after the other.
const ROUNDS: usize = 100;
const PRODUCE_VERSION: i16 = 9;
/// For what takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

fn ask(connection: &mut Connection, api: &str, version: i16, body: &Value) -> Value {
    let answered = connection.ask(api, version, body).expect("a connection");
    answered.unwrap_or_else(|| panic!("no answer to {api}"))
}

fn produce(topic: &str, value: &str) -> Value {
    let partition = json!({"Index": 0, "Records": Batch::of(&[value]).hex()});
    json!({"TransactionalId": null, "Acks": -1, "TimeoutMs": 60_000,
        "TopicData": [{"Name": topic, "PartitionData": [partition]}]})
}

fn error_of(answer: &Value) -> &Value {
    &answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"]
}

/// Topics of one partition until each directory has one.
fn topics_of(address: SocketAddr, lies_in: impl Fn(&str) -> usize) -> [String; 2] {
    let mut client = Connection::open(address).expect("a connection");
    let mut found = [None, None];
    for number in 0..32 {
        let name = format!("topic-{number}");
        let topic = json!({"Topics": [{"Name": name, "NumPartitions": 1, "ReplicationFactor": 1}], "timeoutMs": 5000});
        ask(&mut client, "CreateTopics", 5, &topic);
        let answer = ask(&mut client, "Produce", PRODUCE_VERSION, &produce(&name, "first"));
        assert_eq!(error_of(&answer), 0);
        found[lies_in(&format!("{name}-0"))].get_or_insert(name);
        if let [Some(quick), Some(stalling)] = &found {
            return [quick.clone(), stalling.clone()];
        }
    }
    panic!("all topics lie in one directory: {found:?}");
}

/// Produces until it is told to stop, several requests in flight, and answers what was acknowledged.
fn produce_until(
    address: SocketAddr,
    topic: String,
    client: usize,
    stop: Arc<AtomicBool>,
    begun: Arc<AtomicUsize>,
) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut connection = Connection::open(address).expect("a connection");
        let request = message(Direction::Request, "Produce").expect("its schema");
        let response = message(Direction::Response, "Produce").expect("its schema");
        let mut acknowledged = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let values: Vec<String> = (0..IN_FLIGHT)
                .map(|at| format!("<client {client}, record {}>", acknowledged.len() + at))
                .collect();
            for value in &values {
                let body = codec::encode(request, PRODUCE_VERSION, &produce(&topic, value));
                connection
                    .send(request.api_key, PRODUCE_VERSION, &body)
                    .expect("it is sent");
            }
            begun.fetch_add(1, Ordering::Relaxed);
            for value in values {
                let frame = loop {
                    match connection.receive().expect("an open connection") {
                        Answer::Frame(frame) => break frame,
                        Answer::Silence => {}
                        Answer::Closed => panic!("the connection was closed"),
                    }
                };
                let answer = codec::decode(response, PRODUCE_VERSION, &frame[5..]).expect("an answer");
                assert_eq!(error_of(&answer), 0, "{answer}");
                acknowledged.push(value);
            }
        }
        acknowledged
    })
}

/// Groups, of which about half have their offsets in the directory that stalls.
const GROUPS: usize = 12;
const COMMIT_VERSION: i16 = 7;

fn commit(group: usize, topic: &str, offset: usize) -> Value {
    let partition = json!({"PartitionIndex": 0, "CommittedOffset": offset, "CommittedLeaderEpoch": -1, "CommittedMetadata": null});
    json!({"GroupId": format!("group-{group}"), "GenerationIdOrMemberEpoch": -1, "MemberId": "", "GroupInstanceId": null,
        "Topics": [{"Name": topic, "Partitions": [partition]}]})
}

fn offsets_of(group: usize) -> Value {
    json!({"GroupId": format!("group-{group}"), "Topics": null})
}

/// Commits an offset of every group, once its coordinator is there.
fn commit_all(address: SocketAddr, topic: &str) {
    let mut client = Connection::open(address).expect("a connection");
    ask(
        &mut client,
        "FindCoordinator",
        1,
        &json!({"Key": "group-0", "KeyType": 0}),
    );
    let deadline = Instant::now() + PATIENCE;
    for group in 0..GROUPS {
        while ask(
            &mut client,
            "OffsetCommit",
            COMMIT_VERSION,
            &commit(group, topic, 1),
        )["Topics"][0]["Partitions"][0]["ErrorCode"]
            != 0
        {
            assert!(Instant::now() < deadline, "no coordinator");
        }
    }
}

/// A request whose answer may be long in coming.
struct Asked {
    connection: Connection,
    api: &'static str,
    version: i16,
}

impl Asked {
    fn begin(address: SocketAddr, api: &'static str, version: i16, body: &Value) -> Asked {
        let mut connection = Connection::open(address).expect("a connection");
        let request = message(Direction::Request, api).expect("its schema");
        let body = codec::encode(request, version, body);
        connection
            .send(request.api_key, version, &body)
            .expect("it is sent");
        Asked {
            connection,
            api,
            version,
        }
    }

    fn answer(mut self) -> Value {
        let Answer::Frame(frame) = self.connection.receive().expect("a connection") else {
            panic!("no answer to {}", self.api);
        };
        let response = message(Direction::Response, self.api).expect("its schema");
        codec::decode(response, self.version, &frame[4..]).expect("an answer")
    }
}

/// Has every group commit, and be asked, while some of them cannot.
fn groups_go_on(address: SocketAddr, topic: &str) -> Vec<(Asked, Asked)> {
    let begin = |group| {
        let commit = Asked::begin(address, "OffsetCommit", COMMIT_VERSION, &commit(group, topic, 2));
        let asked = Asked::begin(address, "OffsetFetch", 5, &offsets_of(group));
        (commit, asked)
    };
    (0..GROUPS).map(begin).collect()
}

fn every_group_has_committed(address: SocketAddr, groups: Vec<(Asked, Asked)>) {
    let mut client = Connection::open(address).expect("a connection");
    for (group, (commit, asked)) in groups.into_iter().enumerate() {
        let outcome = commit.answer();
        assert_eq!(outcome["Topics"][0]["Partitions"][0]["ErrorCode"], 0, "{outcome}");
        assert_eq!(asked.answer()["ErrorCode"], 0);
        let offsets = ask(&mut client, "OffsetFetch", 5, &offsets_of(group));
        assert_eq!(
            offsets["Topics"][0]["Partitions"][0]["CommittedOffset"], 2,
            "{offsets}"
        );
    }
}

/// What everybody else is answered while the disk stalls.
fn live_beside(client: &mut Connection, topic: &str) {
    let heartbeat =
        json!({"GroupId": "a-group", "GenerationId": 1, "MemberId": "nobody", "GroupInstanceId": null});
    for round in 0..ROUNDS {
        let answer = ask(
            client,
            "Produce",
            PRODUCE_VERSION,
            &produce(topic, &format!("<round {round}>")),
        );
        assert_eq!(error_of(&answer), 0);
        let answer = ask(client, "Heartbeat", 3, &heartbeat);
        assert!(answer["ErrorCode"].is_number(), "{answer}");
        ask(
            client,
            "Metadata",
            4,
            &json!({"Topics": null, "AllowAutoTopicCreation": false}),
        );
    }
}

/// Where each of the values stands in the log, which is read from its start.
fn positions(address: SocketAddr, topic: &str, values: &[String]) -> Vec<usize> {
    let mut client = Connection::open(address).expect("a connection");
    let mut log = String::new();
    let mut offset = 0;
    loop {
        let partition = json!({"Partition": 0, "CurrentLeaderEpoch": -1, "FetchOffset": offset, "LastFetchedEpoch": -1,
            "LogStartOffset": -1, "PartitionMaxBytes": 1 << 20});
        let fetch = json!({"ReplicaId": -1, "MaxWaitMs": 5, "MinBytes": 1, "MaxBytes": 1 << 20, "IsolationLevel": 0,
            "SessionId": 0, "SessionEpoch": -1, "Topics": [{"Topic": topic, "Partitions": [partition]}],
            "ForgottenTopicsData": [], "RackId": ""});
        let answer = ask(&mut client, "Fetch", 11, &fetch);
        let read = &answer["Responses"][0]["Partitions"][0];
        assert_eq!(read["ErrorCode"], 0, "{answer}");
        let records = codec::from_hex(read["Records"].as_str().unwrap_or_default());
        // One record to a batch: as many batches as there are magic bytes behind a length.
        let mut rest = records.as_slice();
        while let Some(size) = rest.get(8..12) {
            let size = i32::from_be_bytes(size.try_into().expect("four bytes")) as usize + 12;
            log.push_str(&String::from_utf8_lossy(rest.get(..size).expect("a whole batch")));
            rest = &rest[size..];
            offset += 1;
        }
        if records.is_empty() {
            break;
        }
    }
    let found = values.iter().map(|value| log.find(value.as_str()));
    found
        .map(|at| at.expect("what was acknowledged is there"))
        .collect()
}

/// The whole story: `stall` makes the second directory stall and returns when a call is seen to, `go_on` ends it.
fn others_are_served(
    address: SocketAddr,
    lies_in: impl Fn(&str) -> usize,
    stall: impl FnOnce(),
    go_on: impl FnOnce(),
) {
    let [quick, stalling] = topics_of(address, lies_in);
    let mut beside = Connection::open(address).expect("a connection");
    live_beside(&mut beside, &quick);
    commit_all(address, &quick);
    let (stop, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| produce_until(address, stalling.clone(), client, stop.clone(), begun.clone()))
        .collect();
    let deadline = Instant::now() + PATIENCE;
    while begun.load(Ordering::Relaxed) < 2 * CLIENTS {
        assert!(Instant::now() < deadline, "nothing is produced");
        std::thread::yield_now();
    }
    stall();
    let groups = groups_go_on(address, &quick);
    live_beside(&mut beside, &quick);
    // Another connection is accepted, too.
    live_beside(&mut Connection::open(address).expect("a connection"), &quick);
    stop.store(true, Ordering::Relaxed);
    go_on();
    every_group_has_committed(address, groups);
    for client in clients {
        let acknowledged = client.join().expect("a client that sees no error");
        let found = positions(address, &stalling, &acknowledged);
        assert!(found.is_sorted(), "a connection's records keep their order");
    }
}

#[test]
fn others_are_served_while_a_simulated_disk_stalls() {
    let dirs = ["/quick", "/stalling"].map(PathBuf::from);
    let scratch = tempfile::tempdir().expect("a directory");
    let mut settings = Settings::default();
    for (key, value) in [("log.dirs", "/quick,/stalling"), ("metrics.listener", "none")] {
        settings.set(key, value, "the test").expect("a known key");
    }
    let config = NodeConfig::new(settings, Some("a-cluster".to_owned())).expect("a configuration");
    let runtime = NodeRuntime::with_workers(2, &dirs).expect("threads");
    let disk = SimDisk::new(7, 1 << 30);
    let surroundings = Surroundings {
        disk: Disk::simulated(&disk),
        clock: Clock::real(),
        boot_id: None,
        offset_store_dir: scratch.path().to_owned(),
        quorum_writer: WriterMode::Thread,
        flush_threads: 1,
        flush_journal_bytes: 1 << 20,
        max_open_log_files: 64,
        disk_stalls: runtime.disk_stalls().clone(),
    };
    let server = runtime.block_on(async {
        let listener = BoundListener::bind(ListenerSettings {
            name: Arc::from("PLAINTEXT"),
            address: "127.0.0.1:0".parse().expect("an address"),
            socket: SocketSettings {
                send_buffer_bytes: None,
                receive_buffer_bytes: None,
                backlog: 50,
                congestion_control: CongestionControl::Kernel,
            },
        });
        Server::start_on(config, surroundings, vec![listener.expect("a port")]).await
    });
    let server = server.expect("a node");
    let (_, address) = server.ports()[0].clone();
    let disks = Disk::simulated(&disk);
    let stalls = runtime.disk_stalls().clone();
    others_are_served(
        address,
        |partition| usize::from(disks.exists(&dirs[1].join(partition)).expect("a look")),
        || {
            disk.stall_below(&dirs[1]);
            let deadline = Instant::now() + PATIENCE;
            while stalls.stalling() != 1 {
                assert!(Instant::now() < deadline, "nobody noticed");
                std::thread::yield_now();
            }
        },
        || disk.go_on(),
    );
    runtime.block_on(server.stop());
}

/// A file system in a file that can be frozen: then every write and sync waits in the kernel.
struct Freezable {
    directory: PathBuf,
}

fn succeeds(command: &str, words: &[&Path]) -> bool {
    let run = Command::new(command)
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    run.is_ok_and(|status| status.success())
}

impl Freezable {
    /// `None` where this process may not mount one.
    fn mount(directory: PathBuf) -> Option<Freezable> {
        let image = directory.with_extension("img");
        std::fs::create_dir_all(&directory).ok()?;
        std::fs::File::create(&image).ok()?.set_len(256 << 20).ok()?;
        let path = Path::new;
        let is_there = succeeds("mkfs.ext4", &[path("-q"), path("-F"), &image])
            && succeeds("mount", &[path("-o"), path("loop"), &image, &directory]);
        is_there.then_some(Freezable { directory })
    }

    fn freeze(&self) {
        assert!(succeeds("fsfreeze", &[Path::new("-f"), &self.directory]));
    }

    fn thaw(&self) {
        succeeds("fsfreeze", &[Path::new("-u"), &self.directory]);
    }
}

impl Drop for Freezable {
    fn drop(&mut self) {
        self.thaw();
        if !succeeds("umount", &[&self.directory]) {
            succeeds("umount", &[Path::new("-l"), &self.directory]);
        }
    }
}

/// The node ends before its file system does, whatever happens between.
struct NodeOn {
    node: Node,
    disk: Freezable,
}

impl Drop for NodeOn {
    fn drop(&mut self) {
        // A process that waits for a frozen disk cannot be killed.
        self.disk.thaw();
        self.node.kill().ok();
    }
}

#[test]
fn others_are_served_while_a_file_system_is_frozen() {
    let scratch = tempfile::tempdir().expect("a directory");
    let Some(disk) = Freezable::mount(scratch.path().join("stalling")) else {
        eprintln!("left out: a file system to freeze needs root, mkfs.ext4 and a loop device");
        return;
    };
    let dirs = [scratch.path().join("quick"), disk.directory.join("data")];
    let scraped_at = free_address().expect("a port");
    let both = format!("{},{}", dirs[0].display(), dirs[1].display());
    let wrapper = ["sh", "-c", "exec \"$@\" --override log.dirs=\"$DIRS\"", "sh"];
    let wrapper = ["env".to_owned(), format!("DIRS={both}")]
        .into_iter()
        .chain(wrapper.map(str::to_owned));
    let node = Node::start_under(
        wrapper.collect(),
        "stalling",
        &format!("metrics.listener={scraped_at}\n"),
    );
    let beneath = NodeOn {
        node: node.expect("a node"),
        disk,
    };
    let scraped = |name| {
        let scraped = metrics::scrape(scraped_at).expect("its metrics, while a disk stalls, too");
        metrics::value(&scraped, name)
    };
    let stalling = || scraped("kafka_log_logmanager_stallinglogdirectorycount");
    let stalls = || scraped("kafka_log_logmanager_logdirectorystalls_total");
    assert_eq!((stalling(), stalls()), (Some(0.0), Some(0.0)));
    others_are_served(
        beneath.node.address,
        |partition| usize::from(dirs[1].join(partition).is_dir()),
        || {
            beneath.disk.freeze();
            let deadline = Instant::now() + PATIENCE;
            while stalling() != Some(1.0) {
                assert!(Instant::now() < deadline, "nobody noticed");
            }
        },
        || beneath.disk.thaw(),
    );
    assert!(stalls() >= Some(1.0), "{:?}", stalls());
    let output = beneath.node.output();
    assert_eq!(output.matches("a log directory stalls: ").count(), 1, "{output}");
}
