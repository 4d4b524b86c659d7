//! No import circle between the files of a crate.
//!
//! A file imports another when it names it in a path that starts with `crate::`, `super::` or `self::`; the path is
//! resolved to the deepest module file that it names. What an index takes from the files below it does not count: it
//! declares them, and they are written in its terms. Siblings and other rooms never lean on each other in turn.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{self, CRATES};

/// Module path (`["log", "append"]`) to the indices of the modules it imports.
type Graph = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

/// The module path of a file inside `src/`: `log/mod.rs` and `log.rs` are `log`, `lib.rs` is the root.
fn module_path(file_inside_src: &str) -> Vec<String> {
    let stem = file_inside_src.trim_end_matches(".rs");
    let mut path: Vec<String> = stem.split('/').map(str::to_owned).collect();
    if path
        .last()
        .is_some_and(|last| last == "mod" || last == "lib" || last == "main")
    {
        path.pop();
    }
    path
}

/// Every path in `code` that starts at `crate`, `super` or `self`, with its braces expanded.
fn internal_paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            let continues = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$');
            if !continues {
                expand(&code[at..], &mut Vec::new(), &mut paths);
            }
        }
    }
    paths
}

/// Reads one use tree at the head of `text` and returns how many bytes it took.
fn expand(text: &str, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> usize {
    let depth = prefix.len();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        if let Some(inside) = trimmed.strip_prefix('{') {
            at += 1 + expand_list(inside, prefix, paths);
            break;
        }
        let name: String = trimmed
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        if name.is_empty() {
            paths.push(prefix.clone());
            break;
        }
        at += name.len();
        prefix.push(name);
        if text[at..].starts_with("::") {
            at += 2;
        } else {
            paths.push(prefix.clone());
            break;
        }
    }
    prefix.truncate(depth);
    at
}

