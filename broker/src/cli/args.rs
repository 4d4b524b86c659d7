//! What can be typed behind `cauce`.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::bench::{LimitsArgs, LoadArgs};

/// A Kafka-compatible broker in one program.
///
/// Without arguments it serves Kafka clients on 127.0.0.1:9092 and keeps its data in ./cauce-data.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "cauce",
    version,
    // `cauce FILE` stays what it was: a command is known by its place, right behind `cauce`.
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "Keys may also come from KAFKA_* environment variables (KAFKA_LOG_DIRS is log.dirs); the file beats the\n\
                  environment and --override beats both. CLUSTER_ID names the cluster that a new directory belongs to.\n\n\
                  Try it:\n  cauce\n  echo hello | kcat -b 127.0.0.1:9092 -P -t greetings\n  \
                  kcat -b 127.0.0.1:9092 -C -t greetings -e"
)]
pub struct Args {
    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Kafka's server.properties
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Sets a key, as in --override log.dirs=/var/lib/cauce; may be given many times
    #[arg(long = "override", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,

    /// What is logged: error, warn, info, debug, trace, or a filter such as broker=debug
    #[arg(long, value_name = "LEVEL", env = "CAUCE_LOG_LEVEL")]
    pub log_level: Option<String>,

    /// How it is logged
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "CAUCE_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// What `cauce` does besides serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Measures this machine, or a broker
    #[command(subcommand)]
    Bench(Bench),
}

/// What can be measured.
#[derive(Clone, Debug, Subcommand)]
pub enum Bench {
    /// What this machine can do, without a broker: the limits that benchmarks are held against
    Limits(LimitsArgs),
    /// What a Kafka broker does under load: rate, latency and what they cost
    ///
    /// Requests are encoded beforehand. Without --rate, each connection sends as soon as fewer than --in-flight requests
    /// are unanswered. With --rate, each request has a time at which it is due, and its latency counts from then, whenever
    /// it could be sent. Defaults differ by workload and stand in the report. It ends with exit code 1 if any answer was
    /// an error, short or missing.
    Load(LoadArgs),
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
        let args = Args::parse_from([
            "cauce",
            "server.properties",
            "--override",
            "a=b",
            "--override",
            "c=d",
        ]);
        assert_eq!(args.file, Some(PathBuf::from("server.properties")));
        assert_eq!(args.overrides, ["a=b", "c=d"]);
        assert!(args.command.is_none());
    }

    #[test]
    fn a_command_is_known_by_its_place() {
        let limits = Args::parse_from(["cauce", "bench", "limits", "--quick"]);
        assert!(matches!(limits.command, Some(Command::Bench(Bench::Limits(args))) if args.quick));
        for file in ["./bench", "help", "benches.properties"] {
            let args = Args::parse_from(["cauce", file]);
            assert_eq!(args.file, Some(PathBuf::from(file)));
            assert!(args.command.is_none());
        }
        let behind_a_flag = Args::parse_from(["cauce", "--override", "a=b", "bench"]);
        assert_eq!(behind_a_flag.file, Some(PathBuf::from("bench")));
        assert!(Args::try_parse_from(["cauce", "bench"]).is_err());
    }
}
