//! A node under strace: how many system calls it makes, all threads together.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::node::Node;

/// A node whose system calls are written down.
pub struct TracedNode {
    /// The node.
    pub node: Node,
}

impl TracedNode {
    /// Starts it.
    ///
    /// # Errors
    /// The system's; there is no strace.
    pub fn start() -> io::Result<TracedNode> {
        let out = out_file();
        // The tracer is no parent of the node: whoever starts it can end it.
        let wrapper = ["strace", "-D", "-f", "-q", "-o", &out.to_string_lossy()];
        let wrapper = wrapper.map(str::to_owned).to_vec();
        Ok(TracedNode {
            node: Node::start_under(wrapper, "strace", "")?,
        })
    }

    /// How many system calls begin while `work` runs.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn count(&self, work: impl FnOnce() -> io::Result<()>) -> io::Result<u64> {
        let before = fs::read_to_string(out_file())?.len();
        work()?;
        let all = fs::read_to_string(out_file())?;
        Ok(begun(all.get(before..).unwrap_or_default()))
    }
}

impl Drop for TracedNode {
    fn drop(&mut self) {
        let _absent = fs::remove_file(out_file());
    }
}

fn out_file() -> PathBuf {
    std::env::temp_dir().join(format!("cauce-strace-out-{}", std::process::id()))
}

/// A call that another thread's interrupts has two lines.
fn begun(lines: &str) -> u64 {
    let is_begun = |line: &&str| line.contains('(') && !line.contains("<... ") && !line.contains(" +++ ");
    lines.lines().filter(is_begun).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_in_two_lines_counts_once_and_the_end_of_a_thread_does_not() {
        let lines = "\
7 epoll_wait(3,  <unfinished ...>
8 write(9, \"x\", 1) = 1
7 <... epoll_wait resumed>[], 1024, 10) = 0
8 +++ exited with 0 +++
7 futex(0x7f, FUTEX_WAKE_PRIVATE, 1) = 0
";
        assert_eq!(begun(lines), 3);
    }
}
