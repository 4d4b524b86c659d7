//! A Cauce node as a process of its own, on a free port and in an empty directory.
//!
//! The node is the debug binary beside the running test, or what `CAUCE_BIN` names. What it prints is kept in a file in its directory.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::ports::free_address;

const PROPERTIES: &str = "server.properties";
const OUTPUT: &str = "output";
const STARTING: Duration = Duration::from_secs(30);

/// A running node; it is killed and its directory removed when this is dropped.
pub struct Node {
    process: Child,
    wrapper: Vec<String>,
    executable: PathBuf,
    /// Where clients connect.
    pub address: SocketAddr,
    /// Its directory.
    pub directory: PathBuf,
}

impl Node {
    /// Starts a node with these lines in its `server.properties` beside its address and directory.
    pub fn start(name: &str, properties: &str) -> io::Result<Node> {
        Node::start_under(Vec::new(), name, properties)
    }

    /// The same under another program, which gets the node's command line behind its own words and must become the node.
    pub fn start_under(wrapper: Vec<String>, name: &str, properties: &str) -> io::Result<Node> {
        let address = free_address()?;
        let directory = std::env::temp_dir().join(format!("cauce-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        // Nodes side by side would ask for the same port.
        let metrics = match properties.contains("metrics.listener=") {
            true => "",
            false => "metrics.listener=none\n",
        };
        let own = format!(
            "{metrics}node.id=1\nlisteners=PLAINTEXT://{address}\nlog.dirs={}\n",
            directory.join("data").display()
        );
        fs::write(directory.join(PROPERTIES), format!("{properties}\n{own}"))?;
        File::create(directory.join(OUTPUT))?;
        let executable = binary()?;
        let mut node = Node {
            process: spawn(&wrapper, &executable, &directory)?,
            wrapper,
            executable,
            address,
            directory,
        };
        node.await_listener()?;
        Ok(node)
    }

    /// Kills the node; its directory stays.
    pub fn kill(&mut self) -> io::Result<()> {
        self.process.kill()?;
        self.process.wait().map(drop)
    }

    /// Stops the node as an operator does; its directory stays.
    pub fn stop(&mut self) -> io::Result<()> {
        terminate(&mut self.process)
    }

    /// Starts it again after [`Node::kill`] or [`Node::stop`].
    pub fn start_again(&mut self) -> io::Result<()> {
        self.process = spawn(&self.wrapper, &self.executable, &self.directory)?;
        self.await_listener()
    }

    /// Everything the node has printed, in all its lives.
    pub fn output(&self) -> String {
        fs::read_to_string(self.directory.join(OUTPUT)).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The program that it runs, for its other commands.
    pub fn executable(&self) -> PathBuf {
        self.executable.clone()
    }

    /// Whether the process is there.
    pub fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// The kernel accepts as soon as the node listens, and refuses before.
    fn await_listener(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + STARTING;
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.process.try_wait()? {
                return Err(io::Error::other(format!(
                    "the node ended with {status}:\n{}",
                    self.output()
                )));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "the node does not listen:\n{}",
                    self.output()
                )));
            }
        }
        Ok(())
    }
}

/// Asks a process to stop, as an operator does, and waits until it has.
///
/// # Errors
/// The system's.
pub fn terminate(process: &mut Child) -> io::Result<()> {
    rustix::process::kill_process(Pid::from_child(process), Signal::TERM)?;
    process.wait().map(drop)
}

impl Drop for Node {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        let removed = fs::remove_dir_all(&self.directory);
        if let Some(error) = ended.err().or(removed.err()) {
            eprintln!(
                "could not clean up after the node in {}: {error}",
                self.directory.display()
            );
        }
    }
}

fn spawn(wrapper: &[String], executable: &Path, directory: &Path) -> io::Result<Child> {
    let output = OpenOptions::new().append(true).open(directory.join(OUTPUT))?;
    let mut command = match wrapper {
        [] => Command::new(executable),
        [program, words @ ..] => {
            let mut command = Command::new(program);
            command.args(words).arg(executable);
            command
        }
    };
    command
        .arg(directory.join(PROPERTIES))
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
}

/// `cauce` in the folder that holds this test's own folder: `target/debug/deps/test` stands beside `target/debug/cauce`.
fn binary() -> io::Result<PathBuf> {
    if let Some(named) = std::env::var_os("CAUCE_BIN") {
        return Ok(named.into());
    }
    let test = std::env::current_exe()?;
    let found = test
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("cauce"))
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        let folder = test.parent().unwrap_or(Path::new("."));
        io::Error::other(format!(
            "no cauce binary near {}: cargo build -p broker --bin cauce",
            folder.display()
        ))
    })
}
