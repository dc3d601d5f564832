//! Forwarding (R14, A13): what is handed on to the leader is applied once and in order, whatever
//! the network does with it and whoever leads.

mod service_cluster;

use std::time::Duration;

use bytes::Bytes;
use service_cluster::{Cluster, Fate, Packet};
use synod_core::service::{Outcome, Request, ServiceConfig};

/// The first member campaigns at once, the third a little later, the second last: the seeds draw
/// from these ranges.
fn ranked(config: &mut ServiceConfig) {
    let rank = [0, 60_000, 600][config.replica.node.0 as usize - 1];
    config.replica.timeouts.election_jitter = Duration::from_millis(rank);
}

fn cluster() -> Cluster {
    let mut t = Cluster::with(3, ranked);
    assert_eq!(t.elect().0, 0, "the first member leads");
    t.run_until(|t| (0..3).all(|place| t.service(place).machine().decrees.len() == 1));
    t
}

fn holds(name: &'static str) -> Box<dyn FnMut(&Packet) -> Fate> {
    Box::new(move |packet| if packet.name == name { Fate::Hold } else { Fate::Pass })
}

fn brief(text: &'static str, t: &Cluster) -> Request {
    let deadline = Some(t.now.after(Duration::from_millis(300)));
    Request { deadline, ..Request::new(Bytes::from_static(text.as_bytes())) }
}

/// S64. The forward of request 1 is late; the leader is gone; request 2 goes through the next one.
#[test]
fn a_late_forward_is_not_applied_after_later_requests() {
    let mut t = cluster();
    t.fate = holds("forward");
    let one = t.submit(1, "1");
    t.run_for(Duration::from_millis(20));
    let late = t.held.remove(0);
    assert_eq!(late.to, 0);
    t.fate = Box::new(|_| Fate::Pass);
    t.cut_off(0);
    let two = t.submit(1, "2");
    t.run_until(|t| t.is_applied(1, one) && t.is_applied(1, two));
    assert_eq!(t.service(1).replica().leader().map(|ballot| ballot.node.0), Some(3));
    assert_eq!(t.journal(1).concat(), "12");
    t.cut.clear();
    t.deliver(&late);
    t.run_until(|t| (0..3).all(|place| t.journal(place).len() == 2));
    t.deliver(&late);
    t.run_for(Duration::from_secs(3));
    t.assert_same_journals();
    assert_eq!(t.journal(0).concat(), "12");
}

/// The same with a caller who has given up on request 1, under one leader all along.
#[test]
fn a_forward_that_was_given_up_is_not_applied_after_later_requests() {
    let mut t = cluster();
    t.fate = holds("forward");
    let one = t.offer(1, brief("1", &t)).expect("there is room");
    t.drain(1);
    t.run_until(|t| t.outcome(1, one).is_some());
    let ballot = t.service(0).replica().leader().expect("the first member leads");
    assert_eq!(t.outcome(1, one), Some(Outcome::Unknown { ballot }));
    let late = t.held.remove(0);
    t.fate = Box::new(|_| Fate::Pass);
    let two = t.submit(1, "2");
    t.run_until(|t| t.is_applied(1, two));
    t.deliver(&late);
    t.run_for(Duration::from_secs(1));
    assert_eq!(t.service(0).replica().leader(), Some(ballot));
    t.assert_same_journals();
    assert_eq!(t.journal(0).concat(), "2");
}

#[test]
fn a_request_that_was_given_up_may_still_be_applied_before_later_ones() {
    let mut t = cluster();
    t.fate = holds("2a");
    let one = t.offer(1, brief("1", &t)).expect("there is room");
    t.drain(1);
    t.run_until(|t| t.outcome(1, one).is_some());
    assert!(matches!(t.outcome(1, one), Some(Outcome::Unknown { .. })));
    t.release();
    let two = t.submit(1, "2");
    t.run_until(|t| t.is_applied(1, two));
    assert_eq!(t.journal(1).concat(), "12");
    assert_eq!(t.service(1).status().counters.unknown, 1);
}

#[test]
fn lost_forwards_are_sent_again() {
    let mut t = cluster();
    let mut count = 0;
    t.fate = Box::new(move |packet| {
        count += u32::from(packet.name == "forward");
        if packet.name == "forward" && count % 3 == 1 { Fate::Drop } else { Fate::Pass }
    });
    let ids: Vec<_> = (0..20)
        .map(|number| {
            t.step();
            t.submit(1, &format!("{number:02}"))
        })
        .collect();
    t.run_until(|t| ids.iter().all(|id| t.is_applied(1, *id)));
    t.assert_same_journals();
    assert!(t.journal(1).is_sorted());
    assert_eq!(t.service(1).status().counters.offered_again, 0, "the leader stayed");
}

