//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs and ListConfigResources.
//!
//! AlterConfigs with the same topic twice is left out: Kafka 4.3.1 fails inside and never answers it.

use serde_json::{Value, json};

use super::{barrier, every_version, topic, topic_with, with_step, with_topic};
use crate::differential::case::{Scenario, Step, call};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub fn scenarios() -> Vec<Scenario> {
    let mut list = described();
    list.extend(altered());
    list.extend(incrementally_altered());
    list.extend(listed());
    list
}

fn resource(kind: i8, name: &str, keys: Value) -> Value {
    json!({"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": keys})
}

fn describe(resources: &[Value], synonyms: bool, documentation: bool) -> Value {
    json!({"Resources": resources, "IncludeSynonyms": synonyms, "IncludeDocumentation": documentation})
}

/// What the topic's keys are once a change has come through.
fn then_described(keys: &[&str]) -> Vec<Step> {
    with_step(
        barrier(),
        call(
            "DescribeConfigs",
            4,
            describe(&[resource(TOPIC, "{own}-a", json!(keys))], true, false),
        ),
    )
}

fn described() -> Vec<Scenario> {
    const API: &str = "DescribeConfigs";
    let of =
        |name: &'static str, resources: &[Value]| with_topic(API, name, describe(resources, false, false));
    let own = |keys: Value| resource(TOPIC, "{own}-a", keys);
    let set = Scenario::new(API, every_version(API), "a key that the topic sets", move |v| {
        let steps = topic_with(
            "{own}-a",
            1,
            json!([{"Name": "retention.ms", "Value": "1234567"}]),
        );
        let keys = json!(["retention.ms", "segment.bytes"]);
        with_step(
            steps,
            call(API, v, describe(&[resource(TOPIC, "{own}-a", keys)], true, false)),
        )
    });
    vec![
        set,
        of("every key of a topic", &[own(json!(null))]),
        with_topic(
            API,
            "every key of a topic with synonyms",
            describe(&[own(json!(null))], true, false),
        ),
        with_topic(
            API,
            "a key with documentation",
            describe(&[own(json!(["retention.ms"]))], false, true),
        ),
        of("one key", &[own(json!(["cleanup.policy"]))]),
        of("an unknown key", &[own(json!(["no.such.key"]))]),
        of("no keys", &[own(json!([]))]),
        of("an unknown topic", &[resource(TOPIC, "{own}-x", json!(null))]),
        of(
            "a topic name that is not allowed",
            &[resource(TOPIC, "{own} x", json!(null))],
        ),
        of("an empty topic name", &[resource(TOPIC, "", json!(null))]),
        of("no resources", &[]),
        of(
            "the same topic twice",
            &[own(json!(["retention.ms"])), own(json!(["cleanup.policy"]))],
        ),
        of(
            "keys of the broker",
            &[resource(
                BROKER,
                "1",
                json!([
                    "num.partitions",
                    "log.retention.ms",
                    "log.segment.bytes",
                    "message.max.bytes"
                ]),
            )],
        ),
        of(
            "an unknown broker",
            &[resource(BROKER, "77", json!(["num.partitions"]))],
        ),
        of(
            "a broker that is no number",
            &[resource(BROKER, "one", json!(["num.partitions"]))],
        ),
        of(
            "the default broker",
            &[resource(BROKER, "", json!(["num.partitions"]))],
        ),
        of("an unknown kind of resource", &[resource(77, "x", json!(null))]),
        of("no kind of resource", &[resource(0, "x", json!(null))]),
        of(
            "client metrics that do not exist",
            &[resource(CLIENT_METRICS, "{own}", json!(null))],
        ),
        of(
            "a group that has no configs",
            &[resource(GROUP, "{own}", json!(["consumer.session.timeout.ms"]))],
        ),
    ]
}

fn altered() -> Vec<Scenario> {
    const API: &str = "AlterConfigs";
    let alter = |resources: &[Value], only_validated: bool| json!({"Resources": resources, "ValidateOnly": only_validated});
    let of_kind = |kind: i8, name: &str, configs: Value| json!({"ResourceType": kind, "ResourceName": name, "Configs": configs});
    let own =
        move |name: &str, value: Value| of_kind(TOPIC, "{own}-a", json!([{"Name": name, "Value": value}]));
    let of = |name: &'static str, resources: &[Value]| with_topic(API, name, alter(resources, false));
    let replaced = Scenario::new(
        API,
        every_version(API),
        "the keys that are not named are reset",
        move |v| {
            let mut steps = topic_with("{own}-a", 1, json!([{"Name": "retention.bytes", "Value": "99"}]));
            steps.push(call(
                API,
                v,
                alter(&[own("retention.ms", json!("1234567"))], false),
            ));
            steps.extend(then_described(&["retention.ms", "retention.bytes"]));
            steps
        },
    );
    vec![
        replaced,
        of("a key", &[own("retention.ms", json!("1234567"))]),
        of("no keys", &[of_kind(TOPIC, "{own}-a", json!([]))]),
        of("an unknown key", &[own("no.such.key", json!("1"))]),
        of("a value that is no number", &[own("retention.ms", json!("soon"))]),
        of("a null value", &[own("retention.ms", json!(null))]),
        of(
            "an unknown topic",
            &[of_kind(
                TOPIC,
                "{own}-x",
                json!([{"Name": "retention.ms", "Value": "1"}]),
            )],
        ),
        of(
            "the same key twice",
            &[of_kind(
                TOPIC,
                "{own}-a",
                json!([{"Name": "retention.ms", "Value": "1"}, {"Name": "retention.ms", "Value": "2"}]),
            )],
        ),
        of("no resources", &[]),
        of("an unknown kind of resource", &[of_kind(77, "x", json!([]))]),
        of(
            "a broker that is no number",
            &[of_kind(
                BROKER,
                "one",
                json!([{"Name": "log.retention.ms", "Value": "1"}]),
            )],
        ),
        with_topic(
            API,
            "only validated",
            alter(&[own("retention.ms", json!("1234567"))], true),
        ),
        with_topic(
            API,
            "only validated and wrong",
            alter(&[own("retention.ms", json!("soon"))], true),
        ),
    ]
}

