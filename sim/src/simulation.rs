//! Simulations of your own state machine, in a plain `#[test]`.
//!
//! ```
//! use synod_core::service::{At, StateMachine};
//! use synod_sim::simulation::Simulation;
//!
//! #[derive(Default)]
//! struct Counter(u64);
//!
//! impl StateMachine for Counter {
//!     type Reply = u64;
//!
//!     fn apply(&mut self, _at: At, request: &[u8]) -> u64 {
//!         self.0 += request.len() as u64;
//!         self.0
//!     }
//!
//!     fn digest(&self) -> u64 {
//!         self.0
//!     }
//! }
//!
//! Simulation::new(Counter::default)
//!     .operations(|chance| vec![b'+'; chance.within(1, 9) as usize])
//!     .invariant("the counter stays small", |counter: &Counter| {
//!         if counter.0 < 1_000_000 { Ok(()) } else { Err(format!("it is {}", counter.0)) }
//!     })
//!     .seeds(0..5)
//!     .run();
//! ```
//!
//! Each seed is a run of its own kind: members, limits, timeouts, network, disks, clocks, faults
//! and clients are drawn from it. All checkers of the simulator run; the log is replayed on a
//! fresh machine in the end, which must explain every reply that a client heard; replicas that
//! applied the same must have the same digest; and your invariants are asked after every decree,
//! on every replica.
//!
//! A failure panics with its story, the smallest run found that fails in the same way, and the
//! commands that run it again: `SYNOD_SIM_SEED=17 cargo test name_of_the_test` for the seed,
//! `SYNOD_SIM_PLAN=FILE` for the smallest run. `SYNOD_SIM_SEEDS=0..100000` runs these seeds instead
//! of those in the code, say at night. `SYNOD_SIM_TRACE=1` prints every event.

mod crowd;
mod failure;

use std::env;
use std::io::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use synod_core::service::{ServiceLimits, StateMachine};

use crate::app::Tag;
use crate::machine::{Recipe, Reply};
use crate::options::Options;
use crate::plan::Plan;
use crate::prng::Prng;
use crate::swarm::{self, Report, Watch};
use crate::sweep::{Summary, take_seed};
use crate::trace::Lines;

use crowd::{Cast, Play};
pub use failure::Failure;

/// A client: it chooses operations, and hears what became of each before it chooses the next.
///
/// It may hold on to what it heard, and so read, then write. An assertion in it that fails is a
/// failure of the simulation.
pub trait Client<R> {
    /// The next operation; `None` when it is done for good.
    fn next(&mut self, chance: &mut Prng) -> Option<Vec<u8>>;

    /// What became of the last one.
    fn hear(&mut self, _told: Told<'_, R>) {}
}

/// What a client hears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told<'r, R> {
    /// It was applied, with this reply.
    Applied(&'r R),
    /// It was not applied, and will not be.
    Refused,
    /// It may have been applied, or may be later: the client stopped waiting, or was told so.
    Unknown,
}

/// A state machine, its clients, and what must hold.
pub struct Simulation<M: StateMachine> {
    recipe: Recipe<M>,
    cast: Cast<M::Reply>,
    changes: Vec<Change>,
    seeds: Range<u64>,
    faults_for: Duration,
    operation_bytes_max: usize,
    jobs: usize,
    shrink_for: Duration,
}

/// Something that changes the options of a run.
type Change = Box<dyn Fn(&mut Options) + Send + Sync>;

impl<M> Simulation<M>
where
    M: StateMachine + 'static,
    M::Reply: Reply,
{
    /// A simulation of the state machine that `fresh` makes: empty, and the same every time.
    #[must_use]
    pub fn new(fresh: impl Fn() -> M + Send + Sync + 'static) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            recipe: Recipe::new(fresh),
            cast: Cast::default(),
            changes: Vec::new(),
            seeds: 0..100,
            faults_for: Duration::from_secs(3),
            operation_bytes_max: 256,
            jobs: cores.min(8),
            shrink_for: Duration::from_secs(10),
        }
    }

    /// The operations that clients ask for, one after the other and many at once.
    #[must_use]
    pub fn operations(
        mut self,
        choose: impl Fn(&mut Prng) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        self.cast.choose = Some(Arc::new(choose));
        self
    }

