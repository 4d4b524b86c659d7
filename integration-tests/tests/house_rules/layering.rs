//! The direction of dependency between the crates: bytes below, decisions beside, waiting on top.
//!
//! An edge that is not in [`ALLOWED`] is a design change and belongs in `docs/decisions/` first.

use std::fs;

use crate::tree::{self, CRATES};

/// Crate, and the workspace crates that it may name.
const ALLOWED: &[(&str, &[&str])] = &[
    ("protocol-compat", &[]),
    ("storage", &["protocol-compat"]),
    ("metadata", &["protocol-compat"]),
    ("broker", &["protocol-compat", "storage", "metadata"]),
    (
        "integration-tests",
        &["protocol-compat", "storage", "metadata", "broker"],
    ),
    (
        "integration-tests/simulator",
        &["protocol-compat", "storage", "metadata", "broker"],
    ),
];

/// Members that are no layer: a patch of somebody else's crate, named by nobody here (docs/decisions/0030).
const PATCHES: &[&str] = &["metadata/base2histogram"];

/// Third-party crates with one owner: (crate, the only members that may name it).
const OWNED: &[(&str, &[&str])] = &[
    ("rocksdb", &["storage"]),
    ("openraft", &["metadata"]),
    ("openraft-macros", &["metadata"]),
    ("openraft-rt", &["metadata"]),
    ("openraft-rt-tokio", &["metadata"]),
    ("socket2", &["broker"]),
    ("hyper", &["broker"]),
    ("clap", &["broker"]),
    ("prometheus", &["broker"]),
];

/// The dependency names in a manifest, of every kind of dependency table.
fn dependency_names(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut in_dependencies = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            in_dependencies = table.ends_with("dependencies");
            if let Some((kind, name)) = table.rsplit_once('.')
                && kind.ends_with("dependencies")
            {
                names.push(name.to_owned());
            }
        } else if in_dependencies && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or("");
            if !name.is_empty() {
                names.push(name.trim_matches('"').to_owned());
            }
        }
    }
    names
}

fn forbidden_edges(member: &str, manifest: &str) -> Vec<String> {
    let (_, allowed) = ALLOWED
        .iter()
        .find(|(name, _)| *name == member)
        .expect("every member has a row");
    let mut found = Vec::new();
    for name in dependency_names(manifest) {
        let inside = CRATES.contains(&name.as_str());
        if inside && !allowed.contains(&name.as_str()) {
            found.push(format!("{member} -> {name}"));
        }
        let owned_by_another =
            |(owned, members): &&(&str, &[&str])| *owned == name && !members.contains(&member);
        if OWNED.iter().any(|row| owned_by_another(&row)) {
            found.push(format!("{member} -> {name}"));
        }
    }
    found
}

#[test]
fn crates_depend_only_downwards() {
    let mut found = Vec::new();
    for (member, _) in ALLOWED {
        let manifest = fs::read_to_string(tree::root().join(member).join("Cargo.toml")).expect("a manifest");
        found.extend(forbidden_edges(member, &manifest));
    }
    assert!(
        found.is_empty(),
        "edges that the picture does not have: {found:?}"
    );
}

#[test]
fn every_workspace_member_has_a_row() {
    let manifest = fs::read_to_string(tree::root().join("Cargo.toml")).expect("a manifest");
    let members = manifest
        .lines()
        .find(|line| line.starts_with("members"))
        .expect("a members line");
    let mut listed: Vec<&str> = members
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|member| !PATCHES.contains(member))
        .collect();
    let mut rows: Vec<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    rows.sort_unstable();
    assert_eq!(listed, rows, "a new member needs a row in the layering table");
}

#[test]
fn an_upward_edge_is_caught_in_every_spelling() {
    let manifest = "[dependencies]\nbroker = { path = \"../broker\" }\n";
    assert_eq!(forbidden_edges("storage", manifest), ["storage -> broker"]);
    let dev = "[dev-dependencies]\nmetadata.workspace = true\n";
    assert_eq!(forbidden_edges("storage", dev), ["storage -> metadata"]);
    let table = "[target.'cfg(unix)'.dependencies.broker]\npath = \"../broker\"\n";
    assert_eq!(forbidden_edges("metadata", table), ["metadata -> broker"]);
    let foreign = "[dependencies]\nrocksdb.workspace = true\n";
    assert_eq!(forbidden_edges("broker", foreign), ["broker -> rocksdb"]);
    assert!(forbidden_edges("broker", "[dependencies]\nstorage.workspace = true\n").is_empty());
}
