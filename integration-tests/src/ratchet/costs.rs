//! What each request cost when that was last looked at, and whether it has become dearer.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Dearer by more than this part is a failure: instructions differ by a hundredth from run to run, and by more with the
/// processor, for which the C library has copies of its own.
const INSTRUCTIONS_TOLERANCE: f64 = 0.1;
/// More allocations than so many, and than this part, are a failure: what goes on beside requests is counted with them.
const ALLOCATIONS_TOLERANCE: f64 = 0.25;
const ALLOCATIONS_TOLERANCE_PART: f64 = 0.005;
/// More system calls than so many are a failure. The slower the machine, the more of those come into a request that the node
/// makes by itself; one more for each request is found.
const SYSTEM_CALLS_TOLERANCE: f64 = 0.9;
const HEAD: &str = "# request instructions allocations system-calls";

/// What one request costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Instructions of all threads of the node.
    pub instructions: f64,
    /// Calls of functions that give memory.
    pub allocations: f64,
    /// System calls.
    pub system_calls: f64,
}

impl Cost {
    /// What is the least of both, each by itself.
    #[must_use]
    pub fn least(self, other: Cost) -> Cost {
        Cost {
            instructions: self.instructions.min(other.instructions),
            allocations: self.allocations.min(other.allocations),
            system_calls: self.system_calls.min(other.system_calls),
        }
    }
}

/// Costs by the request's name.
pub type Costs = BTreeMap<String, Cost>;

/// Reads what [`write`] wrote; the line that is not understood is the error.
///
/// # Errors
/// The line.
pub fn read(text: &str) -> Result<Costs, String> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| read_line(line).ok_or_else(|| line.to_owned()))
        .collect()
}

fn read_line(line: &str) -> Option<(String, Cost)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, instructions, allocations, system_calls] = words[..] else {
        return None;
    };
    let cost = Cost {
        instructions: instructions.parse().ok()?,
        allocations: allocations.parse().ok()?,
        system_calls: system_calls.parse().ok()?,
    };
    Some((name.to_owned(), cost))
}

/// The table, for a file and for the eye.
pub fn write(costs: &Costs) -> String {
    let mut text = format!("{HEAD}\n");
    for (name, cost) in costs {
        let line = writeln!(
            text,
            "{name:22} {:>10.0} {:>7.1} {:>6.1}",
            cost.instructions, cost.allocations, cost.system_calls
        );
        line.expect("because a string takes everything");
    }
    text
}

/// What became dearer than `known`, a sentence each; requests that are in one table only as well.
pub fn dearer(known: &Costs, found: &Costs) -> Vec<String> {
    let mut sentences = Vec::new();
    for name in known.keys().filter(|name| !found.contains_key(*name)) {
        sentences.push(format!("{name} was not measured"));
    }
    for (name, now) in found {
        let Some(was) = known.get(name) else {
            sentences.push(format!("{name} is not in the table"));
            continue;
        };
        let mut compare = |what: &str, was: f64, now: f64, limit: f64| {
            if now > limit {
                sentences.push(format!("{name}: {now:.1} {what}, was {was:.1}"));
            }
        };
        let most = was.instructions * (1.0 + INSTRUCTIONS_TOLERANCE);
        compare("instructions", was.instructions, now.instructions, most);
        let more = ALLOCATIONS_TOLERANCE.max(was.allocations * ALLOCATIONS_TOLERANCE_PART);
        let most = was.allocations + more;
        compare("allocations", was.allocations, now.allocations, most);
        let most = was.system_calls + SYSTEM_CALLS_TOLERANCE;
        compare("system calls", was.system_calls, now.system_calls, most);
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(instructions: f64, allocations: f64, system_calls: f64) -> Costs {
        let cost = Cost {
            instructions,
            allocations,
            system_calls,
        };
        Costs::from([("heartbeat".to_owned(), cost)])
    }

    #[test]
    fn a_table_comes_back_as_it_was_written() {
        let known = costs(12_000.0, 3.5, 6.1);
        assert_eq!(read(&write(&known)), Ok(known));
        assert_eq!(read("heartbeat 1 2"), Err("heartbeat 1 2".to_owned()));
    }

    #[test]
    fn what_became_dearer_is_told_and_what_became_cheaper_is_not() {
        let known = costs(10_000.0, 3.0, 6.0);
        assert!(dearer(&known, &costs(10_900.0, 3.1, 6.1)).is_empty());
        assert!(dearer(&known, &costs(5_000.0, 0.0, 1.0)).is_empty());
        assert_eq!(dearer(&known, &costs(11_100.0, 3.1, 6.1)).len(), 1);
        assert_eq!(dearer(&known, &costs(10_000.0, 4.0, 8.0)).len(), 2);
        assert_eq!(dearer(&known, &Costs::new()).len(), 1);
        assert_eq!(dearer(&Costs::new(), &known).len(), 1);
    }
}
