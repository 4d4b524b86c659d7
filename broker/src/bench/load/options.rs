//! What can be typed behind `cauce bench load`.
//!
//! What a flag means for a workload, what its default is and whether it means anything is [`super::plan`]'s.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

/// Loads a Kafka broker with requests that were encoded beforehand, and measures rate, latency and what it costs.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// A broker that leads every partition: one node
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    pub bootstrap_server: String,

    /// What to do
    #[arg(long, value_enum, value_name = "NAME")]
    pub workload: Workload,

    /// Connections; with `idle`, those that are idle
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub connections: Option<u32>,

    /// Unanswered requests of each connection at most; with `end-to-end`, batches that have not arrived
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub in_flight: Option<u32>,

    /// Partitions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub partitions: Option<u32>,

    /// Bytes of each record's value
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64 << 20))]
    pub record_bytes: Option<u32>,

    /// Records of each batch
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch_records: Option<u32>,

    /// Who has to have a batch before it is answered: all in-sync replicas (-1), the leader (1), nobody and no answer (0)
    #[arg(long, value_enum, value_name = "-1|0|1", allow_hyphen_values = true)]
    pub acks: Option<Acks>,

    /// How batches are compressed, beforehand
    #[arg(long, value_enum, value_name = "CODEC")]
    pub compression: Option<Codec>,

    /// Requests due in a second, on all connections together
    #[arg(long, value_name = "REQUESTS_PER_SECOND", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rate: Option<u64>,

    /// Seconds before anything counts
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub warm_up: Option<u32>,

    /// Seconds that are measured
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: Option<u32>,

    /// The topic; one that does not exist is created and deleted afterwards
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,

    /// With `fetch`, MiB of batches that are written before they are read
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub data_mib: Option<u32>,

    /// With `metadata`, asks about all topics rather than one
    #[arg(long)]
    pub all_topics: bool,

    /// The broker's process on this machine, for its processor time and memory
    #[arg(long, value_name = "BROKER_PID")]
    pub pid: Option<u32>,

    /// Writes the report to FILE as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Produces batches
    Produce,
    /// Writes data, then reads it again and again from the start
    Fetch,
    /// Produces one tiny record a request, many in flight
    Tiny,
    /// Produces and fetches on each partition: from when a batch was due to be sent until it has arrived
    EndToEnd,
    /// Asks about one topic, or all
    Metadata,
    /// Opens connections that stay idle, beside a few small produce requests
    Idle,
    /// Creates partitions and produces to each once
    Partitions,
    /// Produces to a topic with flush.messages=1
    Flush,
}

/// The field `acks` of Produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Acks {
    /// All in-sync replicas.
    #[value(name = "-1", alias = "all")]
    All,
    /// Nobody, and no answer.
    #[value(name = "0")]
    None,
    /// The leader.
    #[value(name = "1")]
    Leader,
}

impl Acks {
    /// On the wire.
    pub fn number(self) -> i16 {
        match self {
            Acks::All => -1,
            Acks::None => 0,
            Acks::Leader => 1,
        }
    }
}

/// A codec by the name that Kafka's `compression.type` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Not compressed.
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}
