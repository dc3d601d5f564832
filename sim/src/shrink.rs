//! Makes a failing run small: fewer members, fewer faults, fewer requests, a shorter time, while
//! it still fails in the same way.
//!
//! Every step is a whole run. A candidate is taken when it breaks the same property and is smaller
//! than the smallest so far; one that outgrows it is cut short. Nothing depends on chance or on
//! the clock, except where a limit of time ends the search.

mod passes;

use std::fmt;
use std::time::{Duration, Instant};

use crate::mischief::Cause;
use crate::options::Options;
use crate::plan::{Plan, SETTINGS};
use crate::swarm::{self, Report, Watch};
use crate::trace::Lines;
use crate::violation::{Property, Violation, counted};

/// Runs options: the swarm, or a simulation of somebody's own.
pub type Runner<'r> = &'r dyn Fn(Options, Lines, Watch<'_>) -> Report;

/// How long to look for something smaller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Runs.
    pub runs: u64,
    /// Real time. A search that it ends may find something else on another machine.
    pub lasts: Duration,
}

/// How much there is to look at in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Size {
    /// Members.
    pub nodes: u64,
    /// Events.
    pub events: u64,
    /// Messages sent.
    pub messages: u64,
    /// Faults that happened.
    pub faults: u64,
    /// Bursts of clients, and operations of sessions.
    pub requests: u64,
    /// Simulated microseconds.
    pub lasted_us: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest run found.
    pub plan: Plan,
    /// How it fails.
    pub violation: Violation,
    /// How the first run fails.
    pub first: Violation,
    /// The size of the first run.
    pub before: Size,
    /// The size of the smallest.
    pub after: Size,
    /// How many runs it took.
    pub runs: u64,
    /// Whether the budget ended the search before nothing smaller was to be found.
    pub cut_short: bool,
}

/// The run does not fail, so there is nothing to shrink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passes;

/// The search: the best so far, and what is left to spend.
struct Search<'r> {
    runner: Runner<'r>,
    budget: Budget,
    start: Instant,
    runs: u64,
    violation: Violation,
    best: Best,
    told: &'r mut dyn FnMut(u64, &Size),
}

/// The best run so far.
#[derive(Clone)]
struct Best {
    plan: Plan,
    violation: Violation,
    size: Size,
    weight: u64,
    /// Of its trace.
    hash: u64,
    /// How often each cause struck, withheld ones included.
    struck: Vec<(Cause, u64)>,
}

/// Shrinks a run of the swarm.
///
/// # Errors
/// When it does not fail.
pub fn shrink(
    plan: &Plan,
    budget: Budget,
    told: &mut dyn FnMut(u64, &Size),
) -> Result<Shrunk, Passes> {
    shrink_with(plan, budget, &swarm::run_watched, told)
}

/// Shrinks a run of any kind. `told` hears of every smaller run: after how many runs, and how
/// small it is.
///
/// # Errors
/// When it does not fail.
pub fn shrink_with(
    plan: &Plan,
    budget: Budget,
    runner: Runner<'_>,
    told: &mut dyn FnMut(u64, &Size),
) -> Result<Shrunk, Passes> {
    let report = runner(plan.options(), Lines::None, &mut |_| true);
    let best = Best::of(plan.clone(), &report).ok_or(Passes)?;
    let (first, before) = (best.violation.clone(), best.size);
    let violation = first.clone();
    let start = Instant::now();
    let mut search = Search { runner, budget, start, runs: 1, violation, best, told };
    search.all_passes();
    let cut_short = search.is_spent();
    let Search { runs, best, .. } = search;
    let Best { plan, violation, size: after, .. } = best;
    Ok(Shrunk { plan, violation, first, before, after, runs, cut_short })
}

impl Search<'_> {
    fn is_spent(&self) -> bool {
        self.runs >= self.budget.runs || self.start.elapsed() >= self.budget.lasts
    }

    /// Runs a candidate, and takes it when it fails in the same way and is smaller.
    fn consider(&mut self, plan: Plan) -> bool {
        if self.is_spent() || plan == self.best.plan {
            return false;
        }
        self.runs += 1;
        let options = plan.options();
        if options.quorums.check(options.nodes).is_err() {
            return false;
        }
        let most = self.best.weight;
        let report =
            (self.runner)(options, Lines::None, &mut |world| world.stats().happenings <= most);
        let Some(found) = Best::of(plan, &report) else { return false };
        if found.weight >= self.best.weight || !fails_alike(&self.violation, &found.violation) {
            return false;
        }
        self.best = found;
        (self.told)(self.runs, &self.best.size);
        true
    }

    /// Takes the best plan without something that does not matter to its run.
    fn same_without(&mut self, change: impl FnOnce(&mut Plan)) {
        let mut plan = self.best.plan.clone();
        change(&mut plan);
        if self.start.elapsed() >= self.budget.lasts {
            return;
        }
        let most = self.best.weight;
        let report = (self.runner)(plan.options(), Lines::None, &mut |world| {
            world.stats().happenings <= most
        });
        let found = Best::of(plan, &report);
        if let Some(found) = found.filter(|found| found.hash == self.best.hash) {
            self.best = found;
        }
    }

    /// Considers the best plan with something changed.
    fn change(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut plan = self.best.plan.clone();
        change(&mut plan);
        self.consider(plan)
    }
}

