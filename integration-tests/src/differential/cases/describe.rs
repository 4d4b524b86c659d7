//! DescribeLogDirs, DescribeProducers and DescribeQuorum.

use serde_json::{Value, json};

use super::{every_version, filled, produce_body, topic, with_step};
use crate::differential::case::{Scenario, Step, call};
use crate::record_bytes::Batch;

pub fn scenarios() -> Vec<Scenario> {
    let mut list = log_dirs();
    list.extend(producers());
    list.extend(quorum());
    list
}

fn written() -> Vec<Step> {
    with_step(topic("{own}-a", 2), filled(&["a", "b"]))
}

fn log_dirs() -> Vec<Scenario> {
    const API: &str = "DescribeLogDirs";
    let of = |name: &'static str, topics: Value| {
        let body = json!({"Topics": topics});
        Scenario::new(API, every_version(API), name, move |v| {
            with_step(written(), call(API, v, body.clone()).only_own())
        })
    };
    vec![
        of("every topic", json!(null)),
        of(
            "both partitions",
            json!([{"Topic": "{own}-a", "Partitions": [0, 1]}]),
        ),
        of("one partition", json!([{"Topic": "{own}-a", "Partitions": [0]}])),
        of(
            "an unknown partition",
            json!([{"Topic": "{own}-a", "Partitions": [9]}]),
        ),
        of(
            "an unknown topic",
            json!([{"Topic": "{own}-x", "Partitions": [0]}]),
        ),
        of(
            "a topic without partitions",
            json!([{"Topic": "{own}-a", "Partitions": []}]),
        ),
        of("no topics", json!([])),
    ]
}

fn producers() -> Vec<Scenario> {
    const API: &str = "DescribeProducers";
    let of = |name: &'static str, topics: Value| {
        let body = json!({"Topics": topics});
        Scenario::new(API, every_version(API), name, move |v| {
            let mut steps = written();
            steps.push(
                call(
                    "Produce",
                    9,
                    produce_body(-1, 0, &Batch::of_producer(900, 2, 0, &["a", "b"]).hex()),
                )
                .quiet(),
            );
            with_step(steps, call(API, v, body.clone()))
        })
    };
    vec![
        of(
            "one producer and none",
            json!([{"Name": "{own}-a", "PartitionIndexes": [0, 1]}]),
        ),
        of(
            "an unknown partition",
            json!([{"Name": "{own}-a", "PartitionIndexes": [9]}]),
        ),
        of(
            "an unknown topic",
            json!([{"Name": "{own}-x", "PartitionIndexes": [0]}]),
        ),
        of(
            "a topic name that is not allowed",
            json!([{"Name": "{own} x", "PartitionIndexes": [0]}]),
        ),
        of(
            "no partitions",
            json!([{"Name": "{own}-a", "PartitionIndexes": []}]),
        ),
        of(
            "the same partition twice",
            json!([{"Name": "{own}-a", "PartitionIndexes": [0, 0]}]),
        ),
        of("no topics", json!([])),
    ]
}

fn quorum() -> Vec<Scenario> {
    const API: &str = "DescribeQuorum";
    let of = |name: &'static str, topics: Value| {
        let body = json!({"Topics": topics});
        Scenario::new(API, every_version(API), name, move |v| {
            vec![call(API, v, body.clone())]
        })
    };
    let asked = |topic: &str, partitions: &[i32]| {
        let each: Vec<Value> = partitions
            .iter()
            .map(|index| json!({"PartitionIndex": index}))
            .collect();
        json!([{"TopicName": topic, "Partitions": each}])
    };
    vec![
        of("the metadata quorum", asked("__cluster_metadata", &[0])),
        of("an unknown partition", asked("__cluster_metadata", &[1])),
        of("another topic", asked("{own}-x", &[0])),
        of("two partitions", asked("__cluster_metadata", &[0, 1])),
        of("no partitions", asked("__cluster_metadata", &[])),
        of("no topics", json!([])),
    ]
}
