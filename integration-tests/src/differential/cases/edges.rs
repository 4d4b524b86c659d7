//! The edge of the protocol: versions that are not served, keys that do not exist, bodies that are none, nulls where
//! none is allowed, frames of the wrong length, and ApiVersions itself.

use serde_json::json;

use super::{every_version, one_request};
use crate::differential::case::{Scenario, Step, bytes, call, raw};
use crate::schema::{self, Message};

pub fn scenarios() -> Vec<Scenario> {
    let mut list = api_versions();
    for message in schema::requests() {
        list.extend(unserved_versions(message));
        list.extend(broken_bodies(message));
    }
    list.extend(frames());
    list
}

/// What follows on the same connection tells whether it is still open.
fn still_open() -> Step {
    call("ApiVersions", 0, json!({}))
}

fn unserved_versions(message: &'static Message) -> Vec<Scenario> {
    let (api, key) = (api_name(message), message.api_key);
    let above = message.versions.last + 1;
    let mut list = vec![
        Scenario::new(api, above..=above, "a version above the newest", move |v| {
            vec![raw(key, v, &[0; 8])]
        }),
        Scenario::new(
            api,
            i16::MAX..=i16::MAX,
            "the highest version there is",
            move |v| vec![raw(key, v, &[0; 8])],
        ),
        Scenario::new(api, -1..=-1, "a negative version", move |v| {
            vec![raw(key, v, &[0; 8])]
        }),
    ];
    if message.versions.first > 0 {
        let below = message.versions.first - 1;
        list.push(Scenario::new(
            api,
            0..=below,
            "a version below the oldest",
            move |v| vec![raw(key, v, &[0; 8])],
        ));
    }
    list
}

fn broken_bodies(message: &'static Message) -> Vec<Scenario> {
    let (api, key) = (api_name(message), message.api_key);
    let newest = message.versions.last..=message.versions.last;
    let huge_count = [
        0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff,
    ];
    let huge_varint = [0xff, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0xff, 0x0f];
    let mut list = vec![
        Scenario::new(
            api,
            newest.clone(),
            "lengths beyond the frame, compact",
            move |v| vec![raw(key, v, &huge_varint).only_own()],
        ),
        Scenario::new(api, newest, "a varint without an end", move |v| {
            vec![raw(key, v, &[0xff; 16]).only_own()]
        }),
    ];
    let empty_is_valid = [
        "ApiVersions",
        "DescribeCluster",
        "ListGroups",
        "Metadata",
        "ListConfigResources",
    ]
    .contains(&api);
    if !empty_is_valid {
        list.push(Scenario::new(
            api,
            every_version(api),
            "an empty body",
            move |v| vec![raw(key, v, &[]).only_own()],
        ));
    }
    let oldest = message.versions.first;
    if !message.flexible.contains(oldest) && api != "ApiVersions" && api != "ListGroups" {
        list.push(Scenario::new(
            api,
            oldest..=oldest,
            "counts beyond the frame",
            move |v| vec![raw(key, v, &huge_count).only_own()],
        ));
    }
    list
}

/// The table lives as long as the program, and so do its names.
fn api_name(message: &'static Message) -> &'static str {
    &message.name
}

fn api_versions() -> Vec<Scenario> {
    let software =
        |name: &str, version: &str| json!({"ClientSoftwareName": name, "ClientSoftwareVersion": version});
    let newest = || 3..=4;
    let named = |name: &'static str, client: &'static str, version: &'static str| {
        let body = software(client, version);
        Scenario::new("ApiVersions", newest(), name, move |v| {
            vec![call("ApiVersions", v, body.clone()), still_open()]
        })
    };
    vec![
        one_request("ApiVersions", "a client says who it is", software("suite", "1.0")),
        named("an empty software name", "", "1.0"),
        named("an empty software version", "suite", ""),
        named("a software name with a space", "a b", "1.0"),
        named("a software name with a trailing dash", "suite-", "1.0"),
        named("a software version with odd characters", "suite", "1.0!"),
        named("a software name of dots and dashes", "a.b-c", "1-2.3"),
        Scenario::new(
            "ApiVersions",
            5..=5,
            "a version of tomorrow keeps the connection",
            |v| vec![raw(18, v, &[0; 8]), still_open()],
        ),
        Scenario::new("ApiVersions", 0..=0, "twice on one connection", |_| {
            vec![still_open(), still_open()]
        }),
    ]
}

fn frames() -> Vec<Scenario> {
    let one = |name: &'static str, sent: &'static [u8]| {
        Scenario::new("Frames", 0..=0, name, move |_| vec![bytes(sent)])
    };
    let keyed = |name: &'static str, key: i16| {
        Scenario::new("Frames", 0..=0, name, move |v| vec![raw(key, v, &[0; 8])])
    };
    vec![
        one("a negative length", &[0xff, 0xff, 0xff, 0xff]),
        one(
            "a length beyond socket.request.max.bytes",
            &[0x7f, 0xff, 0xff, 0xff],
        ),
        one("a header of two bytes", &[0, 0, 0, 2, 0, 18]),
        one(
            "a header without client id",
            &[0, 0, 0, 8, 0, 18, 0, 0, 0, 0, 0, 1],
        ),
        one(
            "a client id longer than the frame",
            &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0x7f, 0xff],
        ),
        one(
            "a null client id",
            &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff],
        ),
        one("an HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        one("a TLS hello", &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
        keyed("a removed key: LeaderAndIsr", 4),
        keyed("a removed key: ControlledShutdown", 7),
        keyed("a key that does not exist", 999),
        keyed("a negative key", -1),
        keyed("a controller's key: Vote", 52),
        keyed("a controller's key: BrokerRegistration", 62),
        keyed("a controller's key: AlterPartition", 56),
    ]
}
