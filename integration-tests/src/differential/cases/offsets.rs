//! OffsetCommit, OffsetFetch and OffsetDelete.

use serde_json::{Value, json};

use super::groups::stable_group;
use super::{every_version, topic, with_step};
use crate::differential::case::{Scenario, Step, call};

const UNKNOWN: &str = "0123456789abcdef0123456789abcdef";

pub fn scenarios() -> Vec<Scenario> {
    let mut list = commits();
    list.extend(fetches());
    list.extend(deletions());
    list
}

fn partition(index: i32, offset: i64, metadata: Value) -> Value {
    json!({"PartitionIndex": index, "CommittedOffset": offset, "CommittedLeaderEpoch": 0, "CommittedMetadata": metadata})
}

fn commit(group: &str, generation: i32, member: &str, partitions: &[Value]) -> Value {
    json!({"GroupId": group, "GenerationIdOrMemberEpoch": generation, "MemberId": member, "GroupInstanceId": null,
        "RetentionTimeMs": -1, "Topics": [{"Name": "{own}-a", "TopicId": "{id}", "Partitions": partitions}]})
}

/// A commit from outside any group: generation -1, no member.
fn simple(partitions: &[Value]) -> Value {
    commit("{own}", -1, "", partitions)
}

/// One group at the top level for the versions before 8, and in the list for those after. Ids came with version 10.
fn fetch(group: &str, topics: Value, is_stable: bool) -> Value {
    let mut named = topics.clone();
    for topic in named
        .as_array_mut()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        topic.remove("TopicId");
    }
    json!({"GroupId": group, "Topics": named, "RequireStable": is_stable,
        "Groups": [{"GroupId": group, "MemberId": null, "MemberEpoch": -1, "Topics": topics}]})
}

fn own_partitions(indexes: &[i32]) -> Value {
    json!([{"Name": "{own}-a", "TopicId": "{id}", "PartitionIndexes": indexes}])
}

fn fetched() -> Step {
    call(
        "OffsetFetch",
        7,
        fetch("{own}", own_partitions(&[0, 1, 2]), false),
    )
}

fn commits() -> Vec<Scenario> {
    const API: &str = "OffsetCommit";
    let alone = |name: &'static str, body: Value| {
        Scenario::new(API, every_version(API), name, move |v| {
            let mut steps = topic("{own}-a", 2);
            steps.extend([call(API, v, body.clone()), fetched()]);
            steps
        })
    };
    let of_member = |name: &'static str, body: Value| {
        Scenario::new(API, every_version(API), name, move |v| {
            let mut steps = topic("{own}-a", 2);
            steps.extend(stable_group());
            steps.extend([call(API, v, body.clone()), fetched()]);
            steps
        })
    };
    let good = || [partition(0, 5, json!("m"))];
    let long = "m".repeat(5000);
    let mut elsewhere = simple(&good());
    elsewhere["Topics"][0]["Name"] = json!("{own}-x");
    elsewhere["Topics"][0]["TopicId"] = json!(UNKNOWN);
    let mut nothing = simple(&[]);
    nothing["Topics"] = json!([]);
    let mut of_instance = commit("{own}", 1, "{member}", &good());
    of_instance["GroupInstanceId"] = json!("{own}-i");
    vec![
        alone("from outside a group", simple(&good())),
        alone(
            "two partitions",
            simple(&[partition(0, 5, json!("")), partition(1, 6, json!(null))]),
        ),
        alone(
            "a known and an unknown partition",
            simple(&[partition(0, 5, json!("")), partition(9, 6, json!(""))]),
        ),
        alone("a negative partition", simple(&[partition(-1, 5, json!(""))])),
        alone("an unknown topic", elsewhere),
        alone("no topics", nothing),
        alone("a topic without partitions", simple(&[])),
        alone("a negative offset", simple(&[partition(0, -1, json!(""))])),
        alone(
            "an offset far beyond the end",
            simple(&[partition(0, i64::MAX, json!(""))]),
        ),
        alone(
            "metadata that is too long",
            simple(&[partition(0, 5, json!(long))]),
        ),
        alone("null metadata", simple(&[partition(0, 5, json!(null))])),
        alone(
            "the same partition twice",
            simple(&[partition(0, 5, json!("")), partition(0, 6, json!(""))]),
        ),
        alone("an empty group id", commit("", -1, "", &good())),
        alone(
            "a generation in an unknown group",
            commit("{own}", 3, "nobody", &good()),
        ),
        alone(
            "a member in an unknown group",
            commit("{own}", -1, "nobody", &good()),
        ),
        of_member("by the member", commit("{own}", 1, "{member}", &good())),
        of_member("an old generation", commit("{own}", 0, "{member}", &good())),
        of_member(
            "a generation from the future",
            commit("{own}", 7, "{member}", &good()),
        ),
        of_member("a stranger", commit("{own}", 1, "nobody", &good())),
        of_member("from outside a group that has members", simple(&good())),
        of_member("an unknown instance id", of_instance),
    ]
}

