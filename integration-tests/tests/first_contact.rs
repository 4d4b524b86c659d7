//! A consumer group on a node that has only just begun to listen works at the first try.
//!
//! Apache Kafka's first second fails this: it answers COORDINATOR_NOT_AVAILABLE, then COORDINATOR_LOAD_IN_PROGRESS or
//! NOT_COORDINATOR, and the client waits and asks again. Here no request to a coordinator is sent twice, so that any such
//! answer fails. Only the Metadata request that creates the topic is, as with Kafka: the second answer names it.

use integration_tests::connection::Connection;
use integration_tests::node::Node;
use serde_json::{Value, json};

/// Of the node: a group need not wait for more members.
const PROPERTIES: &str = "group.initial.rebalance.delay.ms=0";

/// Sends one request and reads its answer, which must come.
fn ask(connection: &mut Connection, api: &str, version: i16, body: &Value) -> Value {
    let answer = connection
        .ask(api, version, body)
        .expect("the connection can be read");
    answer.unwrap_or_else(|| panic!("{api} is not answered"))
}

/// Joins, syncs, commits and reads the commit back; every answer must be a success.
fn work_in_a_group(connection: &mut Connection, topic: &str) {
    let asked = json!({"Topics": [{"Name": topic}], "AllowAutoTopicCreation": true});
    let creates = ask(connection, "Metadata", 8, &asked);
    assert_eq!(creates["Topics"][0]["ErrorCode"], 3, "{creates}");
    let metadata = ask(connection, "Metadata", 8, &asked);
    assert_eq!(metadata["Topics"][0]["ErrorCode"], 0, "{metadata}");

    let asked = json!({"KeyType": 0, "CoordinatorKeys": ["g"]});
    let found = ask(connection, "FindCoordinator", 6, &asked);
    assert_eq!(found["Coordinators"][0]["ErrorCode"], 0, "{found}");

    let asked = json!({"GroupId": "g", "SessionTimeoutMs": 30000, "RebalanceTimeoutMs": 30000, "MemberId": "",
        "GroupInstanceId": null, "ProtocolType": "consumer", "Protocols": [{"Name": "range", "Metadata": "0001"}]});
    let joined = ask(connection, "JoinGroup", 3, &asked);
    assert_eq!(joined["ErrorCode"], 0, "{joined}");
    let (member, generation) = (&joined["MemberId"], &joined["GenerationId"]);

    let asked = json!({"GroupId": "g", "GenerationId": generation, "MemberId": member, "GroupInstanceId": null,
        "Assignments": [{"MemberId": member, "Assignment": "00ff"}]});
    let synced = ask(connection, "SyncGroup", 3, &asked);
    assert_eq!(
        (&synced["ErrorCode"], &synced["Assignment"]),
        (&json!(0), &json!("00ff"))
    );

    let asked = json!({"GroupId": "g", "GenerationIdOrMemberEpoch": generation, "MemberId": member,
        "GroupInstanceId": null, "Topics": [{"Name": topic, "Partitions": [
            {"PartitionIndex": 0, "CommittedOffset": 7, "CommittedLeaderEpoch": -1, "CommittedMetadata": ""}]}]});
    let committed = ask(connection, "OffsetCommit", 7, &asked);
    assert_eq!(
        committed["Topics"][0]["Partitions"][0]["ErrorCode"], 0,
        "{committed}"
    );
    assert_eq!(offset_of_group(connection, topic), json!(7));
}

/// What the group has committed for partition 0.
fn offset_of_group(connection: &mut Connection, topic: &str) -> Value {
    let asked = json!({"GroupId": "g", "Topics": [{"Name": topic, "PartitionIndexes": [0]}]});
    let fetched = ask(connection, "OffsetFetch", 5, &asked);
    let partition = &fetched["Topics"][0]["Partitions"][0];
    assert_eq!(
        (&fetched["ErrorCode"], &partition["ErrorCode"]),
        (&json!(0), &json!(0))
    );
    partition["CommittedOffset"].clone()
}

#[test]
fn a_group_works_at_the_first_try_on_a_node_that_has_just_begun_to_listen() {
    let node = Node::start("first-contact", PROPERTIES).expect("a node");
    let mut connection = Connection::open(node.address).expect("a connection");
    work_in_a_group(&mut connection, "t");
}

#[test]
fn many_clients_that_come_at_once_to_a_new_node_all_work_at_the_first_try() {
    let node = Node::start("first-contact-crowd", PROPERTIES).expect("a node");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let address = node.address;
            scope.spawn(move || {
                let mut connection = Connection::open(address).expect("a connection");
                let group = format!("g{number}");
                for version in 0..=6 {
                    let asked = json!({"Key": group, "KeyType": 0, "CoordinatorKeys": [group]});
                    let found = ask(&mut connection, "FindCoordinator", version, &asked);
                    let answer = if version < 4 {
                        &found
                    } else {
                        &found["Coordinators"][0]
                    };
                    assert_eq!(answer["ErrorCode"], 0, "{found}");
                }
                let asked = json!({"GroupId": group, "Topics": [{"Name": "t", "PartitionIndexes": [0]}]});
                let fetched = ask(&mut connection, "OffsetFetch", 5, &asked);
                assert_eq!(fetched["ErrorCode"], 0, "{fetched}");
            });
        }
    });
}
