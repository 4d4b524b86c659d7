//! Produce: acks, names and ids, batches that are wrong in every way, and what the topic's configs make of them.
//!
//! Null records are left out: Kafka 4.3.1 fails inside and never answers them.

use serde_json::{Value, json};

use super::{every_version, produce_body, topic, topic_with, with_step};
use crate::differential::case::{Scenario, Step, call};
use crate::record_bytes::{Batch, put_varint};

const API: &str = "Produce";
const UNKNOWN: &str = "0123456789abcdef0123456789abcdef";

pub fn scenarios() -> Vec<Scenario> {
    let mut list = addressed();
    list.extend(batches());
    list.extend(configured());
    list
}

/// `{own}-a` with two partitions, one produce, and what a consumer finds then.
fn produced(name: &'static str, body: Value) -> Scenario {
    Scenario::new(API, every_version(API), name, move |v| {
        with_step(topic("{own}-a", 2), call(API, v, body.clone()))
    })
}

fn fetched(partition: i32) -> Step {
    call(
        "Fetch",
        12,
        json!({"ReplicaId": -1, "MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1_000_000, "Topics": [{
        "Topic": "{own}-a", "Partitions": [{"Partition": partition, "FetchOffset": 0, "PartitionMaxBytes": 1_000_000}]}]}),
    )
}

fn good() -> String {
    Batch::of(&["a", "b"]).hex()
}

fn partition(index: i32, records: Value) -> Value {
    json!({"Index": index, "Records": records})
}

fn to_topic(name: &str, id: &str, partitions: &[Value]) -> Value {
    json!({"Name": name, "TopicId": id, "PartitionData": partitions})
}

fn body(acks: i16, topics: &[Value]) -> Value {
    json!({"TransactionalId": null, "Acks": acks, "TimeoutMs": 5000, "TopicData": topics})
}

fn addressed() -> Vec<Scenario> {
    let here = |partitions: &[Value]| to_topic("{own}-a", "{id}", partitions);
    let good_at = |index: i32| partition(index, json!(good()));
    let unanswered = Scenario::new(
        API,
        every_version(API),
        "acks 0 has no answer and is stored",
        |v| {
            let mut steps = topic("{own}-a", 2);
            steps.push(call(API, v, produce_body(0, 0, &good())).without_waiting());
            steps.push(call("ApiVersions", 0, json!({})));
            steps.push(fetched(0));
            steps
        },
    );
    let refused_silently = Scenario::new(
        API,
        every_version(API),
        "acks 0 to an unknown partition closes the connection",
        |v| {
            let mut steps = topic("{own}-a", 1);
            steps.push(call(API, v, produce_body(0, 7, &good())).without_waiting());
            steps.push(call("ApiVersions", 0, json!({})));
            steps
        },
    );
    let stored = Scenario::new(
        API,
        every_version(API),
        "two batches one after the other are stored and read",
        |v| {
            let mut steps = topic("{own}-a", 1);
            steps.push(call(API, v, produce_body(-1, 0, &good())));
            steps.push(call(API, v, produce_body(1, 0, &Batch::of(&["c"]).hex())));
            steps.push(fetched(0));
            steps
        },
    );
    vec![
        stored,
        unanswered,
        refused_silently,
        produced("acks all", produce_body(-1, 0, &good())),
        produced("acks of the leader", produce_body(1, 0, &good())),
        produced("acks 2", produce_body(2, 0, &good())),
        produced("acks -2", produce_body(-2, 0, &good())),
        produced("an unknown partition", produce_body(-1, 7, &good())),
        produced("a negative partition", produce_body(-1, -1, &good())),
        produced(
            "an unknown topic",
            body(-1, &[to_topic("{own}-x", UNKNOWN, &[good_at(0)])]),
        ),
        produced(
            "a topic name that is not allowed",
            body(-1, &[to_topic("{own} x", UNKNOWN, &[good_at(0)])]),
        ),
        produced(
            "an empty topic name, a nil id",
            body(
                -1,
                &[to_topic("", "00000000000000000000000000000000", &[good_at(0)])],
            ),
        ),
        produced("two partitions", body(-1, &[here(&[good_at(0), good_at(1)])])),
        produced(
            "a known and an unknown partition",
            body(-1, &[here(&[good_at(0), good_at(5)])]),
        ),
        produced("no topics", body(-1, &[])),
        produced("a topic without partitions", body(-1, &[here(&[])])),
        produced("a timeout of zero", {
            let mut body = produce_body(-1, 0, &good());
            body["TimeoutMs"] = json!(0);
            body
        }),
        produced("a negative timeout", {
            let mut body = produce_body(-1, 0, &good());
            body["TimeoutMs"] = json!(-1);
            body
        }),
        produced(
            "an internal topic: offsets",
            body(-1, &[to_topic("__consumer_offsets", UNKNOWN, &[good_at(0)])]),
        ),
    ]
}

