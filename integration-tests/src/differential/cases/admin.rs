//! CreateTopics, DeleteTopics and CreatePartitions.

use serde_json::{Value, json};

use super::{every_version, one_request, topic, with_step, with_topic};
use crate::differential::case::{Scenario, call};

const UNKNOWN: &str = "0123456789abcdef0123456789abcdef";
const NIL: &str = "00000000000000000000000000000000";

pub fn scenarios() -> Vec<Scenario> {
    let mut list = creations();
    list.extend(deletions());
    list.extend(partitions());
    list
}

fn creatable(name: &str, partitions: i32, factor: i16) -> Value {
    json!({"Name": name, "NumPartitions": partitions, "ReplicationFactor": factor, "Assignments": [], "Configs": []})
}

fn creation(topics: &[Value]) -> Value {
    json!({"Topics": topics, "timeoutMs": 30000, "validateOnly": false})
}

fn assigned(assignments: Value, partitions: i32, factor: i16) -> Value {
    let mut topic = creatable("{own}-a", partitions, factor);
    topic["Assignments"] = assignments;
    topic
}

fn configured(configs: Value) -> Value {
    let mut topic = creatable("{own}-a", 1, 1);
    topic["Configs"] = configs;
    topic
}

fn creations() -> Vec<Scenario> {
    const API: &str = "CreateTopics";
    let of = |name: &'static str, topics: &[Value]| one_request(API, name, creation(topics));
    let long = "a".repeat(249);
    let too_long = "a".repeat(250);
    let config = |name: &str, value: Value| configured(json!([{"Name": name, "Value": value}]));
    let own = |partitions: i32, factor: i16| creatable("{own}-a", partitions, factor);
    vec![
        of("one topic", &[own(3, 1)]),
        of("two topics", &[own(3, 1), creatable("{own}-b", 1, 1)]),
        of("no topics", &[]),
        of("the same name twice", &[own(1, 1), own(2, 1)]),
        of(
            "the same name twice beside another",
            &[own(1, 1), own(2, 1), creatable("{own}-b", 1, 1)],
        ),
        with_topic(API, "a name that exists", creation(&[own(1, 1)])),
        with_topic(
            API,
            "a name that differs in a dot and an underscore",
            creation(&[creatable("{own}_b", 1, 1), creatable("{own}.b", 1, 1)]),
        ),
        Scenario::new(
            API,
            every_version(API),
            "a name that collides with one that exists",
            |v| {
                with_step(
                    topic("{own}_a", 1),
                    call(API, v, creation(&[creatable("{own}.a", 1, 1)])),
                )
            },
        ),
        of("an empty name", &[creatable("", 1, 1)]),
        of("a name of one dot", &[creatable(".", 1, 1)]),
        of("a name of two dots", &[creatable("..", 1, 1)]),
        of("a name with a space", &[creatable("{own} a", 1, 1)]),
        of(
            "a name with a letter that is not ASCII",
            &[creatable("{own}-ñ", 1, 1)],
        ),
        of("a name of 250 characters", &[creatable(&too_long, 1, 1)]),
        Scenario::new(API, 7..=7, "a name of 249 characters", move |v| {
            vec![
                call(API, v, creation(&[creatable(&long, 1, 1)])).quiet(),
                call(
                    "DeleteTopics",
                    5,
                    json!({"TopicNames": [long], "TimeoutMs": 5000}),
                ),
            ]
        }),
        of("no partitions", &[own(0, 1)]),
        of("minus two partitions", &[own(-2, 1)]),
        of("default partitions and replicas", &[own(-1, -1)]),
        of("default partitions", &[own(-1, 1)]),
        of("no replicas", &[own(1, 0)]),
        of("minus two replicas", &[own(1, -2)]),
        of("more replicas than brokers", &[own(1, 3)]),
        of(
            "an assignment",
            &[assigned(
                json!([{"PartitionIndex": 0, "BrokerIds": [1]}, {"PartitionIndex": 1, "BrokerIds": [1]}]),
                -1,
                -1,
            )],
        ),
        of(
            "an assignment to an unknown broker",
            &[assigned(json!([{"PartitionIndex": 0, "BrokerIds": [9]}]), -1, -1)],
        ),
        of(
            "an assignment twice to one broker",
            &[assigned(
                json!([{"PartitionIndex": 0, "BrokerIds": [1, 1]}]),
                -1,
                -1,
            )],
        ),
        of(
            "an assignment with a gap",
            &[assigned(json!([{"PartitionIndex": 1, "BrokerIds": [1]}]), -1, -1)],
        ),
        of(
            "an assignment of one partition twice",
            &[assigned(
                json!([{"PartitionIndex": 0, "BrokerIds": [1]}, {"PartitionIndex": 0, "BrokerIds": [1]}]),
                -1,
                -1,
            )],
        ),
        of(
            "an assignment without brokers",
            &[assigned(json!([{"PartitionIndex": 0, "BrokerIds": []}]), -1, -1)],
        ),
        of(
            "an assignment and a number of partitions",
            &[assigned(json!([{"PartitionIndex": 0, "BrokerIds": [1]}]), 1, 1)],
        ),
        of("a config", &[config("retention.ms", json!("1234567"))]),
        of("an unknown config", &[config("no.such.key", json!("1"))]),
        of(
            "a config that is no number",
            &[config("retention.ms", json!("soon"))],
        ),
        of("a config out of range", &[config("segment.bytes", json!("1"))]),
        of(
            "a config with a null value",
            &[config("retention.ms", json!(null))],
        ),
        of("a config with an empty name", &[config("", json!("1"))]),
        of(
            "an unknown cleanup policy",
            &[config("cleanup.policy", json!("burn"))],
        ),
        of(
            "both cleanup policies",
            &[config("cleanup.policy", json!("compact,delete"))],
        ),
        of(
            "an unknown compression type",
            &[config("compression.type", json!("rar"))],
        ),
        of(
            "more in-sync replicas than replicas",
            &[config("min.insync.replicas", json!("3"))],
        ),
        of(
            "a boolean config that is none",
            &[config("preallocate", json!("maybe"))],
        ),
        of(
            "a config with blanks around it",
            &[config("retention.ms", json!(" 1234567 "))],
        ),
        Scenario::new(API, every_version(API), "only validated", |v| {
            let mut body = creation(&[creatable("{own}-a", 3, 1)]);
            body["validateOnly"] = json!(true);
            vec![call(API, v, body.clone()), call(API, v, body)]
        }),
        of("an internal name", &[creatable("__cluster_metadata", 1, 1)]),
        Scenario::new(API, every_version(API), "a timeout of zero", |v| {
            let mut body = creation(&[creatable("{own} a", 3, 1)]);
            body["timeoutMs"] = json!(0);
            vec![call(API, v, body)]
        }),
    ]
}

