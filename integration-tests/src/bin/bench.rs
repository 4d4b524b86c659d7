//! `bench start|partitions|connections|recovery|offsets|clean|beside|beside-whole`: one measurement of one broker, printed as `name value` lines. See `scripts/bench`.

use std::io;
use std::process::{Command, ExitCode};
use std::time::Duration;

use integration_tests::bench::cleaning::Broker;
use integration_tests::bench::keyed_records::{Keys, Workload};
use integration_tests::bench::{
    beside_cleaning, cleaning, connections, offsets, partitions, recovery, start,
};
use protocol_compat::record_batch::batch::Compression;

type Beside = fn(&Broker, &Workload, u32, Duration, usize) -> io::Result<Vec<beside_cleaning::Turn>>;

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
        ["clean", address, pid, log_dir, name, mib, keys, load] => {
            let (broker, load) = (broker(address, pid, log_dir)?, workload(mib, keys, load)?);
            print_cleaned(&cleaning::measure(&broker, name, &load)?, name);
        }
        [
            what @ ("beside" | "beside-whole"),
            address,
            pid,
            log_dir,
            mib,
            keys,
            rate,
            seconds,
            turns,
        ] => {
            let (broker, load) = (broker(address, pid, log_dir)?, workload(mib, keys, "each")?);
            let (measure, before): (Beside, _) = match *what {
                "beside" => (beside_cleaning::measure, ""),
                _ => (beside_cleaning::measure_whole, "whole_"),
            };
            let lasting = Duration::from_secs(parse(seconds)?);
            for turn in measure(&broker, &load, parse(rate)?, lasting, parse(turns)?)? {
                print_turn(before, &turn);
            }
        }
        _ => {
            return Err(io::Error::other(
                "usage: bench start ADDRESS PROGRAM [ARGUMENT...] | partitions ADDRESS PID COUNT \
                 | connections ADDRESS PID COUNT \
                 | recovery ADDRESS HTTP_ADDRESS COUNT PROGRAM [ARGUMENT...] \
                 | offsets ADDRESS HTTP_ADDRESS COUNT PROGRAM [ARGUMENT...] \
                 | clean ADDRESS PID LOG_DIR NAME MIB KEYS each|drawn|lz4 \
                 | beside|beside-whole ADDRESS PID LOG_DIR MIB KEYS RATE SECONDS TURNS",
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

fn broker(address: &str, pid: &str, log_dir: &str) -> io::Result<Broker> {
    Ok(Broker {
        address: parse(address)?,
        pid: parse(pid)?,
        log_dir: log_dir.into(),
    })
}

fn workload(mib: &str, keys: &str, load: &str) -> io::Result<Workload> {
    let (chosen, codec) = match load {
        "each" => (Keys::Each, Compression::None),
        "drawn" => (Keys::Drawn, Compression::None),
        "lz4" => (Keys::Each, Compression::Lz4),
        _ => return Err(io::Error::other(format!("no such load: {load}"))),
    };
    Ok(Workload {
        bytes: parse::<u64>(mib)? << 20,
        key_count: parse(keys)?,
        keys: chosen,
        codec,
    })
}

fn print_cleaned(found: &cleaning::Cleaned, name: &str) {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    eprintln!(
        "{name}: thread {}, what is left has checksum {:08x}",
        found.thread_name, found.checksum_after
    );
    println!("{name}_thread_cpu_s {:.2}", found.thread_cpu_seconds);
    println!("{name}_process_cpu_s {:.2}", found.process_cpu_seconds);
    println!("{name}_wall_s {:.2}", found.took.as_secs_f64());
    println!("{name}_mib_before {:.2}", mib(found.bytes_before));
    println!("{name}_mib_after {:.2}", mib(found.bytes_after));
    println!("{name}_checksum {}", found.checksum_after);
}

fn print_turn(before: &str, turn: &beside_cleaning::Turn) {
    let name = before.to_owned() + if turn.beside_cleaning { "beside" } else { "alone" };
    let ms = |part| turn.latencies.percentile(part).as_secs_f64() * 1e3;
    let (thread, cpu) = &turn.cleaner;
    eprintln!(
        "{name}: {} requests, thread {thread} {cpu:.2}",
        turn.latencies.count()
    );
    println!("{name}_p50_ms {:.3}", ms(0.5));
    println!("{name}_p99_ms {:.3}", ms(0.99));
    println!("{name}_p999_ms {:.3}", ms(0.999));
    println!("{name}_max_ms {:.3}", ms(1.0));
    println!("{name}_cleaner_cpu {cpu:.2}");
}

fn parse<T: std::str::FromStr>(word: &str) -> io::Result<T>
where
    T::Err: std::fmt::Display,
{
    word.parse()
        .map_err(|error| io::Error::other(format!("{word}: {error}")))
}
