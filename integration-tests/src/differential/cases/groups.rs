//! One member in a classic group: join, sync, heartbeat, leave; and what tools ask about groups.
//!
//! A join that names a protocol twice is left out: Kafka 4.3.1 fails inside and never answers it.

use serde_json::{Value, json};

use super::{every_version, one_request};
use crate::differential::case::{Scenario, Step, call};

pub fn scenarios() -> Vec<Scenario> {
    let mut list = joins();
    list.extend(syncs());
    list.extend(heartbeats());
    list.extend(leaves());
    list.extend(described());
    list.extend(listed());
    list.extend(deleted());
    list
}

/// A join of `{own}` by this member with the protocols `range` and `roundrobin`.
pub fn join_body(member: &str, instance: Value) -> Value {
    json!({"GroupId": "{own}", "SessionTimeoutMs": 30000, "RebalanceTimeoutMs": 30000, "MemberId": member,
        "GroupInstanceId": instance, "ProtocolType": "consumer", "Protocols": [
            {"Name": "range", "Metadata": "0001"}, {"Name": "roundrobin", "Metadata": "0002"}]})
}

fn join_with(changes: &[(&str, Value)]) -> Value {
    let mut body = join_body("", json!(null));
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    body
}

/// A member alone in `{own}` at generation 1, named `{member}`, with its assignment.
pub fn stable_group() -> Vec<Step> {
    vec![
        call("JoinGroup", 3, join_body("", json!(null)))
            .quiet()
            .capture("member", "/MemberId"),
        call("SyncGroup", 2, sync_body(1, "{member}")).quiet(),
    ]
}

fn sync_body(generation: i32, member: &str) -> Value {
    json!({"GroupId": "{own}", "GenerationId": generation, "MemberId": member, "GroupInstanceId": null,
        "ProtocolType": "consumer", "ProtocolName": "range",
        "Assignments": [{"MemberId": member, "Assignment": "00ff"}]})
}

fn in_stable_group(api: &'static str, name: &'static str, body: Value) -> Scenario {
    Scenario::new(api, every_version(api), name, move |v| {
        let mut steps = stable_group();
        steps.push(call(api, v, body.clone()));
        steps
    })
}

fn joins() -> Vec<Scenario> {
    const API: &str = "JoinGroup";
    let of = |name: &'static str, changes: &[(&str, Value)]| one_request(API, name, join_with(changes));
    let whole = Scenario::new(
        API,
        every_version(API),
        "a member joins, syncs, beats and leaves",
        |v| {
            let first = call(API, v, join_body("", json!(null))).capture("member", "/MemberId");
            let mut steps = vec![first];
            if v >= 4 {
                steps.push(call(API, v, join_body("{member}", json!(null))));
            }
            steps.push(call("SyncGroup", v.min(5), sync_body(1, "{member}")));
            steps.push(call(
                "Heartbeat",
                v.min(4),
                json!({"GroupId": "{own}", "GenerationId": 1, "MemberId": "{member}"}),
            ));
            steps.push(call(
                "LeaveGroup",
                v.min(2),
                json!({"GroupId": "{own}", "MemberId": "{member}"}),
            ));
            steps.push(call(
                "Heartbeat",
                v.min(4),
                json!({"GroupId": "{own}", "GenerationId": 1, "MemberId": "{member}"}),
            ));
            steps
        },
    );
    let fixed = Scenario::new(API, 5..=9, "a static member joins twice and is the same", |v| {
        vec![
            call(API, v, join_body("", json!("{own}-i"))).capture("member", "/MemberId"),
            call("SyncGroup", 3, sync_body(1, "{member}")),
            call(API, v, join_body("", json!("{own}-i"))).capture("second", "/MemberId"),
            call(
                "Heartbeat",
                3,
                json!({"GroupId": "{own}", "GenerationId": 1, "MemberId": "{member}", "GroupInstanceId": "{own}-i"}),
            ),
            call(
                "Heartbeat",
                3,
                json!({"GroupId": "{own}", "GenerationId": 1, "MemberId": "{second}", "GroupInstanceId": "{own}-i"}),
            ),
        ]
    });
    let rejoined = Scenario::new(API, every_version(API), "a stable member joins again", |v| {
        let mut steps = stable_group();
        steps.push(call(API, v, join_body("{member}", json!(null))));
        steps
    });
    let other_protocol = |name: &'static str, changes: Vec<(&'static str, Value)>| {
        Scenario::new(API, 0..=3, name, move |v| {
            let mut steps = stable_group();
            steps.push(call(API, v, join_with(&changes)).on(1));
            steps
        })
    };
    vec![
        whole,
        fixed,
        rejoined,
        of("an empty group id", &[("GroupId", json!(""))]),
        of("an unknown member id", &[("MemberId", json!("nobody"))]),
        of(
            "a session timeout that is too short",
            &[("SessionTimeoutMs", json!(10))],
        ),
        of(
            "a session timeout that is too long",
            &[("SessionTimeoutMs", json!(99_999_999))],
        ),
        of("a negative session timeout", &[("SessionTimeoutMs", json!(-1))]),
        of("no protocols", &[("Protocols", json!([]))]),
        of("an empty protocol type", &[("ProtocolType", json!(""))]),
        of(
            "an empty protocol name",
            &[("Protocols", json!([{"Name": "", "Metadata": ""}]))],
        ),
        of("a reason", &[("Reason", json!("because"))]),
        Scenario::new(API, 5..=9, "an empty instance id", |v| {
            vec![call(API, v, join_body("", json!("")))]
        }),
        Scenario::new(API, 5..=9, "an instance id of one dot", |v| {
            vec![call(API, v, join_body("", json!(".")))]
        }),
        Scenario::new(API, 5..=9, "an instance id with a space", |v| {
            vec![call(API, v, join_body("", json!("a b")))]
        }),
        Scenario::new(API, 5..=9, "an unknown member id with an instance id", |v| {
            vec![call(API, v, join_body("nobody", json!("{own}-i")))]
        }),
        other_protocol("another protocol type", vec![("ProtocolType", json!("connect"))]),
        other_protocol(
            "no protocol in common",
            vec![("Protocols", json!([{"Name": "sticky", "Metadata": ""}]))],
        ),
    ]
}

