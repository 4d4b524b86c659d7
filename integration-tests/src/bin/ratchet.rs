//! `ratchet FILE [--update]`: counts what the hot requests cost and compares it with FILE, or writes it there. See
//! `scripts/ratchet`. `ratchet FILE --functions` writes which functions of the node run meanwhile, see `scripts/link-order`.

use std::io;
use std::process::ExitCode;

use integration_tests::bench::client::Client;
use integration_tests::ratchet::callgrind::CountedNode;
use integration_tests::ratchet::costs::{self, Cost, Costs};
use integration_tests::ratchet::requests::{self, Hot};
use integration_tests::ratchet::strace::TracedNode;

/// The least of so many counts is taken: what the node does by itself, several times a second, comes into some of them only,
/// because each lasts some hundredths of a second.
const ROUNDS: u32 = 12;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        [file] => compare(file),
        [file, "--update"] => update(file),
        [file, "--functions"] => functions(file),
        _ => Err(io::Error::other("usage: ratchet FILE [--update | --functions]")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ratchet: {error}");
            ExitCode::from(2)
        }
    }
}

fn update(file: &str) -> io::Result<bool> {
    let found = measure()?;
    print!("{}", costs::write(&found));
    std::fs::write(file, costs::write(&found))?;
    Ok(true)
}

fn compare(file: &str) -> io::Result<bool> {
    let known =
        std::fs::read_to_string(file).map_err(|error| io::Error::other(format!("{file}: {error}")))?;
    let known = costs::read(&known).map_err(|line| io::Error::other(format!("{file}: {line}")))?;
    let found = measure()?;
    print!("{}", costs::write(&found));
    let dearer = costs::dearer(&known, &found);
    for sentence in &dearer {
        eprintln!("ratchet: {sentence}");
    }
    Ok(dearer.is_empty())
}

fn functions(file: &str) -> io::Result<bool> {
    let mut node = CountedNode::start()?;
    let (mut client, pid) = (Client::connect(node.node.address)?, node.node.pid());
    each(&mut client, pid, |client, hot| requests::repeat(client, hot, pid))?;
    let functions = node.functions()?;
    let lines: Vec<String> = functions.into_iter().map(|name| name + "\n").collect();
    std::fs::write(file, lines.concat())?;
    Ok(true)
}

fn measure() -> io::Result<Costs> {
    let mut costs = Costs::new();
    let mut counted = CountedNode::start()?;
    let (mut client, pid) = (Client::connect(counted.node.address)?, counted.node.pid());
    each(&mut client, pid, |client, hot| {
        let found = counted.count(|| requests::repeat(client, hot, pid))?;
        let each = |count: u64| count as f64 / f64::from(hot.times);
        let cost = Cost {
            instructions: each(found.instructions),
            allocations: each(found.allocations),
            system_calls: f64::INFINITY,
        };
        note(&mut costs, hot, cost);
        Ok(())
    })?;
    drop(counted);
    let traced = TracedNode::start()?;
    let (mut client, pid) = (Client::connect(traced.node.address)?, traced.node.pid());
    each(&mut client, pid, |client, hot| {
        let count = traced.count(|| requests::repeat(client, hot, pid))?;
        let cost = Cost {
            instructions: f64::INFINITY,
            allocations: f64::INFINITY,
            system_calls: count as f64 / f64::from(hot.times),
        };
        note(&mut costs, hot, cost);
        Ok(())
    })?;
    Ok(costs)
}

fn note(costs: &mut Costs, hot: &Hot, cost: Cost) {
    let known = costs.entry(hot.name.to_owned()).or_insert(cost);
    *known = known.least(cost);
}

/// Sends each hot request as often before it is measured as while it is: caches are full then, and buffers have their sizes.
fn each(
    client: &mut Client,
    pid: u32,
    mut measure: impl FnMut(&mut Client, &Hot) -> io::Result<()>,
) -> io::Result<()> {
    let mut measure_all = |client: &mut Client, hot: &Hot| {
        requests::repeat(client, hot, pid)?;
        (0..ROUNDS).try_for_each(|_| measure(client, hot))
    };
    for hot in requests::prepare(client)? {
        measure_all(client, &hot)?;
    }
    let hot = requests::prepare_many_topics(client)?;
    measure_all(client, &hot)
}
