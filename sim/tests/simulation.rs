//! Simulations of somebody's own state machine: what they find, and how they say it.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use synod_core::service::{At, StateMachine};
use synod_core::{Ballot, NodeId, Slot};
use synod_sim::simulation::Failure;
use synod_sim::sweep::Summary;
use synod_sim::{Client, Prng, Property, Simulation, Told, ms};

/// Sums up what it is given, one byte at a time.
#[derive(Clone, Debug, Default)]
struct Sum {
    sum: u64,
    at: Option<At>,
}

impl StateMachine for Sum {
    type Reply = u64;

    fn apply(&mut self, _at: At, request: &[u8]) -> u64 {
        self.sum += request.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        self.sum
    }

    fn after_decree(&mut self, at: At) {
        self.at = Some(at);
    }

    fn applied(&self) -> Option<At> {
        self.at
    }

    fn digest(&self) -> u64 {
        self.sum
    }
}

impl Sum {
    fn save(&self) -> Vec<u8> {
        let At { slot, ballot } = self.at.unwrap_or_default();
        let parts = [self.sum, slot.0, ballot.round, ballot.node.0];
        parts.iter().flat_map(|part| part.to_le_bytes()).collect()
    }

    fn load(saved: &[u8]) -> Self {
        let part = |place: usize| {
            let bytes = saved[place * 8..place * 8 + 8].try_into().expect("eight bytes");
            u64::from_le_bytes(bytes)
        };
        let ballot = Ballot { round: part(2), node: NodeId(part(3)) };
        Self { sum: part(0), at: Some(At { slot: Slot(part(1)), ballot }) }
    }
}

fn some_bytes(chance: &mut Prng) -> Vec<u8> {
    vec![1; chance.within(0, 20) as usize]
}

fn failure(checked: Result<Summary, Box<Failure>>) -> Failure {
    *checked.expect_err("a failure")
}

#[test]
fn a_sound_machine_passes_and_much_happens_to_it() {
    let simulation = Simulation::new(Sum::default).operations(some_bytes);
    let summary = simulation.durable(Sum::save, Sum::load).seeds(0..60).check();
    let summary = summary.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(summary.passed, 60);
    assert!(summary.applied > 1_000 && summary.crashes > 20 && summary.lost > 1_000, "{summary}");
    assert_eq!(summary.tally.replayed, summary.applied);
}

#[test]
fn the_last_seeds_run_and_nothing_lies_behind_them() {
    let simulation = Simulation::new(Sum::default).operations(some_bytes);
    let last = u64::MAX - 2..u64::MAX;
    let summary = simulation.seeds(last.clone()).jobs(2).faults_for(ms(10)).check();
    assert_eq!(summary.unwrap_or_else(|failure| panic!("{failure}")).passed, 2);

    // Nor does the search for a smaller run, which tries other chances, look behind them.
    let simulation = Simulation::new(Sum::default).operations(some_bytes).seeds(last);
    let never = simulation.invariant("nothing is applied", |_| Err("something is".to_owned()));
    let failure = failure(never.faults_for(ms(300)).shrink_for(ms(500)).check());
    assert_eq!(failure.small_violation.property, Property::Invariant);
}

#[test]
fn large_operations_have_room_in_every_run() {
    let simulation = Simulation::new(Sum::default).operations(|_| vec![0; 5_000]);
    let summary = simulation.operation_bytes_max(5_000).seeds(0..10).faults_for(ms(500)).check();
    assert!(summary.unwrap_or_else(|failure| panic!("{failure}")).applied > 10);

    let simulation = Simulation::new(Sum::default).operations(|_| vec![0; 5_000]);
    let failure = failure(simulation.seeds(0..1).check());
    let story = failure.violation.story;
    assert!(story.contains("operation_bytes_max(5000)"), "{story}");
}

/// Adds something that is not in the log.
struct Moody(Sum);

static MOODS: AtomicU64 = AtomicU64::new(0);

impl StateMachine for Moody {
    type Reply = u64;

    fn apply(&mut self, at: At, request: &[u8]) -> u64 {
        self.0.apply(at, request) + MOODS.fetch_add(1, Ordering::Relaxed)
    }
}

