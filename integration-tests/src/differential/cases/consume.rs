//! Fetch with and without sessions, ListOffsets, OffsetForLeaderEpoch and DeleteRecords.

use serde_json::{Value, json};

use super::{every_version, filled, topic, with_step};
use crate::differential::case::{Scenario, Step, call};

const UNKNOWN: &str = "0123456789abcdef0123456789abcdef";

pub fn scenarios() -> Vec<Scenario> {
    let mut list = fetches();
    list.extend(sessions());
    list.extend(listed());
    list.extend(epochs());
    list.extend(deletions());
    list
}

/// `{own}-a` with two partitions: five records in three batches in partition 0, none in partition 1.
fn log() -> Vec<Step> {
    let mut steps = topic("{own}-a", 2);
    steps.extend([filled(&["a", "b"]), filled(&["c"]), filled(&["d", "e"])]);
    steps
}

fn on_log(api: &'static str, name: &'static str, body: Value) -> Scenario {
    Scenario::new(api, every_version(api), name, move |v| {
        with_step(log(), call(api, v, body.clone()))
    })
}

fn position(partition: i32, offset: i64, max_bytes: i32) -> Value {
    json!({"Partition": partition, "FetchOffset": offset, "PartitionMaxBytes": max_bytes})
}

fn fetch(topics: Value, extra: &[(&str, i64)]) -> Value {
    let mut body =
        json!({"ReplicaId": -1, "MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1_000_000, "Topics": topics});
    for (name, value) in extra {
        body[*name] = json!(value);
    }
    body
}

fn of_topic(partitions: &[Value]) -> Value {
    json!([{"Topic": "{own}-a", "TopicId": "{id}", "Partitions": partitions}])
}

fn with_epoch(mut position: Value, name: &str, epoch: i64) -> Value {
    position[name] = json!(epoch);
    position
}

fn fetches() -> Vec<Scenario> {
    const MB: i32 = 1_000_000;
    let of =
        |name: &'static str, partitions: &[Value]| on_log("Fetch", name, fetch(of_topic(partitions), &[]));
    let with = |name: &'static str, extra: &[(&str, i64)]| {
        on_log("Fetch", name, fetch(of_topic(&[position(0, 0, MB)]), extra))
    };
    vec![
        of("from the start", &[position(0, 0, MB)]),
        of("from the middle of a batch", &[position(0, 1, MB)]),
        of("from the last batch", &[position(0, 3, MB)]),
        of("at the end", &[position(0, 5, MB)]),
        of("beyond the end", &[position(0, 6, MB)]),
        of("far beyond the end", &[position(0, i64::MAX, MB)]),
        of("a negative offset", &[position(0, -1, MB)]),
        of("an empty partition", &[position(1, 0, MB)]),
        of("both partitions", &[position(0, 0, MB), position(1, 0, MB)]),
        of("an unknown partition", &[position(9, 0, MB)]),
        of("a negative partition", &[position(-1, 0, MB)]),
        of(
            "a good and an unknown partition",
            &[position(0, 0, MB), position(9, 0, MB)],
        ),
        of("one byte of a partition holds one batch", &[position(0, 0, 1)]),
        of("no byte of a partition holds one batch", &[position(0, 0, 0)]),
        of("a negative number of bytes", &[position(0, 0, -1)]),
        of("room for one batch and a half", &[position(0, 0, 110)]),
        of(
            "a current leader epoch",
            &[with_epoch(position(0, 0, MB), "CurrentLeaderEpoch", 0)],
        ),
        of(
            "a leader epoch from the future",
            &[with_epoch(position(0, 0, MB), "CurrentLeaderEpoch", 9)],
        ),
        of(
            "a last fetched epoch",
            &[with_epoch(position(0, 2, MB), "LastFetchedEpoch", 0)],
        ),
        of(
            "a last fetched epoch from the future",
            &[with_epoch(position(0, 2, MB), "LastFetchedEpoch", 7)],
        ),
        of(
            "a last fetched epoch beyond the end",
            &[with_epoch(position(0, 9, MB), "LastFetchedEpoch", 0)],
        ),
        with("one byte in all holds one batch", &[("MaxBytes", 1)]),
        with("no byte in all", &[("MaxBytes", 0)]),
        with("read committed", &[("IsolationLevel", 1)]),
        with("an unknown isolation level", &[("IsolationLevel", 5)]),
        with(
            "more bytes wanted than there are, no wait",
            &[("MinBytes", 100_000)],
        ),
        with("a negative wait", &[("MaxWaitMs", -1)]),
        with(
            "more bytes wanted than there are, a short wait",
            &[("MinBytes", 100_000), ("MaxWaitMs", 10)],
        ),
        on_log("Fetch", "no topics", fetch(json!([]), &[])),
        on_log(
            "Fetch",
            "an unknown topic",
            fetch(
                json!([{"Topic": "{own}-x", "TopicId": UNKNOWN, "Partitions": [position(0, 0, MB)]}]),
                &[],
            ),
        ),
        on_log("Fetch", "a topic without partitions", fetch(of_topic(&[]), &[])),
        on_log("Fetch", "a rack", {
            let mut body = fetch(of_topic(&[position(0, 0, MB)]), &[]);
            body["RackId"] = json!("r1");
            body
        }),
        on_log(
            "Fetch",
            "the same partition twice",
            fetch(of_topic(&[position(0, 0, MB), position(0, 3, MB)]), &[]),
        ),
    ]
}

/// Several fetches on one connection; `{session}` is what the first gave.
fn sessions() -> Vec<Scenario> {
    let first = |v: i16| {
        call(
            "Fetch",
            v,
            fetch(
                of_topic(&[position(0, 0, 1000), position(1, 0, 1000)]),
                &[("SessionEpoch", 0)],
            ),
        )
        .capture("session", "/SessionId")
    };
    let next = |v: i16, epoch: i64, topics: Value, forgotten: Value| {
        let mut body = fetch(topics, &[("SessionEpoch", epoch)]);
        body["SessionId"] = json!("{session}");
        body["ForgottenTopicsData"] = forgotten;
        call("Fetch", v, body)
    };
    let of = |name: &'static str, rest: Box<dyn Fn(i16) -> Vec<Step>>| {
        Scenario::new("Fetch", 7..=18, name, move |v| {
            let mut steps = log();
            steps.push(first(v));
            steps.extend(rest(v));
            steps
        })
    };
    let none = || json!([]);
    vec![
        of(
            "a session asks again and gets what is new",
            Box::new(move |v| {
                vec![
                    next(v, 1, none(), none()),
                    filled(&["f"]),
                    next(v, 2, of_topic(&[position(0, 5, 1000)]), none()),
                    next(v, 3, none(), none()),
                ]
            }),
        ),
        of(
            "a session moves one partition",
            Box::new(move |v| vec![next(v, 1, of_topic(&[position(0, 3, 1000)]), none())]),
        ),
        of(
            "a session forgets a partition",
            Box::new(move |v| {
                let forgotten = json!([{"Topic": "{own}-a", "TopicId": "{id}", "Partitions": [0]}]);
                vec![next(v, 1, none(), forgotten), next(v, 2, none(), none())]
            }),
        ),
        of(
            "a session forgets a partition that it never had",
            Box::new(move |v| {
                vec![next(
                    v,
                    1,
                    none(),
                    json!([{"Topic": "{own}-a", "TopicId": "{id}", "Partitions": [7]}]),
                )]
            }),
        ),
        of(
            "a session with a wrong epoch",
            Box::new(move |v| vec![next(v, 5, none(), none())]),
        ),
        of(
            "a session with a repeated epoch",
            Box::new(move |v| vec![next(v, 1, none(), none()), next(v, 1, none(), none())]),
        ),
        of(
            "a session that is ended and asked again",
            Box::new(move |v| {
                vec![
                    next(v, -1, of_topic(&[position(0, 3, 1000)]), none()),
                    next(v, 1, none(), none()),
                ]
            }),
        ),
        of(
            "a session gains an unknown partition",
            Box::new(move |v| {
                vec![
                    next(v, 1, of_topic(&[position(9, 0, 1000)]), none()),
                    next(v, 2, none(), none()),
                ]
            }),
        ),
        Scenario::new("Fetch", 7..=18, "a session that does not exist", |v| {
            with_step(
                log(),
                call(
                    "Fetch",
                    v,
                    fetch(json!([]), &[("SessionId", 12345), ("SessionEpoch", 1)]),
                ),
            )
        }),
        Scenario::new("Fetch", 7..=18, "a session id without a session epoch", |v| {
            with_step(
                log(),
                call(
                    "Fetch",
                    v,
                    fetch(
                        of_topic(&[position(0, 0, 1000)]),
                        &[("SessionId", 12345), ("SessionEpoch", -1)],
                    ),
                ),
            )
        }),
    ]
}