/// A leader that keeps back its notices tells the member whose request is decided at once, and the
/// other one later.
#[test]
fn who_waits_for_a_request_does_not_wait_for_a_notice() {
    let late = Duration::from_millis(40);
    let mut t = Cluster::with(3, |config| {
        ranked(config);
        config.replica.timeouts.notice = late;
        // A beat of a member that lags would be answered at once.
        config.replica.timeouts.heartbeat = 3 * late;
    });
    assert_eq!(t.elect().0, 0, "the first member leads");
    t.run_until(|t| (0..3).all(|place| t.service(place).machine().decrees.len() == 1));
    t.run_for(7 * late);
    // A beat that arrives meanwhile would have told as early.
    t.fate = Box::new(|packet| if packet.name == "beat" { Fate::Drop } else { Fate::Pass });
    t.run_for(late);
    let before = t.now;
    let id = t.submit(1, "1");
    t.run_until(|t| t.is_applied(1, id));
    assert!(t.now.since(before) < late, "{:?}", t.now.since(before));
    assert!(t.journal(2).is_empty(), "nobody there waits");
    t.run_for(2 * late);
    assert_eq!(t.journal(2).concat(), "1");
}

/// One forward of six is lost; each of the others leaves a gap and is answered. All answers but the
/// first come too late to tell anything.
#[test]
fn a_gap_is_mended_once() {
    let mut t = cluster();
    let mut count = 0;
    t.fate = Box::new(move |packet| {
        count += u32::from(packet.name == "forward");
        if packet.name == "forward" && count == 1 { Fate::Drop } else { Fate::Pass }
    });
    let ids: Vec<_> = (0..6).map(|number| t.submit(1, &format!("{number}"))).collect();
    t.run_until(|t| ids.iter().all(|id| t.is_applied(1, *id)));
    assert_eq!(t.journal(1).concat(), "012345");
    assert_eq!(t.service(1).status().counters.forwarded, 7, "all six again, in one");
}

/// Only what calls a request back makes earlier answers worthless. One that knows of all that was
/// handed on does not: when it comes once more, after a lost forward, it tells of the loss.
#[test]
fn an_answer_to_everything_leaves_later_ones_their_worth() {
    let mut t = cluster();
    t.fate = Box::new(|packet| match packet.name {
        "2a" | "taken" => Fate::Hold,
        _ => Fate::Pass,
    });
    let one = t.submit(1, "1");
    t.run_until(|t| t.held.iter().any(|packet| packet.name == "taken"));
    let place = t.held.iter().position(|packet| packet.name == "taken").expect("just seen");
    let answer = t.held.remove(place);
    t.deliver(&answer);
    t.fate = Box::new(|packet| match packet.name {
        "2a" => Fate::Hold,
        "forward" => Fate::Drop,
        _ => Fate::Pass,
    });
    let two = t.submit(1, "2");
    t.run_until(|t| t.packets.is_empty());
    assert_eq!(t.service(1).status().counters.forwarded, 2);
    t.deliver(&answer);
    assert_eq!(t.service(1).status().counters.forwarded, 3, "the second one again, at once");
    t.release();
    t.run_until(|t| t.is_applied(1, one) && t.is_applied(1, two));
    assert_eq!(t.journal(1).concat(), "12");
}

#[test]
fn doubled_and_reordered_forwards_are_taken_once_and_in_order() {
    let mut t = cluster();
    t.fate = holds("forward");
    let ids: Vec<_> = (0..5).map(|number| t.submit(1, &format!("{number}"))).collect();
    t.run_for(Duration::from_millis(10));
    let forwards = t.held.clone();
    assert_eq!(forwards.len(), 5);
    t.fate = Box::new(|_| Fate::Pass);
    for packet in forwards.iter().rev().chain(&forwards).chain(forwards.iter().rev()) {
        t.deliver(packet);
    }
    t.run_until(|t| ids.iter().all(|id| t.is_applied(1, *id)));
    t.run_for(Duration::from_secs(1));
    t.assert_same_journals();
    assert_eq!(t.journal(1).concat(), "01234");
}

#[test]
fn requests_outlive_the_leader_they_were_offered_to() {
    let mut t = cluster();
    t.fate = holds("2a");
    let mut ids = Vec::new();
    for number in 0..6 {
        for place in [1, 2] {
            ids.push((place, t.submit(place, &format!("{place}:{number}"))));
        }
    }
    t.run_for(Duration::from_millis(50));
    t.crash(0);
    t.held.clear();
    t.release();
    for (place, number) in [(1, 6), (2, 6), (1, 7), (2, 7)] {
        ids.push((place, t.submit(place, &format!("{place}:{number}"))));
    }
    t.run_until(|t| ids.iter().all(|(place, id)| t.is_applied(*place, *id)));
    t.run_until(|t| t.journal(1).len() == 16 && t.journal(2).len() == 16);
    t.assert_same_journals();
    for place in ["1:", "2:"] {
        let own = t.journal(1).into_iter().filter(|line| line.starts_with(place));
        assert!(own.is_sorted(), "A3: {:?}", t.journal(1));
    }
    // Six before the crash, two before its silence was noticed.
    assert_eq!(t.service(1).status().counters.offered_again, 8);
}