fn expand_list(text: &str, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> usize {
    let mut at = 0;
    while at < text.len() {
        match text[at..].chars().next() {
            Some('}') => return at + 1,
            Some(c) if c.is_whitespace() || c == ',' || c == '*' => at += 1,
            _ => {
                at += expand(&text[at..], prefix, paths);
                // An alias (`as name`) follows the path that it renames.
                at += text[at..].find([',', '}', '{']).unwrap_or(text.len() - at);
            }
        }
    }
    at
}

/// The file that a path named inside `from` reaches, if it lies in this crate.
fn resolve(from: &[String], path: &[String], modules: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    let mut full: Vec<String> = Vec::new();
    for (position, segment) in path.iter().enumerate() {
        match segment.as_str() {
            "crate" => full.clear(),
            "self" if position == 0 => full = from.to_vec(),
            "self" => {}
            "super" if position == 0 => full = from[..from.len().checked_sub(1)?].to_vec(),
            "super" => full.truncate(full.len().checked_sub(1)?),
            _ => full.push(segment.clone()),
        }
    }
    while !modules.contains(&full) {
        full.pop()?;
    }
    Some(full)
}

/// Drops the `pub use` items of an index: it offers what lies below it and does not lean on it.
fn without_reexports(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = ["pub use ", "pub(crate) use ", "pub(super) use "]
        .iter()
        .filter_map(|m| rest.find(m))
        .min()
    {
        kept.push_str(&rest[..at]);
        rest = rest[at..].split_once(';').map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

/// Drops the tree of inline test modules and what is only compiled for tests.
fn graph_of(files: &[(String, String)]) -> Graph {
    let modules: BTreeSet<Vec<String>> = files.iter().map(|(file, _)| module_path(file)).collect();
    let mut graph = Graph::new();
    for (file, code) in files {
        let from = module_path(file);
        let edges = graph.entry(from.clone()).or_default();
        for path in internal_paths(&without_reexports(code)) {
            if let Some(to) = resolve(&from, &path, &modules)
                && !to.starts_with(&from)
                && !to.is_empty()
            {
                edges.insert(to);
            }
        }
    }
    graph
}

/// The strongly connected components with more than one file (Tarjan's algorithm, iterative depth by recursion over
/// a graph of a few hundred files).
fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let mut search = Search {
        graph,
        next: 0,
        index: BTreeMap::new(),
        low: BTreeMap::new(),
        stack: Vec::new(),
        found: Vec::new(),
    };
    for module in graph.keys() {
        if !search.index.contains_key(module.as_slice()) {
            search.visit(module);
        }
    }
    search.found
}

struct Search<'a> {
    graph: &'a Graph,
    next: usize,
    index: BTreeMap<&'a [String], usize>,
    low: BTreeMap<&'a [String], usize>,
    stack: Vec<&'a [String]>,
    found: Vec<Vec<String>>,
}

impl<'a> Search<'a> {
    fn visit(&mut self, module: &'a [String]) -> usize {
        let own = self.next;
        self.next += 1;
        self.index.insert(module, own);
        self.stack.push(module);
        let mut low = own;
        for to in self.graph.get(module).into_iter().flatten() {
            if !self.index.contains_key(to.as_slice()) {
                low = low.min(self.visit(to));
            } else if self.stack.contains(&to.as_slice()) {
                low = low.min(self.index[to.as_slice()]);
            }
        }
        self.low.insert(module, low);
        if low == own {
            self.close(module);
        }
        low
    }

    fn close(&mut self, root: &[String]) {
        let mut component = Vec::new();
        while let Some(module) = self.stack.pop() {
            component.push(module.join("::"));
            if module == root {
                break;
            }
        }
        if component.len() > 1 {
            component.sort();
            self.found.push(component);
        }
    }
}

#[test]
fn no_crate_has_an_import_circle_between_its_files() {
    let mut found = Vec::new();
    for member in CRATES {
        let prefix = format!("{member}/src/");
        let files: Vec<(String, String)> = tree::rust_files(&prefix)
            .iter()
            .map(|file| (file.path[prefix.len()..].to_owned(), file.production_code()))
            .collect();
        found.extend(
            circles(&graph_of(&files))
                .into_iter()
                .map(|circle| format!("{member}: {}", circle.join(", "))),
        );
    }
    assert!(found.is_empty(), "import circles:\n{}", found.join("\n"));
}

fn sample(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let owned: Vec<(String, String)> = files
        .iter()
        .map(|(f, c)| ((*f).to_owned(), (*c).to_owned()))
        .collect();
    circles(&graph_of(&owned))
}

#[test]
fn a_circle_of_three_files_is_found() {
    let found = sample(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::Thing;"),
        ("b.rs", "fn f(x: super::c::Other) {}"),
        ("c.rs", "use crate::{x::Y, a::{self, Z}};"),
    ]);
    assert_eq!(found, [["a", "b", "c"]]);
}

#[test]
fn an_index_may_take_from_below_what_is_written_in_its_terms() {
    let found = sample(&[
        ("log/mod.rs", "mod read; fn f() { self::read::go() }"),
        ("log/read.rs", "use super::PartitionLog;"),
    ]);
    assert!(found.is_empty());
}

#[test]
fn an_index_that_leans_on_a_sibling_that_leans_on_it_is_a_circle() {
    let found = sample(&[
        ("group/classic/mod.rs", "use super::continuation::Output;"),
        ("group/continuation.rs", "use super::classic::Member;"),
        ("group/mod.rs", ""),
    ]);
    assert_eq!(found, [["group::classic", "group::continuation"]]);
}

#[test]
fn an_index_that_only_offers_its_children_is_no_circle() {
    let found = sample(&[
        ("log/mod.rs", "mod read;\npub use self::read::{Reader, Other};\n"),
        ("log/read.rs", "use super::append::X;"),
        ("log/append.rs", ""),
    ]);
    assert!(found.is_empty());
}

#[test]
fn paths_are_read_through_braces_aliases_and_supers() {
    let names = |code: &str| {
        internal_paths(code)
            .iter()
            .map(|p| p.join("::"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names("use crate::{a::B as C, d::{E, f::G}};"),
        ["crate::a::B", "crate::d::E", "crate::d::f::G"]
    );
    let modules: BTreeSet<Vec<String>> = [
        module_path("x/y.rs"),
        module_path("x/mod.rs"),
        module_path("z.rs"),
    ]
    .into();
    let path: Vec<String> = ["super", "super", "z", "Q"].map(str::to_owned).into();
    assert_eq!(
        resolve(&module_path("x/y.rs"), &path, &modules),
        Some(vec!["z".to_owned()])
    );
}
