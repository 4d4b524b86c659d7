//! All figures of one run, for a program (JSON) and for a person (tables).
//!
//! A part that was not measured is absent in both.

use serde::Serialize;

use super::cold_memory::ColdMemoryRow;
use super::cpu::Cpu;
use super::derived::Limits;
use super::echo::EchoRow;
use super::environment::Environment;
use super::flush::FlushRow;
use super::sink::SinkRow;
use super::source::SourceRow;
use super::stream::Stream;
use super::table::Table;

/// What one run found. The fields' names say their units; GB is 10^9 bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether sizes were small: such figures show that the probe works and nothing more.
    pub quick: bool,
    /// The machine.
    pub environment: Environment,
    /// What could not be measured, and why.
    pub notes: Vec<String>,
    /// The first touch of memory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cold_memory: Vec<ColdMemoryRow>,
    /// Bytes through a connection.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tcp: Vec<Stream>,
    /// Requests and answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub echo: Vec<EchoRow>,
    /// Connection to file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sink: Vec<SinkRow>,
    /// File to connection.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<SourceRow>,
    /// Durable appends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flush: Vec<FlushRow>,
    /// Small steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// What follows.
    pub limits: Limits,
}

impl Report {
    /// One JSON object, on several lines.
    ///
    /// # Errors
    /// Those of the encoder. A figure that is no number, which JSON cannot hold, becomes null.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|json| json + "\n")
    }

    /// The machine, then a table for each part, the limits last.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.quick {
            text.push_str("Quick: sizes are too small for these figures to be limits.\n\n");
        }
        environment(&self.environment).write_to(&mut text);
        for note in &self.notes {
            text.push_str(&format!("note: {note}\n\n"));
        }
        for table in self.tables() {
            table.write_to(&mut text);
        }
        text
    }

    fn tables(&self) -> Vec<Table> {
        let tables = [
            cold_memory(&self.cold_memory),
            tcp(&self.tcp),
            echo(&self.echo),
            sink(&self.sink),
            source(&self.source),
            flush(&self.flush),
            self.cpu.as_ref().map_or(Table::new("cpu", &[]), cpu),
            throughput_limits(&self.limits),
            flush_limits(&self.limits),
        ];
        tables.into_iter().filter(|table| !table.is_empty()).collect()
    }
}

/// The machine.
pub fn environment(environment: &Environment) -> Table {
    let mut table = Table::new("environment", &["", ""]);
    for (name, value) in facts(environment) {
        table.row([name.to_owned(), value]);
    }
    table
}

