//! `report`: a long sweep, written down for whoever looks at it in the morning.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use synod_sim::nightly::{self, Finding};
use synod_sim::plan::Plan;
use synod_sim::shrink::{self, Budget};
use synod_sim::sweep::{Failure, Goal, Sweep};
use synod_sim::trace::Lines;
use synod_sim::{meter, picture, story, swarm};

use super::arguments::{Arguments, Command};
use super::progress::Progress;
use super::{Outcome, run, say};

pub(crate) const COMMAND: Command = Command {
    name: "report",
    about: "runs seeds for some minutes, and writes a report with pictures of what failed",
    flags: &[
        "--minutes",
        "--seconds",
        "--from",
        "--seeds",
        "--nodes",
        "--for",
        "--set",
        "--withhold",
        "--jobs",
        "--out",
        "--parts",
        "--quiet",
    ],
    notes: "Ten minutes, unless something else is said. The report is Markdown: report.md, or the \
            file of\n`--out`. Of each of the first five kinds of failures, one seed is shrunk, and \
            its plan and picture\nlie beside the report.",
    act: report,
};

/// Whether all seeds passed.
fn report(arguments: &Arguments) -> Outcome {
    let minutes = Duration::from_secs(600);
    let goal = run::goal(arguments)?;
    let sweep = Sweep {
        goal: goal.unwrap_or_else(|| Goal::Time { from: run::any_seed(), lasts: minutes }),
        plan: arguments.over(Plan::default())?,
        jobs: arguments.jobs()?,
        fail_fast: false,
    };
    let path = arguments.out(|| "report.md".into());
    // A folder that is not there is better known before the sweep than after it.
    fs::write(&path, "").map_err(|error| format!("{}: {error}", path.display()))?;
    if arguments.has("--parts") {
        meter::measure();
    }
    let progress = Progress::new(sweep.goal.clone(), arguments.has("--quiet"));
    let summary = sweep.run(&|done, failed, _| progress.tell(done, failed));
    let speed = summary.speed(progress.elapsed());
    progress.clear();
    let mut findings = Vec::new();
    for (place, failures) in nightly::kinds(&summary).into_iter().enumerate() {
        findings.push(finding(failures, place < SHRUNK_MAX, &path)?);
    }
    let heading = format!("Report of the simulator, {}", today());
    let text = nightly::markdown(&heading, &sweep.goal, &summary, &speed, &findings);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    say!("{speed}\nwritten to {}", path.display());
    say!("{} passed, {} failed", summary.passed, summary.failures.len());
    Ok(summary.failures.is_empty())
}

/// Shrinks the first failure of a kind, and draws it.
fn finding<'s>(
    failures: Vec<&'s Failure>,
    shrunk: bool,
    report: &Path,
) -> Result<Finding<'s>, String> {
    let mut finding = Finding { failures, shrunk: None, story: String::new(), files: Vec::new() };
    let Some(first) = finding.failures.first().filter(|_| shrunk) else { return Ok(finding) };
    let seed = first.plan.seed;
    let budget = Budget { runs: 2_000, lasts: Duration::from_secs(60) };
    let Ok(shrunk) = shrink::shrink(&first.plan, budget, &mut |_, _| {}) else {
        finding.story = format!("seed {seed} passed when it was run again: not deterministic");
        return Ok(finding);
    };
    let run = swarm::run_caught(shrunk.plan.options(), Lines::Keep);
    finding.story = story::of(&run).to_string();
    let plan = shrunk.plan.to_string();
    let page = picture::page(&format!("seed {seed}, shrunk"), &run, &plan);
    for (ending, what, text) in [("plan", "plan", &plan), ("html", "picture", &page)] {
        let path = beside(report, seed, ending);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        finding.files.push((name.unwrap_or_default(), what));
    }
    finding.shrunk = Some(shrunk);
    Ok(finding)
}

fn beside(report: &Path, seed: u64, ending: &str) -> PathBuf {
    let stem = report.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    report.with_file_name(format!("{stem}-seed-{seed}.{ending}"))
}

fn today() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    date(now.as_secs() / 86_400)
}

/// The day so many days after 1970-01-01.
fn date(days: u64) -> String {
    let (mut year, mut left) = (1970, days);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for days in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", left + 1)
}

/// Shrinking takes up to a minute each.
const SHRUNK_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (11_016, "2000-02-29"),
            (20_818, "2026-12-31"),
        ] {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn files_lie_beside_the_report() {
        let path = beside(Path::new("out/night.md"), 7, "html");
        assert_eq!(path, Path::new("out/night-seed-7.html"));
    }
}
