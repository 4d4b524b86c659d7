//! A node under callgrind: instructions and allocations between two moments, of all its threads.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::node::Node;

/// The functions that give memory, of the node's allocator and of the C library's, which RocksDB uses.
const ALLOCATING: [&str; 11] = [
    "mi_malloc",
    "mi_malloc_aligned",
    "mi_zalloc",
    "mi_zalloc_aligned",
    "mi_realloc",
    "mi_realloc_aligned",
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "aligned_alloc",
];

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Instructions.
    pub instructions: u64,
    /// Calls of functions that give memory.
    pub allocations: u64,
}

/// A node whose instructions are counted, some fifty times as slow as it is.
pub struct CountedNode {
    /// The node.
    pub node: Node,
    dumps: u32,
}

impl CountedNode {
    /// Starts it.
    ///
    /// # Errors
    /// The system's; there is no valgrind.
    pub fn start() -> io::Result<CountedNode> {
        let out = out_file();
        let wrapper = [
            "valgrind",
            "--tool=callgrind",
            "--demangle=no",
            &format!("--callgrind-out-file={}", out.display()),
        ];
        let wrapper = wrapper.map(str::to_owned).to_vec();
        Ok(CountedNode {
            node: Node::start_under(wrapper, "callgrind", "")?,
            dumps: 0,
        })
    }

    /// What is counted while `work` runs.
    ///
    /// # Errors
    /// Those of `work`; callgrind's.
    pub fn count(&mut self, work: impl FnOnce() -> io::Result<()>) -> io::Result<Counted> {
        self.control("--zero")?;
        work()?;
        read_dump(&self.dump()?).ok_or_else(|| io::Error::other("a dump of callgrind without totals"))
    }

    /// The functions of the node's own program that have run since it started, or since the last count, by their symbols.
    ///
    /// # Errors
    /// Callgrind's.
    pub fn functions(&mut self) -> io::Result<BTreeSet<String>> {
        Ok(read_functions(&self.dump()?))
    }

    fn dump(&mut self) -> io::Result<String> {
        self.control("--dump")?;
        self.dumps += 1;
        let path = PathBuf::from(format!("{}.{}", out_file().display(), self.dumps));
        let dump = fs::read_to_string(&path)?;
        fs::remove_file(&path)?;
        Ok(dump)
    }

    fn control(&self, order: &str) -> io::Result<()> {
        let mut control = Command::new("callgrind_control");
        control.arg(order).arg(self.node.pid().to_string());
        let status = control.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("callgrind_control {order}: {status}")))
        }
    }
}

impl Drop for CountedNode {
    fn drop(&mut self) {
        // Written as the node ends, if it ends by itself.
        let _absent = fs::remove_file(out_file());
    }
}

fn out_file() -> PathBuf {
    std::env::temp_dir().join(format!("cauce-callgrind-out-{}", std::process::id()))
}

/// Reads a dump in callgrind's profile format: names stand once, in brackets their numbers, `calls=` behind who is called.
fn read_dump(dump: &str) -> Option<Counted> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut called = "";
    let mut counted = Counted::default();
    let mut has_totals = false;
    for line in dump.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            resolve(name, &mut names);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            called = resolve(name, &mut names);
        } else if let Some(calls) = line.strip_prefix("calls=") {
            let count: u64 = calls.split(' ').next()?.parse().ok()?;
            // A function that calls itself has a number behind its name.
            let name = called.split('\'').next().unwrap_or(called);
            counted.allocations += if ALLOCATING.contains(&name) { count } else { 0 };
        } else if let Some(totals) = line.strip_prefix("totals: ") {
            counted.instructions = totals.trim().parse().ok()?;
            has_totals = true;
        }
    }
    has_totals.then_some(counted)
}

/// The functions that a dump has in the object file `cauce`.
fn read_functions(dump: &str) -> BTreeSet<String> {
    let (mut names, mut objects) = (HashMap::new(), HashMap::new());
    let mut object = "";
    let mut functions = BTreeSet::new();
    for line in dump.lines() {
        if let Some(text) = line.strip_prefix("ob=") {
            object = resolve(text, &mut objects);
        } else if let Some(text) = line.strip_prefix("cob=") {
            resolve(text, &mut objects);
        } else if let Some(text) = line.strip_prefix("cfn=") {
            resolve(text, &mut names);
        } else if let Some(text) = line.strip_prefix("fn=") {
            let name = resolve(text, &mut names);
            // Callgrind makes up names with a space, or an address, for what has none.
            if object.ends_with("/cauce") && !name.contains(' ') && !name.starts_with("0x") {
                functions.insert(name.split('\'').next().unwrap_or(name).to_owned());
            }
        }
    }
    functions
}

/// `(12) name` gives number 12 a name, `(12)` means the same name again.
fn resolve<'a>(text: &'a str, names: &mut HashMap<&'a str, &'a str>) -> &'a str {
    match text.split_once(' ') {
        Some((number, name)) => {
            names.insert(number, name);
            name
        }
        None => names.get(text).copied().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "\
version: 1
events: Ir
fn=(1) main
0 7
cfn=(2) mi_malloc
calls=3 0
0 30
fn=(2)
0 30
cfn=(3) memset
calls=9 0
0 9
fn=(4) other'2
cfn=(2)
calls=2 +4
0 20
totals: 4711
";

    #[test]
    fn a_dump_tells_instructions_and_calls_of_allocating_functions() {
        let expected = Counted {
            instructions: 4711,
            allocations: 5,
        };
        assert_eq!(read_dump(DUMP), Some(expected));
        assert_eq!(read_dump("events: Ir\n"), None);
    }

    #[test]
    fn a_dump_tells_the_functions_of_the_program_and_no_others() {
        let dump = "\
ob=(1) /bin/cauce
fn=(1) first
cob=(2) /lib/libc.so.6
cfn=(2) memcpy
calls=1 0
ob=(2)
fn=(2)
ob=(1)
fn=(3) second'2
";
        assert_eq!(
            read_functions(dump),
            BTreeSet::from(["first".to_owned(), "second".to_owned()])
        );
    }
}
