//! Who may touch the world: `metadata` decides and does nothing else, and one file of `storage` knows the file system.

use crate::tree::{self, SourceFile, has_word};

/// What a pure decision has no use for, with what it would mean. Channels of `tokio::sync` count as async.
const WORLD: &[(&str, &str)] = &[
    ("std::time::Instant", "clock"),
    ("Instant::now", "clock"),
    ("SystemTime", "clock"),
    ("std::fs", "file"),
    ("std::net", "socket"),
    ("std::thread", "thread"),
    ("thread::spawn", "thread"),
    ("std::process", "process"),
    ("std::env", "environment"),
    ("tokio", "async"),
    ("futures_util", "async"),
    ("openraft", "consensus"),
    ("async fn", "async"),
    ("async move", "async"),
    (".await", "async"),
    ("rand::", "randomness"),
    ("getrandom", "randomness"),
    ("Uuid::new_v4", "randomness"),
    ("RandomState", "randomness"),
];

/// How code reaches the file system.
const FILE_SYSTEM: &[&str] = &[
    "std::fs",
    "rustix::fs",
    "fs::File",
    "File::open",
    "File::create",
    "OpenOptions",
    "fs::read",
    "fs::write",
    "fs::rename",
];

/// Files outside `disk.rs` that reach the file system without naming it, each with the reason.
const OWN_DOORS: &[(&str, &str)] = &[
    (
        "storage/src/offset_store.rs",
        "RocksDB opens its own files; the store is a view that can be rebuilt from the log",
    ),
    (
        "storage/src/offset_store/damage_tests.rs",
        "tests that damage the files which RocksDB opens by itself",
    ),
];

fn world_words(code: &str) -> Vec<&'static str> {
    WORLD
        .iter()
        .filter(|(word, _)| has_word(code, word))
        .map(|(word, _)| *word)
        .collect()
}

/// Lines that walk a hash map or hash set: their order differs from run to run.
fn hash_iterations(code: &str) -> Vec<String> {
    let names: Vec<&str> = code.lines().filter_map(hash_container_name).collect();
    let walks = |line: &str, name: &str| {
        [
            "iter()",
            "iter_mut()",
            "keys()",
            "values()",
            "values_mut()",
            "into_iter()",
            "drain()",
            "retain(",
        ]
        .iter()
        .any(|walk| has_word(line, &format!("{name}.{walk}")))
            || has_word(line, &format!("in &{name}"))
            || has_word(line, &format!("in &self.{name}"))
    };
    let found = code
        .lines()
        .filter(|line| names.iter().any(|name| walks(line, name)));
    found.map(|line| line.trim().to_owned()).collect()
}

fn hash_container_name(line: &str) -> Option<&str> {
    let at = line
        .find("HashMap<")
        .or_else(|| line.find("HashSet<"))
        .or_else(|| line.find("HashMap::new"))?;
    let before = line[..at].trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_');
    let start = before
        .rfind(|c: char| !c.is_alphanumeric() && c != '_')
        .map_or(0, |i| i + 1);
    let name = &before[start..];
    (!name.is_empty() && name != "collections").then_some(name)
}

fn file_system_words(code: &str) -> Vec<&'static str> {
    FILE_SYSTEM
        .iter()
        .copied()
        .filter(|word| has_word(code, word))
        .collect()
}

fn is_disk(path: &str) -> bool {
    path == "storage/src/disk.rs" || path.starts_with("storage/src/disk/")
}

fn pure_files() -> Vec<SourceFile> {
    let mut files = tree::rust_files("metadata/src");
    files.retain(|file| {
        !file.path.starts_with("metadata/src/quorum/") && file.path != "metadata/src/quorum.rs"
    });
    files
}

#[test]
fn metadata_outside_the_quorum_touches_no_clock_file_socket_thread_or_async() {
    let mut found = Vec::new();
    for file in pure_files() {
        let words = world_words(&file.production_code());
        found.extend(words.into_iter().map(|word| format!("{}: {word}", file.path)));
    }
    assert!(
        found.is_empty(),
        "metadata decides and does nothing else:\n{}",
        found.join("\n")
    );
}

#[test]
fn metadata_walks_no_hash_map() {
    let mut found = Vec::new();
    for file in pure_files() {
        let lines = hash_iterations(&file.production_code());
        found.extend(lines.into_iter().map(|line| format!("{}: {line}", file.path)));
    }
    assert!(
        found.is_empty(),
        "the order of a hash map must not reach an output:\n{}",
        found.join("\n")
    );
}

#[test]
fn only_the_disk_of_storage_touches_the_file_system() {
    let mut found = Vec::new();
    for file in tree::rust_files("storage/src") {
        if is_disk(&file.path) || OWN_DOORS.iter().any(|(path, _)| *path == file.path) {
            continue;
        }
        let words = file_system_words(&file.production_code());
        found.extend(words.into_iter().map(|word| format!("{}: {word}", file.path)));
    }
    assert!(
        found.is_empty(),
        "the file system has one door:\n{}",
        found.join("\n")
    );
}

#[test]
fn a_clock_or_an_await_in_a_decision_is_caught() {
    assert_eq!(
        world_words("let now = std::time::Instant::now();"),
        ["std::time::Instant", "Instant::now"]
    );
    assert_eq!(world_words("let x = reply.await;"), [".await"]);
    assert_eq!(world_words("use tokio::sync::oneshot;"), ["tokio"]);
    assert!(world_words("fn awaited(instant: i64, tokio_like: u8) {}").is_empty());
}

#[test]
fn a_walk_over_a_hash_map_is_caught() {
    let code = "struct S { members: HashMap<String, u8>, order: BTreeMap<u8, u8> }\nfor m in self.members.values() {}\nfor o in self.order.values() {}\n";
    assert_eq!(hash_iterations(code), ["for m in self.members.values() {}"]);
    assert!(hash_iterations("struct S { members: HashMap<String, u8> }\nself.members.get(k);\n").is_empty());
}

#[test]
fn a_second_door_to_the_file_system_is_caught() {
    assert_eq!(
        file_system_words("use std::fs::rename;"),
        ["std::fs", "fs::rename"]
    );
    assert_eq!(
        file_system_words("let f = std::fs::File::open(p)?;"),
        ["std::fs", "fs::File", "File::open"]
    );
    assert!(file_system_words("let f = disk.open(p)?; LogFile::open_at(f)").is_empty());
}
