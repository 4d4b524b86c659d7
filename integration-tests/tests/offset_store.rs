//! The store of committed offsets may be deleted or damaged while a node is down: the log has everything, and no client notices.

use std::fs;
use std::path::{Path, PathBuf};

use integration_tests::connection::Connection;
use integration_tests::node::Node;
use serde_json::{Value, json};

const TOPIC: &str = "orders";
const PARTITIONS: i64 = 20;
/// Some share a partition of `__consumer_offsets`, some do not.
const GROUPS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// What a node writes when it drops a store.
const DAMAGED: &str = "the offset store is damaged, it is filled again from the log";

/// Sends one request to its end, on a connection of its own.
fn ask(node: &Node, api: &str, version: i16, body: &Value) -> Value {
    let mut connection = Connection::open(node.address).expect("a connection");
    let answer = connection.ask(api, version, body).expect("a whole answer");
    answer.unwrap_or_else(|| panic!("no answer to {api}\n{}", node.output()))
}

/// A group's member, and its generation.
struct Member(Value, Value);

/// Joins a group and gets an assignment, each at the first try.
fn join(node: &Node, group: &str) -> Member {
    let found = ask(node, "FindCoordinator", 1, &json!({"Key": group, "KeyType": 0}));
    assert_eq!(found["ErrorCode"], 0, "{found}");
    let protocol = json!({"Name": "range", "Metadata": "00"});
    let joined = ask(
        node,
        "JoinGroup",
        3,
        &json!({"GroupId": group, "SessionTimeoutMs": 10_000, "RebalanceTimeoutMs": 1000, "MemberId": "",
            "ProtocolType": "consumer", "Protocols": [protocol]}),
    );
    assert_eq!(joined["ErrorCode"], 0, "{joined}");
    let member = Member(joined["MemberId"].clone(), joined["GenerationId"].clone());
    let assignment = json!({"MemberId": member.0, "Assignment": "aabb"});
    let synced = ask(
        node,
        "SyncGroup",
        1,
        &json!({"GroupId": group, "GenerationId": member.1, "MemberId": member.0, "Assignments": [assignment]}),
    );
    assert_eq!(
        (&synced["ErrorCode"], &synced["Assignment"]),
        (&json!(0), &json!("aabb"))
    );
    member
}

/// Commits `offset` and what follows it to the topic's partitions, and leaves.
fn commit(node: &Node, group: &str, member: &Member, offset: i64) {
    let partitions: Vec<Value> = (0..PARTITIONS)
        .map(|partition| {
            json!({"PartitionIndex": partition, "CommittedOffset": offset + partition, "CommittedMetadata": group})
        })
        .collect();
    let body = json!({"GroupId": group, "GenerationIdOrMemberEpoch": member.1, "MemberId": member.0,
        "Topics": [{"Name": TOPIC, "Partitions": partitions}]});
    let answer = ask(node, "OffsetCommit", 6, &body);
    for partition in answer["Topics"][0]["Partitions"].as_array().expect("partitions") {
        assert_eq!(partition["ErrorCode"], 0, "{answer}");
    }
    let left = ask(
        node,
        "LeaveGroup",
        1,
        &json!({"GroupId": group, "MemberId": member.0}),
    );
    assert_eq!(left["ErrorCode"], 0);
}

/// Every offset of a group is the one committed last.
fn has_offsets(node: &Node, group: &str, offset: i64) {
    let answer = ask(
        node,
        "OffsetFetch",
        7,
        &json!({"GroupId": group, "Topics": null, "RequireStable": true}),
    );
    assert_eq!(answer["ErrorCode"], 0, "{answer}\n{}", node.output());
    let partitions = answer["Topics"][0]["Partitions"].as_array();
    let mut found: Vec<(i64, i64)> = partitions
        .unwrap_or_else(|| panic!("{group}: {answer}\n{}", node.output()))
        .iter()
        .map(|row| {
            assert_eq!(row["Metadata"], group);
            let number = |name: &str| row[name].as_i64().expect("a number");
            (number("PartitionIndex"), number("CommittedOffset"))
        })
        .collect();
    found.sort_unstable();
    let expected: Vec<_> = (0..PARTITIONS)
        .map(|partition| (partition, offset + partition))
        .collect();
    assert_eq!(found, expected, "{group}\n{}", node.output());
}

