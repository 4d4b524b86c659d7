//! Two members in a classic group: who waits for whom, and what each is told.

use serde_json::{Value, json};

use super::groups::{join_body, stable_group};
use crate::differential::case::{Scenario, Step, call, receive};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "JoinGroup",
            0..=3,
            "a second member makes the first join again",
            second_member,
        ),
        Scenario::new(
            "JoinGroup",
            5..=9,
            "a static member beside another",
            static_members,
        ),
        Scenario::new(
            "SyncGroup",
            0..=5,
            "a follower waits for the leader's assignment",
            follower_waits,
        ),
        Scenario::new(
            "SyncGroup",
            0..=5,
            "a sync while the group is joining",
            sync_while_joining,
        ),
        Scenario::new(
            "Heartbeat",
            0..=4,
            "a heartbeat while the group is joining",
            beat_while_joining,
        ),
        Scenario::new(
            "LeaveGroup",
            0..=5,
            "a member leaves while the group is joining",
            leave_while_joining,
        ),
    ]
}

fn beat() -> Value {
    json!({"GroupId": "{own}", "GenerationId": 1, "MemberId": "{member}"})
}

fn sync(generation: i32, member: &str, assignments: Value) -> Value {
    json!({"GroupId": "{own}", "GenerationId": generation, "MemberId": member, "ProtocolType": "consumer",
        "ProtocolName": "range", "Assignments": assignments})
}

/// The second member's join is sent and waits; a heartbeat of the first is repeated until it is told to rebalance.
fn joining(version: i16) -> Vec<Step> {
    let mut steps = stable_group();
    steps.push(
        call("JoinGroup", version, join_body("", json!(null)))
            .on(1)
            .without_waiting(),
    );
    // Error 0 only says that the join has not arrived yet: it travels on another connection.
    steps.push(call("Heartbeat", 0, beat()).retry_on(&[0]));
    steps
}

/// The first joins again, and the second's answer comes.
fn joined(version: i16) -> Vec<Step> {
    let mut steps = joining(version);
    steps.push(call("JoinGroup", version, join_body("{member}", json!(null))));
    steps.push(receive("JoinGroup", version).on(1).capture("second", "/MemberId"));
    steps
}

fn second_member(version: i16) -> Vec<Step> {
    let mut steps = joined(version);
    let both =
        json!([{"MemberId": "{member}", "Assignment": "01"}, {"MemberId": "{second}", "Assignment": "02"}]);
    steps.push(call("SyncGroup", 2, sync(2, "{member}", both)));
    steps.push(call("SyncGroup", 2, sync(2, "{second}", json!([]))).on(1));
    steps.push(call("DescribeGroups", 4, json!({"Groups": ["{own}"]})));
    steps
}

fn static_members(version: i16) -> Vec<Step> {
    vec![
        call("JoinGroup", version, join_body("", json!("{own}-i"))).capture("member", "/MemberId"),
        call("JoinGroup", version, join_body("", json!("{own}-j")))
            .on(1)
            .without_waiting(),
        call("Heartbeat", 0, beat()).retry_on(&[0]),
        call("JoinGroup", version, join_body("{member}", json!("{own}-i"))),
        receive("JoinGroup", version).on(1).capture("second", "/MemberId"),
        call("DescribeGroups", 4, json!({"Groups": ["{own}"]})),
    ]
}

fn follower_waits(version: i16) -> Vec<Step> {
    let mut steps = joined(2);
    steps.push(
        call("SyncGroup", version, sync(2, "{second}", json!([])))
            .on(1)
            .without_waiting(),
    );
    let both =
        json!([{"MemberId": "{member}", "Assignment": "01"}, {"MemberId": "{second}", "Assignment": "02"}]);
    steps.push(call("SyncGroup", version, sync(2, "{member}", both)));
    steps.push(receive("SyncGroup", version).on(1));
    steps
}

fn sync_while_joining(version: i16) -> Vec<Step> {
    let mut steps = joining(2);
    steps.push(call("SyncGroup", version, sync(1, "{member}", json!([]))));
    steps
}

fn beat_while_joining(version: i16) -> Vec<Step> {
    let mut steps = joining(2);
    steps.push(call("Heartbeat", version, beat()));
    steps
}

fn leave_while_joining(version: i16) -> Vec<Step> {
    let mut steps = joining(2);
    let members = json!([{"MemberId": "{member}"}]);
    steps.push(call(
        "LeaveGroup",
        version,
        json!({"GroupId": "{own}", "MemberId": "{member}", "Members": members}),
    ));
    steps.push(receive("JoinGroup", 2).on(1).capture("second", "/MemberId"));
    steps
}
