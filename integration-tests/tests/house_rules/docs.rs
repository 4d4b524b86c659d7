//! The documents stay true: a path or a type that they name in backticks exists.

use std::collections::BTreeSet;
use std::fs;

use crate::tree::{self, CRATES};

/// Names in backticks that are Kafka's or the platform's, not ours.
const FOREIGN: &[&str] = &["__consumer_offsets", "__cluster_metadata", "__transaction_state"];

/// The spans between single backticks, outside fenced blocks.
fn backticked(markdown: &str) -> Vec<String> {
    let mut spans = Vec::new();
    let mut fenced = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            spans.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    spans
}

/// Whether a span is meant as a path of this tree: it starts with a top-level folder or is a bare source file.
fn is_path(span: &str) -> bool {
    let plain = span
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let tops = CRATES.iter().copied().chain(["docs", "scripts", ".ci"]);
    plain
        && tops
            .into_iter()
            .any(|top| span.strip_prefix(top).is_some_and(|rest| rest.starts_with('/')))
}

/// Whether a span is meant as a type of ours: CamelCase with a lower-case letter and a second capital.
fn is_type(span: &str) -> bool {
    let capitals = span.chars().filter(char::is_ascii_uppercase).count();
    span.starts_with(|c: char| c.is_ascii_uppercase())
        && span.chars().all(|c| c.is_ascii_alphanumeric())
        && span.chars().any(|c| c.is_ascii_lowercase())
        && capitals >= 2
        && !FOREIGN.contains(&span)
}

fn path_exists(span: &str) -> bool {
    tree::root().join(span.trim_end_matches('/')).exists()
}

/// Every CamelCase word of the sources: types, variants and Kafka's names that the code speaks of.
fn known_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for member in CRATES {
        for file in tree::rust_files(member) {
            let words = file.text.split(|c: char| !c.is_ascii_alphanumeric());
            names.extend(words.filter(|word| is_type(word)).map(str::to_owned));
        }
    }
    names
}

fn missing(markdown: &str, names: &BTreeSet<String>) -> Vec<String> {
    let wrong =
        |span: &String| (is_path(span) && !path_exists(span)) || (is_type(span) && !names.contains(span));
    backticked(markdown).into_iter().filter(wrong).collect()
}

#[test]
fn paths_and_types_that_the_documents_name_exist() {
    let names = known_names();
    let mut documents = tree::files_with_extension("docs", "md");
    documents.push("README.md".to_owned());
    let mut found = Vec::new();
    for document in documents {
        let text = fs::read_to_string(tree::root().join(&document)).expect("a document");
        found.extend(
            missing(&text, &names)
                .into_iter()
                .map(|span| format!("{document}: `{span}`")),
        );
    }
    assert!(found.is_empty(), "named but not there:\n{}", found.join("\n"));
}

#[test]
fn a_stale_path_and_a_stale_type_are_caught() {
    let names: BTreeSet<String> = ["PartitionLog".to_owned()].into();
    let text = "See `storage/src/nowhere.rs` and `GhostLog`, not `PartitionLog`, `scripts/run` or `log.dirs`.\n```\n`storage/x`\n```\n";
    assert_eq!(missing(text, &names), ["storage/src/nowhere.rs", "GhostLog"]);
}
