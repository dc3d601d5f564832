//! `replay`: one run, shown.

use synod_sim::trace::Lines;
use synod_sim::{steps, story, swarm};

use super::arguments::{Arguments, Command};
use super::{Outcome, say};

pub(crate) const COMMAND: Command = Command {
    name: "replay",
    about: "runs one seed or plan again, and shows how it ends",
    flags: &[
        "--seed",
        "--plan",
        "--nodes",
        "--for",
        "--set",
        "--withhold",
        "--options",
        "--trace",
        "--transcript",
        "--beats",
        "--check",
    ],
    notes: "A run is the same every time, on every machine. `--check` proves it of this one: it \
            runs twice,\nonce with the trace and once without, and names the first step at which \
            the states differ.",
    act: replay,
};

/// Whether the run passed.
fn replay(arguments: &Arguments) -> Outcome {
    let plan = arguments.plan()?;
    let options = plan.options();
    if arguments.has("--options") {
        say!("{options:#}\n");
    } else {
        say!("{options}\n");
    }
    if arguments.has("--check") {
        return Ok(match steps::compare(&options, &options) {
            Ok((report, steps)) => {
                say!("{report}\nthe same twice: {steps} steps, and after each the same state");
                report.violation.is_none()
            }
            Err(parting) => {
                say!("{parting}");
                false
            }
        });
    }
    if arguments.has("--trace") {
        let report = swarm::run_caught(options, Lines::Print);
        say!("{report}");
        return Ok(report.violation.is_none());
    }
    let report = swarm::run_caught(options, Lines::Keep);
    if arguments.has("--transcript") {
        say!("{}", story::transcript(&report.events, arguments.has("--beats")));
    }
    if report.violation.is_some() {
        say!("What led to it:\n{}\n", story::of(&report));
    }
    say!("{report}");
    Ok(report.violation.is_none())
}