#[test]
fn a_machine_that_is_not_deterministic_is_found() {
    let simulation = Simulation::new(|| Moody(Sum::default())).operations(some_bytes);
    let failure = failure(simulation.shrink_for(ms(0)).check());
    let property = failure.violation.property;
    assert!(matches!(property, Property::Agreement | Property::Linearizable), "{failure}");
    assert!(failure.violation.story.contains("is the state machine deterministic?"), "{failure}");
    assert!(!failure.repeats, "{failure}");
    assert!(failure.to_string().contains("this seed ran differently the second time"), "{failure}");
    // What each replica replied is told, not only that replies differ.
    let named = failure.small_violation.story.split(" place ").next().expect("a place");
    let slot = named.rsplit(' ').next().expect("a slot").to_owned();
    let told = failure.to_string();
    let applied = told.lines().filter(|line| line.contains(&format!(" applies  slot {slot} r")));
    let replies: BTreeSet<&str> = applied.filter_map(|line| line.split(": ").nth(1)).collect();
    assert!(replies.len() > 1, "{told}");
    let page = std::fs::read_to_string(failure.picture_file.expect("a picture")).expect("a page");
    let story = page.split("\"story\":[").nth(1).and_then(|rest| rest.split("\"events\"").next());
    assert!(story.expect("a story").contains(&format!(" applies slot {slot} r")), "{told}");
}

/// The second run of a seed passes, as all do after the first.
struct Once(Sum);

static ONCE: AtomicU64 = AtomicU64::new(0);

impl StateMachine for Once {
    type Reply = u64;

    fn apply(&mut self, at: At, request: &[u8]) -> u64 {
        self.0.apply(at, request) + u64::from(ONCE.fetch_add(1, Ordering::Relaxed) == 0)
    }
}

#[test]
fn a_run_that_passes_the_next_time_is_not_told_as_one_that_fails() {
    let simulation = Simulation::new(|| Once(Sum::default())).operations(some_bytes).seeds(0..1);
    let failure = failure(simulation.shrink_for(ms(0)).check());
    assert!(!failure.repeats && !failure.small_fails, "{failure}");
    assert!(failure.to_string().contains("\n  and passes this time\n"), "{failure}");
}

/// Asks for a ticket until it hears of one.
struct Asks;

impl Client<u64> for Asks {
    fn next(&mut self, _chance: &mut Prng) -> Option<Vec<u8>> {
        Some(b"1".to_vec())
    }
}

#[test]
fn who_stops_waiting_and_where_an_invariant_broke_is_told() {
    // A machine that does not say where it is, as few do at first.
    struct Bare(Sum);
    impl StateMachine for Bare {
        type Reply = u64;

        fn apply(&mut self, at: At, request: &[u8]) -> u64 {
            self.0.apply(at, request)
        }
    }
    let simulation = Simulation::new(|| Bare(Sum::default())).clients(2, |_| Asks);
    let few = |bare: &Bare| if bare.0.sum < 49 * 4 { Ok(()) } else { Err("too many".into()) };
    let simulation = simulation.invariant("few", few).options(|options| {
        options.client.patience_nanos = 1_000_000;
    });
    let failure = failure(simulation.seeds(0..20).shrink_for(ms(0)).check());
    let told = failure.to_string();
    let slot = failure.small_violation.story.split(' ').nth(2).expect("a slot");
    assert_ne!(slot, "0", "{told}");
    assert!(told.contains(&format!(" applies  slot {slot} r")), "{told}");
    assert!(told.contains(" gives-up r") && told.contains(" from client "), "{told}");
    let page = std::fs::read_to_string(failure.picture_file.expect("a picture")).expect("a page");
    assert!(page.contains("its outcome is unknown to it"), "in the story");
    assert!(page.contains("which waits no more: r"), "in the story");
    // Nothing was taken away: one line says how large the run is.
    assert!(told.contains("\nit is:      ") && !told.contains("made small"), "{told}");
}

#[test]
fn state_and_place_that_part_in_a_crash_are_found() {
    // The sum is of the last decree, and the place of none: everything is applied again.
    let load = |saved: &[u8]| Sum { at: None, ..Sum::load(saved) };
    let simulation = Simulation::new(Sum::default).operations(some_bytes);
    let failure = failure(simulation.durable(Sum::save, load).check());
    let property = failure.violation.property;
    assert!(matches!(property, Property::Agreement | Property::Linearizable), "{failure}");
}

#[test]
fn an_invariant_that_does_not_hold_is_found_and_made_small() {
    let small = |sum: &Sum| {
        if sum.sum < 300 { Ok(()) } else { Err(format!("it is {}", sum.sum)) }
    };
    let simulation = || {
        let simulation = Simulation::new(Sum::default).operations(some_bytes);
        simulation.invariant("the sum is small", small)
    };
    let first = failure(simulation().jobs(1).check());
    assert_eq!(first.violation.property, Property::Invariant);
    assert!(first.repeats && !first.to_string().contains("ran differently"), "{first}");
    let (before, after) = first.sizes;
    assert!(after.events < before.events, "{first}");
    let told = first.to_string();
    assert!(told.contains("\"the sum is small\" does not hold: it is 3"), "{told}");
    assert!(told.contains(&format!("SYNOD_SIM_SEED={} cargo test an_invariant", first.seed)));
    // Threads do not change which seed is found.
    let second = failure(simulation().jobs(3).shrink_for(ms(0)).check());
    assert_eq!((first.seed, &first.violation), (second.seed, &second.violation));
}

