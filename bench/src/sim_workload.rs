//! The command `sim`: the workload P8, how fast the simulator is.
//!
//! The simulator runs as a program of its own: it is built with all contracts, and linked into this
//! one it would bring them into what the other workloads measure.

use std::path::PathBuf;
use std::process::Command;

use crate::args::Args;
use crate::children::{build, program};
use crate::measure::Spread;
use crate::report::{Table, publish};

pub(crate) const OPTIONS: [&str; 4] = ["seeds", "from", "repetitions", "out"];

/// Runs a sweep of one thread several times.
///
/// # Errors
/// When an option cannot be read, a seed fails, or the results cannot be written.
pub(crate) fn sim(args: &Args) -> Result<(), String> {
    let (from, seeds): (u64, u64) = (args.one("from", 0)?, args.one("seeds", 200)?);
    let repetitions: usize = args.one("repetitions", 3)?;
    let out: PathBuf = args.one("out", PathBuf::from("target/bench"))?;
    build("synod-sim")?;
    let mut said = Vec::new();
    for _ in 0..repetitions.max(1) {
        let range = format!("{from}..{}", from + seeds);
        let mut command = Command::new(program("synod-sim")?);
        let output = command.args(["run", "--seeds", &range, "--nodes", "3", "--jobs", "1"]);
        let output = output.output().map_err(|error| format!("synod-sim: {error}"))?;
        if !output.status.success() {
            return Err(format!("a seed of {range} failed: see synod-sim run --seeds {range}"));
        }
        said.push(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut table = Table::new(&["what", "min", "median", "max"]);
    for line in ["of one core", "seeds a minute", "memory at most", "simulated time"] {
        let values: Vec<f64> = said.iter().filter_map(|text| number(text, line)).collect();
        if values.is_empty() {
            return Err(format!("synod-sim does not say \"{line}\""));
        }
        let Spread { min, median, max } = Spread::of(values);
        let name = match line {
            "of one core" => "events a second of one core",
            "memory at most" => "memory at most in MB",
            "simulated time" => "times as fast as time passes",
            same => same,
        };
        let cell = |value: f64| format!("{value:.0}");
        table.row(vec![name.to_owned(), cell(min), cell(median), cell(max)]);
    }
    publish(&out, "sim", &table, None).map_err(|error| error.to_string())
}

/// The number that follows `name` at the start of a line.
fn number(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found() {
        let text = "seeds            5\n  of one core     1234\nmemory at most   7.5 MB\n";
        assert_eq!(number(text, "of one core"), Some(1234.0));
        assert_eq!(number(text, "memory at most"), Some(7.5));
        assert_eq!(number(text, "seeds a minute"), None);
    }
}
