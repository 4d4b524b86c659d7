//! What is sent, one file per family of APIs. [`all`] is the whole list.
//!
//! A scenario is written once and runs at every version that it names: fields that a version lacks are left out by the
//! codec, so a body may name the fields of all of them.

use serde_json::{Value, json};

use super::case::{Scenario, Step, call};
use crate::schema::{self, Direction};

mod admin;
mod configs;
mod consume;
mod describe;
mod edges;
mod groups;
mod idempotence;
mod metadata;
mod offsets;
mod produce;
mod rebalance;

/// Every scenario of the suite.
pub fn all() -> Vec<Scenario> {
    let families = [
        edges::scenarios(),
        metadata::scenarios(),
        produce::scenarios(),
        idempotence::scenarios(),
        consume::scenarios(),
        admin::scenarios(),
        configs::scenarios(),
        describe::scenarios(),
        groups::scenarios(),
        rebalance::scenarios(),
        offsets::scenarios(),
    ];
    families.into_iter().flatten().collect()
}

/// The versions that Kafka 4.3 serves of this API.
fn every_version(api: &str) -> std::ops::RangeInclusive<i16> {
    let message = schema::message(Direction::Request, api).unwrap_or_else(|| panic!("no API {api}"));
    message.versions.first..=message.versions.last
}

/// A scenario at every served version whose only step is one request with this body.
fn one_request(api: &'static str, name: &'static str, body: Value) -> Scenario {
    Scenario::new(api, every_version(api), name, move |v| {
        vec![call(api, v, body.clone())]
    })
}

/// A scenario at every served version: the topic `{own}-a` with three partitions, then one request.
fn with_topic(api: &'static str, name: &'static str, body: Value) -> Scenario {
    Scenario::new(api, every_version(api), name, move |v| {
        with_step(topic("{own}-a", 3), call(api, v, body.clone()))
    })
}

fn with_step(mut steps: Vec<Step>, last: Step) -> Vec<Step> {
    steps.push(last);
    steps
}

/// Creates a topic, names its id `{id}`, and waits until its partitions are led and may be written.
fn topic(name: &str, partitions: i32) -> Vec<Step> {
    topic_with(name, partitions, json!([]))
}

/// Likewise with configs: `[{"Name": key, "Value": value}]`.
fn topic_with(name: &str, partitions: i32, configs: Value) -> Vec<Step> {
    let creation = json!({"Topics": [{"Name": name, "NumPartitions": partitions, "ReplicationFactor": 1,
        "Assignments": [], "Configs": configs}], "timeoutMs": 30000, "validateOnly": false});
    vec![
        call("CreateTopics", 7, creation)
            .quiet()
            .capture("id", "/Topics/0/TopicId"),
        led(name, partitions),
    ]
}

/// Waits until what was decided before has come through: a topic that is created now is led only after that.
fn barrier() -> Vec<Step> {
    let creation = json!({"Topics": [{"Name": "{own}-barrier", "NumPartitions": 1, "ReplicationFactor": 1}]});
    vec![call("CreateTopics", 7, creation).quiet(), led("{own}-barrier", 1)]
}

/// Waits until every partition of the topic is led here.
fn led(name: &str, partitions: i32) -> Step {
    let each: Vec<Value> = (0..partitions)
        .map(|index| json!({"PartitionIndex": index, "Timestamp": -1}))
        .collect();
    let body = json!({"ReplicaId": -1, "Topics": [{"Name": name, "Partitions": each}]});
    call("ListOffsets", 5, body).quiet().retry_on(&[3, 5, 6])
}

/// A produce of these records (hexadecimal) to one partition of `{own}-a`, by name and by id.
fn produce_body(acks: i16, partition: i32, records: &str) -> Value {
    json!({"TransactionalId": null, "Acks": acks, "TimeoutMs": 5000, "TopicData": [{"Name": "{own}-a", "TopicId": "{id}",
        "PartitionData": [{"Index": partition, "Records": records}]}]})
}

/// Writes these values to partition 0 of `{own}-a` in one batch.
fn filled(values: &[&str]) -> Step {
    call(
        "Produce",
        9,
        produce_body(-1, 0, &crate::record_bytes::Batch::of(values).hex()),
    )
    .quiet()
}
