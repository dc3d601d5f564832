//! Restarts (A4): the same decrees at the same slots, no outcome of an earlier run, and state
//! machines that keep their state.

mod service_cluster;

use service_cluster::Cluster;
use synod_core::service::At;

fn lines(t: &Cluster, place: usize) -> Vec<(At, Vec<u8>)> {
    t.service(place).machine().lines.clone()
}

fn fill(t: &mut Cluster, from: usize, end: usize) {
    let ids: Vec<_> = (from..end)
        .map(|number| (number % 3, t.submit(number % 3, &format!("{number}"))))
        .collect();
    t.run_until(|t| ids.iter().all(|(place, id)| t.is_applied(*place, *id)));
    t.run_until(|t| (0..3).all(|place| t.journal(place).len() == end));
}

#[test]
fn after_a_restart_the_same_decrees_are_applied_at_the_same_slots() {
    // The window is smaller than the history, so most of it is read back from the log.
    let mut t = Cluster::with(3, |config| {
        config.replica.limits.window = 8;
        config.limits.pipeline = 2;
        config.limits.batch_requests_max = 2;
    });
    t.elect();
    fill(&mut t, 0, 100);
    let before = lines(&t, 0);
    for place in 0..3 {
        t.crash(place);
    }
    for place in 0..3 {
        t.start(place);
    }
    t.elect();
    // Ids start again, and requests of the earlier run do not pass for those of this one.
    fill(&mut t, 100, 110);
    for place in 0..3 {
        assert_eq!(lines(&t, place)[..100], before);
        assert!(t.members[place].outcomes.len() <= 4);
    }
    t.assert_same_journals();
}

#[test]
fn a_state_machine_that_keeps_its_state_is_not_told_again() {
    let mut t = Cluster::of(3);
    t.elect();
    fill(&mut t, 0, 30);
    let before = lines(&t, 1);
    let last = before.last().expect("30 lines").0;
    t.crash_with_state(1);
    t.start(1);
    // The journal refuses slots and ballots that go back.
    assert_eq!(lines(&t, 1), before);
    assert!(t.service(1).status().applied > last.slot);
    fill_after(&mut t);
    t.assert_same_journals();
    assert_eq!(lines(&t, 1)[..30], before);
}

fn fill_after(t: &mut Cluster) {
    let ids = [t.submit(0, "x"), t.submit(0, "y")];
    t.run_until(|t| ids.iter().all(|id| t.is_applied(0, *id)));
    t.run_until(|t| t.journal(1).len() == 32);
}

#[test]
fn a_state_machine_may_be_ahead_of_its_log() {
    let mut t = Cluster::of(3);
    t.elect();
    fill(&mut t, 0, 12);
    let early = t.members[1].disk.clone();
    fill(&mut t, 12, 30);
    let before = lines(&t, 1);
    // The log lost its end; the state did not. (A log that loses what it called durable would be
    // a fault; here the replica had accepted nothing that counts: the others carry on.)
    t.crash_with_state(1);
    t.members[1].disk = early;
    t.start(1);
    t.elect();
    fill_after(&mut t);
    t.assert_same_journals();
    assert_eq!(lines(&t, 1)[..30], before);
}

#[test]
fn a_member_that_was_down_for_long_applies_what_it_missed() {
    let mut t = Cluster::with(3, |config| {
        config.replica.limits.window = 8;
        config.limits.pipeline = 2;
    });
    t.elect();
    fill(&mut t, 0, 10);
    t.crash(2);
    let ids: Vec<_> = (0..60)
        .map(|number| {
            let id = t.submit(0, &format!("late {number}"));
            t.run_until(|t| t.is_applied(0, id));
            id
        })
        .collect();
    assert_eq!(ids.len(), 60);
    t.start(2);
    t.run_until(|t| t.journal(2).len() == 70);
    t.assert_same_journals();
}