impl Best {
    /// `None` when the run did not fail.
    fn of(plan: Plan, report: &Report) -> Option<Self> {
        let violation = report.violation.clone()?;
        let size = Size::of(report);
        let weight = size.weight(&report.options);
        let struck = Cause::all().map(|cause| (cause, report.struck.of(cause))).collect();
        Some(Self { plan, violation, size, weight, hash: report.hash, struck })
    }
}

impl Size {
    /// The size of a run.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let clients = [Cause::Burst, Cause::Ask].map(|cause| report.happened.of(cause));
        let requests = clients.iter().sum();
        Self {
            nodes: report.options.nodes as u64,
            events: report.stats.happenings,
            messages: report.network.sent,
            faults: report.happened.total() - requests,
            requests,
            lasted_us: report.lasted.0 / 1_000,
        }
    }

    /// How hard it is to understand, in events: a fault needs more thought than an event, and a
    /// member or an option that is not the plain one more than a fault.
    fn weight(&self, options: &Options) -> u64 {
        let plain = |setting: &&crate::plan::Setting| {
            setting.simplest.is_some_and(|simplest| setting.of(options) != simplest)
        };
        let odd = SETTINGS.iter().filter(plain).count() as u64;
        self.events + 30 * self.faults + 10 * self.requests + 300 * self.nodes + 40 * odd
    }
}

/// Whether two runs fail in the same way: the same property, and where a contract or a panic says
/// it, the same contract or panic at the same place.
#[must_use]
pub fn fails_alike(first: &Violation, second: &Violation) -> bool {
    let same = first.property == second.property;
    let by_place = matches!(first.property, Property::Contract | Property::Panic);
    same && (!by_place || shape(first, SHAPE_LETTERS) == shape(second, SHAPE_LETTERS))
}

/// How a violation is told, without what differs from run to run.
fn shape(violation: &Violation, letters_max: usize) -> String {
    let letters = violation.story.chars().filter(|letter| !letter.is_ascii_digit());
    letters.take(letters_max).collect()
}

/// Enough to see that a story is another one.
const TOLD_LETTERS: usize = 24;

/// Enough for the place in the source and the name of a contract.
const SHAPE_LETTERS: usize = 120;

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, events, messages, faults, requests, lasted_us } = self;
        write!(
            f,
            "{}, {events} events, {messages} messages, {}, clients acted {requests} times (a \
             burst is once), {}.{:03} ms",
            counted(*nodes, "member"),
            counted(*faults, "fault"),
            lasted_us / 1_000,
            lasted_us % 1_000
        )
    }
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { violation, first, before, after, runs, cut_short, plan } = self;
        let rows = [
            ("members", before.nodes, after.nodes),
            ("events", before.events, after.events),
            ("messages", before.messages, after.messages),
            ("faults", before.faults, after.faults),
            ("actions of clients", before.requests, after.requests),
            ("microseconds", before.lasted_us, after.lasted_us),
        ];
        writeln!(f, "{:<16}{:>12}{:>12}", "", "before", "after")?;
        for (name, before, after) in rows {
            writeln!(f, "{name:<16}{before:>12}{after:>12}")?;
        }
        let end = if *cut_short { ", where the budget ended it" } else { "" };
        writeln!(f, "{runs} runs{end}\n\nfails with: {violation}")?;
        if shape(violation, TOLD_LETTERS) != shape(first, TOLD_LETTERS) {
            writeln!(f, "the first run broke the same property otherwise: {first}")?;
        }
        if let Some(dice) = plan.get("dice") {
            writeln!(f, "a run of the same kind with other chances (dice {dice}) was smaller")?;
        }
        write!(f, "\n{plan}")
    }
}

impl fmt::Display for Passes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the run passes: there is nothing to shrink")
    }
}

impl std::error::Error for Passes {}
