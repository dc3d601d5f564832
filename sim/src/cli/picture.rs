//! `picture`: one run as a page to look at.

use std::fs;
use std::time::Duration;

use synod_sim::shrink::{self, Budget};
use synod_sim::trace::Lines;
use synod_sim::{picture, story, swarm};

use super::arguments::{Arguments, Command};
use super::{Outcome, say};

pub(crate) const COMMAND: Command = Command {
    name: "picture",
    about: "draws one run: a page with its space-time diagram, for any browser",
    flags: &["--seed", "--plan", "--nodes", "--for", "--set", "--withhold", "--shrink", "--out"],
    notes: "The page is one file that needs no network: seed-N.html, or the file of `--out`. With \
            `--shrink`\na run that fails is made small first, which is what you want to look at.",
    act: picture,
};

/// Whether the run passed.
fn picture(arguments: &Arguments) -> Outcome {
    let mut plan = arguments.plan()?;
    if arguments.has("--shrink") {
        let budget = Budget { runs: 3_000, lasts: Duration::from_secs(300) };
        match shrink::shrink(&plan, budget, &mut |_, _| {}) {
            Ok(shrunk) => {
                say!("{shrunk}");
                plan = shrunk.plan;
            }
            Err(passes) => say!("{passes}"),
        }
    }
    let report = swarm::run_caught(plan.options(), Lines::Keep);
    if report.violation.is_some() {
        say!("What led to it:\n{}\n", story::of(&report));
    }
    say!("{report}");
    let title = format!("seed {}", plan.seed);
    let page = picture::page(&title, &report, &plan.to_string());
    let path = arguments.out(|| format!("seed-{}.html", plan.seed));
    let shown = path.display();
    fs::write(&path, page).map_err(|error| format!("{shown}: {error}"))?;
    say!("drawn: {shown}, {} events", report.events.len());
    Ok(report.violation.is_none())
}
