//! `cauce bench limits`: what this machine can do, without a broker, in one run of 60 to 90 seconds. `cauce bench load`,
//! which loads a broker, is `load`'s.
//!
//! A benchmark of a broker says little without it: kernel, memory and processor of two machines differ more than two
//! brokers do. Each file here measures one thing alone, with plain threads on chosen cores, traffic on 127.0.0.1 only, and
//! loops that end; `derived` names the limits that a broker is held against. Nothing here runs in a node, and nothing is
//! kept when the probe ends.

mod cold_memory;
mod cores;
mod cpu;
mod derived;
mod echo;
mod environment;
mod error;
mod flush;
mod foreign_cpu;
mod frames;
mod load;
mod loopback;
mod options;
mod percentiles;
mod report;
mod scratch;
mod sink;
mod source;
mod stream;
mod table;
mod tcp;

use std::fs;
use std::time::Duration;

use self::cores::Cores;
use self::derived::Limits;
use self::environment::Environment;
use self::error::Doing;
use self::foreign_cpu::CpuTimes;
use self::loopback::Settings;
use self::report::Report;
use self::scratch::Scratch;

pub use self::error::BenchError;
pub use self::load::{LoadArgs, LoadError, load};
pub use self::options::{LimitsArgs, Part, Scale};

/// Measures, prints the tables, and writes the JSON if that was asked for.
///
/// # Errors
/// [`BenchError::Busy`] before anything is written; otherwise what the system refused.
pub fn limits(args: &LimitsArgs) -> Result<(), BenchError> {
    let report = measure(args, foreign_cpu::watched_for)?;
    print!("{}", report.text());
    if let Some(file) = &args.json {
        let doing = format!("write {}", file.display());
        let json = report.json().doing(&doing)?;
        fs::write(file, json).doing(&doing)?;
    }
    Ok(())
}

/// `watch` gives the share of the processors that others use, in percent, after it has watched for so long.
fn measure(
    args: &LimitsArgs,
    watch: impl FnOnce(Duration) -> Result<f64, BenchError>,
) -> Result<Report, BenchError> {
    let scale = args.scale();
    say("watching for other processes");
    let foreign = watch(scale.watch)?;
    foreign_cpu::refuse_above_limit(foreign, args.busy)?;
    let before = CpuTimes::now()?;
    let mut report = parts(args, &scale, foreign)?;
    report.limits = Limits::of(&report.sink, &report.source, &report.flush);
    report.environment.foreign_cpu_percent_during_run = CpuTimes::now()?.foreign_percent_since(&before);
    Ok(report)
}

fn parts(args: &LimitsArgs, scale: &Scale, foreign: f64) -> Result<Report, BenchError> {
    let cores = Cores::of_this_process()?;
    let settings = Settings::of_this_machine()?;
    let scratch = Scratch::inside(&args.dir)?;
    let mut report = Report {
        quick: args.quick,
        environment: Environment::of(scratch.path(), cores.numbers(), foreign, args.busy),
        notes: settings.notes.clone(),
        cold_memory: Vec::new(),
        tcp: Vec::new(),
        echo: Vec::new(),
        sink: Vec::new(),
        source: Vec::new(),
        flush: Vec::new(),
        cpu: None,
        limits: Limits::default(),
    };
    // Flushes before the large files, whose pages the kernel writes back long after.
    if asked(args, Part::Flush, "flush") {
        report.flush = flush::measure(&scratch, &cores, scale)?;
    }
    if asked(args, Part::Cpu, "cpu") {
        report.cpu = Some(cpu::measure(&cores, scale)?);
    }
    if asked(args, Part::Tcp, "tcp") {
        report.tcp = tcp::measure(&settings, &cores, scale)?;
    }
    if asked(args, Part::Echo, "echo") {
        report.echo = echo::measure(&settings, &cores, scale)?;
    }
    if asked(args, Part::Environment, "memory") {
        report.cold_memory = cold_memory::measure(&scratch, &cores, scale)?;
    }
    if asked(args, Part::Sink, "sink") {
        report.sink = sink::measure(&scratch, &settings, &cores, scale)?;
    }
    if asked(args, Part::Source, "source") {
        report.source = source::measure(&scratch, &settings, &cores, scale)?;
    }
    Ok(report)
}

fn asked(args: &LimitsArgs, part: Part, name: &str) -> bool {
    let asked = args.wants(part);
    if asked {
        say(name);
    }
    asked
}

/// How far it is, apart from the figures.
fn say(step: &str) {
    eprintln!("cauce bench limits: {step} ...");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn args(directory: &Path, busy: bool) -> LimitsArgs {
        LimitsArgs {
            quick: true,
            busy,
            json: None,
            dir: directory.to_owned(),
            only: vec![Part::Tcp],
        }
    }

    #[test]
    fn a_busy_machine_is_refused_before_anything_is_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let refused = measure(&args(&directory.path().join("new"), false), |_| Ok(50.0));
        assert!(matches!(refused, Err(BenchError::Busy { .. })), "{refused:?}");
        assert!(!directory.path().join("new").exists());
    }

    #[test]
    fn a_busy_machine_is_measured_if_that_is_wanted_and_the_report_says_so() {
        let directory = tempfile::tempdir().expect("a directory");
        let report = measure(&args(directory.path(), true), |_| Ok(50.0)).expect("a report");
        assert!(report.environment.even_if_busy);
        assert_eq!(report.environment.foreign_cpu_percent, 50.0);
        assert!(!report.tcp.is_empty() && report.sink.is_empty());
        let text = report.text();
        assert!(
            text.contains("50.0") && text.contains("tcp:") && !text.contains("sink:"),
            "{text}"
        );
        let json: serde_json::Value =
            serde_json::from_str(&report.json().expect("JSON")).expect("valid JSON");
        assert!(json["tcp"][0]["gb_per_s"].as_f64() > Some(0.0), "{json}");
        assert!(json.get("sink").is_none(), "{json}");
    }
}