/// Adds one, and knows what the sum must be at least.
struct Counts {
    /// What it heard last.
    heard: u64,
    /// What it expects besides: too much, when it is over-confident.
    more: u64,
}

impl Client<u64> for Counts {
    fn next(&mut self, _chance: &mut Prng) -> Option<Vec<u8>> {
        Some(vec![1])
    }

    fn hear(&mut self, told: Told<'_, u64>) {
        if let Told::Applied(sum) = told {
            assert!(*sum >= self.heard + self.more, "the sum went back to {sum}");
            self.heard = *sum;
        }
    }
}

#[test]
fn clients_hear_replies_in_order_and_may_judge_them() {
    let with = |more| {
        let simulation = Simulation::new(Sum::default).seeds(0..20);
        simulation.clients(4, move |_| Counts { heard: 0, more }).shrink_for(ms(0)).check()
    };
    let summary = with(1).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(summary.applied > 200, "{summary}");
    let failure = failure(with(2));
    assert_eq!(failure.violation.property, Property::Panic);
    let story = &failure.violation.story;
    assert!(story.starts_with("the state machine or a client panicked at "), "{failure}");
    assert!(story.contains("the sum went back to"), "{failure}");
}

/// What the next test runs as processes of its own, with names in the environment.
#[test]
fn named_by_the_environment() {
    if std::env::var_os("SYNOD_SIM_TEST_CHILD").is_none() {
        return;
    }
    let most = if std::env::var_os("SYNOD_SIM_TEST_PASSES").is_some() { u64::MAX } else { 300 };
    let small = move |sum: &Sum| if sum.sum < most { Ok(()) } else { Err("large".to_owned()) };
    let simulation = Simulation::new(Sum::default).operations(some_bytes);
    simulation.invariant("the sum is small", small).seeds(5..9).shrink_for(ms(2_000)).run();
}

#[test]
fn the_environment_names_seeds_and_plans() {
    let command = |name: &str, value: &str| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "named_by_the_environment"]);
        command.env("SYNOD_SIM_TEST_CHILD", "1").env(name, value);
        command
    };
    let child = |name: &str, value: &str| {
        let output = command(name, value).arg("--nocapture").output().expect("a process");
        assert!(!output.status.success(), "{name}={value} passes");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let seed = child("SYNOD_SIM_SEED", "7");
    assert!(seed.contains("seed 7 fails"), "{seed}");
    let seeds = child("SYNOD_SIM_SEEDS", "3..5");
    assert!(seeds.contains("seed 3 fails"), "{seeds}");
    let file = seed.split("SYNOD_SIM_PLAN=").nth(1).and_then(|rest| rest.split(' ').next());
    let file = file.expect("a file");
    let plan = child("SYNOD_SIM_PLAN", file);
    assert!(plan.contains("Invariant: ") && plan.contains("large"), "{plan}");
    // It says whose it is: the simulator by itself has another state machine.
    let mut replay = Command::new(env!("CARGO_BIN_EXE_synod-sim"));
    let output = replay.args(["replay", "--plan", file]).output().expect("a process");
    let told = String::from_utf8_lossy(&output.stderr);
    let test = "named_by_the_environment";
    let call = format!("belongs to the test {test}: SYNOD_SIM_PLAN={file} cargo test {test}");
    assert!(output.status.code() == Some(2) && told.contains(&call), "{told}");
    // A run that passes now says so, though tests that pass print nothing.
    let mended = command("SYNOD_SIM_PLAN", file).env("SYNOD_SIM_TEST_PASSES", "1").output();
    let mended = mended.expect("a process");
    let told = String::from_utf8_lossy(&mended.stderr);
    assert!(mended.status.success() && told.contains(&format!("the run of {file} passes")));
    let none = child("SYNOD_SIM_SEED", &u64::MAX.to_string());
    assert!(none.contains("SYNOD_SIM_SEED is below 18446744073709551615"), "{none}");
    let nonsense = child("SYNOD_SIM_SEEDS", "many");
    assert!(nonsense.contains("SYNOD_SIM_SEEDS is a range such as 0..1000"), "{nonsense}");
}

#[test]
#[should_panic(expected = "nobody does anything")]
fn a_simulation_without_clients_says_so() {
    let _ = Simulation::new(Sum::default).check();
}
