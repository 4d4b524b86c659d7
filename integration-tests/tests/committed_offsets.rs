//! What becomes of committed offsets on a running node: they survive a kill, they end with their topic and not before,
//! and they expire. Who may commit and delete them is in the differential suite, the rules of expiry in the scripts of
//! `metadata`.

use std::time::{Duration, Instant};

use integration_tests::connection::Connection;
use integration_tests::node::Node;
use serde_json::{Value, json};

/// For what the node does a moment later.
const PATIENCE: Duration = Duration::from_secs(30);
/// The topic of all tests.
const TOPIC: &str = "orders";
/// OffsetFetch answers it where there is no offset.
const NONE: i64 = -1;

fn connect(node: &Node) -> Connection {
    let mut connection = Connection::open(node.address).expect("a connection");
    let asked = json!({"KeyType": 0, "CoordinatorKeys": ["g"]});
    let found = ask(&mut connection, "FindCoordinator", 4, &asked);
    assert_eq!(found["Coordinators"][0]["ErrorCode"], 0, "{found}");
    connection
}

fn ask(connection: &mut Connection, api: &str, version: i16, body: &Value) -> Value {
    let answer = connection
        .ask(api, version, body)
        .expect("the connection can be read");
    answer.unwrap_or_else(|| panic!("{api} is not answered"))
}

fn create_topic(connection: &mut Connection) {
    let topic = json!({"Name": TOPIC, "NumPartitions": 1, "ReplicationFactor": 1});
    let body = json!({"Topics": [topic], "timeoutMs": 5000});
    let created = ask(connection, "CreateTopics", 5, &body);
    assert_eq!(created["Topics"][0]["ErrorCode"], 0, "{created}");
}

fn delete_topic(connection: &mut Connection) {
    let body = json!({"TopicNames": [TOPIC], "TimeoutMs": 5000});
    let deleted = ask(connection, "DeleteTopics", 5, &body);
    assert_eq!(deleted["Responses"][0]["ErrorCode"], 0, "{deleted}");
}

/// Commits as a consumer without a group does; `retention_ms` is the consumer's own wish, -1 for none.
fn commit(connection: &mut Connection, group: &str, offset: i64, retention_ms: i64) {
    let partition = json!({"PartitionIndex": 0, "CommittedOffset": offset, "CommittedMetadata": ""});
    let body = json!({"GroupId": group, "GenerationIdOrMemberEpoch": -1, "MemberId": "",
        "RetentionTimeMs": retention_ms, "Topics": [{"Name": TOPIC, "Partitions": [partition]}]});
    let committed = ask(connection, "OffsetCommit", 4, &body);
    assert_eq!(
        committed["Topics"][0]["Partitions"][0]["ErrorCode"], 0,
        "{committed}"
    );
}

fn committed(connection: &mut Connection, group: &str) -> i64 {
    let body = json!({"GroupId": group, "Topics": [{"Name": TOPIC, "PartitionIndexes": [0]}], "RequireStable": true});
    let deadline = Instant::now() + PATIENCE;
    loop {
        let fetched = ask(connection, "OffsetFetch", 7, &body);
        let partition = &fetched["Topics"][0]["Partitions"][0];
        match (fetched["ErrorCode"].as_i64(), partition["ErrorCode"].as_i64()) {
            (Some(0), Some(0)) => return partition["CommittedOffset"].as_i64().expect("a number"),
            // The offsets of the group are read a moment after a start.
            (Some(14), _) if Instant::now() < deadline => {}
            _ => panic!("{fetched}"),
        }
    }
}

fn restart(node: &mut Node) -> Connection {
    node.kill().expect("the node runs");
    node.start_again().expect("the node starts again");
    connect(node)
}

#[test]
fn the_offset_of_a_consumer_without_a_group_survives_a_kill() {
    let mut node = Node::start("simple-commit", "").expect("a node");
    let mut connection = connect(&node);
    create_topic(&mut connection);
    commit(&mut connection, "g", 5, -1);
    assert_eq!(committed(&mut connection, "g"), 5);
    let mut connection = restart(&mut node);
    assert_eq!(committed(&mut connection, "g"), 5);
}

#[test]
fn a_topic_that_is_created_again_has_no_offsets_of_its_predecessor() {
    let mut node = Node::start("recreated-topic", "").expect("a node");
    let mut connection = connect(&node);
    create_topic(&mut connection);
    commit(&mut connection, "g", 5, -1);
    delete_topic(&mut connection);
    create_topic(&mut connection);
    assert_eq!(committed(&mut connection, "g"), NONE);
    commit(&mut connection, "g", 2, -1);
    let mut connection = restart(&mut node);
    assert_eq!(committed(&mut connection, "g"), 2);
}

#[test]
fn offsets_end_with_their_topic_when_the_node_is_killed_between() {
    let mut node = Node::start("killed-between", "").expect("a node");
    let mut connection = connect(&node);
    create_topic(&mut connection);
    commit(&mut connection, "g", 5, -1);
    delete_topic(&mut connection);
    let mut connection = restart(&mut node);
    create_topic(&mut connection);
    assert_eq!(committed(&mut connection, "g"), NONE);

    commit(&mut connection, "g", 6, -1);
    delete_topic(&mut connection);
    create_topic(&mut connection);
    let mut connection = restart(&mut node);
    assert_eq!(committed(&mut connection, "g"), NONE);
}

#[test]
fn offsets_expire_while_the_node_runs_and_their_group_with_them() {
    let node = Node::start("expiry", "offsets.retention.check.interval.ms=50").expect("a node");
    let mut connection = connect(&node);
    create_topic(&mut connection);
    commit(&mut connection, "kept", 5, -1);
    commit(&mut connection, "brief", 5, 1);
    let listed = |connection: &mut Connection| {
        let groups = ask(connection, "ListGroups", 4, &json!({"StatesFilter": []}));
        let ids = groups["Groups"].as_array().expect("a list").iter();
        ids.map(|group| group["GroupId"].as_str().expect("an id").to_owned())
            .collect::<Vec<_>>()
    };
    let deadline = Instant::now() + PATIENCE;
    while committed(&mut connection, "brief") != NONE || listed(&mut connection) != ["kept"] {
        assert!(Instant::now() < deadline, "{:?}", listed(&mut connection));
    }
    assert_eq!(committed(&mut connection, "kept"), 5);
}
