//! What can be asked of `cauce bench limits`, and how much each size of probe moves.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// One mebibyte.
pub const MIB: u64 = 1 << 20;

/// Measures what this machine can do, without a broker: in 60 to 90 seconds, on 127.0.0.1 only.
#[derive(Clone, Debug, Args)]
pub struct LimitsArgs {
    /// Smaller sizes, a few seconds: shows that the probe works, not what the machine can do
    #[arg(long)]
    pub quick: bool,

    /// Measures even if other processes use the processors
    #[arg(long)]
    pub busy: bool,

    /// Writes the figures to FILE as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// The directory to measure; files go to a new directory inside it, which is removed afterwards
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,

    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,...")]
    pub only: Vec<Part>,
}

impl LimitsArgs {
    /// Whether a part was asked for: without `--only`, all are.
    pub fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// How much is moved.
    pub fn scale(&self) -> Scale {
        if self.quick { Scale::quick() } else { Scale::full() }
    }
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// What the machine is, and what the first touch of memory costs
    Environment,
    /// Bytes through a loopback connection
    Tcp,
    /// Small requests and their answers
    Echo,
    /// Connection to checksum to file
    Sink,
    /// File to connection
    Source,
    /// Appends that are made durable
    Flush,
    /// Checksums, copies, system calls, wake-ups
    Cpu,
}

/// The bounds of every loop.
#[derive(Clone, Debug)]
pub struct Scale {
    /// How long the machine is watched for others before anything else.
    pub watch: Duration,
    /// Written by each step of the test for cold memory.
    pub cold_bytes: u64,
    /// How long freed memory is left to itself before it is used again.
    pub cold_pause: Duration,
    /// The longest that one stream is fed.
    pub stream_time: Duration,
    /// The most that one stream carries.
    pub stream_bytes: u64,
    /// The file of the sink and that of the source.
    pub window_bytes: u64,
    /// The memory from which the source sends.
    pub memory_bytes: u64,
    /// The longest that one echo goes on.
    pub echo_time: Duration,
    /// Appends with a flush, in each row.
    pub flushes: usize,
    /// The longest that one processor figure is taken.
    pub cpu_time: Duration,
    /// What is copied to see the speed of memory rather than of a cache.
    pub copy_bytes: usize,
}

impl Scale {
    /// What the figures of a benchmark stand on.
    pub fn full() -> Self {
        Self {
            watch: Duration::from_secs(3),
            cold_bytes: 512 * MIB,
            cold_pause: Duration::from_secs(10),
            stream_time: Duration::from_millis(1500),
            stream_bytes: 32 * 1024 * MIB,
            window_bytes: 1024 * MIB,
            memory_bytes: 64 * MIB,
            echo_time: Duration::from_millis(500),
            flushes: 600,
            cpu_time: Duration::from_millis(500),
            copy_bytes: 256 << 20,
        }
    }

    /// The same steps with a hundredth of the work.
    pub fn quick() -> Self {
        Self {
            watch: Duration::from_millis(300),
            cold_bytes: 8 * MIB,
            cold_pause: Duration::from_millis(100),
            stream_time: Duration::from_millis(60),
            stream_bytes: 512 * MIB,
            window_bytes: 8 * MIB,
            memory_bytes: 2 * MIB,
            echo_time: Duration::from_millis(30),
            flushes: 20,
            cpu_time: Duration::from_millis(20),
            copy_bytes: 8 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        limits: LimitsArgs,
    }

    #[test]
    fn everything_is_measured_unless_parts_are_named() {
        let all = Line::parse_from(["limits"]).limits;
        assert!(all.wants(Part::Environment) && all.wants(Part::Cpu));
        let some = Line::parse_from(["limits", "--only", "tcp,flush"]).limits;
        assert_eq!(some.only, [Part::Tcp, Part::Flush]);
        assert!(some.wants(Part::Flush) && !some.wants(Part::Echo));
        assert!(Line::try_parse_from(["limits", "--only", "disk"]).is_err());
    }
}
