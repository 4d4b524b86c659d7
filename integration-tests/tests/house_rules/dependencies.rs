//! Third-party crates: permissive licences only, one registry, no second major of a heavy crate, and exact pins where
//! a minor release may break us. Read from `cargo metadata`; nothing is downloaded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::tree;

/// Licences that an Apache-2.0 binary may contain without further duty than its notice.
const ALLOWED_LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unlicense",
    "CC0-1.0",
    "0BSD",
    "BSL-1.0",
];

/// Crates whose second version would cost seconds of build or megabytes of binary, or split a type in two.
const HEAVY: &[&str] = &[
    "bytes",
    "tokio",
    "kafka-protocol",
    "rocksdb",
    "librocksdb-sys",
    "openraft",
    "prometheus",
    "clap",
    "hyper",
    "rustix",
    "tracing",
    "tracing-subscriber",
    "parking_lot",
    "arc-swap",
    "zstd-sys",
    "uuid",
    "serde",
    "socket2",
];

/// Crates that the workspace pins exactly: pre-releases, and codecs whose versions are ours to choose.
const PINNED: &[&str] = &[
    "kafka-protocol",
    "rocksdb",
    "openraft",
    "openraft-macros",
    "openraft-rt",
    "openraft-rt-tokio",
];

/// Whether an SPDX expression can be satisfied with allowed licences. Old manifests write `/` for OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let value = any_of(&tokens, &mut at);
    value && at == tokens.len()
}

fn any_of(tokens: &[&str], at: &mut usize) -> bool {
    let mut value = all_of(tokens, at);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        value |= all_of(tokens, at);
    }
    value
}

fn all_of(tokens: &[&str], at: &mut usize) -> bool {
    let mut value = one(tokens, at);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        value &= one(tokens, at);
    }
    value
}

fn one(tokens: &[&str], at: &mut usize) -> bool {
    if tokens.get(*at) == Some(&"(") {
        *at += 1;
        let value = any_of(tokens, at);
        *at += 1;
        return value;
    }
    let mut licence = tokens.get(*at).copied().unwrap_or("").to_owned();
    *at += 1;
    if tokens.get(*at) == Some(&"WITH") {
        licence = format!("{licence} WITH {}", tokens.get(*at + 1).copied().unwrap_or(""));
        *at += 2;
    }
    ALLOWED_LICENCES.contains(&licence.as_str())
}

fn duplicates(packages: &[(String, String)]) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, version) in packages {
        versions.entry(name).or_default().insert(version);
    }
    let twice = |(name, found): &(&str, BTreeSet<&str>)| HEAVY.contains(name) && found.len() > 1;
    versions
        .into_iter()
        .filter(twice)
        .map(|(name, found)| format!("{name}: {found:?}"))
        .collect()
}

fn unpinned(manifest: &str) -> Vec<&'static str> {
    let is_pinned = |name: &&str| {
        manifest.lines().any(|line| {
            line.strip_prefix(*name)
                .is_some_and(|rest| rest.trim_start().starts_with('=') && rest.contains("\"="))
        })
    };
    PINNED.iter().copied().filter(|name| !is_pinned(name)).collect()
}

/// The packages that are built here. Those of other platforms are not on a machine that only ever built, and asking for
/// them would need the network.
fn cargo_metadata() -> Vec<Value> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", &platform])
        .current_dir(tree::root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let Value::Array(packages) = metadata["packages"].take() else {
        panic!("packages is a list")
    };
    packages
}

fn text(package: &Value, field: &str) -> String {
    package[field].as_str().unwrap_or("").to_owned()
}

#[test]
fn dependencies_are_permissively_licensed_and_from_one_registry() {
    let mut found = Vec::new();
    for package in cargo_metadata() {
        let name = text(&package, "name");
        if !is_allowed(&text(&package, "license")) {
            found.push(format!("{name}: licence {:?}", text(&package, "license")));
        }
        let source = text(&package, "source");
        if !source.is_empty() && !source.starts_with("registry+") {
            found.push(format!("{name}: source {source:?}"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn dependencies_come_in_one_version_where_they_are_heavy() {
    let packages: Vec<(String, String)> = cargo_metadata()
        .iter()
        .map(|package| (text(package, "name"), text(package, "version")))
        .collect();
    let found = duplicates(&packages);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn dependencies_that_may_break_us_are_pinned_exactly() {
    let manifest = fs::read_to_string(tree::root().join("Cargo.toml")).expect("a manifest");
    let loose = unpinned(&manifest);
    assert!(loose.is_empty(), "write these as \"=version\": {loose:?}");
}

#[test]
fn dependencies_rules_catch_their_samples() {
    assert!(is_allowed("MIT/Apache-2.0"));
    assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(is_allowed("GPL-2.0 OR MIT"));
    assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR GPL-3.0"));
    assert!(!is_allowed("MIT AND GPL-3.0"));
    assert!(!is_allowed("(GPL-2.0 OR LGPL-3.0) AND MIT"));
    assert!(!is_allowed(""));
    let two = [
        ("bytes", "1.0.0"),
        ("bytes", "0.5.0"),
        ("syn", "1.0.0"),
        ("syn", "2.0.0"),
    ];
    assert_eq!(
        duplicates(&two.map(|(n, v)| (n.to_owned(), v.to_owned()))).len(),
        1
    );
    assert!(unpinned("rocksdb = \"0.25\"\nopenraft = { version = \"=0.1\" }").contains(&"rocksdb"));
    assert!(!unpinned("openraft = { version = \"=0.1\" }").contains(&"openraft"));
}
