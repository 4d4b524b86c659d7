//! `bench start|load|partitions|connections|recovery|offsets`: one measurement of one broker, printed as `name value` lines. See `scripts/bench`.

use std::io;
use std::process::{Command, ExitCode};
use std::time::Duration;

use integration_tests::bench::{connections, load, offsets, partitions, process, recovery, start};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> io::Result<()> {
    match words {
        ["start", address, program, arguments @ ..] => {
            let started = start::measure(Command::new(program).args(arguments), parse(address)?)?;
            println!("listening_ms {:.1}", started.listening.as_secs_f64() * 1e3);
            println!("acknowledged_ms {:.1}", started.acknowledged.as_secs_f64() * 1e3);
            println!("start_cpu_s {:.2}", started.cpu_seconds);
            println!(
                "idle_rss_mib {:.1}",
                started.resident_bytes as f64 / f64::from(1 << 20)
            );
        }
        ["load", address, pid, mib] => {
            let (address, pid, bytes) = (parse(address)?, parse(pid)?, parse::<u64>(mib)? << 20);
            let produced = load::produce(address, pid, "load", bytes)?;
            print_rate("produce", &produced);
            print_rate("fetch", &load::fetch(address, pid, "load", bytes)?);
            println!(
                "loaded_rss_mib {:.1}",
                process::resident_bytes(pid)? as f64 / f64::from(1 << 20)
            );
        }
        ["partitions", address, pid, count] => {
            let found = partitions::measure(parse(address)?, parse(pid)?, parse(count)?)?;
            println!("partitions {}", found.count);
            println!("create_ms {:.0}", found.created_in.as_secs_f64() * 1e3);
            println!("idle_partition_bytes {:.0}", found.idle_bytes_each);
            println!("used_partition_bytes {:.0}", found.used_bytes_each);
        }
        ["connections", address, pid, count] => {
            let found = connections::open(parse(address)?, parse(pid)?, parse(count)?)?;
            println!("connections {}", found.streams.len());
            println!("open_ms {:.0}", found.opened_in.as_secs_f64() * 1e3);
            println!("idle_connection_bytes {:.0}", found.bytes_each);
        }
        ["recovery", address, http, count, program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments);
            let found = recovery::measure(&mut command, parse(address)?, parse(http)?, parse(count)?)?;
            println!("killed_answers_ms {:.1}", found.answered.as_secs_f64() * 1e3);
            println!("killed_ready_ms {:.0}", found.ready.as_secs_f64() * 1e3);
            println!("recovered_partition_bytes {:.0}", found.bytes_each);
        }
        ["offsets", address, http, count, program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments);
            print_offsets(&offsets::measure(
                &mut command,
                parse(address)?,
                parse(http)?,
                parse(count)?,
            )?);
        }
        _ => {
            return Err(io::Error::other(
                "usage: bench start ADDRESS PROGRAM [ARGUMENT...] | load ADDRESS PID MIB | partitions ADDRESS PID COUNT \
                 | connections ADDRESS PID COUNT \
                 | recovery ADDRESS HTTP_ADDRESS COUNT PROGRAM [ARGUMENT...] \
                 | offsets ADDRESS HTTP_ADDRESS COUNT PROGRAM [ARGUMENT...]",
            ));
        }
    }
    Ok(())
}

fn print_offsets(found: &offsets::Found) {
    let mib = f64::from(1 << 20);
    println!("offsets {}", found.count);
    println!(
        "offsets_committed_ms {:.0}",
        found.committed_in.as_secs_f64() * 1e3
    );
    println!("offsets_rss_mib {:.1}", found.resident_bytes as f64 / mib);
    println!("offset_store_mib {:.2}", found.store_bytes / mib);
    println!("offset_store_limit_mib {:.2}", found.store_bytes_limit / mib);
    for (end, restarted) in [("stopped", &found.stopped), ("killed", &found.killed)] {
        let print = |what: &str, took: Duration| {
            println!("offsets_{end}_{what}_ms {:.1}", took.as_secs_f64() * 1e3);
        };
        print("listening", restarted.listening);
        print("fetched", restarted.fetched);
        print("ready", restarted.ready);
        println!(
            "offsets_{end}_rss_mib {:.1}",
            restarted.resident_bytes as f64 / mib
        );
    }
}

fn print_rate(name: &str, rate: &load::Rate) {
    println!("{name}_mb_per_s {:.0}", rate.bytes_per_second / 1e6);
    println!("{name}_requests_per_s {:.0}", rate.requests_per_second);
    println!("{name}_cpu_s_per_gb {:.2}", rate.cpu_seconds_per_gb);
}

fn parse<T: std::str::FromStr>(word: &str) -> io::Result<T>
where
    T::Err: std::fmt::Display,
{
    word.parse()
        .map_err(|error| io::Error::other(format!("{word}: {error}")))
}