fn fetches() -> Vec<Scenario> {
    const API: &str = "OffsetFetch";
    let committed = || {
        let mut steps = topic("{own}-a", 2);
        steps.push(
            call(
                "OffsetCommit",
                8,
                simple(&[partition(0, 5, json!("m")), partition(1, 6, json!(""))]),
            )
            .quiet(),
        );
        steps
    };
    let of = |name: &'static str, body: Value| {
        Scenario::new(API, every_version(API), name, move |v| {
            with_step(committed(), call(API, v, body.clone()))
        })
    };
    let from = |first: i16, name: &'static str, body: Value| {
        Scenario::new(API, first..=10, name, move |v| {
            with_step(committed(), call(API, v, body.clone()))
        })
    };
    let of_groups = |groups: Value| json!({"Groups": groups});
    let one = |group: &str, member: Value, epoch: i32| json!({"GroupId": group, "MemberId": member, "MemberEpoch": epoch, "Topics": own_partitions(&[0])});
    vec![
        of("both partitions", fetch("{own}", own_partitions(&[0, 1]), false)),
        of(
            "a partition without an offset",
            fetch("{own}", own_partitions(&[0, 9]), false),
        ),
        of(
            "an unknown topic",
            fetch(
                "{own}",
                json!([{"Name": "{own}-x", "TopicId": UNKNOWN, "PartitionIndexes": [0]}]),
                false,
            ),
        ),
        of("no topics", fetch("{own}", json!([]), false)),
        of(
            "a topic without partitions",
            fetch("{own}", own_partitions(&[]), false),
        ),
        of("an unknown group", fetch("{own}-x", own_partitions(&[0]), false)),
        of("an empty group id", fetch("", own_partitions(&[0]), false)),
        from(2, "every topic", fetch("{own}", json!(null), false)),
        from(
            2,
            "every topic of an unknown group",
            fetch("{own}-x", json!(null), false),
        ),
        from(7, "stable offsets", fetch("{own}", own_partitions(&[0, 1]), true)),
        from(
            8,
            "two groups",
            of_groups(json!([
                one("{own}", json!(null), -1),
                one("{own}-x", json!(null), -1)
            ])),
        ),
        from(
            8,
            "the same group twice",
            of_groups(json!([
                one("{own}", json!(null), -1),
                one("{own}", json!(null), -1)
            ])),
        ),
        from(8, "no groups", of_groups(json!([]))),
        from(
            9,
            "an unknown member",
            of_groups(json!([one("{own}", json!("nobody"), 1)])),
        ),
        from(
            9,
            "an epoch without a member",
            of_groups(json!([one("{own}", json!(null), 5)])),
        ),
        Scenario::new(API, 1..=1, "a null list of topics", |v| {
            vec![call(API, v, fetch("{own}", json!(null), false))]
        }),
    ]
}

fn deletions() -> Vec<Scenario> {
    const API: &str = "OffsetDelete";
    let body = |group: &str, topic: &str, indexes: &[i32]| {
        let partitions: Vec<Value> = indexes
            .iter()
            .map(|index| json!({"PartitionIndex": index}))
            .collect();
        json!({"GroupId": group, "Topics": [{"Name": topic, "Partitions": partitions}]})
    };
    let of = |name: &'static str, body: Value| {
        Scenario::new(API, every_version(API), name, move |v| {
            let mut steps = topic("{own}-a", 2);
            steps.push(
                call(
                    "OffsetCommit",
                    8,
                    simple(&[partition(0, 5, json!("m")), partition(1, 6, json!(""))]),
                )
                .quiet(),
            );
            steps.extend([call(API, v, body.clone()), fetched()]);
            steps
        })
    };
    vec![
        of("one offset", body("{own}", "{own}-a", &[0])),
        of("both offsets", body("{own}", "{own}-a", &[0, 1])),
        of("an offset that is not there", body("{own}", "{own}-a", &[9])),
        of("an unknown topic", body("{own}", "{own}-x", &[0])),
        of("an unknown group", body("{own}-x", "{own}-a", &[0])),
        of("an empty group id", body("", "{own}-a", &[0])),
        of("no partitions", body("{own}", "{own}-a", &[])),
        of("no topics", json!({"GroupId": "{own}", "Topics": []})),
        Scenario::new(API, every_version(API), "of a group with members", move |v| {
            let mut steps = topic("{own}-a", 2);
            steps.extend(stable_group());
            steps.push(
                call(
                    "OffsetCommit",
                    7,
                    commit("{own}", 1, "{member}", &[partition(0, 5, json!(""))]),
                )
                .quiet(),
            );
            steps.push(call(API, v, body("{own}", "{own}-a", &[0])));
            steps
        }),
    ]
}
