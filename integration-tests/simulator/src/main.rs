//! Runs seeds. `--seed N` prints that seed's trace and violations, `--seeds A..B` runs many, `--shrink N` makes one smaller.

use std::collections::BTreeSet;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};
use simulator::{driver, entropy, life, shrink};

const USAGE: &str = "simulate --seed N [--trace] [--log LEVEL] [--without PARTS]
simulate --seeds A..B [--also N,N] [--jobs J] [--until-found]
simulate --shrink N

--seed N         one seed in this process; --trace prints what happens, --log the node's own log
--without PARTS  leaves out parts of the plan, as --shrink prints them
--seeds A..B     the seeds from A to B-1, a process each; --also adds some in front
--until-found    stops at the first seed that fails
--shrink N       finds the parts that the failure of seed N does not need";

/// Seeds take a tenth of a second, and some seconds in a build without optimisation.
const MOST_CPU_SECONDS: u64 = 60;

/// What the command line asks for.
#[derive(Debug, Default)]
struct Asked {
    seed: Option<u64>,
    seeds: Vec<u64>,
    shrink: Option<u64>,
    without: BTreeSet<u32>,
    trace: bool,
    log: Option<String>,
    jobs: usize,
    until_found: bool,
}

fn main() -> ExitCode {
    let asked = match read(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(sentence) => {
            eprintln!("simulate: {sentence}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let done = match (asked.seed, asked.shrink) {
        (Some(seed), _) => one(seed, &asked),
        (None, Some(seed)) => smaller(seed),
        (None, None) => many(&asked),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(cause) => {
            eprintln!("simulate: {cause}");
            ExitCode::from(2)
        }
    }
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked {
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        ..Asked::default()
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--seed" => asked.seed = Some(number(&value()?)?),
            "--shrink" => asked.shrink = Some(number(&value()?)?),
            "--seeds" => {
                let range = value()?;
                let (from, to) = range.split_once("..").ok_or("--seeds needs A..B")?;
                asked.seeds.extend(number(from)?..number(to)?);
            }
            "--also" => {
                let more: Result<Vec<u64>, String> = value()?.split(',').map(number).collect();
                asked.seeds.splice(0..0, more?);
            }
            "--without" => {
                let parts: Result<BTreeSet<u32>, String> = value()?.split(',').map(part).collect();
                asked.without = parts?;
            }
            "--jobs" => asked.jobs = usize::try_from(number(&value()?)?).unwrap_or(1),
            "--trace" => asked.trace = true,
            "--log" => asked.log = Some(value()?),
            "--until-found" => asked.until_found = true,
            _ => return Err(format!("{word} is not known")),
        }
    }
    if asked.seed.is_none() && asked.shrink.is_none() && asked.seeds.is_empty() {
        return Err("nothing to do".to_owned());
    }
    Ok(asked)
}

fn number(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| format!("{text} is no number"))
}

fn part(text: &str) -> Result<u32, String> {
    text.trim().parse().map_err(|_| format!("{text} is no part"))
}

fn one(seed: u64, asked: &Asked) -> std::io::Result<bool> {
    bound_cpu()?;
    entropy::seed(seed);
    if let Some(level) = &asked.log {
        let filter = tracing_subscriber::EnvFilter::new(level);
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .without_time()
            .init();
    }
    let panics = life::count_panics();
    let mut outcome = life::run(seed, &asked.without, asked.trace)?;
    outcome.violations.extend(panics());
    for violation in &outcome.violations {
        println!("{violation}");
    }
    println!("{}", driver::summary(seed, &outcome));
    Ok(outcome.violations.is_empty())
}

fn many(asked: &Asked) -> std::io::Result<bool> {
    let simulator = std::env::current_exe()?;
    let total = driver::run_many(&simulator, &asked.seeds, asked.jobs, asked.until_found)?;
    println!("{}", total.line());
    Ok(total.failed.is_empty())
}

/// Ends a seed that goes round in circles: in virtual time no deadline would ever come.
fn bound_cpu() -> std::io::Result<()> {
    let seconds = Some(MOST_CPU_SECONDS);
    let bound = Rlimit {
        current: seconds,
        maximum: seconds,
    };
    Ok(setrlimit(Resource::Cpu, bound)?)
}

fn smaller(seed: u64) -> std::io::Result<bool> {
    let simulator = std::env::current_exe()?;
    let without = shrink::shrink(&simulator, seed)?;
    let parts: Vec<String> = without.iter().map(u32::to_string).collect();
    println!("simulate --seed {seed} --trace --without {}", parts.join(","));
    Ok(true)
}
