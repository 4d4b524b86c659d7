//! What a scraper sees of the stages of requests and of stalls: every name of docs/measurements.md, and each stage that a
//! request came through.

use integration_tests::connection::Connection;
use integration_tests::metrics;
use integration_tests::node::Node;
use integration_tests::ports::free_address;
use integration_tests::record_bytes::Batch;
use serde_json::{Value, json};

/// One request in so many is sampled (`broker/src/network/stages.rs`): among any so many in a row, one.
const SAMPLED_ONE_IN: usize = 61;

/// The first spans in backticks of the rows of the tables in the section about stages.
fn documented() -> Vec<&'static str> {
    let document = include_str!("../../docs/measurements.md").lines();
    let section = document.skip_while(|line| *line != "## Where the time of a request goes");
    let section = section.skip(1).take_while(|line| !line.starts_with("## "));
    let rows = section.filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).collect()
}

fn ask(connection: &mut Connection, api: &str, version: i16, body: &Value) -> Value {
    let answered = connection.ask(api, version, body).expect("a connection");
    answered.expect("an answer")
}

fn fetch(offset: usize) -> Value {
    let partition = json!({"Partition": 0, "CurrentLeaderEpoch": -1, "FetchOffset": offset, "LastFetchedEpoch": -1,
        "LogStartOffset": -1, "PartitionMaxBytes": 1 << 20});
    json!({"ReplicaId": -1, "MaxWaitMs": 5, "MinBytes": 1, "MaxBytes": 1 << 20, "IsolationLevel": 0, "SessionId": 0,
        "SessionEpoch": -1, "Topics": [{"Topic": "a", "Partitions": [partition]}], "ForgottenTopicsData": [],
        "RackId": ""})
}

#[test]
fn every_stage_of_a_sampled_request_is_served_and_so_is_every_documented_name() {
    let scraped_at = free_address().expect("a port");
    let node = Node::start("stages", &format!("metrics.listener={scraped_at}\n")).expect("a node");
    let mut admin = Connection::open(node.address).expect("a connection");
    let topic =
        json!({"Topics": [{"Name": "a", "NumPartitions": 1, "ReplicationFactor": 1}], "timeoutMs": 5000});
    ask(&mut admin, "CreateTopics", 5, &topic);

    let mut client = Connection::open(node.address).expect("a connection");
    let produce = json!({"TransactionalId": null, "Acks": -1, "TimeoutMs": 5000, "TopicData": [
        {"Name": "a", "PartitionData": [{"Index": 0, "Records": Batch::of(&["x"]).hex()}]}]});
    for _ in 0..SAMPLED_ONE_IN {
        let answer = ask(&mut client, "Produce", 9, &produce);
        assert_eq!(answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"], 0);
    }
    // There are records at the first offset, and none yet at the last.
    for offset in [0, SAMPLED_ONE_IN] {
        for _ in 0..SAMPLED_ONE_IN {
            let answer = ask(&mut client, "Fetch", 11, &fetch(offset));
            assert_eq!(answer["ErrorCode"], 0);
        }
    }
    // An answer may be there before its record is counted, but not before the one that comes after it is read.
    ask(&mut client, "ApiVersions", 0, &json!({}));
    let scraped = metrics::scrape(scraped_at).expect("its metrics");
    let count = |what: &str, kind: &str| {
        let name = format!("kafka_network_requestmetrics_{what}timems_count");
        metrics::sum(&scraped, &name, |labels| {
            labels == format!("{{request=\"{kind}\"}}")
        })
    };
    for of_all in [
        "total",
        "requestqueue",
        "decode",
        "local",
        "remote",
        "encode",
        "responsequeue",
        "responsesend",
    ] {
        assert_eq!(count(of_all, "Produce"), 1.0, "{of_all}");
        assert_eq!(count(of_all, "Fetch"), 2.0, "{of_all}");
    }
    let of_the_log = ["append", "file"].map(|what| (count(what, "Produce"), count(what, "Fetch")));
    assert_eq!(of_the_log, [(1.0, 0.0), (1.0, 1.0)]);
    let waited = metrics::sum(
        &scraped,
        "kafka_network_requestmetrics_remotetimems_sum",
        |labels| labels.contains("Fetch"),
    );
    assert!(waited >= 1.0, "{waited} ms");
    assert!(scraped.contains("le=\"0.005\"") && scraped.contains("le=\"1000\""));
    assert_documented_is_served(&scraped);
}

fn assert_documented_is_served(scraped: &str) {
    let (metrics, others): (Vec<&str>, Vec<&str>) = documented()
        .into_iter()
        .partition(|name| name.starts_with("kafka_"));
    assert!(metrics.len() >= 12 && others.len() >= 7, "{metrics:?} {others:?}");
    for name in metrics {
        assert!(scraped.contains(&format!("# TYPE {name} ")), "{name}");
    }
    for cause in others {
        for of in ["log_append", "server_socket_server_send"] {
            let row = format!("kafka_{of}_stalls_total{{cause=\"{cause}\"}} ");
            assert!(scraped.contains(&row), "{row}");
        }
    }
}