/// A leader writes five decrees on its own disk only. The next leader decides in the slots of the
/// first three and is gone. The one after finds the other two. They must have no effect: what came
/// before them was not applied yet, and will be.
#[test]
fn what_an_earlier_leadership_left_behind_is_void() {
    let mut t = cluster();
    t.cut_off(0);
    let ids: Vec<_> = ["1", "2", "3", "4", "5"].iter().map(|text| t.submit(0, text)).collect();
    let six = t.submit(2, "6");
    t.run_until(|t| t.is_applied(2, six));
    assert_eq!(t.service(2).replica().decided().0, 5, "two slots less than the first member has");
    // The third member led. Now it is gone, and the other two meet again.
    t.crash(2);
    t.cut.clear();
    t.run_until(|t| ids.iter().all(|id| t.is_applied(0, *id)));
    t.start(2);
    t.run_until(|t| (0..3).all(|place| t.journal(place).len() == 6));
    t.assert_same_journals();
    assert_eq!(t.journal(0).concat(), "612345");
    assert_eq!(t.service(1).status().counters.void, 2);
    assert_eq!(t.service(0).status().counters.offered_again, 5);
}

#[test]
fn a_forward_to_a_leader_without_room_waits_its_turn() {
    let mut t = Cluster::with(3, |config| {
        ranked(config);
        // The leader takes less than the others believe.
        let is_leader = config.replica.node.0 == 1;
        config.limits.forward_requests_max = if is_leader { 2 } else { 4 };
        config.limits.batch_requests_max = 1;
    });
    t.elect();
    t.fate = holds("2a");
    let ids: Vec<_> = (0..40).map(|number| t.submit(1, &format!("{number:02}"))).collect();
    t.run_for(Duration::from_millis(100));
    assert!(t.service(1).status().in_flight <= 4);
    t.release();
    t.run_until(|t| ids.iter().all(|id| t.is_applied(1, *id)));
    assert!(t.journal(1).is_sorted());
    t.assert_same_journals();
}

#[test]
fn a_forward_that_nobody_can_read_is_blamed_and_has_no_effect() {
    use synod_core::PeerMisbehaved;
    use synod_core::service::{Input, ServiceMessage};

    let mut t = cluster();
    let header = t.service(1).replica().header();
    let ballot = t.service(0).replica().leader().expect("it leads");
    let node = header.node;
    let mut say = |header, message| {
        let now = t.now;
        t.service_mut(0).handle(now, Input::Service { header, message })
    };
    let forward = |requests| ServiceMessage::Forward { ballot, number: 1, after: 0, requests };
    let garbage = forward(Bytes::from_static(b"garbage"));
    assert_eq!(say(header, garbage), Err(PeerMisbehaved::MalformedRequests(node)));
    let huge = forward(Bytes::from(vec![1; 2 << 20]));
    assert_eq!(say(header, huge), Err(PeerMisbehaved::TooLarge(node)));
    let not_its_own = ServiceMessage::Taken { ballot, number: 1, last: 0 };
    assert_eq!(say(header, not_its_own), Err(PeerMisbehaved::BadBallot(node, ballot)));
    let mut stranger = header;
    stranger.node.0 = 9;
    let blamed = say(stranger, forward(Bytes::new()));
    assert_eq!(blamed, Err(PeerMisbehaved::NotAMember(stranger.node)));
    let id = t.submit(1, "x");
    t.run_until(|t| t.is_applied(1, id));
    assert_eq!(t.journal(1).concat(), "x");
}

/// A run of requests becomes the only segment of a decree, at most: 56 bytes longer. What no decree
/// could hold is told from what nobody can read by its length alone.
#[test]
fn a_forward_is_too_large_when_no_decree_could_hold_it() {
    use synod_core::PeerMisbehaved;
    use synod_core::service::{Input, ServiceMessage};

    let mut t = cluster();
    let header = t.service(1).replica().header();
    let ballot = t.service(0).replica().leader().expect("it leads");
    let most = t.service(0).replica().config().limits.decree_bytes_max;
    let mut say = |bytes| {
        let requests = Bytes::from(vec![1; bytes]);
        let message = ServiceMessage::Forward { ballot, number: 1, after: 0, requests };
        let now = t.now;
        t.service_mut(0).handle(now, Input::Service { header, message })
    };
    assert_eq!(say(most - 56), Err(PeerMisbehaved::MalformedRequests(header.node)));
    assert_eq!(say(most - 55), Err(PeerMisbehaved::TooLarge(header.node)));
}
