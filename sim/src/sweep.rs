//! Many seeds: run on a few threads, each seed for itself, and sum up.

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::options::Options;
use crate::swarm::{self, Report};
use crate::trace::Lines;
use crate::violation::Violation;

/// What to run.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Which seeds.
    pub seeds: Range<u64>,
    /// So many members, instead of what each seed draws.
    pub nodes: Option<usize>,
    /// Faults for so long, instead of what each seed draws.
    pub faults_for: Option<Duration>,
    /// Threads.
    pub jobs: usize,
    /// Whether to begin no more seeds once one has failed.
    pub fail_fast: bool,
}

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failure {
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
    /// Messages sent.
    pub sent: u64,
    /// Messages lost.
    pub lost: u64,
    /// Messages that came twice, or once more long after.
    pub doubled: u64,
    /// Messages damaged.
    pub damaged: u64,
}

impl Sweep {
    /// Runs the seeds. `progress` is called after each with the number of seeds done and failed,
    /// and with its failure if it was one.
    #[must_use]
    pub fn run(&self, progress: &(dyn Fn(u64, u64, Option<&Failure>) + Sync)) -> Summary {
        let next = AtomicU64::new(self.seeds.start);
        let summary = Mutex::new(Summary::default());
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.seeds.end {
                            return;
                        }
                        let report = self.seed(seed);
                        let mut summary = lock(&summary);
                        let before = summary.failures.len();
                        summary.add(report);
                        let failed = summary.failures.len() as u64;
                        if self.fail_fast && failed > 0 {
                            next.store(self.seeds.end, Ordering::Relaxed);
                        }
                        let failure = summary.failures.get(before);
                        progress(summary.passed + failed, failed, failure);
                    }
                });
            }
        });
        let mut summary = lock(&summary).clone();
        summary.failures.sort_by_key(|failure| failure.options.seed);
        summary
    }

    fn seed(&self, seed: u64) -> Report {
        let options = Options::draw(seed, self.nodes, self.faults_for);
        swarm::run_caught(options, Lines::None)
    }
}

impl Summary {
    fn add(&mut self, report: Report) {
        self.happenings += report.stats.happenings;
        self.simulated_nanos += u128::from(report.lasted.0);
        self.applied += report.applied;
        self.chosen += report.chosen.0;
        self.rejected += report.stats.rejected;
        self.leaders += report.stats.leaders;
        self.crashes += report.stats.crashes;
        self.sent += report.network.sent;
        self.lost += report.network.lost;
        self.doubled += report.network.doubled;
        self.damaged += report.network.damaged;
        for (sum, count) in self.outcomes.iter_mut().zip(report.stats.outcomes) {
            *sum += count;
        }
        match report.violation {
            None => self.passed += 1,
            Some(violation) => {
                self.failures.push(Failure { options: report.options, violation });
            }
        }
    }
}

fn lock(summary: &Mutex<Summary>) -> std::sync::MutexGuard<'_, Summary> {
    summary.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds = self.passed + self.failures.len() as u64;
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
        writeln!(f, "leaderships       {:>12}", self.leaders)?;
        writeln!(f, "crashes           {:>12}", self.crashes)?;
        write!(
            f,
            "messages          {:>12} sent, {} lost, {} doubled, {} damaged",
            self.sent, self.lost, self.doubled, self.damaged
        )
    }
}

/// The contracts of the core: how often each was evaluated, and how often put to the test.
#[must_use]
pub fn contracts() -> String {
    let mut table = format!("{:<24}{:>14}{:>14}\n", "contract", "evaluated", "premise true");
    for tally in synod_core::contracts::report() {
        let name = tally.contract.name();
        table += &format!("{name:<24}{:>14}{:>14}\n", tally.evaluated, tally.tested);
    }
    let untested = synod_core::contracts::report().filter(|tally| tally.tested == 0);
    let names: Vec<&str> = untested.map(|tally| tally.contract.name()).collect();
    if names.is_empty() {
        return table + "every contract was put to the test\n";
    }
    table + &format!("never put to the test: {}\n", names.join(", "))
}

/// Says how a sweep goes, at most so often.
#[derive(Debug)]
pub struct Pace {
    start: Instant,
    every: Duration,
    said: Mutex<Instant>,
}

impl Pace {
    /// Speaks every so often.
    #[must_use]
    pub fn every(every: Duration) -> Self {
        let start = Instant::now();
        Self { start, every, said: Mutex::new(start) }
    }

    /// The time since the start, when it is time to speak.
    pub fn due(&self) -> Option<Duration> {
        let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (said.elapsed() >= self.every).then(|| {
            *said = Instant::now();
            self.start.elapsed()
        })
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}
