//! A seed that failed, told to the one who wrote the state machine.

use std::path::PathBuf;
use std::time::Duration;
use std::{env, fmt, fs};

use crate::options::{Options, in_words};
use crate::picture;
use crate::plan::Plan;
use crate::shrink::{Budget, Runner, Size, shrink_with};
use crate::story::Clues;
use crate::swarm::Report;
use crate::trace::{Event, Lines, rename};
use crate::violation::{Violation, counted};

/// A run that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What went wrong in it.
    pub violation: Violation,
    /// Whether its seed ran in the same way a second time. If not, something outside the seed had a
    /// part in it.
    pub repeats: bool,
    /// Whether the smallest run failed once more when it was looked at closely. It always does when
    /// nothing outside the seed has a part in it.
    pub small_fails: bool,
    /// What goes wrong in the smallest run: the same property, elsewhere perhaps.
    pub small_violation: Violation,
    /// The smallest run found that fails in the same way.
    pub plan: Plan,
    /// The options of that run.
    pub options: Options,
    /// How large the first run was, and how large the smallest is.
    pub sizes: (Size, Size),
    /// The end of the smallest run.
    pub tail: Vec<String>,
    /// The plan, in a file.
    pub plan_file: Option<PathBuf>,
    /// The picture of the smallest run, in a file.
    pub picture_file: Option<PathBuf>,
    /// The test that runs it, when there is one.
    pub test: Option<String>,
}

impl Failure {
    /// Makes the run of `plan`, which fails, small, and looks at it closely.
    pub(super) fn of(
        plan: &Plan,
        violation: Violation,
        runner: Runner<'_>,
        shrink_for: Duration,
    ) -> Self {
        let budget = Budget { runs: RUNS_MAX, lasts: shrink_for };
        let shrunk = if shrink_for.is_zero() {
            None
        } else {
            shrink_with(plan, budget, runner, &mut |_, _| {}).ok()
        };
        let seed = plan.seed;
        let mut small = shrunk.as_ref().map_or(plan, |shrunk| &shrunk.plan).clone();
        let report = failing(&mut small, plan, runner);
        let size = Size::of(&report);
        let thread = std::thread::current();
        let test = thread.name().filter(|name| *name != "main").map(str::to_owned);
        small.test.clone_from(&test);
        let name = format!("{}-{seed}", test.as_deref().unwrap_or("seed").replace("::", "-"));
        Self {
            seed,
            repeats: true,
            small_fails: report.violation.is_some(),
            small_violation: report.violation.clone().unwrap_or_else(|| violation.clone()),
            sizes: (shrunk.map_or(size, |shrunk| shrunk.before), size),
            tail: tail(&report),
            plan_file: write(&name, "plan", &small.to_string()),
            picture_file: write(&name, "html", &picture::page(&name, &report, &small.to_string())),
            plan: small,
            options: report.options,
            violation,
            test,
        }
    }
}

/// The smallest run, with all its events. One that does not follow the seed alone may pass when it
/// is looked at: then it is tried again, and at last the run that failed first.
fn failing(small: &mut Plan, first: &Plan, runner: Runner<'_>) -> Report {
    let fails = |plan: &Plan| {
        let mut tries = (0..TRIES_MAX).map(|_| runner(plan.options(), Lines::Keep, &mut |_| true));
        tries.find(|report| report.violation.is_some())
    };
    if let Some(report) = fails(small) {
        return report;
    }
    small.clone_from(first);
    fails(first).unwrap_or_else(|| runner(first.options(), Lines::Keep, &mut |_| true))
}

/// The end of a run: what was asked for, what came of it, what happened to the members, and where
/// the requests that the violation is about were applied. How the cluster went about it is in the
/// picture.
fn tail(report: &Report) -> Vec<String> {
    let clues = Clues::of_run(report);
    let named = |event: &Event| {
        let in_slots = |(from, end)| clues.slots.iter().any(|slot| (from..end).contains(slot));
        event.word == "applies" && event.told.slots.is_some_and(in_slots)
    };
    let lines = report.events.iter().filter(|event| SHOWN.contains(&event.word) || named(event));
    let lines: Vec<String> = lines.map(|event| rename(&event.to_string(), &report.ids)).collect();
    lines[lines.len().saturating_sub(TAIL)..].to_vec()
}

/// Where files go: beside what the build of this program made.
fn folder() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let folder = program.parent()?.parent()?.join("synod-sim-failures");
    fs::create_dir_all(&folder).ok()?;
    Some(folder)
}

/// Writes a file. A failure is told all the same when that fails.
fn write(name: &str, kind: &str, text: &str) -> Option<PathBuf> {
    let file = folder()?.join(format!("{name}.{kind}"));
    fs::write(&file, text).ok()?;
    Some(file)
}

/// A story in short, and how to see more of it.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, violation, sizes: (before, after), options, .. } = self;
        writeln!(f, "seed {seed} fails\n\n  {violation}\n")?;
        if !self.repeats {
            writeln!(f, "{DIFFERS}\n")?;
        }
        if before == after {
            writeln!(f, "it is:      {after}\n")?;
        } else {
            writeln!(f, "as drawn:   {before}")?;
            writeln!(f, "made small: {after}\n")?;
        }
        let (nodes, quorums) = (options.nodes as u64, options.quorums);
        let members = counted(nodes, "member");
        writeln!(f, "how the small one ends ({members}, {}):", in_words(quorums))?;
        for line in &self.tail {
            writeln!(f, "  {line}")?;
        }
        if self.small_fails {
            writeln!(f, "  {}", self.small_violation)?;
        } else {
            writeln!(f, "  and passes this time")?;
        }
        let test =
            self.test.as_deref().map_or_else(String::new, |test| format!(" cargo test {test}"));
        writeln!(f, "\nrun it again:       SYNOD_SIM_SEED={seed}{test}")?;
        if let Some(file) = &self.plan_file {
            writeln!(f, "the small run:      SYNOD_SIM_PLAN={}{test}", file.display())?;
        }
        if let Some(file) = &self.picture_file {
            writeln!(f, "its picture:        {}", file.display())?;
        }
        write!(f, "with every event:   SYNOD_SIM_TRACE=1 before either")
    }
}

impl std::error::Error for Failure {}

/// What is said of a seed that does not run twice in the same way.
const DIFFERS: &str = "\
this seed ran differently the second time: the machine, its clients or its operations use
something outside the seed (a clock, the order of a HashMap, a random number, a static); the plan
and the picture may not reproduce it";

/// How often a run that failed is run again until it does.
const TRIES_MAX: u32 = 8;

/// How many runs the search for a smaller one takes at most.
const RUNS_MAX: u64 = 2_000;

/// The events that are shown.
const SHOWN: [&str; 7] = ["submit", "gives-up", "outcome", "leader", "dies", "starts", "wiped"];

/// How much of the trace is shown.
const TAIL: usize = 20;
