//! Metadata, FindCoordinator, DescribeCluster and DescribeTopicPartitions.

use serde_json::{Value, json};

use super::{every_version, one_request, topic, with_step, with_topic};
use crate::differential::case::{Scenario, call};

const NIL: &str = "00000000000000000000000000000000";
const UNKNOWN: &str = "0123456789abcdef0123456789abcdef";

pub fn scenarios() -> Vec<Scenario> {
    let mut list = topics_by_name();
    list.extend(topics_by_id());
    list.extend(coordinators());
    list.extend(cluster());
    list.extend(topic_partitions());
    list
}

fn asked(names: &[&str], may_create: bool) -> Value {
    let topics: Vec<Value> = names
        .iter()
        .map(|name| json!({"TopicId": NIL, "Name": name}))
        .collect();
    json!({"Topics": topics, "AllowAutoTopicCreation": may_create})
}

fn topics_by_name() -> Vec<Scenario> {
    let long = "a".repeat(250);
    vec![
        with_topic("Metadata", "one topic", asked(&["{own}-a"], false)),
        with_topic(
            "Metadata",
            "the same topic twice",
            asked(&["{own}-a", "{own}-a"], false),
        ),
        with_topic(
            "Metadata",
            "a known and an unknown topic",
            asked(&["{own}-a", "{own}-b"], false),
        ),
        with_topic(
            "Metadata",
            "authorized operations asked for",
            json!({"Topics": [{"TopicId": NIL, "Name": "{own}-a"}], "AllowAutoTopicCreation": false,
                "IncludeClusterAuthorizedOperations": true, "IncludeTopicAuthorizedOperations": true}),
        ),
        Scenario::new("Metadata", every_version("Metadata"), "all topics", |v| {
            let all = if v == 0 {
                json!({"Topics": []})
            } else {
                json!({"Topics": null})
            };
            with_step(topic("{own}-a", 2), call("Metadata", v, all).only_own())
        }),
        Scenario::new("Metadata", 1..=13, "no topics", |v| {
            vec![call("Metadata", v, json!({"Topics": []}))]
        }),
        Scenario::new("Metadata", 4..=13, "an unknown topic, creation forbidden", |v| {
            vec![
                call("Metadata", v, asked(&["{own}-x"], false)),
                call("Metadata", v, asked(&["{own}-x"], false)),
            ]
        }),
        Scenario::new(
            "Metadata",
            every_version("Metadata"),
            "an unknown topic, creation allowed",
            |v| {
                let again = call("Metadata", v, asked(&["{own}-x"], true)).retry_on(&[3, 5]);
                vec![call("Metadata", v, asked(&["{own}-x"], true)), again]
            },
        ),
        one_request("Metadata", "an empty name", asked(&[""], true)),
        one_request("Metadata", "a name of one dot", asked(&["."], true)),
        one_request("Metadata", "a name with a space", asked(&["{own} x"], true)),
        one_request("Metadata", "a name with a slash", asked(&["{own}/x"], false)),
        one_request("Metadata", "a name of 250 characters", asked(&[&long], true)),
        Scenario::new("Metadata", 0..=9, "a null name", |v| {
            vec![call("Metadata", v, json!({"Topics": [{"Name": null}]}))]
        }),
        Scenario::new("Metadata", 0..=0, "a null list of topics", |v| {
            vec![call("Metadata", v, json!({"Topics": null}))]
        }),
    ]
}

fn topics_by_id() -> Vec<Scenario> {
    let by_id = |name: &'static str, id: &'static str, topic_name: Value| {
        Scenario::new("Metadata", 10..=13, name, move |v| {
            let body =
                json!({"Topics": [{"TopicId": id, "Name": topic_name}], "AllowAutoTopicCreation": false});
            with_step(topic("{own}-a", 1), call("Metadata", v, body))
        })
    };
    vec![
        by_id("a topic by its id", "{id}", json!(null)),
        by_id("an unknown id", UNKNOWN, json!(null)),
        by_id("neither name nor id", NIL, json!(null)),
        by_id("both name and id", "{id}", json!("{own}-a")),
    ]
}

