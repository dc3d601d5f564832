//! Many seeds: run on a few threads, each seed for itself, and sum up.

use std::fmt;
use std::fs;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::app::Tally;
use crate::coverage::Coverage;
use crate::meter::Shares;
use crate::mischief::{Cause, Strikes};
use crate::options::Options;
use crate::plan::Plan;
use crate::swarm::{self, Report};
use crate::trace::Lines;
use crate::violation::Violation;

/// What to run.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// How much.
    pub goal: Goal,
    /// What differs from what each seed draws. Its own seed does not count.
    pub plan: Plan,
    /// Threads.
    pub jobs: usize,
    /// Whether to begin no more seeds once one has failed.
    pub fail_fast: bool,
}

/// How much to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Goal {
    /// These seeds.
    Seeds(Range<u64>),
    /// For so long. How many seeds that is depends on the machine; what each of them does, not.
    Time {
        /// The first seed.
        from: u64,
        /// How long, in real time.
        lasts: Duration,
    },
}

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What to run to see it again.
    pub plan: Plan,
    /// The kind of run.
    pub options: Options,
    /// What went wrong.
    pub violation: Violation,
}

/// The sum of many runs.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Runs that passed.
    pub passed: u64,
    /// Runs that did not, in the order of seeds.
    pub failures: Vec<Failure>,
    /// Things that happened.
    pub happenings: u64,
    /// Simulated time, in nanoseconds.
    pub simulated_nanos: u128,
    /// Requests applied.
    pub applied: u64,
    /// Slots chosen.
    pub chosen: u64,
    /// Outcomes: applied, refused, unknown.
    pub outcomes: [u64; 3],
    /// Submits not taken.
    pub rejected: u64,
    /// Times that a replica became leader.
    pub leaders: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Counts of the judges of client histories.
    pub tally: Tally,
    /// Messages sent.
    pub sent: u64,
    /// Messages lost.
    pub lost: u64,
    /// Messages that came twice, or once more long after.
    pub doubled: u64,
    /// Messages damaged.
    pub damaged: u64,
    /// Faults that were drawn, by cause: some are withheld, and some find nothing to do.
    pub struck: Strikes,
    /// Faults that happened, by cause.
    pub happened: Strikes,
    /// Which of them happened in which phase of the cluster.
    pub coverage: Coverage,
    /// Where the time went, when that was measured.
    pub shares: Shares,
    /// The time of processors that it took, over all threads, where the system tells.
    pub busy: Duration,
}

impl Sweep {
    /// Runs the seeds. `progress` is called after each with the number of seeds done and failed,
    /// and with its failure if it was one.
    #[must_use]
    pub fn run(&self, progress: &(dyn Fn(u64, u64, Option<&Failure>) + Sync)) -> Summary {
        let start = Instant::now();
        let (from, end, lasts) = match &self.goal {
            Goal::Seeds(seeds) => (seeds.start, seeds.end, Duration::MAX),
            Goal::Time { from, lasts } => (*from, u64::MAX, *lasts),
        };
        let next = AtomicU64::new(from);
        let enough = AtomicBool::new(false);
        let summary = Mutex::new(Summary::default());
        let work = || {
            let busy_before = busy();
            while !enough.load(Ordering::Relaxed) && start.elapsed() < lasts {
                let Some(seed) = take_seed(&next, || end) else { break };
                let mut plan = self.plan.clone();
                plan.seed = seed;
                let report = swarm::run_caught(plan.options(), Lines::None);
                let mut summary = lock(&summary);
                let before = summary.failures.len();
                summary.add(plan, report);
                let failed = summary.failures.len() as u64;
                if self.fail_fast && failed > 0 {
                    enough.store(true, Ordering::Relaxed);
                }
                progress(summary.passed + failed, failed, summary.failures.get(before));
            }
            lock(&summary).busy += busy().saturating_sub(busy_before);
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(work);
            }
        });
        let mut summary = lock(&summary).clone();
        summary.failures.sort_by_key(|failure| failure.plan.seed);
        summary
    }
}