fn syncs() -> Vec<Scenario> {
    const API: &str = "SyncGroup";
    let changed = |changes: &[(&str, Value)]| {
        let mut body = sync_body(1, "{member}");
        for (name, value) in changes {
            body[*name] = value.clone();
        }
        body
    };
    let of = |name: &'static str, changes: &[(&str, Value)]| in_stable_group(API, name, changed(changes));
    vec![
        of("a stable member asks again", &[]),
        of("an old generation", &[("GenerationId", json!(0))]),
        of("a generation from the future", &[("GenerationId", json!(9))]),
        of("a negative generation", &[("GenerationId", json!(-1))]),
        of("an unknown member", &[("MemberId", json!("nobody"))]),
        of("an empty member id", &[("MemberId", json!(""))]),
        of("an unknown group", &[("GroupId", json!("{own}-x"))]),
        of("an empty group id", &[("GroupId", json!(""))]),
        of("another protocol type", &[("ProtocolType", json!("connect"))]),
        of("another protocol name", &[("ProtocolName", json!("roundrobin"))]),
        of("no assignments", &[("Assignments", json!([]))]),
        of(
            "an assignment for a stranger",
            &[("Assignments", json!([{"MemberId": "nobody", "Assignment": "00"}]))],
        ),
        Scenario::new(API, 3..=5, "an unknown instance id", |v| {
            let mut steps = stable_group();
            let mut body = sync_body(1, "{member}");
            body["GroupInstanceId"] = json!("{own}-i");
            steps.push(call(API, v, body));
            steps
        }),
    ]
}

fn heartbeats() -> Vec<Scenario> {
    const API: &str = "Heartbeat";
    let beat = |group: &str, generation: i32, member: &str| json!({"GroupId": group, "GenerationId": generation, "MemberId": member, "GroupInstanceId": null});
    let of = |name: &'static str, body: Value| in_stable_group(API, name, body);
    vec![
        of("a stable member", beat("{own}", 1, "{member}")),
        of("an old generation", beat("{own}", 0, "{member}")),
        of("a generation from the future", beat("{own}", 2, "{member}")),
        of("a negative generation", beat("{own}", -1, "{member}")),
        of("an unknown member", beat("{own}", 1, "nobody")),
        of("an empty member id", beat("{own}", 1, "")),
        of("an unknown group", beat("{own}-x", 1, "{member}")),
        of("an empty group id", beat("", 1, "{member}")),
    ]
}