fn batches() -> Vec<Scenario> {
    let of = |name: &'static str, batch: Batch| produced(name, produce_body(-1, 0, &batch.hex()));
    let two = || Batch::of(&["a", "b"]);
    let with_tail = |tail: &str| format!("{}{tail}", good());
    let mut bad_record = vec![0xff, 0xff];
    put_varint(&mut bad_record, -5);
    vec![
        produced("empty records", produce_body(-1, 0, "")),
        produced("two batches at once", produce_body(-1, 0, &with_tail(&good()))),
        produced(
            "a batch and half a batch",
            produce_body(-1, 0, &with_tail(&good()[..60])),
        ),
        produced("half a batch", produce_body(-1, 0, &good()[..80])),
        produced("seven bytes", produce_body(-1, 0, "00000000000000")),
        of(
            "a wrong checksum",
            Batch {
                crc_damage: 1,
                ..two()
            },
        ),
        of("magic 0", Batch { magic: 0, ..two() }),
        of("magic 1", Batch { magic: 1, ..two() }),
        of("magic 3", Batch { magic: 3, ..two() }),
        of("a negative magic", Batch { magic: -1, ..two() }),
        of(
            "a length that is too long",
            Batch {
                length_damage: 10,
                ..two()
            },
        ),
        of(
            "a length that is too short",
            Batch {
                length_damage: -4,
                ..two()
            },
        ),
        of(
            "a length of nothing",
            Batch {
                length_damage: -100,
                ..two()
            },
        ),
        of(
            "a base offset that is not zero",
            Batch {
                base_offset: 5,
                ..two()
            },
        ),
        of(
            "a leader epoch of its own",
            Batch {
                partition_leader_epoch: 9,
                ..two()
            },
        ),
        of(
            "a count that is too high",
            Batch {
                stated_count: Some(5),
                ..two()
            },
        ),
        of(
            "a count of zero",
            Batch {
                stated_count: Some(0),
                ..two()
            },
        ),
        of(
            "a negative count",
            Batch {
                stated_count: Some(-1),
                ..two()
            },
        ),
        of(
            "a last offset that is too high",
            Batch {
                stated_last_offset_delta: Some(9),
                ..two()
            },
        ),
        of(
            "a negative last offset",
            Batch {
                stated_last_offset_delta: Some(-3),
                ..two()
            },
        ),
        of(
            "no records",
            Batch {
                records: Vec::new(),
                ..two()
            },
        ),
        of(
            "the control bit",
            Batch {
                attributes: 0x20,
                ..two()
            },
        ),
        of(
            "the transactional bit without a producer",
            Batch {
                attributes: 0x10,
                ..two()
            },
        ),
        of(
            "the log append time bit",
            Batch {
                attributes: 0x08,
                ..two()
            },
        ),
        of(
            "an unknown codec",
            Batch {
                attributes: 5,
                ..two()
            },
        ),
        of(
            "a gzip batch that is not gzip",
            Batch {
                attributes: 1,
                payload: Some(vec![1, 2, 3]),
                ..two()
            },
        ),
        of(
            "a snappy batch that is not snappy",
            Batch {
                attributes: 2,
                payload: Some(vec![1, 2, 3]),
                ..two()
            },
        ),
        of(
            "an lz4 batch that is not lz4",
            Batch {
                attributes: 3,
                payload: Some(vec![1, 2, 3]),
                ..two()
            },
        ),
        of(
            "a zstd batch that is not zstd",
            Batch {
                attributes: 4,
                payload: Some(vec![1, 2, 3]),
                ..two()
            },
        ),
        of(
            "records that are none",
            Batch {
                payload: Some(bad_record),
                ..two()
            },
        ),
        of(
            "an empty payload",
            Batch {
                payload: Some(Vec::new()),
                ..two()
            },
        ),
        of(
            "a timestamp of never",
            Batch {
                timestamp_ms: -1,
                ..two()
            },
        ),
        of(
            "a timestamp before that",
            Batch {
                timestamp_ms: -2,
                ..two()
            },
        ),
        of(
            "a timestamp in the far future",
            Batch {
                timestamp_ms: 99_999_999_999_999,
                ..two()
            },
        ),
        of(
            "a producer without an epoch",
            Batch {
                producer_id: 5,
                ..two()
            },
        ),
        of(
            "a producer without a sequence",
            Batch {
                producer_id: 5,
                producer_epoch: 0,
                ..two()
            },
        ),
        of(
            "a sequence without a producer",
            Batch {
                base_sequence: 0,
                ..two()
            },
        ),
        of(
            "a null key and a null value",
            Batch {
                records: vec![(None, None)],
                ..Batch::default()
            },
        ),
    ]
}