fn coordinators() -> Vec<Scenario> {
    let of = |name: &'static str, kind: i8, keys: &'static [&'static str]| {
        let body = json!({"Key": keys.first().unwrap_or(&""), "KeyType": kind, "CoordinatorKeys": keys});
        one_request("FindCoordinator", name, body)
    };
    let batched = |name: &'static str, kind: i8, keys: &'static [&'static str]| {
        let body = json!({"KeyType": kind, "CoordinatorKeys": keys});
        Scenario::new("FindCoordinator", 4..=6, name, move |v| {
            vec![call("FindCoordinator", v, body.clone())]
        })
    };
    vec![
        of("of a group", 0, &["{own}"]),
        of("of a group without a name", 0, &[""]),
        of("of an unknown kind", 7, &["{own}"]),
        of("of a negative kind", -1, &["{own}"]),
        batched("of several groups", 0, &["{own}", "{own}-b", "{own}-c"]),
        batched("of the same group twice", 0, &["{own}", "{own}"]),
        batched("of no group", 0, &[]),
    ]
}

fn cluster() -> Vec<Scenario> {
    let kind = |endpoint: i8, fenced: bool, operations: bool| json!({"EndpointType": endpoint, "IncludeFencedBrokers": fenced, "IncludeClusterAuthorizedOperations": operations});
    vec![
        one_request("DescribeCluster", "the brokers", kind(1, false, false)),
        one_request(
            "DescribeCluster",
            "the brokers with authorized operations",
            kind(1, false, true),
        ),
        one_request("DescribeCluster", "fenced brokers too", kind(1, true, false)),
        Scenario::new("DescribeCluster", 1..=2, "controllers from a broker", move |v| {
            vec![call("DescribeCluster", v, kind(2, false, false))]
        }),
        Scenario::new("DescribeCluster", 1..=2, "an unknown endpoint type", move |v| {
            vec![call("DescribeCluster", v, kind(9, false, false))]
        }),
    ]
}

fn topic_partitions() -> Vec<Scenario> {
    let asked = |names: &[&str], limit: i32, cursor: Value| {
        let topics: Vec<Value> = names.iter().map(|name| json!({"Name": name})).collect();
        json!({"Topics": topics, "ResponsePartitionLimit": limit, "Cursor": cursor})
    };
    let api = "DescribeTopicPartitions";
    let after = |name: &str, index: i32| json!({"TopicName": name, "PartitionIndex": index});
    vec![
        with_topic(api, "one topic", asked(&["{own}-a"], 2000, json!(null))),
        with_topic(
            api,
            "an unknown topic beside it",
            asked(&["{own}-a", "{own}-b"], 2000, json!(null)),
        ),
        with_topic(
            api,
            "a page of two partitions",
            asked(&["{own}-a"], 2, json!(null)),
        ),
        with_topic(
            api,
            "the page after a cursor",
            asked(&["{own}-a"], 2, after("{own}-a", 2)),
        ),
        with_topic(
            api,
            "a cursor at an unknown topic",
            asked(&["{own}-a"], 2, after("{own}-b", 0)),
        ),
        with_topic(
            api,
            "a cursor beyond the last partition",
            asked(&["{own}-a"], 2, after("{own}-a", 9)),
        ),
        with_topic(
            api,
            "a negative cursor",
            asked(&["{own}-a"], 2, after("{own}-a", -1)),
        ),
        with_topic(api, "a limit of zero", asked(&["{own}-a"], 0, json!(null))),
        with_topic(api, "a negative limit", asked(&["{own}-a"], -1, json!(null))),
        with_topic(
            api,
            "the same topic twice",
            asked(&["{own}-a", "{own}-a"], 2000, json!(null)),
        ),
        with_topic(
            api,
            "a name that is not allowed",
            asked(&["{own} a"], 2000, json!(null)),
        ),
        with_topic(api, "an empty name", asked(&[""], 2000, json!(null))),
    ]
}