fn leaves() -> Vec<Scenario> {
    const API: &str = "LeaveGroup";
    let leave = |group: &str, member: &str| json!({"GroupId": group, "MemberId": member, "Members": [{"MemberId": member, "GroupInstanceId": null, "Reason": null}]});
    let of = |name: &'static str, body: Value| in_stable_group(API, name, body);
    let many = |name: &'static str, members: Value| {
        Scenario::new(API, 3..=5, name, move |v| {
            let mut steps = stable_group();
            steps.push(call(API, v, json!({"GroupId": "{own}", "Members": members})));
            steps
        })
    };
    vec![
        of("the last member", leave("{own}", "{member}")),
        of("an unknown member", leave("{own}", "nobody")),
        of("an empty member id", leave("{own}", "")),
        of("an unknown group", leave("{own}-x", "{member}")),
        of("an empty group id", leave("", "{member}")),
        many("nobody", json!([])),
        many(
            "a known and an unknown member",
            json!([{"MemberId": "{member}"}, {"MemberId": "nobody"}]),
        ),
        many(
            "the same member twice",
            json!([{"MemberId": "{member}"}, {"MemberId": "{member}"}]),
        ),
        many(
            "an unknown instance id",
            json!([{"MemberId": "", "GroupInstanceId": "{own}-i"}]),
        ),
    ]
}

fn described() -> Vec<Scenario> {
    const API: &str = "DescribeGroups";
    let groups = |names: &[&str], operations: bool| json!({"Groups": names, "IncludeAuthorizedOperations": operations});
    vec![
        in_stable_group(API, "a stable group", groups(&["{own}"], false)),
        in_stable_group(API, "authorized operations", groups(&["{own}"], true)),
        in_stable_group(
            API,
            "a known and an unknown group",
            groups(&["{own}", "{own}-x"], false),
        ),
        one_request(API, "an unknown group", groups(&["{own}-x"], false)),
        one_request(API, "an empty group id", groups(&[""], false)),
        one_request(API, "no groups", groups(&[], false)),
        in_stable_group(API, "the same group twice", groups(&["{own}", "{own}"], false)),
        Scenario::new(
            API,
            every_version(API),
            "a group that has become empty",
            move |v| {
                let mut steps = stable_group();
                steps.push(
                    call(
                        "LeaveGroup",
                        1,
                        json!({"GroupId": "{own}", "MemberId": "{member}"}),
                    )
                    .quiet(),
                );
                steps.push(call(API, v, groups(&["{own}"], false)));
                steps
            },
        ),
        Scenario::new(
            API,
            every_version(API),
            "a group whose leader has not synced",
            move |v| {
                let join = call("JoinGroup", 3, join_body("", json!(null)))
                    .quiet()
                    .capture("member", "/MemberId");
                vec![join, call(API, v, groups(&["{own}"], false))]
            },
        ),
    ]
}

fn listed() -> Vec<Scenario> {
    const API: &str = "ListGroups";
    let of = |name: &'static str, first: i16, states: Value, types: Value| {
        let body = json!({"StatesFilter": states, "TypesFilter": types});
        Scenario::new(API, first..=5, name, move |v| {
            let mut steps = stable_group();
            steps.push(call(API, v, body.clone()).only_own());
            steps
        })
    };
    vec![
        of("every group", 0, json!([]), json!([])),
        of("stable groups", 4, json!(["Stable"]), json!([])),
        of("empty groups", 4, json!(["Empty"]), json!([])),
        of("states in small letters", 4, json!(["stable"]), json!([])),
        of("an unknown state", 4, json!(["Sleeping"]), json!([])),
        of("two states", 4, json!(["Stable", "Empty"]), json!([])),
        of("classic groups", 5, json!([]), json!(["classic"])),
        of("consumer groups", 5, json!([]), json!(["consumer"])),
        of("types in capitals", 5, json!([]), json!(["CLASSIC"])),
        of("an unknown type", 5, json!([]), json!(["choir"])),
        of("a state and a type", 5, json!(["Stable"]), json!(["classic"])),
    ]
}

fn deleted() -> Vec<Scenario> {
    const API: &str = "DeleteGroups";
    let names = |names: &[&str]| json!({"GroupsNames": names});
    vec![
        in_stable_group(API, "a group with a member", names(&["{own}"])),
        one_request(API, "an unknown group", names(&["{own}-x"])),
        one_request(API, "an empty group id", names(&[""])),
        one_request(API, "no groups", names(&[])),
        Scenario::new(API, every_version(API), "an empty group, twice", move |v| {
            let mut steps = stable_group();
            steps.push(
                call(
                    "LeaveGroup",
                    1,
                    json!({"GroupId": "{own}", "MemberId": "{member}"}),
                )
                .quiet(),
            );
            steps.extend([call(API, v, names(&["{own}"])), call(API, v, names(&["{own}"]))]);
            steps
        }),
        in_stable_group(API, "the same group twice", names(&["{own}", "{own}"])),
    ]
}
