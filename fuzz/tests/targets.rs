//! The bolero twins of the targets: random inputs on a stable toolchain, in bounded time.
//!
//! Each also counts what its inputs reached, so that a target whose inputs are all refused at the
//! door does not pass for one that looked inside.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bolero::check;
use synod_fuzz::plan::{Many, RecordPlan};
use synod_fuzz::shorten::{Story, attempt, shortest};
use synod_fuzz::{cluster, log, record, replay, replica, resp, service, wire};

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

/// Runs `case`, and tells the shortest story that ends as badly. Taking things out makes shorter
/// stories than zeroing bytes of the input, as bolero does it.
fn tell<C: Story + Debug, R>(case: &C, run: impl Fn(&C) -> R) -> R {
    attempt(case, &run).unwrap_or_else(|_| {
        let short = shortest(case, &run);
        let Err(why) = attempt(&short, &run) else { unreachable!("it failed before") };
        panic!("{why}\nthe shortest story: {short:#?}")
    })
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
        .with_arbitrary::<Many<RecordPlan>>()
        .for_each(|log| {
            let state = replay::replay(&log.0);
            open.count(state.is_some_and(|slots| slots > 0));
            gap.count(state.is_none());
        });
    open.assert("a state with open slots");
    gap.assert("a log with a gap");
}

#[test]
fn no_peer_makes_a_replica_panic_or_break_its_word() {
    let [promised, accepted, led, decided, decided_as_leader] = [const { Reached::none() }; 5];
    let [learned, read_back, served_from_log, restarted, refused] = [const { Reached::none() }; 5];
    check!()
        .with_iterations(ITERATIONS / 10)
        .with_shrink_time(Duration::ZERO)
        .with_max_len(4096)
        .with_arbitrary::<replica::Case>()
        .for_each(|case| {
            let reached = tell(case, replica::replica);
            promised.count(reached.promised);
            accepted.count(reached.accepted);
            led.count(reached.led_others);
            decided.count(reached.decided);
            decided_as_leader.count(reached.decided_as_leader);
            learned.count(reached.learned);
            read_back.count(reached.read_back);
            served_from_log.count(reached.served_from_log);
            restarted.count(reached.restarted_with_open_slots);
            refused.count(reached.refused_a_message);
        });
    promised.assert("a promise");
    accepted.assert("an accepted");
    led.assert("a leader of others");
    decided.assert("a decision");
    decided_as_leader.assert("a decision of its own");
    learned.assert("a decree learned");
    read_back.assert("a delivery from the log");
    served_from_log.assert("a peer served from the log");
    restarted.assert("a restart with open slots");
    refused.assert("a message refused");
}

#[test]
fn a_log_never_forgets_what_was_durable_and_makes_nothing_up() {
    let [rolled, lost, kept, failed, failed_to_open] = [const { Reached::none() }; 5];
    let [read_back, refused, opened, shorter] = [const { Reached::none() }; 4];
    check!()
        .with_iterations(ITERATIONS / 20)
        .with_shrink_time(Duration::ZERO)
        .with_max_len(1024)
        .with_arbitrary::<log::Case>()
        .for_each(|case| {
            let reached = tell(case, log::log);
            rolled.count(reached.rolled);
            lost.count(reached.lost_what_was_not_durable);
            kept.count(reached.kept_what_was_not_durable);
            failed.count(reached.failed);
            failed_to_open.count(reached.failed_to_open);
            read_back.count(reached.read_back);
            refused.count(reached.harmed_and_refused);
            opened.count(reached.harmed_and_opened);
            shorter.count(reached.harmed_and_shorter);
        });
    rolled.assert("a log of several segments");
    lost.assert("records lost that were not durable");
    kept.assert("records kept that were not durable");
    failed.assert("a log that failed");
    failed_to_open.assert("a start that failed");
    read_back.assert("decrees read back");
    refused.assert("harm that was reported");
    opened.assert("harm that changed nothing");
    shorter.assert("harm taken for a torn write");
}

#[test]
fn no_directory_makes_a_log_panic() {
    let opened = Reached::none();
    check!()
        .with_iterations(ITERATIONS / 4)
        .with_max_len(2048)
        .with_arbitrary::<log::Forged>()
        .for_each(|case| opened.count(log::forged(case)));
    opened.assert("a log with records in it");
}

#[test]
fn any_client_gets_the_same_answers_however_the_network_cuts() {
    let [command, inline, fault, request, answered] = [const { Reached::none() }; 5];
    check!()
        .with_iterations(ITERATIONS / 4)
        .with_max_len(1024)
        .with_arbitrary::<resp::Case>()
        .for_each(|case| {
            let reached = resp::resp(case);
            command.count(reached.command);
            inline.count(reached.inline);
            fault.count(reached.fault);
            request.count(reached.request);
            answered.count(reached.answered);
        });
    command.assert("a command");
    inline.assert("an inline command");
    fault.assert("a fault of the protocol");
    request.assert("a request to submit");
    answered.assert("an answer at once");
}

#[test]
fn any_bytes_as_requests_of_the_store() {
    let taken = Reached::none();
    check!()
        .with_iterations(ITERATIONS)
        .with_max_len(64)
        .for_each(|bytes: &[u8]| taken.count(resp::request(bytes)));
    taken.assert("a request");
}

#[test]
fn any_bytes_as_answers_of_a_server() {
    let taken = Reached::none();
    check!()
        .with_iterations(ITERATIONS)
        .with_max_len(64)
        .for_each(|bytes: &[u8]| taken.count(resp::replies(bytes) > 0));
    taken.assert("an answer");
}

#[test]
fn no_schedule_makes_a_cluster_disagree_or_stop() {
    let [delivered, copied, completed, died] = [const { Reached::none() }; 4];
    let [wiped, second_leader, applied] = [const { Reached::none() }; 3];
    check!()
        .with_iterations(ITERATIONS / 100)
        .with_shrink_time(Duration::ZERO)
        .with_max_len(1024)
        .with_arbitrary::<cluster::Case>()
        .for_each(|case| {
            let reached = tell(case, cluster::cluster);
            delivered.count(reached.delivered);
            copied.count(reached.copied);
            completed.count(reached.completed);
            died.count(reached.died);
            wiped.count(reached.wiped);
            second_leader.count(reached.second_leader);
            applied.count(reached.applied > 4);
        });
    delivered.assert("a message chosen to arrive");
    copied.assert("a message that arrived twice");
    completed.assert("a write chosen to complete");
    died.assert("a death");
    wiped.assert("a disk replaced");
    second_leader.assert("a second leader");
    applied.assert("several requests applied");
}

#[test]
fn every_request_of_a_lone_service_has_one_true_outcome_in_time() {
    let [applied, refused, unknown, rejected] = [const { Reached::none() }; 4];
    let [forwarded, took, restarted] = [const { Reached::none() }; 3];
    check!()
        .with_iterations(ITERATIONS / 10)
        .with_shrink_time(Duration::ZERO)
        .with_max_len(2048)
        .with_arbitrary::<service::Case>()
        .for_each(|case| {
            let reached = tell(case, service::service);
            applied.count(reached.applied);
            refused.count(reached.refused);
            unknown.count(reached.unknown);
            rejected.count(reached.rejected);
            forwarded.count(reached.forwarded);
            took.count(reached.took_from_a_peer);
            restarted.count(reached.restarted);
        });
    applied.assert("a request applied");
    refused.assert("a request refused");
    unknown.assert("a request in doubt");
    rejected.assert("a request rejected");
    forwarded.assert("a forward");
    took.assert("requests of a peer taken");
    restarted.assert("a restart");
}
