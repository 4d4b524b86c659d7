//! The checkout as the rules see it: its crates, its source files, and source text without comments and tests.

use std::fs;
use std::path::{Path, PathBuf};

/// The workspace members, which are also the folders.
pub const CRATES: &[&str] = &[
    "broker",
    "protocol-compat",
    "storage",
    "metadata",
    "integration-tests",
];

/// The root of the checkout.
pub fn root() -> PathBuf {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir
        .parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

/// One Rust source file.
pub struct SourceFile {
    /// Relative to the root, with `/`.
    pub path: String,
    /// The whole text.
    pub text: String,
}

impl SourceFile {
    /// Whether the file holds tests only: `tests.rs`, or anything in a folder `tests`.
    pub fn is_tests(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The text up to the unit tests, without comments: what runs in production. Nothing of a file of tests does.
    pub fn production_code(&self) -> String {
        if self.is_tests() {
            return String::new();
        }
        without_comments(without_tests(&self.text))
    }
}

/// Every `.rs` file below `folder` (relative to the root), sorted by path.
pub fn rust_files(folder: &str) -> Vec<SourceFile> {
    let root = root();
    let mut paths = Vec::new();
    collect(&root.join(folder), "rs", &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|path| SourceFile {
            path: relative(&root, &path),
            text: fs::read_to_string(&path).expect("source files are readable UTF-8"),
        })
        .collect()
}

/// Every file below `folder` with this extension, relative to the root.
pub fn files_with_extension(folder: &str, extension: &str) -> Vec<String> {
    let root = root();
    let mut paths = Vec::new();
    collect(&root.join(folder), extension, &mut paths);
    let mut names: Vec<String> = paths.iter().map(|path| relative(&root, path)).collect();
    names.sort();
    names
}

fn relative(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).expect("collected below the root");
    inside.to_string_lossy().replace('\\', "/")
}

fn collect(folder: &Path, extension: &str, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("the tree is readable").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, extension, into);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            into.push(path);
        }
    }
}

/// The text in front of the unit tests, which stand last in a file by convention.
pub fn without_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod ").map_or(text, |at| &text[..at])
}

/// The text with `//` comments (doc comments among them) blanked. A `//` inside a string literal is kept when a quote
/// stands open in front of it.
pub fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        code.push_str(match comment_start(line) {
            Some(at) => &line[..at],
            None => line,
        });
        code.push('\n');
    }
    code
}

fn comment_start(line: &str) -> Option<usize> {
    let mut quoted = false;
    let mut previous = ' ';
    for (at, character) in line.char_indices() {
        match character {
            '"' if previous != '\\' => quoted = !quoted,
            '/' if !quoted && line[at..].starts_with("//") => return Some(at),
            _ => {}
        }
        previous = character;
    }
    None
}

/// Whether `word` occurs in `code` with no identifier character directly around it.
pub fn has_word(code: &str, word: &str) -> bool {
    let is_identifier = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let opens = !before.is_some_and(is_identifier) || !word.starts_with(is_identifier);
        let closes = !after.is_some_and(is_identifier) || !word.ends_with(is_identifier);
        opens && closes
    })
}

#[test]
fn comments_and_tests_are_not_production_code() {
    let file = SourceFile {
        path: "a.rs".to_owned(),
        text: "//! File::open\nfn a() {} // Instant\nlet u = \"http://x\";\n\n#[cfg(test)]\nmod tests {\n    File::open\n}\n".to_owned(),
    };
    assert_eq!(file.production_code(), "\nfn a() {} \nlet u = \"http://x\";\n");
}

#[test]
fn a_word_is_found_whole_or_not_at_all() {
    assert!(has_word("use std::fs;", "std::fs"));
    assert!(!has_word("use my_std::fs;", "std::fs"));
    assert!(has_word("x = File::open(p)", "File::"));
    assert!(!has_word("x = LogFile::open(p)", "File::"));
}
