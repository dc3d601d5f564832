//! `shrink`: a failing run, made small.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use synod_sim::shrink::{self, Budget};
use synod_sim::trace::Lines;
use synod_sim::{story, swarm};

use super::arguments::{Arguments, Command};
use super::{CARGO, Outcome, say};

pub(crate) const COMMAND: Command = Command {
    name: "shrink",
    about: "makes a failing run small, and writes it down as a plan",
    flags: &[
        "--seed",
        "--plan",
        "--nodes",
        "--for",
        "--set",
        "--withhold",
        "--runs",
        "--minutes",
        "--seconds",
        "--out",
        "--quiet",
    ],
    notes: "It takes faults, members, requests and time away as long as the run breaks the same \
            property,\nwith at most 3000 runs (`--runs`) in at most 300 seconds (`--seconds`). \
            The plan is written to\nseed-N.plan, or to the file of `--out`. Exit code 1, as the \
            run fails; 2 when it passes.",
    act: shrink,
};

/// Never says that the run passed: one that does is a mistake.
fn shrink(arguments: &Arguments) -> Outcome {
    let plan = arguments.plan()?;
    let budget = Budget {
        runs: arguments.number("--runs")?.unwrap_or(3_000),
        lasts: arguments.lasts()?.unwrap_or(Duration::from_secs(300)),
    };
    let live = io::stderr().is_terminal();
    let quiet = arguments.has("--quiet");
    let (start, end) = if live { ("\r", "\x1b[K") } else { ("", "\n") };
    let shrunk = shrink::shrink(&plan, budget, &mut |runs, size| {
        if !quiet {
            eprint!("{start}{runs} runs: {size}{end}");
            let _ = io::stderr().flush();
        }
    });
    if live && !quiet {
        eprintln!();
    }
    let shrunk = shrunk.map_err(|passes| passes.to_string())?;
    let path = arguments.out(|| format!("seed-{}.plan", plan.seed));
    let shown = path.display();
    fs::write(&path, shrunk.plan.to_string()).map_err(|error| format!("{shown}: {error}"))?;
    say!("{shrunk}");
    let report = swarm::run_caught(shrunk.plan.options(), Lines::Keep);
    say!("What led to it:\n{}\n", story::of(&report));
    say!("written to {shown}");
    say!("  {CARGO} replay --plan {shown} --trace");
    say!("  {CARGO} picture --plan {shown}");
    Ok(false)
}
