//! All figures of one load, for a program (JSON) and for a person (tables). What was not measured is absent in both.

use std::collections::BTreeMap;

use serde::Serialize;

use super::outcome::{IdleConnections, NewPartitions, Outcome};
use super::plan::Plan;
use super::run::Measured;
use super::tally::{Latency, Tally};
use crate::bench::environment::Environment;
use crate::bench::report::environment;
use crate::bench::table::Table;

/// What one load found. The fields' names say their units; MB and GB are 10^6 and 10^9 bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was asked for, defaults included.
    pub settings: Plan,
    /// The machine that the generator ran on.
    pub environment: Environment,
    /// Whether every answer was there, whole and without error.
    pub is_clean: bool,
    /// Rates, by what was answered within the measured time.
    pub rates: Rates,
    /// Latencies of what was due within the measured time.
    pub latency_us: Latency,
    /// What went wrong, warm-up included.
    pub faults: Faults,
    /// What the generator itself took.
    pub generator: Generator,
    /// What the broker took, if its process was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<Broker>,
    /// Of `idle`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<IdleConnections>,
    /// Of `partitions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<NewPartitions>,
}

/// What was moved.
#[derive(Clone, Debug, Serialize)]
pub struct Rates {
    /// Measured, by the clock.
    pub seconds: f64,
    /// Answered; with `end-to-end`, batches that arrived.
    pub requests: u64,
    /// In them.
    pub records: u64,
    /// Of record batches as they are sent; of whole answers with `metadata`.
    pub bytes: u64,
    /// A second.
    pub requests_per_s: f64,
    /// A second.
    pub records_per_s: f64,
    /// 10^6 bytes a second.
    pub mb_per_s: f64,
}

/// What went wrong, and what was not as it should be.
#[derive(Clone, Debug, Serialize)]
pub struct Faults {
    /// In answers, by Kafka's name.
    pub errors: BTreeMap<String, u64>,
    /// Answers without error that brought nothing where something is.
    pub short_answers: u64,
    /// Requests that were due and never answered.
    pub unanswered: u64,
    /// Connections that were closed or brought bytes that are no answer.
    pub broken_connections: u64,
    /// Topics of the load that could not be deleted afterwards.
    pub left_behind: u64,
    /// What was wrong with the first of these.
    pub sentences: Vec<String>,
    /// Requests of an open loop that had to wait because as many as allowed were in flight. No fault by itself: their
    /// waiting counts.
    pub delayed: u64,
    /// Requests that were sent again, because the broker did not lead the new partition yet. No fault either.
    pub retried: u64,
}

/// This process.
#[derive(Clone, Debug, Serialize)]
pub struct Generator {
    /// Threads with connections.
    pub threads: usize,
    /// Processor time within the measured time.
    pub cpu_s: f64,
    /// The same for 10^9 bytes.
    pub cpu_s_per_gb: Option<f64>,
    /// The same for a request, in microseconds.
    pub cpu_us_per_request: Option<f64>,
}

/// The broker's process.
#[derive(Clone, Debug, Serialize)]
pub struct Broker {
    /// Its number.
    pub pid: u32,
    /// Processor time within the measured time.
    pub cpu_s: f64,
    /// The same for 10^9 bytes.
    pub cpu_s_per_gb: Option<f64>,
    /// The same for a request, in microseconds.
    pub cpu_us_per_request: Option<f64>,
    /// Resident memory when the measured time began.
    pub resident_bytes_before: u64,
    /// Resident memory when it ended.
    pub resident_bytes: u64,
    /// The most that it ever had.
    pub peak_resident_bytes: u64,
}

impl Report {
    /// Of what a load gave.
    pub fn new(settings: Plan, mut environment: Environment, outcome: Outcome) -> Self {
        let Outcome {
            measured,
            idle,
            partitions,
        } = outcome;
        environment.foreign_cpu_percent_during_run = measured.foreign_cpu_percent;
        let tally = &measured.tally;
        Self {
            is_clean: tally.is_clean(),
            rates: Rates::of(tally, measured.seconds),
            latency_us: tally.latency(),
            faults: Faults::of(tally),
            generator: Generator::of(&measured),
            broker: settings.pid.and_then(|pid| Broker::of(pid, &measured)),
            settings,
            environment,
            idle,
            partitions,
        }
    }

