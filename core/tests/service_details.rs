//! How services share decrees, what they count, and the least that a state machine may do.

mod service_cluster;

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use service_cluster::{Cluster, Fate};
use synod_core::service::{At, Request, ServiceConfig, ServiceLimits, StateMachine};
use synod_core::{Ballot, Event, Kind, Message, NodeId, Proposal};

/// The first member campaigns at once, the others hardly ever.
fn first_leads(config: &mut ServiceConfig) {
    let rank = [0, 600_000, 600_000][config.replica.node.0 as usize - 1];
    config.replica.timeouts.election_jitter = std::time::Duration::from_millis(rank);
}

fn cluster(change: impl Fn(&mut ServiceConfig)) -> Cluster {
    let mut t = Cluster::with(3, |config| {
        first_leads(config);
        change(config);
    });
    assert_eq!(t.elect().0, 0, "the first member leads");
    t.run_until(|t| (0..3).all(|place| t.service(place).machine().decrees.len() == 1));
    t
}

/// A state machine that does what it must and nothing else.
struct Least;

impl StateMachine for Least {
    type Reply = ();

    fn apply(&mut self, _at: At, _request: &[u8]) {}
}

#[test]
fn a_state_machine_holds_nothing_unless_it_says_so() {
    assert_eq!(Least.applied(), None);
    assert_eq!(Least.digest(), 0);
}

/// Own requests of the leader and forwarded ones get half of each decree while both wait.
#[test]
fn own_and_forwarded_requests_share_decrees() {
    let mut t = cluster(|config| {
        config.limits.batch_requests_max = 4;
        config.limits.pipeline = 1;
    });
    t.fate = Box::new(|packet| if packet.name == "2a" { Fate::Hold } else { Fate::Pass });
    t.submit(0, "first");
    for number in 0..8 {
        t.submit(0, &format!("own {number}"));
        t.submit(1, &format!("forwarded {number}"));
    }
    t.run_for(std::time::Duration::from_millis(20));
    t.release();
    t.run_until(|t| t.journal(0).len() == 17);
    assert_eq!(t.service(0).machine().sizes(), [1, 4, 4, 4, 4]);
    let lines = t.journal(0);
    for decree in lines[1..].chunks(4) {
        let own = decree.iter().filter(|line| line.starts_with("own")).count();
        assert_eq!(own, 2, "{lines:?}");
    }
}

/// Whoever waits alone gets whole decrees.
#[test]
fn requests_of_one_member_alone_fill_decrees() {
    let mut t = cluster(|config| {
        config.limits.batch_requests_max = 4;
        config.limits.pipeline = 1;
    });
    t.submit(0, "first");
    for number in 0..16 {
        t.submit(0, &format!("own {number}"));
    }
    t.run_until(|t| t.journal(0).len() == 17);
    assert_eq!(t.service(0).machine().sizes(), [1, 4, 4, 4, 4]);
}

/// Requests that want a decree of their own take turns, so that nobody's wait for all of another's.
#[test]
fn exclusive_requests_of_two_members_take_turns() {
    let mut t = cluster(|config| config.limits.pipeline = 1);
    t.fate = Box::new(|packet| if packet.name == "2a" { Fate::Hold } else { Fate::Pass });
    t.submit(0, "first");
    for _ in 0..4 {
        for (place, text) in [(0, "own"), (1, "forwarded")] {
            let request = Request { exclusive: true, ..Request::new(text.into()) };
            t.offer(place, request).expect("there is room");
            t.drain(place);
        }
    }
    t.run_for(std::time::Duration::from_millis(20));
    t.release();
    t.run_until(|t| t.journal(0).len() == 9);
    let turns: Vec<String> = t.journal(0).drain(1..5).collect();
    assert_eq!(turns.iter().filter(|line| *line == "own").count(), 2, "{turns:?}");
}

/// An attempt to propose that finds nothing is no turn: neither here nor in the look of a contract.
#[test]
fn who_goes_first_does_not_change_while_nothing_is_proposed() {
    let mut t = cluster(|config| config.limits.batch_requests_max = 2);
    t.fate = Box::new(|packet| if packet.name == "2a" { Fate::Hold } else { Fate::Pass });
    t.submit(0, "first");
    // It is refused while the first one is in doubt: what is queued begins with one that is over.
    let elsewhere = Some(Ballot { round: 1 << 20, node: NodeId(3) });
    let request = Request { only_in: elsewhere, ..Request::new("refused".into()) };
    t.offer(0, request).expect("there is room");
    t.drain(0);
    for _ in 0..3 {
        t.run_for(std::time::Duration::from_millis(1));
    }
    t.release();
    t.run_until(|t| t.journal(0).len() == 1);
}

