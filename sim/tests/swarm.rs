//! The swarm under `cargo test`: a few hundred seeds, the seeds that once found something, and
//! that a seed is one run.

use std::time::Duration;

use synod_sim::Options;
use synod_sim::mischief::Cause;
use synod_sim::plan::Plan;
use synod_sim::swarm;
use synod_sim::sweep::{Goal, Sweep};
use synod_sim::trace::Lines;

#[test]
fn no_seed_of_a_small_sweep_fails() {
    let mut plan = Plan::default();
    plan.set("faults_for_us", 3_000_000).expect("a setting");
    let sweep = Sweep { goal: Goal::Seeds(0..200), plan, jobs: 2, fail_fast: false };
    let summary = sweep.run(&|_, _, _| {});
    let failures: Vec<String> = summary
        .failures
        .iter()
        .map(|failure| format!("{}\n{}", failure.options, failure.violation))
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(summary.passed, 200);
    // Every reply is replayed, nearly every one is of a history that was searched for an order, and
    // hardly any search gives up.
    let tally = summary.tally;
    assert_eq!(tally.replayed, summary.applied);
    assert!(tally.ended * 10 > summary.outcomes[0] * 9, "{summary}");
    assert!(tally.ordered > 1_000 && tally.undecided * 100 < tally.ordered, "{summary}");
    // A sweep in which nothing happens would pass too.
    assert!(summary.applied > 5_000, "{summary}");
    assert!(summary.crashes > 200, "{summary}");
    assert!(summary.lost > 10_000, "{summary}");
    assert!(summary.outcomes.iter().all(|count| *count > 100), "{summary}");
}

#[test]
fn seeds_that_once_found_something_pass() {
    let kept = include_str!("../seeds.txt");
    let lines = kept.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    for line in lines {
        let (seed, story) = line.split_once(' ').expect("a seed and its story");
        let options = Options::draw(seed.parse().expect("a number"), None, None);
        let violation = swarm::run_caught(options.clone(), Lines::None).violation;
        assert_eq!(violation, None, "seed {seed} ({story})\n{options}");
    }
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    for seed in 0..20 {
        let faults_for = Some(Duration::from_secs(2));
        let run = || swarm::run(Options::draw(seed, None, faults_for), Lines::Keep);
        let (first, second) = (run(), run());
        let differs = first.events.iter().zip(&second.events).find(|(left, right)| left != right);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.stats, second.stats, "seed {seed}");
        let traceless = swarm::run(Options::draw(seed, None, faults_for), Lines::None);
        assert_eq!(first.hash, traceless.hash, "keeping the trace of seed {seed} changes the run");
    }
}

#[test]
fn a_fault_withheld_does_not_happen() {
    let options = || {
        let mut options = Options::draw(6, Some(3), Some(Duration::from_secs(2)));
        options.network.loss_ppm = 50_000;
        options.network.double_ppm = 50_000;
        options.network.damage_ppm = 50_000;
        options.process.die_at_action_ppm = 10_000;
        options
    };
    let plain = swarm::run(options(), Lines::None);
    for cause in [Cause::Loss, Cause::Double, Cause::Damage, Cause::Death, Cause::Burst] {
        assert!(plain.struck.of(cause) > 0, "no {cause} in {plain}");
    }
    let mut calm = options();
    for cause in Cause::all() {
        calm.withheld.add(cause, 0..u64::MAX);
    }
    let calm = swarm::run(calm, Lines::None);
    assert_eq!(calm.violation, None);
    assert_eq!((calm.network.doubled, calm.network.damaged, calm.stats.crashes), (0, 0, 0));
    assert!(calm.applied <= 3, "there is no client but the last requests: {calm}");

    // A number beyond all that strike changes nothing.
    let mut same = options();
    same.withheld.add(Cause::Loss, plain.struck.of(Cause::Loss)..u64::MAX);
    assert_eq!(swarm::run(same, Lines::None).hash, plain.hash);
}

#[test]
fn a_sweep_of_some_time_ends() {
    let goal = Goal::Time { from: 5_000, lasts: Duration::from_millis(300) };
    let mut plan = Plan::default();
    plan.set("faults_for_us", 100_000).expect("a setting");
    let summary = Sweep { goal, plan, jobs: 2, fail_fast: true }.run(&|_, _, _| {});
    assert!(summary.seeds() > 0, "{summary}");
    let speed = summary.speed(Duration::from_secs(2));
    assert!((speed.events_a_second * 2.0 - summary.happenings as f64).abs() < 1.0, "{speed}");
}