fn facts(environment: &Environment) -> Vec<(&'static str, String)> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(unknown);
    let dirty = &environment.dirty_limits;
    let (soft, hard) = environment.open_files;
    let open_files = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    vec![
        ("cauce", environment.cauce_version.to_owned()),
        ("kernel", text(&environment.kernel)),
        ("processor", text(&environment.processor)),
        (
            "processors",
            format!("{}, used: {:?}", environment.processors, environment.cores_used),
        ),
        ("memory, MiB", number(environment.memory_mib)),
        ("congestion control", text(&environment.congestion_control)),
        ("  available", text(&environment.congestion_control_available)),
        ("default qdisc", text(&environment.default_qdisc)),
        ("file system", text(&environment.file_system)),
        (
            "transparent huge pages",
            text(&environment.transparent_huge_pages),
        ),
        (
            "dirty ratio, background",
            pair(dirty.dirty_ratio, dirty.dirty_background_ratio),
        ),
        (
            "dirty bytes, background",
            pair(dirty.dirty_bytes, dirty.dirty_background_bytes),
        ),
        ("dirty expire, 1/100 s", number(dirty.dirty_expire_centisecs)),
        (
            "open files, soft and hard",
            format!("{}, {}", open_files(soft), open_files(hard)),
        ),
        ("max map count", number(environment.max_map_count)),
        (
            "others' CPU before, during, %",
            format!(
                "{:.1}, {:.1}",
                environment.foreign_cpu_percent, environment.foreign_cpu_percent_during_run
            ),
        ),
    ]
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn number(value: Option<u64>) -> String {
    value.map_or_else(unknown, |value| value.to_string())
}

fn pair(one: Option<u64>, other: Option<u64>) -> String {
    format!("{}, {}", number(one), number(other))
}

fn cold_memory(rows: &[ColdMemoryRow]) -> Table {
    let mut table = Table::new("cold memory: write a file", &["onto pages", "GB/s", "CPU-s/GB"]);
    for row in rows {
        table.row([row.pages.to_owned(), two(row.gb_per_s), three(row.cpu_s_per_gb)]);
    }
    table
}

const STREAM_COLUMNS: [&str; 5] = ["congestion", "cores", "GB/s", "send CPU-s/GB", "receive CPU-s/GB"];

fn stream_cells(stream: &Stream) -> [String; 5] {
    [
        stream.congestion_control.clone(),
        stream.cores.to_string(),
        two(stream.gb_per_s),
        three(stream.sender_cpu_s_per_gb),
        three(stream.receiver_cpu_s_per_gb),
    ]
}

fn tcp(rows: &[Stream]) -> Table {
    let mut table = Table::new("tcp: loopback, 64 KiB at a time", &STREAM_COLUMNS);
    for row in rows {
        table.row(stream_cells(row));
    }
    table
}

fn sink(rows: &[SinkRow]) -> Table {
    let [a, b, c, d, e] = STREAM_COLUMNS;
    let mut table = Table::new(
        "sink: connection -> frame -> CRC-32C -> pwrite (the receiver is the broker's part)",
        &["to", a, b, c, d, e],
    );
    for row in rows {
        let [a, b, c, d, e] = stream_cells(&row.stream);
        table.row([row.target.name().to_owned(), a, b, c, d, e]);
    }
    table
}

fn source(rows: &[SourceRow]) -> Table {
    let [a, b, c, d, e] = STREAM_COLUMNS;
    let mut table = Table::new(
        "source: hot file -> connection (the sender is the broker's part)",
        &["by", a, b, c, d, e],
    );
    for row in rows {
        let [a, b, c, d, e] = stream_cells(&row.stream);
        table.row([row.way.name().to_owned(), a, b, c, d, e]);
    }
    table
}

fn echo(rows: &[EchoRow]) -> Table {
    let mut table = Table::new(
        "echo: request -> the same bytes back",
        &[
            "requests",
            "bytes",
            "congestion",
            "cores",
            "requests/s",
            "p50 us",
            "p99 us",
            "ask CPU-us",
            "answer CPU-us",
        ],
    );
    for row in rows {
        let (p50, p99) = row
            .round_trip
            .map_or_else(Default::default, |took| (two(took.p50_us), two(took.p99_us)));
        table.row([
            row.mode.name().to_owned(),
            row.bytes.to_string(),
            row.congestion_control.clone(),
            row.cores.to_string(),
            format!("{:.0}", row.requests_per_s),
            p50,
            p99,
            two(row.client_cpu_us),
            two(row.server_cpu_us),
        ]);
    }
    table
}

fn flush(rows: &[FlushRow]) -> Table {
    let mut table = Table::new(
        "flush: append + fdatasync, files in turn",
        &["file", "bytes", "files", "flushes/s", "p50 us", "p99 us"],
    );
    for row in rows {
        table.row([
            row.kind.name().to_owned(),
            row.bytes.to_string(),
            row.files.to_string(),
            format!("{:.0}", row.flushes_per_s),
            one(row.took.p50_us),
            one(row.took.p99_us),
        ]);
    }
    table
}

fn cpu(cpu: &Cpu) -> Table {
    let mut table = Table::new("cpu", &["step", "", "p99"]);
    let speeds = [("CRC-32C", &cpu.crc32c), ("memcpy", &cpu.memcpy)];
    for (name, speeds) in speeds {
        for speed in speeds {
            let step = format!("{name}, {} bytes", speed.bytes);
            table.row([step, format!("{:.1} GB/s", speed.gb_per_s), String::new()]);
        }
    }
    let call = format!("{:.0} ns", cpu.system_call_ns);
    table.row(["system call".to_owned(), call, String::new()]);
    let us = |us| format!("{us:.2} us");
    for wake in &cpu.eventfd_wake {
        let step = format!("eventfd wake-up, cores: {}", wake.cores);
        table.row([step, us(wake.took.p50_us), us(wake.took.p99_us)]);
    }
    let hop = &cpu.spawn_blocking;
    let step = "spawn_blocking there and back".to_owned();
    table.row([step, us(hop.took.p50_us), us(hop.took.p99_us)]);
    let step = "  processor time".to_owned();
    table.row([step, us(hop.cpu_us), String::new()]);
    table
}

fn throughput_limits(limits: &Limits) -> Table {
    let mut table = Table::new("limits", &["limit", "is", "congestion", "GB/s", "CPU-s/GB"]);
    for limit in &limits.throughput {
        table.row([
            limit.name.to_owned(),
            limit.of.clone(),
            limit.congestion_control.clone(),
            two(limit.gb_per_s),
            three(limit.cpu_s_per_gb),
        ]);
    }
    table
}

fn flush_limits(limits: &Limits) -> Table {
    let mut table = Table::new("limits of flushes", &["limit", "is", "p50 us", "p99 us"]);
    for limit in &limits.flush {
        table.row([
            limit.name.to_owned(),
            limit.of.clone(),
            one(limit.took.p50_us),
            one(limit.took.p99_us),
        ]);
    }
    table
}

fn one(value: f64) -> String {
    format!("{value:.1}")
}

fn two(value: f64) -> String {
    format!("{value:.2}")
}

fn three(value: f64) -> String {
    format!("{value:.3}")
}