fn listed() -> Vec<Scenario> {
    const API: &str = "ListOffsets";
    let asked = |partition: i32, timestamp: i64, epoch: i32, isolation: i8, replica: i32| {
        json!({"ReplicaId": replica, "IsolationLevel": isolation, "TimeoutMs": 1000, "Topics": [{"Name": "{own}-a",
            "Partitions": [{"PartitionIndex": partition, "CurrentLeaderEpoch": epoch, "Timestamp": timestamp}]}]})
    };
    let of = |name: &'static str, timestamp: i64| on_log(API, name, asked(0, timestamp, -1, 0, -1));
    vec![
        of("latest", -1),
        of("earliest", -2),
        of("the highest timestamp", -3),
        of("earliest local", -4),
        of("latest tiered", -5),
        of("earliest pending upload", -6),
        of("an unknown special time", -7),
        of("the lowest time there is", i64::MIN),
        of("time zero", 0),
        of("the time of the records", crate::record_bytes::TIMESTAMP_MS),
        of("a time after the records", crate::record_bytes::TIMESTAMP_MS + 1),
        on_log(API, "latest, read committed", asked(0, -1, -1, 1, -1)),
        on_log(API, "latest of an empty partition", asked(1, -1, -1, 0, -1)),
        on_log(
            API,
            "the highest timestamp of an empty partition",
            asked(1, -3, -1, 0, -1),
        ),
        on_log(API, "a time in an empty partition", asked(1, 5, -1, 0, -1)),
        on_log(API, "an unknown partition", asked(9, -1, -1, 0, -1)),
        on_log(API, "a leader epoch from the future", asked(0, -1, 9, 0, -1)),
        on_log(API, "the right leader epoch", asked(0, -1, 0, 0, -1)),
        on_log(API, "a debugging consumer", asked(0, -1, -1, 0, -2)),
        on_log(
            API,
            "an unknown topic",
            json!({"ReplicaId": -1, "Topics": [{"Name": "{own}-x", "Partitions": [{"PartitionIndex": 0, "Timestamp": -1}]}]}),
        ),
        on_log(
            API,
            "the same partition twice",
            json!({"ReplicaId": -1, "Topics": [{"Name": "{own}-a",
            "Partitions": [{"PartitionIndex": 0, "Timestamp": -1}, {"PartitionIndex": 0, "Timestamp": -2}]}]}),
        ),
        on_log(API, "no topics", json!({"ReplicaId": -1, "Topics": []})),
    ]
}