fn deletions() -> Vec<Scenario> {
    const API: &str = "DeleteTopics";
    let named = |names: &[&str]| {
        let states: Vec<Value> = names
            .iter()
            .map(|name| json!({"Name": name, "TopicId": NIL}))
            .collect();
        json!({"TopicNames": names, "Topics": states, "TimeoutMs": 30000})
    };
    let states = |topics: Value| json!({"Topics": topics, "TimeoutMs": 30000});
    let by_state = |name: &'static str, topics: Value| {
        Scenario::new(API, 6..=6, name, move |v| {
            with_step(topic("{own}-a", 1), call(API, v, states(topics.clone())))
        })
    };
    vec![
        with_topic(API, "a topic", named(&["{own}-a"])),
        with_topic(
            API,
            "a known and an unknown topic",
            named(&["{own}-a", "{own}-x"]),
        ),
        with_topic(API, "the same topic twice", named(&["{own}-a", "{own}-a"])),
        one_request(API, "an unknown topic", named(&["{own}-x"])),
        one_request(API, "no topics", named(&[])),
        one_request(API, "an empty name", named(&[""])),
        Scenario::new(
            API,
            every_version(API),
            "a topic that was deleted before",
            move |v| {
                let mut steps = topic("{own}-a", 1);
                steps.extend([
                    call(API, v, named(&["{own}-a"])),
                    call(API, v, named(&["{own}-a"])),
                ]);
                steps
            },
        ),
        by_state("by id", json!([{"Name": null, "TopicId": "{id}"}])),
        by_state("by an unknown id", json!([{"Name": null, "TopicId": UNKNOWN}])),
        by_state(
            "by both name and id",
            json!([{"Name": "{own}-a", "TopicId": "{id}"}]),
        ),
        by_state("by neither", json!([{"Name": null, "TopicId": NIL}])),
        by_state(
            "by name and by id, the same topic",
            json!([{"Name": "{own}-a", "TopicId": NIL}, {"Name": null, "TopicId": "{id}"}]),
        ),
        by_state(
            "by the same id twice",
            json!([{"Name": null, "TopicId": "{id}"}, {"Name": null, "TopicId": "{id}"}]),
        ),
    ]
}

fn partitions() -> Vec<Scenario> {
    const API: &str = "CreatePartitions";
    let grown = |name: &str, count: i32, assignments: Value| json!({"Name": name, "Count": count, "Assignments": assignments});
    let body = |topics: &[Value], only_validated: bool| json!({"Topics": topics, "TimeoutMs": 30000, "ValidateOnly": only_validated});
    let of = |name: &'static str, topics: &[Value]| with_topic(API, name, body(topics, false));
    let own = |count: i32, assignments: Value| grown("{own}-a", count, assignments);
    vec![
        of("two more", &[own(5, json!(null))]),
        of("as many as there are", &[own(3, json!(null))]),
        of("fewer than there are", &[own(2, json!(null))]),
        of("none", &[own(0, json!(null))]),
        of("a negative number", &[own(-1, json!(null))]),
        of("very many", &[own(i32::MAX, json!(null))]),
        of("an unknown topic", &[grown("{own}-x", 5, json!(null))]),
        of(
            "the same topic twice",
            &[own(5, json!(null)), own(6, json!(null))],
        ),
        of("no topics", &[]),
        of("an empty name", &[grown("", 5, json!(null))]),
        of("an assignment", &[own(4, json!([{"BrokerIds": [1]}]))]),
        of("too few assignments", &[own(5, json!([{"BrokerIds": [1]}]))]),
        of(
            "too many assignments",
            &[own(4, json!([{"BrokerIds": [1]}, {"BrokerIds": [1]}]))],
        ),
        of("no assignments", &[own(5, json!([]))]),
        of(
            "an assignment to an unknown broker",
            &[own(4, json!([{"BrokerIds": [9]}]))],
        ),
        of(
            "an assignment twice to one broker",
            &[own(4, json!([{"BrokerIds": [1, 1]}]))],
        ),
        of(
            "an assignment without brokers",
            &[own(4, json!([{"BrokerIds": []}]))],
        ),
        with_topic(API, "only validated", body(&[own(5, json!(null))], true)),
        with_topic(
            API,
            "only validated and wrong",
            body(&[own(1, json!(null))], true),
        ),
    ]
}
