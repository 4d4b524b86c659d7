//! `cauce bench load` against a node: every workload moves something, measures it, and leaves nothing behind.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use integration_tests::node::Node;
use serde_json::Value;

/// Runs a load against the node, with a second of measuring where that can be said; gives what it printed and wrote.
fn load(node: &Node, arguments: &str) -> (Output, Value) {
    let json: PathBuf = node.directory.join("load.json");
    let output = Command::new(node.executable())
        .args(["bench", "load", "--bootstrap-server", &node.address.to_string()])
        .args(["--pid", &node.pid().to_string(), "--json"])
        .arg(&json)
        .arg("--workload")
        .args(arguments.split_whitespace())
        .output()
        .expect("it runs");
    let written = std::fs::read(&json).unwrap_or_default();
    let report = serde_json::from_slice(&written).unwrap_or_default();
    (output, report)
}

/// The report of a load that found nothing wrong.
fn clean(node: &Node, arguments: &str) -> Value {
    let (output, report) = load(node, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {said}\n{report:#}");
    assert_eq!(report["is_clean"], Value::Bool(true), "{arguments}");
    for (group, figure) in [
        ("rates", "requests"),
        ("rates", "bytes"),
        ("rates", "requests_per_s"),
        ("rates", "mb_per_s"),
        ("latency_us", "count"),
        ("latency_us", "p50"),
        ("latency_us", "max"),
        ("broker", "resident_bytes"),
        ("broker", "peak_resident_bytes"),
        ("generator", "threads"),
    ] {
        let value = report[group][figure].as_f64().unwrap_or(0.0);
        assert!(value > 0.0, "{arguments}: {group}.{figure} of {report:#}");
    }
    assert!(report["environment"]["cauce_version"].is_string(), "{arguments}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("latency, us") && text.contains("the broker"),
        "{text}"
    );
    report
}

const SECOND: &str = "--warm-up 0 --seconds 1";

#[test]
fn every_workload_runs_without_a_fault_and_leaves_no_topic() {
    let node = Node::start("bench-load", "auto.create.topics.enable=false\n").expect("a node");
    let produced = clean(&node, &format!("produce {SECOND} --compression lz4 --acks -1"));
    let rates = &produced["rates"];
    assert_eq!(
        rates["records"].as_u64(),
        rates["requests"].as_u64().map(|requests| requests * 15)
    );
    assert_eq!(produced["settings"]["compression"], "lz4");
    assert_eq!(produced["settings"]["acks"], -1);
    let unanswered = clean(&node, &format!("produce {SECOND} --acks 0 --partitions 3"));
    assert!(
        unanswered["rates"]["requests"].as_u64() > Some(8 * 5),
        "{unanswered:#}"
    );
    let fetched = clean(&node, &format!("fetch {SECOND} --data-mib 8 --in-flight 3"));
    assert!(fetched["rates"]["records"].as_u64() > Some(0));
    clean(&node, &format!("tiny {SECOND}"));
    clean(&node, &format!("end-to-end {SECOND} --partitions 3"));
    let paced = clean(&node, &format!("end-to-end {SECOND} --rate 100 --in-flight 50"));
    assert_eq!(paced["latency_us"]["count"], 100);
    clean(&node, &format!("metadata {SECOND}"));
    clean(&node, &format!("metadata {SECOND} --all-topics"));
    let idle = clean(&node, &format!("idle {SECOND} --connections 50 --rate 200"));
    assert_eq!(idle["idle"]["count"], 50);
    assert_eq!(idle["latency_us"]["count"], 200);
    let created = clean(&node, "partitions --partitions 30");
    assert_eq!(created["rates"]["requests"], 30);
    assert!(created["partitions"]["created_in_s"].as_f64() > Some(0.0));
    clean(&node, &format!("flush {SECOND} --partitions 4 --connections 8"));
    let left = std::fs::read_dir(node.directory.join("data")).expect("its data");
    let left: Vec<String> = left
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("cauce-bench-load") && !name.ends_with("-delete"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_the_broker_refuses_beforehand_ends_with_69_and_its_error() {
    let node = Node::start("bench-load-errors", "message.max.bytes=2000\n").expect("a node");
    let (output, _) = load(&node, &format!("produce {SECOND}"));
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("MESSAGE_TOO_LARGE"), "{said}");
}

/// Whether a load has written more to this node than the first batch of each partition.
fn is_loaded(node: &Node) -> bool {
    let topics = std::fs::read_dir(node.directory.join("data")).expect("its data");
    let logs = topics.filter_map(|topic| {
        let topic = topic.ok()?.path();
        let is_ours = topic.file_name()?.to_str()?.starts_with("cauce-bench-load");
        let log = topic.join("00000000000000000000.log");
        is_ours.then(|| std::fs::metadata(log).map_or(0, |log| log.len()))
    });
    logs.sum::<u64>() > 1 << 20
}

#[test]
fn a_broker_that_dies_under_load_ends_it_with_1_and_a_report() {
    let mut node = Node::start("bench-load-killed", "").expect("a node");
    let json = node.directory.join("load.json");
    let load = Command::new(node.executable())
        .args(["bench", "load", "--bootstrap-server", &node.address.to_string()])
        .args("--workload produce --partitions 1 --rate 500 --warm-up 0 --seconds 60 --json".split(' '))
        .arg(&json)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_loaded(&node) {
        assert!(Instant::now() < deadline, "nothing is produced");
    }
    node.kill().expect("killed");
    let output = load.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let report = std::fs::read(&json).expect("a report");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(report["is_clean"], Value::Bool(false));
    assert_eq!(report["faults"]["broken_connections"], 8);
    assert_eq!(report["faults"]["left_behind"], 1);
    assert!(report["rates"]["requests"].as_u64() > Some(0), "{report:#}");
    assert!(report["rates"]["seconds"].as_f64() < Some(60.0), "{report:#}");
}

#[test]
fn what_makes_no_sense_ends_with_2_and_a_sentence() {
    let node = Node::start("bench-load-refused", "").expect("a node");
    for arguments in ["flush --topic t", "metadata --record-bytes 5", "produce --rate 0"] {
        let (output, _) = load(&node, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(!output.stderr.is_empty());
    }
}