/// A13: without loss a request crosses the network once, and nobody asks.
#[test]
fn a_request_is_forwarded_once_while_nothing_is_lost() {
    let mut t = cluster(|_| {});
    let (forwards, answers) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let counted = (Rc::clone(&forwards), Rc::clone(&answers));
    t.fate = Box::new(move |packet| {
        match packet.name {
            "forward" => counted.0.set(counted.0.get() + 1),
            "taken" => counted.1.set(counted.1.get() + 1),
            _ => {}
        }
        Fate::Pass
    });
    for number in 0..5 {
        let id = t.submit(1, &format!("{number}"));
        t.run_until(|t| t.is_applied(1, id));
    }
    t.run_for(std::time::Duration::from_secs(1));
    assert_eq!((forwards.get(), answers.get()), (5, 0));
    assert_eq!(t.service(1).status().counters.forwarded, 5);
}

/// F7: the largest request that the limits allow fits wherever it is submitted.
#[test]
fn the_largest_request_is_applied_from_every_member() {
    let mut t = cluster(|config| {
        config.replica.limits.decree_bytes_max = 1000;
        config.limits.batch_bytes_max = 1000;
        config.limits.request_bytes_max = 1000 - ServiceLimits::OVERHEAD_BYTES;
    });
    let largest = "x".repeat(1000 - ServiceLimits::OVERHEAD_BYTES);
    let ids: Vec<_> = (0..3).map(|place| (place, t.submit(place, &largest))).collect();
    t.run_until(|t| ids.iter().all(|(place, id)| t.is_applied(*place, *id)));
    // Two that fill a decree to the last byte: its head, that of their segment, and their own.
    let half = "y".repeat((1000 - 32 - 40) / 2 - 8);
    let ids = [0, 1].map(|_| t.offer(1, Request::new(half.clone().into())).expect("there is room"));
    t.drain(1);
    t.run_until(|t| ids.iter().all(|id| t.is_applied(1, *id)));
    assert_eq!(t.service(0).machine().sizes().last(), Some(&2));
}

/// B5: what happened is counted, on the member where it happened.
#[test]
fn a_service_counts_what_happened_to_it() {
    let mut t = cluster(|_| {});
    let before = t.service(0).status().counters;
    assert_eq!((before.accepted, before.proposed), (0, 1), "the opening decree");
    for text in ["a", "b", "c"] {
        let id = t.submit(0, text);
        t.run_until(|t| t.is_applied(0, id));
    }
    let past = Some(t.now);
    for text in ["d", "e"] {
        let late = Request { deadline: past, ..Request::new(Bytes::from_static(b"late")) };
        let id = t.offer(1, Request { body: Bytes::from(text), ..late }).expect("there is room");
        t.now = t.now.after(std::time::Duration::from_millis(200));
        t.run_until(|t| t.outcome(1, id).is_some());
    }
    let counters = t.service(0).status().counters;
    assert_eq!((counters.accepted, counters.applied, counters.proposed), (3, 3, 4));
    let counters = t.service(1).status().counters;
    assert_eq!(counters.accepted, 2);
    assert_eq!(counters.applied + counters.refused + counters.unknown, 2);
}

/// A decree that cannot be read has no effect, and is counted as the fault that it is.
#[test]
fn decrees_that_cannot_be_read_are_counted() {
    let mut t = cluster(|_| {});
    let header = t.service(0).replica().header();
    let ballot = t.service(0).replica().promised();
    for count in 1..=2 {
        let slot = t.service(1).replica().decided();
        let decree = Kind::App(Bytes::from_static(b"no decree of a service"));
        let proposals = [Proposal { slot, ballot, decree }];
        let message = Message::Learned { from: slot, proposals: &proposals, decided: slot.next() };
        t.input(1, Event::Received { header, message });
        assert_eq!(t.service(1).replica().applied(), slot.next());
        assert_eq!(t.service(1).status().counters.malformed, count);
    }
    assert_eq!(t.journal(1), Vec::<String>::new());
}