fn start(name: &str) -> Node {
    let properties = "offsets.topic.num.partitions=4\ngroup.initial.rebalance.delay.ms=0\n";
    let node = Node::start(name, properties).expect("a node");
    let topic = json!({"Name": TOPIC, "NumPartitions": PARTITIONS, "ReplicationFactor": 1});
    let created = ask(
        &node,
        "CreateTopics",
        5,
        &json!({"Topics": [topic], "timeoutMs": 5000}),
    );
    assert_eq!(created["Topics"][0]["ErrorCode"], 0, "{created}");
    commit_all(&node, 0);
    node
}

fn commit_all(node: &Node, offset: i64) {
    for group in GROUPS {
        commit(node, group, &join(node, group), offset);
    }
}

fn store_of(node: &Node) -> PathBuf {
    node.directory.join("data/committed-offsets")
}

/// Changes the bytes of every file of the store whose name has `part`.
fn overwrite(store: &Path, part: &str, with: impl Fn(&mut Vec<u8>)) {
    let entries = fs::read_dir(store)
        .expect("a store")
        .map(|entry| entry.expect("a file").path());
    let mut found = 0;
    for file in entries.filter(|file| file.to_string_lossy().contains(part)) {
        let mut bytes = fs::read(&file).expect("its bytes");
        with(&mut bytes);
        fs::write(&file, bytes).expect("written");
        found += 1;
    }
    assert!(found > 0, "no {part} in {}", store.display());
}

/// How a node ends.
#[derive(Clone, Copy)]
enum End {
    Stopped,
    Killed,
}

/// How a node ends, how many damaged stores its next start tells of, and what happens to the store in between.
type Life<'a> = (End, usize, &'a dyn Fn(&Path));

/// One end and start after another: after each, every offset is there, a group works, and new offsets are kept.
fn survives(node: &mut Node, lives: &[Life<'_>]) {
    let (mut offset, mut dropped) = (0, 0);
    for (life, (end, damaged, damage)) in lives.iter().enumerate() {
        match end {
            End::Stopped => node.stop(),
            End::Killed => node.kill(),
        }
        .expect("the node runs");
        damage(&store_of(node));
        node.start_again().expect("the node starts again");
        // Some are asked for their offsets first, others joined first.
        for (index, group) in GROUPS.into_iter().enumerate() {
            if (index + life) % 2 == 0 {
                has_offsets(node, group, offset);
            }
            let member = join(node, group);
            has_offsets(node, group, offset);
            commit(node, group, &member, offset + 100);
        }
        offset += 100;
        GROUPS
            .into_iter()
            .for_each(|group| has_offsets(node, group, offset));
        dropped += damaged;
        let told = node.output().matches(DAMAGED).count();
        assert_eq!(told, dropped, "after life {life}:\n{}", node.output());
        assert!(
            !node.output().contains("ERROR"),
            "after life {life}:\n{}",
            node.output()
        );
    }
}

#[test]
fn a_deleted_store_is_made_anew_and_a_killed_node_loses_no_offset() {
    let mut node = start("offset-store-deleted");
    let delete = |store: &Path| fs::remove_dir_all(store).expect("a store");
    let nothing = |_: &Path| {};
    survives(
        &mut node,
        &[
            (End::Stopped, 0, &delete),
            (End::Killed, 0, &nothing),
            (End::Killed, 0, &delete),
            (End::Stopped, 0, &nothing),
        ],
    );
}

#[test]
fn a_damaged_store_is_made_anew_with_one_line_in_the_log() {
    let mut node = start("offset-store-damaged");
    let current = |store: &Path| overwrite(store, "CURRENT", |bytes| bytes.fill(b'x'));
    let manifest = |store: &Path| overwrite(store, "MANIFEST", |bytes| bytes.fill(b'x'));
    let tables = |store: &Path| overwrite(store, ".sst", |bytes| bytes.fill(b'x'));
    // The end of a table is read when the store opens, its rows when somebody asks for them.
    let rows = |store: &Path| overwrite(store, ".sst", |bytes| bytes[..64].fill(b'x'));
    survives(
        &mut node,
        &[
            (End::Stopped, 1, &current),
            (End::Stopped, 1, &manifest),
            (End::Stopped, 1, &tables),
            (End::Stopped, 1, &rows),
            (End::Killed, 1, &manifest),
        ],
    );
}
