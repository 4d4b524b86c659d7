//! What can be typed behind `cauce`.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// A Kafka-compatible broker in one program.
///
/// Without arguments it serves Kafka clients on 127.0.0.1:9092 and keeps its data in ./cauce-data.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "cauce",
    version,
    after_help = "Keys may also come from KAFKA_* environment variables (KAFKA_LOG_DIRS is log.dirs); the file beats the\n\
                  environment and --override beats both. CLUSTER_ID names the cluster that a new directory belongs to.\n\n\
                  Try it:\n  cauce\n  echo hello | kcat -b 127.0.0.1:9092 -P -t greetings\n  \
                  kcat -b 127.0.0.1:9092 -C -t greetings -e"
)]
pub struct Args {
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
    }
}