    /// So many clients that wait for each reply; `make` is called with the number of each.
    #[must_use]
    pub fn clients<C>(
        mut self,
        count: usize,
        make: impl Fn(usize) -> C + Send + Sync + 'static,
    ) -> Self
    where
        C: Client<M::Reply> + 'static,
    {
        self.cast.clients = Some((count, Arc::new(move |number| Box::new(make(number)))));
        self
    }

    /// Shows operations so, in stories and pictures. Otherwise they are shown as bytes.
    #[must_use]
    pub fn show(mut self, operation: impl Fn(&[u8]) -> String + Send + Sync + 'static) -> Self {
        self.recipe = self.recipe.show(operation);
        self
    }

    /// Shows replies so. Otherwise they are shown with `Debug`.
    #[must_use]
    pub fn show_replies(
        mut self,
        reply: impl Fn(&M::Reply) -> String + Send + Sync + 'static,
    ) -> Self {
        self.recipe = self.recipe.show_replies(reply);
        self
    }

    /// What must hold of the state after every decree, on every replica.
    #[must_use]
    pub fn invariant(
        mut self,
        name: &str,
        holds: impl Fn(&M) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.recipe = self.recipe.invariant(name, holds);
        self
    }

    /// The state machine keeps its state on disk by itself. In some runs, then, what `save` gives
    /// after each decree survives a crash, `load` makes the machine of the next run of the replica
    /// out of it, and [`StateMachine::applied`] of that machine says where it is. In the others,
    /// as without this, a replica begins anew and applies its log again.
    #[must_use]
    pub fn durable(
        mut self,
        save: impl Fn(&M) -> Vec<u8> + Send + Sync + 'static,
        load: impl Fn(&[u8]) -> M + Send + Sync + 'static,
    ) -> Self {
        self.recipe = self.recipe.durable(save, load);
        self
    }

