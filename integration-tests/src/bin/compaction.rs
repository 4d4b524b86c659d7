//! `compaction ADDRESS ADDRESS [SEED [MIB]]`: the same batches compacted by two brokers, compared. See
//! `scripts/compaction`.

use std::io;
use std::process::ExitCode;

use integration_tests::compaction::compare;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compaction: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> io::Result<bool> {
    let usage = || io::Error::other("usage: compaction ADDRESS ADDRESS [SEED [MIB]]");
    let [first, second, rest @ ..] = arguments else {
        return Err(usage());
    };
    let number = |at: usize, otherwise: u64| match rest.get(at) {
        Some(text) => text.parse().map_err(|_| usage()),
        None => Ok(otherwise),
    };
    let address = |text: &String| text.parse().map_err(|_| usage());
    let found = compare(
        [address(first)?, address(second)?],
        number(0, 1)?,
        usize::try_from(number(1, 24)?).map_err(|_| usage())?,
    )?;
    println!(
        "{} records produced; kept {} in {} batches, and {} in {} batches; {} differences",
        found.produced,
        found.kept[0],
        found.batches[0],
        found.kept[1],
        found.batches[1],
        found.differences.len()
    );
    for difference in &found.differences {
        println!("{difference}");
    }
    Ok(found.differences.is_empty() && found.kept[0] > 0 && found.kept[0] < found.produced)
}