fn epochs() -> Vec<Scenario> {
    const API: &str = "OffsetForLeaderEpoch";
    let asked = |topic: &str, partition: i32, current: i32, epoch: i32| {
        json!({"ReplicaId": -1, "Topics": [{"Topic": topic, "Partitions": [
            {"Partition": partition, "CurrentLeaderEpoch": current, "LeaderEpoch": epoch}]}]})
    };
    vec![
        on_log(API, "the current epoch", asked("{own}-a", 0, 0, 0)),
        on_log(
            API,
            "the current epoch, leader not checked",
            asked("{own}-a", 0, -1, 0),
        ),
        on_log(API, "an epoch from the future", asked("{own}-a", 0, -1, 5)),
        on_log(API, "an undefined epoch", asked("{own}-a", 0, -1, -1)),
        on_log(API, "a leader epoch from the future", asked("{own}-a", 0, 5, 0)),
        on_log(API, "an empty partition", asked("{own}-a", 1, -1, 0)),
        on_log(API, "an unknown partition", asked("{own}-a", 9, -1, 0)),
        on_log(API, "an unknown topic", asked("{own}-x", 0, -1, 0)),
        on_log(API, "no topics", json!({"ReplicaId": -1, "Topics": []})),
    ]
}

fn deletions() -> Vec<Scenario> {
    const API: &str = "DeleteRecords";
    let asked = |topic: &str, partition: i32, offset: i64| json!({"Topics": [{"Name": topic, "Partitions": [{"PartitionIndex": partition, "Offset": offset}]}], "TimeoutMs": 5000});
    let then_read = Scenario::new(
        API,
        every_version(API),
        "what is deleted is gone and the rest is there",
        move |v| {
            let mut steps = log();
            steps.push(call(API, v, asked("{own}-a", 0, 2)));
            steps.push(call("Fetch", 12, fetch(of_topic(&[position(0, 0, 1000)]), &[])));
            steps.push(call("Fetch", 12, fetch(of_topic(&[position(0, 2, 1000)]), &[])));
            steps.push(call("ListOffsets", 5, json!({"ReplicaId": -1, "Topics": [{"Name": "{own}-a", "Partitions": [{"PartitionIndex": 0, "Timestamp": -2}]}]})));
            steps
        },
    );
    vec![
        then_read,
        on_log(API, "up to the high watermark", asked("{own}-a", 0, -1)),
        on_log(API, "inside a batch", asked("{own}-a", 0, 1)),
        on_log(API, "beyond the end", asked("{own}-a", 0, 99)),
        on_log(API, "an offset below the special one", asked("{own}-a", 0, -2)),
        on_log(API, "nothing", asked("{own}-a", 0, 0)),
        on_log(API, "an empty partition", asked("{own}-a", 1, -1)),
        on_log(API, "an unknown partition", asked("{own}-a", 9, 0)),
        on_log(API, "an unknown topic", asked("{own}-x", 0, 0)),
        on_log(API, "no topics", json!({"Topics": [], "TimeoutMs": 1000})),
    ]
}
