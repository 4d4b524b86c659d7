//! What every source file owes its reader: an opening, a bounded length, nothing unfinished, and no trace of where it
//! was written.

use crate::tree::{self, CRATES, SourceFile};

/// Lines of production code at which a file must justify itself.
const MAX_PRODUCTION_LINES: usize = 800;

/// Files that are longer, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// What is never finished work. Spelled in halves so that this table does not catch itself.
const UNFINISHED: &[(&str, &str)] = &[
    ("todo", "!("),
    ("unimplemented", "!("),
    ("#[ign", "ore"),
    ("#[allow(dead", "_code"),
    ("db", "g!("),
];

/// Homes and scratch folders of the machine that a text was written on.
const MACHINE_PATHS: &[(&str, &str)] = &[("/ro", "ot/"), ("/wo", "rk/"), ("/ho", "me/")];

fn all_files() -> Vec<SourceFile> {
    CRATES
        .iter()
        .flat_map(|member| tree::rust_files(member))
        .collect()
}

fn opens_with_docs(text: &str) -> bool {
    text.starts_with("//! ")
}

fn production_lines(text: &str) -> usize {
    tree::without_tests(text).lines().count()
}

fn is_too_long(path: &str, text: &str) -> bool {
    production_lines(text) > MAX_PRODUCTION_LINES && !LONG_FILES.iter().any(|(long, _)| *long == path)
}

fn unfinished(text: &str) -> Vec<String> {
    let code = tree::without_comments(text);
    let marks = UNFINISHED
        .iter()
        .map(|(first, second)| format!("{first}{second}"));
    marks.filter(|mark| code.contains(mark.as_str())).collect()
}

fn machine_paths(text: &str) -> Vec<String> {
    let marks = MACHINE_PATHS
        .iter()
        .map(|(first, second)| format!("{first}{second}"));
    marks.filter(|mark| text.contains(mark.as_str())).collect()
}

#[test]
fn every_file_opens_by_saying_what_it_owns() {
    let silent: Vec<String> = all_files()
        .into_iter()
        .filter(|file| !opens_with_docs(&file.text))
        .map(|file| file.path)
        .collect();
    assert!(silent.is_empty(), "files without an opening `//!`: {silent:?}");
}

#[test]
fn no_production_file_is_long_without_a_reason() {
    let long: Vec<String> = all_files()
        .into_iter()
        .filter(|file| is_too_long(&file.path, &file.text))
        .map(|file| format!("{} ({} lines)", file.path, production_lines(&file.text)))
        .collect();
    assert!(long.is_empty(), "ask what the second subject is: {long:?}");
}

#[test]
fn every_long_file_entry_is_still_needed() {
    for (path, reason) in LONG_FILES {
        let text = std::fs::read_to_string(tree::root().join(path)).unwrap_or_default();
        assert!(
            production_lines(&text) > MAX_PRODUCTION_LINES,
            "{path} is short now, drop its entry"
        );
        assert!(!reason.is_empty(), "{path} needs a reason");
    }
}

#[test]
fn nothing_is_left_unfinished() {
    let mut found = Vec::new();
    for file in all_files() {
        found.extend(
            unfinished(&file.text)
                .into_iter()
                .map(|mark| format!("{}: {mark}", file.path)),
        );
    }
    assert!(found.is_empty(), "unfinished:\n{}", found.join("\n"));
}

#[test]
fn no_source_names_a_folder_of_the_machine_it_was_written_on() {
    let mut found = Vec::new();
    for file in all_files() {
        found.extend(
            machine_paths(&file.text)
                .into_iter()
                .map(|mark| format!("{}: {mark}", file.path)),
        );
    }
    assert!(found.is_empty(), "paths of one machine:\n{}", found.join("\n"));
}

#[test]
fn the_detectors_catch_their_samples() {
    assert!(!opens_with_docs("use std::fmt;\n"));
    assert!(opens_with_docs("//! Owns the thing.\n"));
    assert!(is_too_long("x.rs", &"a\n".repeat(801)));
    assert!(!is_too_long(
        "x.rs",
        &format!(
            "{}\n#[cfg(test)]\nmod tests {{\n{}",
            "a\n".repeat(700),
            "b\n".repeat(700)
        )
    ));
    assert_eq!(unfinished(&["fn a() { todo", "!() }"].concat()).len(), 1);
    assert_eq!(unfinished(&["#[ign", "ore]\nfn a() {}"].concat()).len(), 1);
    assert!(unfinished("// a list of what is to do\n").is_empty());
    assert_eq!(machine_paths(&["/ro", "ot/.cache"].concat()).len(), 1);
}