fn incrementally_altered() -> Vec<Scenario> {
    const API: &str = "IncrementalAlterConfigs";
    let alter = |resources: &[Value], only_validated: bool| json!({"Resources": resources, "ValidateOnly": only_validated});
    let of_kind = |kind: i8, name: &str, configs: Value| json!({"ResourceType": kind, "ResourceName": name, "Configs": configs});
    let change = |name: &str, operation: i8, value: Value| json!({"Name": name, "ConfigOperation": operation, "Value": value});
    let own = move |changes: &[Value]| of_kind(TOPIC, "{own}-a", json!(changes));
    let of = |name: &'static str, resources: &[Value]| with_topic(API, name, alter(resources, false));
    let seen = |name: &'static str, changes: Vec<Value>, keys: &'static [&'static str]| {
        Scenario::new(API, every_version(API), name, move |v| {
            let mut steps = topic_with("{own}-a", 1, json!([{"Name": "retention.ms", "Value": "99"}]));
            steps.push(call(API, v, alter(&[own(&changes)], false)));
            steps.extend(then_described(keys));
            steps
        })
    };
    let set = |value: &str| change("retention.ms", SET, json!(value));
    vec![
        seen("a key is set", vec![set("1234567")], &["retention.ms"]),
        seen(
            "a key is deleted",
            vec![change("retention.ms", DELETE, json!(null))],
            &["retention.ms"],
        ),
        seen(
            "a list grows",
            vec![change("cleanup.policy", APPEND, json!("compact"))],
            &["cleanup.policy"],
        ),
        seen(
            "a list shrinks to nothing",
            vec![change("cleanup.policy", SUBTRACT, json!("delete"))],
            &["cleanup.policy"],
        ),
        of(
            "a deleted key that was not set",
            &[own(&[change("retention.bytes", DELETE, json!(null))])],
        ),
        of(
            "append to what is no list",
            &[own(&[change("retention.ms", APPEND, json!("5"))])],
        ),
        of(
            "subtract from what is no list",
            &[own(&[change("retention.ms", SUBTRACT, json!("5"))])],
        ),
        of(
            "append what the list has",
            &[own(&[change("cleanup.policy", APPEND, json!("delete"))])],
        ),
        of(
            "append what the list may not hold",
            &[own(&[change("cleanup.policy", APPEND, json!("burn"))])],
        ),
        of(
            "an unknown operation",
            &[own(&[change("retention.ms", 9, json!("5"))])],
        ),
        of(
            "a negative operation",
            &[own(&[change("retention.ms", -1, json!("5"))])],
        ),
        of(
            "an unknown key",
            &[own(&[change("no.such.key", SET, json!("1"))])],
        ),
        of("a value that is no number", &[own(&[set("soon")])]),
        of(
            "a value out of range",
            &[own(&[change("segment.bytes", SET, json!("1"))])],
        ),
        of(
            "a null value",
            &[own(&[change("retention.ms", SET, json!(null))])],
        ),
        of("the same key twice", &[own(&[set("1"), set("2")])]),
        of("no keys", &[own(&[])]),
        of("no resources", &[]),
        of("the same topic twice", &[own(&[set("1")]), own(&[set("2")])]),
        of(
            "an unknown topic",
            &[of_kind(TOPIC, "{own}-x", json!([set("1")]))],
        ),
        of(
            "a topic name that is not allowed",
            &[of_kind(TOPIC, "{own} x", json!([set("1")]))],
        ),
        of(
            "an unknown kind of resource",
            &[of_kind(77, "x", json!([set("1")]))],
        ),
        of(
            "a broker that is no number",
            &[of_kind(
                BROKER,
                "one",
                json!([change("log.retention.ms", SET, json!("1"))]),
            )],
        ),
        of(
            "another broker",
            &[of_kind(
                BROKER,
                "77",
                json!([change("log.retention.ms", SET, json!("1"))]),
            )],
        ),
        of(
            "a read-only key of the broker",
            &[of_kind(BROKER, "1", json!([change("node.id", SET, json!("5"))]))],
        ),
        of(
            "a logger of a broker that is no number",
            &[of_kind(
                BROKER_LOGGER,
                "one",
                json!([change("x", SET, json!("INFO"))]),
            )],
        ),
        of(
            "a good and a wrong topic",
            &[own(&[set("1")]), of_kind(TOPIC, "{own}-x", json!([set("1")]))],
        ),
        with_topic(API, "only validated", alter(&[own(&[set("1234567")])], true)),
        with_topic(
            API,
            "only validated and wrong",
            alter(&[own(&[set("soon")])], true),
        ),
    ]
}

fn listed() -> Vec<Scenario> {
    const API: &str = "ListConfigResources";
    let of = |name: &'static str, kinds: Value| {
        let body = json!({"ResourceTypes": kinds});
        Scenario::new(API, every_version(API), name, move |v| {
            with_step(topic("{own}-a", 1), call(API, v, body.clone()).only_own())
        })
    };
    vec![
        of("topics", json!([TOPIC])),
        of("brokers", json!([BROKER])),
        of("topics and brokers", json!([TOPIC, BROKER])),
        of("client metrics", json!([CLIENT_METRICS])),
        of("groups", json!([GROUP])),
        of("every kind", json!([])),
        of("an unknown kind", json!([77])),
        of("no kind", json!([0])),
    ]
}