    /// One JSON object, on several lines.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|json| json + "\n")
    }

    /// The machine, the settings, what was found; what went wrong stands last.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let tables = [
            environment(&self.environment),
            self.settings_table(),
            self.rates_table(),
            self.latency_table(),
            self.cost_table(),
            self.memory_table(),
            self.faults_table(),
        ];
        for table in tables.iter().filter(|table| !table.is_empty()) {
            table.write_to(&mut text);
        }
        for sentence in &self.faults.sentences {
            text.push_str(&format!("fault: {sentence}\n"));
        }
        text
    }

    fn settings_table(&self) -> Table {
        let mut table = Table::new("load", &["", ""]);
        // The same names and values as in JSON, so that both always have the same.
        let settings = serde_json::to_value(&self.settings).unwrap_or_default();
        for (name, value) in settings.as_object().into_iter().flatten() {
            let value = match value {
                serde_json::Value::Null => continue,
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            table.row([name.replace('_', " "), value]);
        }
        if self.broker.is_none() {
            let known = "others' CPU includes the broker: its process was not named with --pid";
            table.row(["note".to_owned(), known.to_owned()]);
        }
        if self.settings.acks.map(|acks| acks.number()) == Some(0) {
            let known = "acks 0: a request counts as answered when the kernel has taken its last byte";
            table.row(["note".to_owned(), known.to_owned()]);
        }
        table
    }

    fn rates_table(&self) -> Table {
        let mut table = Table::new(
            "rates",
            &["seconds", "requests", "requests/s", "records/s", "MB/s"],
        );
        let rates = &self.rates;
        table.row([
            format!("{:.2}", rates.seconds),
            rates.requests.to_string(),
            format!("{:.0}", rates.requests_per_s),
            format!("{:.0}", rates.records_per_s),
            format!("{:.2}", rates.mb_per_s),
        ]);
        table
    }

    fn latency_table(&self) -> Table {
        let mut table = Table::new(
            "latency, us",
            &["count", "mean", "p50", "p90", "p99", "p99.9", "max"],
        );
        let latency = &self.latency_us;
        table.row([
            latency.count.to_string(),
            format!("{:.1}", latency.mean),
            latency.p50.to_string(),
            latency.p90.to_string(),
            latency.p99.to_string(),
            latency.p99_9.to_string(),
            latency.max.to_string(),
        ]);
        table
    }

    fn cost_table(&self) -> Table {
        let mut table = Table::new("processor time", &["of", "CPU-s", "CPU-s/GB", "CPU-us/request"]);
        let mut row = |of: &str, cpu_s: f64, per_gb: Option<f64>, per_request: Option<f64>| {
            let cell = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.3}"));
            table.row([
                of.to_owned(),
                format!("{cpu_s:.2}"),
                cell(per_gb),
                cell(per_request),
            ]);
        };
        if let Some(broker) = &self.broker {
            row(
                "the broker",
                broker.cpu_s,
                broker.cpu_s_per_gb,
                broker.cpu_us_per_request,
            );
        }
        let own = &self.generator;
        row(
            "the generator",
            own.cpu_s,
            own.cpu_s_per_gb,
            own.cpu_us_per_request,
        );
        table
    }

    fn memory_table(&self) -> Table {
        let mut table = Table::new("the broker's memory, and what it is for", &["", ""]);
        let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        if let Some(broker) = &self.broker {
            row("resident before", mib(broker.resident_bytes_before));
            row("resident after", mib(broker.resident_bytes));
            row("resident at most, ever", mib(broker.peak_resident_bytes));
        }
        if let Some(idle) = &self.idle {
            row("idle connections", idle.count.to_string());
            row("  opened in", format!("{:.3} s", idle.opened_in_s));
            row("  each", format!("{:.0} bytes", idle.bytes_each));
        }
        if let Some(new) = &self.partitions {
            row("partitions", new.count.to_string());
            row("  created in", format!("{:.3} s", new.created_in_s));
            row(
                "  all answered a batch after",
                format!("{:.3} s", new.produced_in_s),
            );
            let each = [
                ("  each, created", new.bytes_each_created),
                ("  each, used", new.bytes_each_used),
            ];
            for (name, bytes) in each {
                if let Some(bytes) = bytes {
                    row(name, format!("{bytes:.0} bytes"));
                }
            }
        }
        table
    }

    fn faults_table(&self) -> Table {
        let mut table = Table::new("faults", &["", ""]);
        let faults = &self.faults;
        for (error, count) in &faults.errors {
            table.row([error.clone(), count.to_string()]);
        }
        let counts = [
            ("short answers", faults.short_answers),
            ("never answered", faults.unanswered),
            ("broken connections", faults.broken_connections),
            ("topics left behind", faults.left_behind),
            ("sent late, with as many in flight as allowed", faults.delayed),
            ("sent again, not led yet", faults.retried),
        ];
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            table.row([name.to_owned(), count.to_string()]);
        }
        table
    }
}

impl Rates {
    fn of(tally: &Tally, seconds: f64) -> Self {
        let per_s = |count: u64| {
            if seconds > 0.0 {
                count as f64 / seconds
            } else {
                0.0
            }
        };
        Self {
            seconds,
            requests: tally.requests,
            records: tally.records,
            bytes: tally.bytes,
            requests_per_s: per_s(tally.requests),
            records_per_s: per_s(tally.records),
            mb_per_s: per_s(tally.bytes) / 1e6,
        }
    }
}

impl Faults {
    fn of(tally: &Tally) -> Self {
        Self {
            errors: tally.errors_by_name(),
            short_answers: tally.short_answers,
            unanswered: tally.unanswered,
            broken_connections: tally.broken_connections,
            left_behind: tally.left_behind,
            sentences: tally.sentences.clone(),
            delayed: tally.delayed,
            retried: tally.retried,
        }
    }
}

/// For 10^9 bytes, and for a request in microseconds; nothing where nothing was moved.
fn shares(cpu_s: f64, tally: &Tally) -> (Option<f64>, Option<f64>) {
    let of = |count: u64, unit: f64| (count > 0).then(|| cpu_s / (count as f64 / unit));
    (of(tally.bytes, 1e9), of(tally.requests, 1e6))
}

impl Generator {
    fn of(measured: &Measured) -> Self {
        let (cpu_s_per_gb, cpu_us_per_request) = shares(measured.own_cpu_s, &measured.tally);
        Self {
            threads: measured.threads,
            cpu_s: measured.own_cpu_s,
            cpu_s_per_gb,
            cpu_us_per_request,
        }
    }
}

impl Broker {
    fn of(pid: u32, measured: &Measured) -> Option<Self> {
        let (before, after) = measured.broker?;
        let cpu_s = after.cpu_s - before.cpu_s;
        let (cpu_s_per_gb, cpu_us_per_request) = shares(cpu_s, &measured.tally);
        Some(Self {
            pid,
            cpu_s,
            cpu_s_per_gb,
            cpu_us_per_request,
            resident_bytes_before: before.resident_bytes,
            resident_bytes: after.resident_bytes,
            peak_resident_bytes: after.peak_resident_bytes,
        })
    }
}