impl Summary {
    pub(crate) fn add(&mut self, plan: Plan, report: Report) {
        self.happenings += report.stats.happenings;
        self.simulated_nanos += u128::from(report.lasted.0);
        self.applied += report.applied;
        self.chosen += report.chosen.0;
        self.rejected += report.stats.rejected;
        self.leaders += report.stats.leaders;
        self.crashes += report.stats.crashes;
        self.tally.add(report.tally);
        self.sent += report.network.sent;
        self.lost += report.network.lost;
        self.doubled += report.network.doubled;
        self.damaged += report.network.damaged;
        self.struck = self.struck.and(&report.struck);
        self.happened = self.happened.and(&report.happened);
        self.coverage.add(&report.coverage);
        self.shares.add(&report.shares);
        for (sum, count) in self.outcomes.iter_mut().zip(report.stats.outcomes) {
            *sum += count;
        }
        match report.violation {
            None => self.passed += 1,
            Some(violation) => {
                self.failures.push(Failure { plan, options: report.options, violation });
            }
        }
    }
}

/// How fast a sweep was.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Runs a minute.
    pub seeds_a_minute: f64,
    /// Events a second, over all threads.
    pub events_a_second: f64,
    /// Events in a second of one core, where the system tells how busy it was.
    pub events_of_a_core: Option<f64>,
    /// Simulated seconds in a second.
    pub ratio: f64,
    /// The most memory that the process ever held, in bytes, where the system tells.
    pub memory_bytes: Option<u64>,
    /// How long it took.
    pub took: Duration,
}

impl Summary {
    /// Runs done.
    #[must_use]
    pub fn seeds(&self) -> u64 {
        self.passed + self.failures.len() as u64
    }

    /// How fast it was, if it took so long.
    #[must_use]
    pub fn speed(&self, took: Duration) -> Speed {
        let seconds = took.as_secs_f64().max(1e-9);
        let busy = self.busy.as_secs_f64();
        Speed {
            seeds_a_minute: self.seeds() as f64 * 60.0 / seconds,
            events_a_second: self.happenings as f64 / seconds,
            events_of_a_core: (busy > 0.0).then(|| self.happenings as f64 / busy),
            ratio: self.simulated_nanos as f64 / 1e9 / seconds,
            memory_bytes: memory(),
            took,
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds_a_minute, events_a_second, events_of_a_core, ratio, .. } = self;
        writeln!(f, "took              {:>12.1} s", self.took.as_secs_f64())?;
        writeln!(f, "seeds a minute    {seeds_a_minute:>12.0}")?;
        writeln!(f, "events a second   {events_a_second:>12.0}")?;
        if let Some(events) = events_of_a_core {
            writeln!(f, "  of one core     {events:>12.0}")?;
        }
        if let Some(bytes) = self.memory_bytes {
            writeln!(f, "memory at most    {:>12.1} MB", bytes as f64 / 1e6)?;
        }
        write!(f, "simulated time    {ratio:>12.1} times as fast as it passes")
    }
}

/// The next seed below `end`, if there is one: the largest number is no seed of a range, and so
/// nothing lies behind the last.
pub(crate) fn take_seed(next: &AtomicU64, end: impl Fn() -> u64) -> Option<u64> {
    let after = |seed: u64| if seed < end() { seed.checked_add(1) } else { None };
    next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).ok()
}

