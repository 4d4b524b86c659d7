//! `differential record HOST:PORT`: records a fresh Apache Kafka's answers.
//! `differential compare HOST:PORT [HOST:PORT]`: compares a fresh Cauce with the recording, or with a live Kafka.
//! `differential list`: names every case.
//!
//! A last argument `only=TEXT` restricts the run to scenarios whose API or name contains the text.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use integration_tests::differential::recording::{self, Answers};
use integration_tests::differential::runner::ErrorCounts;
use integration_tests::differential::{case::Scenario, cases, compare, runner};

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let only = arguments
        .last()
        .and_then(|last| last.strip_prefix("only="))
        .map(str::to_owned);
    if only.is_some() {
        arguments.pop();
    }
    let mut scenarios = cases::all();
    scenarios.retain(|s| {
        only.as_deref()
            .is_none_or(|only| s.api == only || s.name.contains(only))
    });
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["list"] => list(&scenarios),
        ["record", kafka] => address(kafka).and_then(|kafka| record(kafka, &scenarios, only.is_some())),
        ["compare", cauce] => {
            address(cauce).and_then(|cauce| report(&compare::with_recording(cauce, &scenarios)?))
        }
        ["compare", kafka, cauce] => address(kafka).and_then(|kafka| {
            let expected = answers_of(kafka, &scenarios)?;
            report(&compare::with_answers(&expected, address(cauce)?, &scenarios)?)
        }),
        _ => Err(
            "usage: differential list | record KAFKA | compare [KAFKA] CAUCE, each with only=TEXT".to_owned(),
        ),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{text} is not an address such as 127.0.0.1:9092"))
}

fn list(scenarios: &[Scenario]) -> Result<(), String> {
    let count: usize = scenarios
        .iter()
        .map(|scenario| scenario.versions.clone().count())
        .sum();
    for scenario in scenarios {
        println!("{} {:?}: {}", scenario.api, scenario.versions, scenario.name);
    }
    println!("{} scenarios, {count} cases", scenarios.len());
    Ok(())
}

fn answers_of(kafka: SocketAddr, scenarios: &[Scenario]) -> Result<BTreeMap<&'static str, Answers>, String> {
    runner::await_coordinators(kafka, &mut ErrorCounts::new())?;
    let mut answers: BTreeMap<&'static str, Answers> = BTreeMap::new();
    let mut failed = 0;
    for scenario in scenarios {
        for version in scenario.versions.clone() {
            let started = Instant::now();
            match runner::run(kafka, scenario, version, &mut ErrorCounts::new()) {
                Ok(answer) => {
                    answers
                        .entry(scenario.api)
                        .or_default()
                        .insert((scenario.name.to_owned(), version), answer);
                }
                Err(why) => {
                    failed += 1;
                    eprintln!("{} {version}, {}: {why}", scenario.api, scenario.name);
                }
            }
            if started.elapsed() > Duration::from_secs(2) {
                eprintln!(
                    "slow ({:?}): {} {version}, {}",
                    started.elapsed(),
                    scenario.api,
                    scenario.name
                );
            }
        }
    }
    if failed == 0 {
        Ok(answers)
    } else {
        Err(format!("{failed} cases could not be run"))
    }
}

/// A run over some scenarios keeps what is recorded of the others.
fn record(kafka: SocketAddr, scenarios: &[Scenario], is_partial: bool) -> Result<(), String> {
    let folder = recording::folder();
    for (api, fresh) in answers_of(kafka, scenarios)? {
        let mut answers = if is_partial {
            recording::read(&folder, api).map_err(|error| error.to_string())?
        } else {
            Answers::new()
        };
        println!("{api}: {} cases", fresh.len());
        answers.extend(fresh);
        recording::write(&folder, api, &answers)
            .map_err(|error| format!("could not write {api}: {error}"))?;
    }
    Ok(())
}

fn report(outcome: &compare::Outcome) -> Result<(), String> {
    for difference in &outcome.differences {
        println!("{difference}");
    }
    println!(
        "{} cases equal, {} different, {} deliberately so",
        outcome.equal,
        outcome.differences.len(),
        outcome.deliberate
    );
    if outcome.differences.is_empty() {
        Ok(())
    } else {
        Err("the answers differ".to_owned())
    }
}
