//! What callers are told, when, and that it is certain (A1, A2, A8, A10, A11, A13).

mod service_cluster;

use std::time::Duration;

use bytes::Bytes;
use service_cluster::{Cluster, Fate, Told};
use synod_core::service::{Outcome, Request, Service, ServiceConfig, Why};
use synod_core::{Ballot, ConfigError, Event, NodeId, Timeouts};

fn request(text: &'static str) -> Request {
    Request::new(Bytes::from_static(text.as_bytes()))
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The first member leads: the others draw from a later range.
fn first_leads(config: &mut ServiceConfig) {
    let rank = [0, 60_000, 600][config.replica.node.0 as usize - 1];
    config.replica.timeouts.election_jitter = ms(rank);
}

#[test]
fn without_a_leader_a_request_is_refused_at_its_deadline() {
    let mut t = Cluster::of(3);
    t.cut_off(0);
    t.cut_off(1);
    let start = t.now;
    let soon = Request { deadline: Some(start.after(ms(250))), ..request("soon") };
    let soon = t.offer(0, soon).expect("there is room");
    let late = t.submit(0, "late");
    t.run_until(|t| t.outcome(0, soon).is_some());
    assert_eq!(t.outcome(0, soon), Some(Outcome::Refused(Why::NoLeader)));
    let took = t.now.since(start);
    assert!(ms(250) <= took && took <= ms(252), "it took {took:?}");
    assert_eq!(t.outcome(0, late), None);
    t.run_until(|t| t.outcome(0, late).is_some());
    assert_eq!(t.outcome(0, late), Some(Outcome::Refused(Why::NoLeader)));
    assert_eq!(t.now.since(start), ms(10_000), "the default timeout");
    t.cut.clear();
    t.elect();
    t.run_for(ms(3000));
    assert!(t.journal(0).is_empty());
}

#[test]
fn a_deadline_in_the_past_is_refused_at_once() {
    let mut t = Cluster::of(3);
    let past = Request { deadline: Some(t.now), ..request("x") };
    let id = t.offer(1, past).expect("there is room");
    t.drain(1);
    assert_eq!(t.outcome(1, id), Some(Outcome::Refused(Why::NoLeader)));
}

#[test]
fn with_a_leader_a_deadline_means_late_in_the_queue_and_unknown_in_flight() {
    let mut t = Cluster::with(3, |config| {
        first_leads(config);
        config.limits.batch_requests_max = 1;
        config.limits.pipeline = 1;
    });
    let (leader, _) = t.elect();
    t.run_until(|t| t.service(leader).machine().decrees.len() == 1);
    t.fate = Box::new(|packet| if packet.name == "2a" { Fate::Hold } else { Fate::Pass });
    let deadline = Some(t.now.after(ms(200)));
    let ids = ["a", "b"]
        .map(|text| t.offer(leader, Request { deadline, ..request(text) }).expect("there is room"));
    t.drain(leader);
    t.run_until(|t| ids.iter().all(|id| t.outcome(leader, *id).is_some()));
    let ballot = t.service(leader).replica().leader().expect("it leads");
    assert_eq!(t.outcome(leader, ids[0]), Some(Outcome::Unknown { ballot }));
    assert_eq!(t.outcome(leader, ids[1]), Some(Outcome::Refused(Why::DeadlinePassed)));
    // There is no second outcome when it is applied in the end: the cluster would notice.
    t.release();
    t.run_until(|t| t.journal(leader).len() == 1);
    assert_eq!(t.journal(leader), ["a"]);
    assert!(t.service(leader).is_drained());
}

#[test]
fn a_full_queue_gives_the_request_back() {
    let mut t = Cluster::with(3, |config| {
        config.limits.requests_pending_max = 3;
        config.limits.request_bytes_max = 10;
        config.limits.pending_bytes_max = 20;
    });
    for text in ["a", "b", "c"] {
        t.offer(0, request(text)).expect("there is room");
    }
    let back = t.offer(0, request("d")).expect_err("three are the limit");
    assert_eq!((back.request, back.why), (request("d"), Why::Busy));
    for text in ["0123456789", "0123456789"] {
        t.offer(1, request(text)).expect("there is room");
    }
    assert_eq!(t.offer(1, request("x")).expect_err("20 bytes are the limit").why, Why::Busy);
    let back = t.offer(2, request("0123456789A")).expect_err("10 bytes are the limit");
    assert_eq!((back.request, back.why), (request("0123456789A"), Why::TooLarge));
    assert_eq!(t.service(0).status().counters.busy, 1);
    t.run_until(|t| t.service(0).is_drained());
    t.offer(0, request("d")).expect("there is room again");
}

#[test]
fn a_guard_holds_in_its_own_leadership_only() {
    let mut t = Cluster::with(3, first_leads);
    t.elect();
    let old = t.service(0).replica().leader();
    let guarded = |only_in| Request { only_in, ..request("x") };
    let proposed = |t: &Cluster| t.service(0).status().counters.proposed;
    for place in [0, 1] {
        let id = t.offer(place, guarded(old)).expect("there is room");
        t.drain(place);
        t.run_until(|t| t.is_applied(place, id));
        let before = proposed(&t);
        let other = Some(Ballot { round: 99, node: NodeId(1) });
        let id = t.offer(place, guarded(other)).expect("there is room");
        t.drain(place);
        t.run_until(|t| t.outcome(place, id).is_some());
        let why = Why::OtherBallot(old.expect("it leads"));
        assert_eq!(t.outcome(place, id), Some(Outcome::Refused(why)));
        assert_eq!(proposed(&t), before, "there is nothing to propose");
    }
    // It was offered to its leadership, and that was lost: the next one refuses it for certain.
    t.fate = Box::new(|packet| if packet.name == "2a" { Fate::Hold } else { Fate::Pass });
    let id = t.offer(1, guarded(old)).expect("there is room");
    t.drain(1);
    t.run_for(ms(20));
    t.crash(0);
    t.held.clear();
    t.release();
    t.run_until(|t| t.outcome(1, id).is_some());
    let new = t.service(1).replica().leader().expect("there is a next one");
    assert_eq!(t.outcome(1, id), Some(Outcome::Refused(Why::OtherBallot(new))));
    assert_eq!(t.journal(1).len(), 2);
}

fn without_forwarding(config: &mut ServiceConfig) {
    first_leads(config);
    config.forward = false;
}

#[test]
fn a_service_that_does_not_forward_names_the_leader() {
    let mut t = Cluster::with(3, without_forwarding);
    let back = t.offer(1, request("x")).expect_err("nobody leads");
    assert_eq!(back.why, Why::NotLeader(None));
    t.elect();
    let back = t.offer(1, request("x")).expect_err("another one leads");
    assert_eq!((back.request, back.why), (request("x"), Why::NotLeader(Some(NodeId(1)))));
    let id = t.submit(0, "y");
    t.run_until(|t| t.is_applied(0, id));
}

/// A11: every request has its outcome before the host hears of the lost leadership.
#[test]
fn lost_leadership_is_told_after_the_outcomes() {
    let mut t = Cluster::with(3, |config| {
        without_forwarding(config);
        config.limits.pipeline = 1;
    });
    t.elect();
    t.run_until(|t| t.service(0).machine().decrees.len() == 1);
    let ballot = t.service(0).replica().leader().expect("it leads");
    t.cut_off(0);
    let ids = [t.submit(0, "in flight"), t.submit(0, "queued")];
    t.members[0].told.clear();
    t.run_until(|t| t.members[0].told.contains(&Told::Leader(None)));
    let expected = [Told::Outcome(ids[1]), Told::Outcome(ids[0]), Told::Leader(None)];
    assert_eq!(t.members[0].told, expected);
    assert_eq!(t.outcome(0, ids[0]), Some(Outcome::Unknown { ballot }));
    let refused = Outcome::Refused(Why::NotLeader(None));
    assert_eq!(t.outcome(0, ids[1]), Some(refused));
    assert!(t.service(0).is_drained());
}

#[test]
fn lost_leadership_is_told_after_the_outcomes_also_in_the_end() {
    let mut t = Cluster::with(3, without_forwarding);
    t.elect();
    t.run_until(|t| t.service(0).machine().decrees.len() == 1);
    let ballot = t.service(0).replica().leader().expect("it leads");
    t.cut_off(0);
    let id = t.submit(0, "in flight");
    let now = t.now;
    t.service_mut(0).shut_down(now);
    t.drain(0);
    t.members[0].told.clear();
    t.run_until(|t| t.members[0].told.contains(&Told::Leader(None)));
    assert_eq!(t.members[0].told, [Told::Outcome(id), Told::Leader(None)]);
    assert_eq!(t.outcome(0, id), Some(Outcome::Unknown { ballot }));
}

/// A submit may be the first thing that a leader hears after it was stopped for long. It looks at
/// the clock when it is to propose, and leads no more: its caller is told in the same turn.
#[test]
fn a_leader_that_notices_its_end_while_it_proposes_tells_its_callers_at_once() {
    let mut t = Cluster::with(3, without_forwarding);
    t.elect();
    t.run_until(|t| t.service(0).machine().decrees.len() == 1);
    t.members[0].told.clear();
    t.now = t.now.after(ms(5_000));
    let id = t.submit(0, "late");
    t.drain(0);
    assert_eq!(t.members[0].told, [Told::Outcome(id), Told::Leader(None)]);
    assert_eq!(t.outcome(0, id), Some(Outcome::Refused(Why::NotLeader(None))));
}

#[test]
fn shutting_down_refuses_what_is_queued_and_waits_for_the_rest() {
    let mut t = Cluster::with(3, |config| {
        first_leads(config);
        config.limits.pipeline = 1;
    });
    t.elect();
    t.run_until(|t| t.service(0).machine().decrees.len() == 1);
    let first = t.submit(0, "in flight");
    let second = t.submit(0, "queued");
    let now = t.now;
    t.service_mut(0).shut_down(now);
    t.drain(0);
    assert_eq!(t.outcome(0, second), Some(Outcome::Refused(Why::ShuttingDown)));
    let back = t.offer(0, request("x")).expect_err("the end has begun");
    assert_eq!((back.request, back.why), (request("x"), Why::ShuttingDown));
    assert!(!t.service(0).is_drained());
    t.run_until(|t| t.service(0).is_drained());
    assert!(t.is_applied(0, first));
    // Others go on meanwhile.
    let other = t.submit(1, "y");
    t.run_until(|t| t.is_applied(1, other));
}

#[test]
fn a_failed_log_ends_every_request() {
    let mut t = Cluster::with(3, |config| {
        first_leads(config);
        config.limits.pipeline = 1;
    });
    t.elect();
    t.run_until(|t| t.service(0).machine().decrees.len() == 1);
    let ballot = t.service(0).replica().leader().expect("it leads");
    let first = t.submit(0, "in flight");
    let second = t.submit(0, "queued");
    t.input(0, Event::PersistFailed);
    assert_eq!(t.outcome(0, first), Some(Outcome::Unknown { ballot }));
    assert_eq!(t.outcome(0, second), Some(Outcome::Refused(Why::Stopped)));
    assert_eq!(t.offer(0, request("x")).expect_err("it stopped").why, Why::Stopped);
    assert!(t.service(0).status().stopped);
}

#[test]
fn a_bad_configuration_is_named() {
    let t = Cluster::of(1);
    let mut config = ServiceConfig::new(t.service(0).replica().config().clone());
    config.limits.pipeline = 0;
    let disk = synod_core::Recovered::formatted(synod_core::Incarnation(1));
    let machine = service_cluster::journal::Journal::default();
    let error = Service::new(config, disk, machine, t.now).map(|_| ()).expect_err("no pipeline");
    assert_eq!(error, ConfigError::Limit("pipeline"));
}

#[test]
fn a_group_of_one_needs_no_network() {
    let mut t = Cluster::of(1);
    let ids: Vec<_> = (0..10).map(|number| t.submit(0, &format!("{number}"))).collect();
    t.run_until(|t| ids.iter().all(|id| t.is_applied(0, *id)));
    assert_eq!(t.journal(0).concat(), "0123456789");
}

/// B1: a service passes new timeouts on, or none.
#[test]
fn a_service_changes_its_timeouts_or_keeps_them() {
    let mut t = Cluster::of(1);
    let before = t.service(0).replica().config().timeouts;
    let bad = Timeouts { election: Duration::ZERO, ..before };
    assert_eq!(t.service_mut(0).set_timeouts(bad), Err(ConfigError::Timeout("election")));
    assert_eq!(t.service(0).replica().config().timeouts, before);
    let patient = Timeouts { election: before.election * 2, ..before };
    t.service_mut(0).set_timeouts(patient).expect("sound");
    assert_eq!(t.service(0).replica().config().timeouts, patient);
}
