//! `run`: many seeds.

use std::time::{SystemTime, UNIX_EPOCH};

use synod_sim::meter;
use synod_sim::plan::Plan;
use synod_sim::sweep::{self, Failure, Goal, Sweep};

use super::arguments::{Arguments, Command};
use super::progress::Progress;
use super::{Outcome, call, say};

pub(crate) const COMMAND: Command = Command {
    name: "run",
    about: "runs many seeds, and sums up",
    flags: &[
        "--seeds",
        "--minutes",
        "--seconds",
        "--from",
        "--nodes",
        "--for",
        "--set",
        "--withhold",
        "--jobs",
        "--fail-fast",
        "--parts",
        "--quiet",
    ],
    notes: "Runs `--seeds A..B`, or for as long as `--minutes` or `--seconds` say, from the seed \
            `--from` on;\nwith none of them 0..1000. The last line is `N passed, N failed`.",
    act: run,
};

/// Whether all seeds passed.
fn run(arguments: &Arguments) -> Outcome {
    let sweep = Sweep {
        goal: goal(arguments)?.unwrap_or(Goal::Seeds(0..1_000)),
        plan: arguments.over(Plan::default())?,
        jobs: arguments.jobs()?,
        fail_fast: arguments.has("--fail-fast"),
    };
    if let Goal::Time { from, lasts } = &sweep.goal {
        say!("seeds from {from} on, for {} s", lasts.as_secs());
    }
    if arguments.has("--parts") {
        meter::measure();
    }
    let progress = Progress::new(sweep.goal.clone(), arguments.has("--quiet"));
    let summary = sweep.run(&|done, failed, failure| {
        if let Some(failure) = failure {
            progress.clear();
            tell(failure);
        }
        progress.tell(done, failed);
    });
    progress.clear();
    say!("{summary}\n{}\n", summary.speed(progress.elapsed()));
    say!("{}", sweep::contracts());
    say!("{}\n", summary.coverage);
    let is_plain = sweep.plan == Plan::default();
    let is_large = summary.seeds() >= sweep::SEEDS_FOR_CONTRACTS;
    let untested = if is_plain && is_large { sweep::untested() } else { Vec::new() };
    if !untested.is_empty() {
        let seeds = summary.seeds();
        say!("failed: {seeds} seeds never put to the test: {}", untested.join(", "));
    }
    say!("{} passed, {} failed", summary.passed, summary.failures.len());
    Ok(summary.failures.is_empty() && untested.is_empty())
}

/// How much the command line asks for.
pub(super) fn goal(arguments: &Arguments) -> Result<Option<Goal>, String> {
    match (arguments.seeds()?, arguments.lasts()?) {
        (Some(_), Some(_)) => Err("`--seeds` or a time, not both".into()),
        (Some(_), None) if arguments.has("--from") => {
            Err("`--seeds` names the first seed already: no `--from`".into())
        }
        (Some(seeds), None) => Ok(Some(Goal::Seeds(seeds))),
        (None, Some(lasts)) => {
            let from = arguments.number("--from")?.unwrap_or_else(any_seed);
            if from == u64::MAX {
                return Err(format!("`--from {from}`: no seed lies there or behind"));
            }
            Ok(Some(Goal::Time { from, lasts }))
        }
        (None, None) if arguments.has("--from") => {
            Err("`--from` needs a time: `--minutes N` or `--seconds N`".into())
        }
        (None, None) => Ok(None),
    }
}

/// A seed that was hardly ever run: it is printed, so that whoever likes can run it again.
pub(super) fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Small enough to be typed; the microseconds differ from run to run.
    now.as_micros() as u64 % 1_000_000_000 * 1_000
}

fn tell(failure: &Failure) {
    let Failure { plan, options, violation } = failure;
    let seed = plan.seed;
    say!("seed {seed} failed: {violation}\n{options}");
    for (command, more) in [("replay", " --trace"), ("shrink", ""), ("picture", " --shrink")] {
        say!("  {}", call(command, plan, more));
    }
    say!();
}
