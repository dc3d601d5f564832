//! `replay`: one run, shown.

use synod_sim::trace::Lines;
use synod_sim::{steps, swarm};

use super::Outcome;
use super::arguments::{Arguments, Command};

pub(crate) const COMMAND: Command = Command {
    name: "replay",
    about: "runs one seed or plan again, and shows how it ends",
    flags: &["--seed", "--plan", "--nodes", "--for", "--set", "--withhold", "--trace", "--check"],
    notes: "A run is the same every time, on every machine. `--check` proves it of this one: it \
            runs twice,\nonce with the trace and once without, and names the first step at which \
            the states differ.",
    act: replay,
};

/// Whether the run passed.
fn replay(arguments: &Arguments) -> Outcome {
    let plan = arguments.plan()?;
    let options = plan.options();
    println!("{options}\n");
    if arguments.has("--check") {
        return Ok(match steps::compare(&options, &options) {
            Ok((report, steps)) => {
                println!("{report}\nthe same twice: {steps} steps, and after each the same state");
                report.violation.is_none()
            }
            Err(parting) => {
                println!("{parting}");
                false
            }
        });
    }
    let lines = if arguments.has("--trace") { Lines::Print } else { Lines::None };
    let report = swarm::run_caught(options, lines);
    println!("{report}");
    Ok(report.violation.is_none())
}
