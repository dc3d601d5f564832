//! The bolero twins of the targets: random inputs on a stable toolchain, in bounded time.
//!
//! Each also counts what its inputs reached, so that a target whose inputs are all refused at the
//! door does not pass for one that looked inside.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bolero::check;
use synod_fuzz::plan::RecordPlan;
use synod_fuzz::{record, replay, wire};

/// Inputs per target.
const ITERATIONS: usize = 20_000;

/// Counts inputs that reached what they should.
struct Reached(AtomicUsize);

impl Reached {
    const fn none() -> Self {
        Self(AtomicUsize::new(0))
    }

    fn count(&self, reached: bool) {
        self.0.fetch_add(usize::from(reached), Relaxed);
    }

    fn assert(&self, what: &str) {
        assert!(self.0.load(Relaxed) > 0, "no input reached this: {what}");
    }
}

#[test]
fn any_bytes_as_frames() {
    check!()
        .with_iterations(ITERATIONS)
        .with_max_len(512)
        .for_each(|bytes: &[u8]| assert!(wire::bytes(bytes) <= 2));
}

#[test]
fn frames_come_back_and_damaged_ones_do_not() {
    let taken = Reached::none();
    check!()
        .with_iterations(ITERATIONS)
        .with_max_len(2048)
        .with_arbitrary::<wire::Case>()
        .for_each(|case| taken.count(wire::message(case)));
    taken.assert("a forged frame that says something else");
}

#[test]
fn any_bytes_as_records() {
    check!()
        .with_iterations(ITERATIONS)
        .with_max_len(512)
        .for_each(|bytes: &[u8]| assert!(record::bytes(bytes) <= 2));
}

#[test]
fn records_come_back_and_damaged_ones_do_not() {
    let taken = Reached::none();
    check!()
        .with_iterations(ITERATIONS)
        .with_max_len(2048)
        .with_arbitrary::<record::Case>()
        .for_each(|case| taken.count(record::record(case)));
    taken.assert("a forged record that says something else");
}

#[test]
fn records_replay_to_the_same_state_from_bytes() {
    let (open, gap) = (Reached::none(), Reached::none());
    check!()
        .with_iterations(ITERATIONS)
        .with_max_len(2048)
        .with_arbitrary::<Vec<RecordPlan>>()
        .for_each(|log| {
            let state = replay::replay(log);
            open.count(state.is_some_and(|slots| slots > 0));
            gap.count(state.is_none());
        });
    open.assert("a state with open slots");
    gap.assert("a log with a gap");
}
