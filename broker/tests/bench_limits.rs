//! `cauce bench limits` as a person runs it, in its quick size: every part gives figures and leaves nothing behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn limits(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cauce"))
        .current_dir(directory)
        .args(["bench", "limits", "--quick"])
        .args(arguments)
        .output()
        .expect("the binary runs")
}

/// Measures one part; gives its JSON and its text. Other tests use the processors meanwhile, which is accepted.
fn measured(part: &str) -> (Value, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let output = limits(
        directory.path(),
        &["--busy", "--json", "figures.json", "--only", part],
    );
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{part}: {errors}");
    let left: Vec<_> = fs::read_dir(directory.path()).expect("a directory").collect();
    assert_eq!(left.len(), 1, "only the figures are left: {left:?}");
    let json = fs::read(directory.path().join("figures.json")).expect("the figures");
    let json = serde_json::from_slice(&json).expect("valid JSON");
    (json, String::from_utf8(output.stdout).expect("text"))
}

/// The rows of a part; each figure that is named like a unit must be above zero in each.
fn rows<'a>(json: &'a Value, part: &str) -> &'a [Value] {
    let rows = json[part]
        .as_array()
        .unwrap_or_else(|| panic!("{part} is missing in {json}"));
    assert!(!rows.is_empty(), "{part} has no row");
    for row in rows {
        let figures = row.as_object().expect("a row");
        let measured = figures.iter().filter(|(name, _)| {
            name.ends_with("_per_s") || name.ends_with("_per_gb") || name.ends_with("_us")
        });
        let mut count = 0;
        for (name, figure) in measured {
            assert!(figure.as_f64() > Some(0.0), "{part}: {name} in {row}");
            count += 1;
        }
        assert!(count > 0, "{part}: no figure in {row}");
    }
    rows
}

fn limits_of(json: &Value) -> Vec<&str> {
    let limits = json["limits"]["throughput"].as_array().expect("limits");
    let flushes = json["limits"]["flush"].as_array().expect("limits");
    let names = limits.iter().chain(flushes);
    names.filter_map(|limit| limit["name"].as_str()).collect()
}

#[test]
fn environment_says_what_the_machine_is_and_what_cold_memory_costs() {
    let (json, text) = measured("environment");
    assert_eq!(rows(&json, "cold_memory").len(), 4);
    let environment = &json["environment"];
    assert!(environment["kernel"].is_string() && environment["file_system"].is_string());
    assert!(environment["processors"].as_u64() > Some(0));
    assert!(environment["foreign_cpu_percent"].is_number());
    assert!(text.contains("max map count"), "{text}");
    assert!(limits_of(&json).is_empty());
}

#[test]
fn tcp_moves_bytes() {
    let (json, text) = measured("tcp");
    let rows = rows(&json, "tcp");
    assert_eq!(
        rows[0]["congestion_control"],
        json["environment"]["congestion_control"]
    );
    assert!(text.contains("GB/s"), "{text}");
}

#[test]
fn echo_is_answered() {
    let (json, _) = measured("echo");
    let rows = rows(&json, "echo");
    let alone = rows.iter().filter(|row| row["mode"] == "one-at-a-time");
    assert!(
        alone
            .clone()
            .all(|row| row["round_trip"]["p99_us"].as_f64() > Some(0.0))
    );
    assert!(alone.count() >= 2);
}

#[test]
fn sink_gives_the_limits_of_produce() {
    let (json, text) = measured("sink");
    rows(&json, "sink");
    let limits = limits_of(&json);
    assert_eq!(&limits[..2], ["L-produce-new", "L-produce"]);
    assert!(text.contains("L-produce-new"), "{text}");
}

#[test]
fn source_gives_the_limit_of_fetch() {
    let (json, text) = measured("source");
    assert!(rows(&json, "source").len() >= 4);
    assert_eq!(limits_of(&json)[0], "L-fetch");
    assert!(text.contains("sendfile"), "{text}");
}

#[test]
fn flush_gives_the_limit_of_durable_appends() {
    let (json, text) = measured("flush");
    assert_eq!(rows(&json, "flush").len(), 12);
    assert_eq!(limits_of(&json), ["L-flush"; 6]);
    assert!(text.contains("fdatasync"), "{text}");
}

#[test]
fn cpu_times_small_steps() {
    let (json, _) = measured("cpu");
    rows(&json["cpu"], "crc32c");
    rows(&json["cpu"], "memcpy");
    rows(&json["cpu"], "eventfd_wake");
    assert!(json["cpu"]["system_call_ns"].as_f64() > Some(0.0));
    assert!(json["cpu"]["spawn_blocking"]["p50_us"].as_f64() > Some(0.0));
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("file"), "").expect("a file");
    let output = limits(directory.path(), &["--busy", "--dir", "file", "--only", "flush"]);
    assert_eq!(output.status.code(), Some(74));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("could not make a directory in file"), "{errors}");
}
