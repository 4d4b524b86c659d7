//! `flood MIB CONNECTIONS BUDGET_MIB SECONDS`: a flood of requests against a node of its own, printed as `name value` lines
//! and one line that sums up. See `scripts/flood`.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use integration_tests::flood::{Flood, Found};
use integration_tests::steady_client::Steady;

/// The client that behaves may wait this much longer than without the flood for half of its answers, and never longer.
const MOST_SLOWER: u32 = 50;
const LONGEST_WAIT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("flood: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<bool> {
    let numbers: Result<Vec<u64>, _> = std::env::args().skip(1).map(|word| word.parse()).collect();
    let numbers = numbers.map_err(io::Error::other)?;
    let [mib, connections, budget_mib, seconds] = numbers[..] else {
        return Err(io::Error::other(
            "usage: flood MIB CONNECTIONS BUDGET_MIB SECONDS",
        ));
    };
    let flood = Flood {
        connections: usize::try_from(connections).map_err(io::Error::other)?,
        bytes: mib << 20,
        budget_bytes: budget_mib << 20,
        most: Duration::from_secs(seconds),
        quiet: Duration::from_secs(3),
    };
    let found = flood.run()?;
    print(&found);
    let is_whole = found.received_bytes >= flood.bytes;
    let is_bounded = found.peak_bytes <= found.bound_bytes;
    let is_served = found.beside.rounds > 0
        && found.beside.slowest <= LONGEST_WAIT
        && found.beside.median <= found.quiet.median * MOST_SLOWER;
    println!(
        "flood: {} MiB in {:.0} s through {connections} connections; peak {} MiB of {} MiB: {}; a client beside it waits \
         {:.1} ms for half of its answers, {:.1} ms without: {}",
        found.received_bytes >> 20,
        found.took.as_secs_f64(),
        found.peak_bytes >> 20,
        found.bound_bytes >> 20,
        if is_bounded { "bounded" } else { "TOO MUCH" },
        milliseconds(found.beside.median),
        milliseconds(found.quiet.median),
        if is_served { "served" } else { "STARVED" },
    );
    if !is_whole {
        println!("flood: the time was over before all bytes were received");
    }
    Ok(is_whole && is_bounded && is_served)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn print(found: &Found) {
    println!("received_mib {}", found.received_bytes >> 20);
    println!("took_s {:.1}", found.took.as_secs_f64());
    println!("idle_rss_mib {}", found.idle_bytes >> 20);
    println!("peak_rss_mib {}", found.peak_bytes >> 20);
    println!("bound_mib {}", found.bound_bytes >> 20);
    for (when, steady) in [("quiet", &found.quiet), ("beside", &found.beside)] {
        print_steady(when, steady);
    }
}

fn print_steady(when: &str, steady: &Steady) {
    println!("{when}_rounds {}", steady.rounds);
    println!("{when}_median_ms {:.2}", milliseconds(steady.median));
    println!("{when}_p99_ms {:.2}", milliseconds(steady.p99));
    println!("{when}_slowest_ms {:.2}", milliseconds(steady.slowest));
}