/// How long this thread has been on a processor.
fn busy() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// The most memory that this process ever held.
fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn lock(summary: &Mutex<Summary>) -> std::sync::MutexGuard<'_, Summary> {
    summary.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds = self.seeds();
        let hours = self.simulated_nanos as f64 / 3.6e12;
        let [applied, refused, unknown] = self.outcomes;
        writeln!(f, "seeds             {seeds:>12}")?;
        writeln!(f, "events            {:>12}", self.happenings)?;
        writeln!(f, "simulated hours   {hours:>12.1}")?;
        writeln!(f, "slots chosen      {:>12}", self.chosen)?;
        writeln!(f, "commands applied  {:>12}", self.applied)?;
        writeln!(
            f,
            "outcomes          {applied:>12} applied, {refused} refused, {unknown} unknown"
        )?;
        writeln!(f, "submits rejected  {:>12}", self.rejected)?;
        writeln!(f, "{}", self.tally)?;
        writeln!(f, "leaderships       {:>12}", self.leaders)?;
        writeln!(f, "crashes           {:>12}", self.crashes)?;
        write!(
            f,
            "messages          {:>12} sent, {} lost, {} doubled, {} damaged",
            self.sent, self.lost, self.doubled, self.damaged
        )?;
        if !self.shares.is_empty() {
            write!(f, "\ntime goes to      {}", self.shares)?;
        }
        write!(f, "\nfaults           ")?;
        for cause in Cause::all().filter(|cause| !matches!(cause, Cause::Burst | Cause::Ask)) {
            let (happened, drawn) = (self.happened.of(cause), self.struck.of(cause));
            write!(f, " {cause} {happened}")?;
            if happened < drawn {
                write!(f, " of {drawn} drawn")?;
            }
        }
        Ok(())
    }
}

/// The contracts of the core that were never put to the test in this process.
#[must_use]
pub fn untested() -> Vec<&'static str> {
    let untested = synod_core::contracts::report().filter(|tally| tally.tested == 0);
    untested.map(|tally| tally.contract.name()).collect()
}

/// A sweep of so many seeds puts every contract to the test, or something is wrong with it.
pub const SEEDS_FOR_CONTRACTS: u64 = 1_000;

/// The contracts of the core: how often each was evaluated, and how often its premise was true,
/// so that it was put to the test.
#[must_use]
pub fn contracts() -> String {
    let mut table = format!("{:<24}{:>14}{:>14}\n", "contract", "evaluated", "premise true");
    for tally in synod_core::contracts::report() {
        table += &contract_line(tally.contract.name(), tally.evaluated, tally.tested);
    }
    table += "always: it has no premise of its own, or one that was true each time\n";
    let names = untested();
    if names.is_empty() {
        return table + "every contract was put to the test\n";
    }
    table + &format!("never put to the test: {}\n", names.join(", "))
}

fn contract_line(name: &str, evaluated: u64, tested: u64) -> String {
    let premise = match tested {
        tested if evaluated > 0 && tested == evaluated => "always".to_owned(),
        tested => tested.to_string(),
    };
    format!("{name:<24}{evaluated:>14}{premise:>14}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contract_without_a_premise_shows_no_count_of_it() {
        let words = |evaluated, tested| {
            let line = contract_line("R0Any", evaluated, tested);
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(words(7, 7), ["R0Any", "7", "always"]);
        assert_eq!(words(7, 6), ["R0Any", "7", "6"]);
        assert_eq!(words(0, 0), ["R0Any", "0", "0"]);
    }

    #[test]
    fn nothing_lies_behind_the_last_seed() {
        let next = AtomicU64::new(u64::MAX - 2);
        let taken: Vec<_> = (0..4).map(|_| take_seed(&next, || u64::MAX)).collect();
        assert_eq!(taken, [Some(u64::MAX - 2), Some(u64::MAX - 1), None, None]);
        assert_eq!(next.load(Ordering::Relaxed), u64::MAX);
    }

    #[test]
    fn a_sweep_of_the_last_seeds_ends() {
        let mut plan = Plan::default();
        plan.set("faults_for_us", 10_000).expect("a short run");
        let from = u64::MAX - 2;
        for goal in
            [Goal::Seeds(from..u64::MAX), Goal::Time { from, lasts: Duration::from_secs(3_600) }]
        {
            let sweep = Sweep { goal, plan: plan.clone(), jobs: 2, fail_fast: false };
            assert_eq!(sweep.run(&|_, _, _| {}).seeds(), 2);
        }
    }
}
