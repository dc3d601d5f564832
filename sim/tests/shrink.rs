//! Shrinking, on an application with a planted bug: its machines forget everything in a restart
//! but say that they kept it.

use std::sync::Arc;
use std::time::Duration;

use synod_core::service::{At, StateMachine};
use synod_core::{Ballot, NodeId, Slot};
use synod_sim::app::{Application, Chooser, Crowd};
use synod_sim::machine::{Machine, Recipe};
use synod_sim::mischief::Cause;
use synod_sim::plan::Plan;
use synod_sim::prng::Prng;
use synod_sim::shrink::{self, Budget, Shrunk};
use synod_sim::story;
use synod_sim::swarm::{self, Report, Watch};
use synod_sim::trace::Lines;
use synod_sim::{Options, Property};

/// Counts the bytes of all requests.
#[derive(Clone, Debug, Default)]
struct Counter {
    count: u64,
    at: Option<At>,
}

impl StateMachine for Counter {
    type Reply = u64;

    fn apply(&mut self, _at: At, request: &[u8]) -> u64 {
        self.count += request.len() as u64;
        self.count
    }

    fn after_decree(&mut self, at: At) {
        self.at = Some(at);
    }

    fn applied(&self) -> Option<At> {
        self.at
    }

    fn digest(&self) -> u64 {
        self.count
    }
}

fn save(counter: &Counter) -> Vec<u8> {
    let Counter { count, at: Some(at) } = counter else { return Vec::new() };
    let words = [*count, at.slot.0, at.ballot.round, at.ballot.node.0];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn load(bytes: &[u8], forgets: bool) -> Counter {
    let mut words = bytes.chunks_exact(8).map(|word| word.try_into().map(u64::from_le_bytes));
    let mut next = || words.next().and_then(Result::ok);
    let (Some(count), Some(slot), Some(round), Some(node)) = (next(), next(), next(), next())
    else {
        return Counter::default();
    };
    let at = At { slot: Slot(slot), ballot: Ballot { round, node: NodeId(node) } };
    Counter { count: if forgets { 0 } else { count }, at: Some(at) }
}

/// Loads what it saved, or forgets it.
struct Counting {
    forgets: bool,
}

impl Application for Counting {
    fn machine(&self, durable: bool) -> Machine {
        let forgets = self.forgets;
        let recipe = Recipe::new(Counter::default);
        let recipe = recipe.durable(save, move |bytes| load(bytes, forgets));
        Machine::new(&Arc::new(recipe), durable)
    }

    fn crowd(&self, _options: &Options) -> Box<dyn Crowd> {
        Box::new(Callers)
    }
}

struct Callers;

impl Crowd for Callers {
    fn choose(&mut self, _chooser: Chooser, chance: &mut Prng) -> Option<Vec<u8>> {
        Some(vec![b'c'; chance.within(1, 8) as usize])
    }
}

fn run(forgets: bool, options: Options, lines: Lines, watch: Watch<'_>) -> Report {
    swarm::run_application(options, lines, &Counting { forgets }, watch)
}

/// The first plan whose run fails, of those with durable machines.
fn failing() -> Plan {
    let plans = (0..200).map(|seed| {
        let mut plan = Plan::of(seed);
        plan.set("durable_machines", 1).expect("a setting");
        plan.set("faults_for_us", 3_000_000).expect("a setting");
        plan
    });
    let fails = |plan: &Plan| {
        let sound = run(false, plan.options(), Lines::None, &mut |_| true);
        assert_eq!(sound.violation, None, "without the bug\n{plan}");
        run(true, plan.options(), Lines::None, &mut |_| true).violation.is_some()
    };
    plans.into_iter().find(fails).expect("a seed that finds the bug")
}

fn shrunk(plan: &Plan) -> Shrunk {
    let budget = Budget { runs: 1_500, lasts: Duration::from_secs(600) };
    let runner =
        |options: Options, lines: Lines, watch: Watch<'_>| run(true, options, lines, watch);
    shrink::shrink_with(plan, budget, &runner, &mut |_, _| {}).expect("it fails")
}

#[test]
fn a_failing_run_becomes_small_and_still_fails_in_the_same_way() {
    let plan = failing();
    let small = shrunk(&plan);
    let Shrunk { before, after, .. } = small;
    assert!(after.events * 10 < before.events, "{small}");
    assert!(after.faults <= 5 && after.requests <= 5 && after.nodes <= 3, "{small}");
    assert!(shrink::fails_alike(&small.first, &small.violation), "{small}");

    // The plan, as it is written down, is that run.
    let read: Plan = small.plan.to_string().parse().expect("a plan");
    let again = run(true, read.options(), Lines::None, &mut |_| true);
    assert_eq!(again.violation.as_ref(), Some(&small.violation));
    assert_eq!(shrink::Size::of(&again), after);
    // What the bug needs is still there, and the run is sound without the bug.
    assert!(read.options().durable_machines, "{small}");
    assert!(again.stats.crashes > 0, "{small}");
    let sound = run(false, read.options(), Lines::None, &mut |_| true);
    assert_eq!(sound.violation, None);

    // Its story is short, tells of the restart, and ends with the violation.
    let told = run(true, read.options(), Lines::Keep, &mut |_| true);
    let story = story::of(&told);
    assert!((3..=17).contains(&story.lines().len()), "{story}");
    assert!(story.to_string().contains("starts again"), "{story}");
    assert!(story.lines().last().is_some_and(|line| line.last), "{story}");
    assert!(story.lines().is_sorted_by_key(|line| line.at), "{story}");

    // Shrinking has no chance of its own.
    assert_eq!(shrunk(&plan).plan, small.plan);
}

#[test]
fn a_run_that_passes_is_not_shrunk() {
    let mut plan = Plan::of(1);
    plan.set("faults_for_us", 200_000).expect("a setting");
    plan.withheld.add(Cause::Loss, 0..u64::MAX);
    let budget = Budget { runs: 10, lasts: Duration::from_secs(60) };
    let outcome = shrink::shrink(&plan, budget, &mut |_, _| {});
    assert_eq!(outcome.expect_err("it passes"), shrink::Passes);
}

#[test]
fn other_failures_are_not_taken_for_the_same() {
    let violation = |property, story: &str| synod_sim::Violation::new(property, story);
    let contract = "panicked at core/src/replica/contracts.rs:26:9: invariant R2 broken: slot ";
    let first = violation(Property::Contract, &format!("{contract}7"));
    assert!(shrink::fails_alike(&first, &violation(Property::Contract, &format!("{contract}19"))));
    assert!(!shrink::fails_alike(&first, &violation(Property::Contract, "panicked elsewhere")));
    assert!(!shrink::fails_alike(&first, &violation(Property::Order, &format!("{contract}7"))));
    let other = violation(Property::Order, "member 1");
    assert!(shrink::fails_alike(&violation(Property::Order, "slot 3"), &other));
}