fn configured() -> Vec<Scenario> {
    let of = |name: &'static str, configs: Value, records: String| {
        Scenario::new(API, every_version(API), name, move |v| {
            let mut steps = topic_with("{own}-a", 1, configs.clone());
            steps.push(call(API, v, produce_body(-1, 0, &records)));
            steps.push(fetched(0));
            steps
        })
    };
    let config = |name: &str, value: &str| json!([{"Name": name, "Value": value}]);
    let keyed = Batch {
        records: vec![(Some("k".to_owned()), Some("v".to_owned()))],
        ..Batch::default()
    };
    let half = Batch {
        records: vec![
            (Some("k".to_owned()), Some("v".to_owned())),
            (None, Some("w".to_owned())),
        ],
        ..Batch::default()
    };
    let large = Batch::of(&[&"x".repeat(300)]).hex();
    vec![
        of(
            "larger than max.message.bytes",
            config("max.message.bytes", "200"),
            large,
        ),
        of(
            "a compacted topic and a key",
            config("cleanup.policy", "compact"),
            keyed.hex(),
        ),
        of(
            "a compacted topic and no key",
            config("cleanup.policy", "compact"),
            good(),
        ),
        of(
            "a compacted topic and one record of two without a key",
            config("cleanup.policy", "compact"),
            half.hex(),
        ),
        of(
            "log append time",
            config("message.timestamp.type", "LogAppendTime"),
            good(),
        ),
        of(
            "a timestamp after the allowed",
            config("message.timestamp.after.max.ms", "1000"),
            Batch {
                timestamp_ms: 9_999_999_999_999,
                ..Batch::of(&["a"])
            }
            .hex(),
        ),
        of(
            "a timestamp before the allowed",
            config("message.timestamp.before.max.ms", "1000"),
            good(),
        ),
        of(
            "more in-sync replicas wanted than there are",
            config("min.insync.replicas", "2"),
            good(),
        ),
        of(
            "a topic with compression.type uncompressed",
            config("compression.type", "uncompressed"),
            good(),
        ),
    ]
}
