//! Requests that Apache Kafka 4.3.1 fails on inside and never answers are answered at once.

use std::time::{Duration, Instant};

use integration_tests::codec::encode;
use integration_tests::connection::{Answer, Connection};
use integration_tests::node::Node;
use integration_tests::schema::{self, Direction};
use serde_json::{Value, json};

/// Far below the connection's own patience, far above what a loaded machine needs.
const AT_ONCE: Duration = Duration::from_secs(5);

fn ask(node: &Node, api: &str, version: i16, body: &Value) {
    let message = schema::message(Direction::Request, api).expect("a known API");
    let body = encode(message, version, body);
    let mut connection = Connection::open(node.address).expect("a connection");
    let asked = Instant::now();
    connection.send(message.api_key, version, &body).expect("sent");
    let answer = connection.receive().expect("an answer");
    assert!(matches!(answer, Answer::Frame(_)), "{api} {version}: {answer:?}");
    assert!(
        asked.elapsed() < AT_ONCE,
        "{api} {version}: {:?}",
        asked.elapsed()
    );
}

#[test]
fn what_kafka_never_answers_is_answered_at_once() {
    let node = Node::start(
        "never-answered",
        include_str!("../testdata/differential.properties"),
    )
    .expect("a node");
    let topic = json!({"Topics": [{"Name": "a", "NumPartitions": 1, "ReplicationFactor": 1, "Assignments": [],
        "Configs": []}], "timeoutMs": 5000, "validateOnly": false});
    ask(&node, "CreateTopics", 5, &topic);
    for version in 3..=12 {
        let produce = json!({"TransactionalId": null, "Acks": -1, "TimeoutMs": 5000, "TopicData": [
            {"Name": "a", "PartitionData": [{"Index": 0, "Records": null}]}]});
        ask(&node, "Produce", version, &produce);
    }
    for version in 0..=9 {
        let protocol = json!({"Name": "range", "Metadata": "00"});
        let join = json!({"GroupId": format!("g{version}"), "SessionTimeoutMs": 10_000, "RebalanceTimeoutMs": 1000,
            "MemberId": "", "GroupInstanceId": null, "ProtocolType": "consumer", "Protocols": [protocol, protocol],
            "Reason": null});
        ask(&node, "JoinGroup", version, &join);
    }
    for version in 0..=2 {
        let resource = json!({"ResourceType": 2, "ResourceName": "a", "Configs": []});
        let alter = json!({"Resources": [resource, resource], "ValidateOnly": false});
        ask(&node, "AlterConfigs", version, &alter);
    }
}