    /// Changes what a seed draws, such as `|options| options.disk = DiskOptions::default()`.
    #[must_use]
    pub fn options(mut self, change: impl Fn(&mut Options) + Send + Sync + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Runs these seeds. By default the first hundred.
    #[must_use]
    pub const fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// Faults last for so long in each run, in simulated time. By default three seconds.
    #[must_use]
    pub const fn faults_for(mut self, duration: Duration) -> Self {
        self.faults_for = duration;
        self
    }

    /// The longest operation. By default 256 bytes.
    #[must_use]
    pub const fn operation_bytes_max(mut self, bytes: usize) -> Self {
        self.operation_bytes_max = bytes;
        self
    }

    /// Runs on so many threads. By default as many as there are cores, but no more than eight.
    #[must_use]
    pub const fn jobs(mut self, threads: usize) -> Self {
        self.jobs = threads;
        self
    }

    /// Looks for a smaller run that fails in the same way for so long, in real time. By default
    /// ten seconds; zero for not at all.
    #[must_use]
    pub const fn shrink_for(mut self, duration: Duration) -> Self {
        self.shrink_for = duration;
        self
    }

    /// Runs all seeds, and prints what happened in them.
    ///
    /// # Panics
    /// When one fails, with its story.
    pub fn run(self) {
        match self.check() {
            Ok(summary) => println!("{summary}"),
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Runs all seeds, and says what happened in them.
    ///
    /// # Errors
    /// The lowest seed that failed.
    ///
    /// # Panics
    /// When there are no operations, or when `SYNOD_SIM_SEED`, `SYNOD_SIM_SEEDS` or
    /// `SYNOD_SIM_PLAN` is set and makes no sense.
    pub fn check(mut self) -> Result<Summary, Box<Failure>> {
        assert!(!self.cast.is_empty(), "nobody does anything: say `operations` or `clients`");
        self.cast.operation_bytes_max = self.operation_bytes_max;
        let recipe = Arc::new(self.recipe);
        let stage = Stage {
            recipe: &recipe,
            cast: &self.cast,
            changes: &self.changes,
            request_bytes: self.operation_bytes_max + Tag::LEN,
        };
        let plan = |seed| plan(seed, self.faults_for);
        if let Some((path, plan)) = named_plan() {
            let report = stage.run(plan.options(), lines(), &mut |_| true);
            if report.violation.is_none() {
                // Past what tests capture: whoever names a plan asks what becomes of it.
                let _ = writeln!(std::io::stderr(), "the run of {path} passes");
            }
            return told(&stage, Summary::default(), Some((plan, report)), Duration::ZERO);
        }
        let seeds = named_seeds().unwrap_or(self.seeds);
        let (next, end) = (AtomicU64::new(seeds.start), AtomicU64::new(seeds.end));
        let sum = Mutex::new((Summary::default(), None::<(Plan, Report)>));
        let work = || loop {
            let Some(seed) = take_seed(&next, || end.load(Ordering::Relaxed)) else { return };
            let plan = plan(seed);
            let report = stage.run(plan.options(), lines(), &mut |_| true);
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            if report.violation.is_none() {
                sum.0.add(plan, report);
                continue;
            }
            // Those below it still run, so that the lowest that fails is found.
            end.fetch_min(seed, Ordering::Relaxed);
            if sum.1.as_ref().is_none_or(|(first, _)| seed < first.seed) {
                sum.1 = Some((plan, report));
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(work);
            }
        });
        let (summary, failed) = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
        told(&stage, summary, failed, self.shrink_for)
    }
}

/// What a simulation comes to.
fn told<M>(
    stage: &Stage<'_, M>,
    mut summary: Summary,
    last: Option<(Plan, Report)>,
    shrink_for: Duration,
) -> Result<Summary, Box<Failure>>
where
    M: StateMachine + 'static,
    M::Reply: Reply,
{
    let Some((plan, report)) = last else { return Ok(summary) };
    let Some(violation) = report.violation.clone() else {
        summary.add(plan, report);
        return Ok(summary);
    };
    let run = |options: Options, lines: Lines, watch: Watch<'_>| stage.run(options, lines, watch);
    // The machine, its clients and its operations are the user's: do they follow the seed alone?
    let repeats = run(plan.options(), Lines::None, &mut |_| true).hash == report.hash;
    let failure = Failure::of(&plan, violation, &run, shrink_for);
    Err(Box::new(Failure { repeats, ..failure }))
}

/// The plan of a seed.
fn plan(seed: u64, faults_for: Duration) -> Plan {
    let mut plan = Plan::of(seed);
    let micros = u64::try_from(faults_for.as_micros()).unwrap_or(u64::MAX);
    plan.set("faults_for_us", micros).expect("faults for at most an hour");
    plan
}

/// What every run of a simulation is made of.
struct Stage<'s, M: StateMachine> {
    recipe: &'s Arc<Recipe<M>>,
    cast: &'s Cast<M::Reply>,
    changes: &'s [Change],
    request_bytes: usize,
}

impl<M> Stage<'_, M>
where
    M: StateMachine + 'static,
    M::Reply: Reply,
{
    fn run(&self, mut options: Options, lines: Lines, watch: Watch<'_>) -> Report {
        make_room(&mut options, self.request_bytes);
        for change in self.changes {
            change(&mut options);
        }
        let app = Play { recipe: self.recipe, cast: self.cast };
        swarm::run_application(options, lines, &app, watch)
    }
}

/// Raises the limits so far that requests of this length are taken.
fn make_room(options: &mut Options, request_bytes: usize) {
    let Options { limits, service, .. } = options;
    let decree_bytes = request_bytes + ServiceLimits::OVERHEAD_BYTES;
    limits.decree_bytes_max = limits.decree_bytes_max.max(decree_bytes);
    service.request_bytes_max = service.request_bytes_max.max(request_bytes);
    service.pending_bytes_max = service.pending_bytes_max.max(service.request_bytes_max);
    service.forward_bytes_max = service.forward_bytes_max.max(decree_bytes);
}

/// The plan that the environment names.
fn named_plan() -> Option<(String, Plan)> {
    let path = env::var("SYNOD_SIM_PLAN").ok()?;
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let plan = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
    Some((path, plan))
}

/// The seeds that the environment names.
fn named_seeds() -> Option<Range<u64>> {
    if let Ok(seed) = env::var("SYNOD_SIM_SEED") {
        let seed: u64 = seed.parse().expect("SYNOD_SIM_SEED is a number");
        let end = seed.checked_add(1).expect("SYNOD_SIM_SEED is below 18446744073709551615");
        return Some(seed..end);
    }
    let seeds = env::var("SYNOD_SIM_SEEDS").ok()?;
    let parse = |(from, end): (&str, &str)| Some(from.parse().ok()?..end.parse().ok()?);
    let range = seeds.split_once("..").and_then(parse);
    Some(range.expect("SYNOD_SIM_SEEDS is a range such as 0..1000"))
}

/// Whether events are printed as they happen.
fn lines() -> Lines {
    if env::var_os("SYNOD_SIM_TRACE").is_some() { Lines::Print } else { Lines::None }
}
