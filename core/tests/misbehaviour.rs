//! What makes no sense is blamed on its sender, and has no effect (C12, G1).

mod world;

use std::time::Duration;

use synod_core::{
    Ballot, Beat, Event, Incarnation, Kind, Message, NodeId, NodeSet, PeerMisbehaved, Proposal,
    Slot, Timeouts,
};
use world::World;

const PEER: NodeId = NodeId(2);
const THIRD: NodeId = NodeId(3);

/// The first node leads; a decree of this world has eight bytes, one more than the limit.
fn led() -> World {
    let mut world = World::new(3, true, |config| {
        config.limits.decree_bytes_max = 7;
        let is_first = config.node == NodeId(1);
        config.timeouts.election_jitter = if is_first { Duration::ZERO } else { Timeouts::MAX };
    });
    world.run(3000);
    assert_eq!(world.leader(), Some(1));
    world
}

/// Hands each message of the peer to the leader and compares whom it blames. Nothing moves.
fn judge(world: &mut World, cases: &[(Message<'_, u64>, PeerMisbehaved)]) {
    let header = world.replica(PEER.0).header();
    let before = format!("{:?}", cursors(world));
    for (message, blame) in cases {
        let now = world.now;
        let event = Event::Received { header, message: *message };
        assert_eq!(world.node(1).replica.handle(now, event), Err(*blame), "{message:?}");
        assert_eq!(format!("{:?}", cursors(world)), before, "{message:?} had an effect");
    }
}

fn cursors(world: &World) -> impl std::fmt::Debug {
    let replica = world.replica(1);
    (replica.promised(), replica.decided(), replica.next_slot(), replica.standing())
}

fn proposal(slot: u64, ballot: Ballot) -> Proposal<u64> {
    Proposal { slot: Slot(slot), ballot, decree: Kind::Noop }
}

fn beat(leader: Ballot, promised: Ballot, decided: Slot) -> Message<'static, u64> {
    let roster = std::array::from_fn(|_| Incarnation::NONE);
    Message::Beat(Beat { leader, round: 0, promised, decided, hears: NodeSet::first(3), roster })
}

#[test]
fn a_ballot_out_of_bounds_is_blamed_wherever_it_stands() {
    let mut world = led();
    let now = world.replica(1).promised();
    let from = world.replica(1).decided();
    let last = Ballot { round: Ballot::ROUND_LIMIT, node: PEER };
    let none = Ballot { round: 0, node: PEER };
    let far = Ballot { round: Ballot::ROUND_LIMIT, node: now.node };
    let bad = |ballot| PeerMisbehaved::BadBallot(PEER, ballot);
    let learned = [proposal(from.0, last)];
    let mixed = [proposal(from.0, Ballot { round: 99, node: PEER }), proposal(from.0 + 1, now)];
    let next = Ballot { round: 100, node: PEER };
    let reported = [[proposal(from.0, next)], [proposal(from.0, none)]];
    let promise = |proposals| Message::Promise {
        ballot: now,
        from,
        end: from.next(),
        limit: from.next(),
        decided: from,
        retained: Slot::ZERO,
        proposals,
    };
    let cases = [
        (beat(last, now, from), bad(last)),
        (beat(now, last, from), bad(last)),
        (Message::Prepare { ballot: last, from }, bad(last)),
        (Message::Prepare { ballot: none, from }, bad(none)),
        (Message::Accept { ballot: last, from, proposals: &[], decided: from }, bad(last)),
        (Message::Accept { ballot: next, from, proposals: &mixed, decided: from }, bad(next)),
        (Message::Accepted { ballot: far, end: from, resend: false }, bad(far)),
        (Message::Nack { refused: far, promised: last }, bad(far)),
        (Message::Nack { refused: now, promised: last }, bad(last)),
        (Message::Nack { refused: now, promised: now }, bad(now)),
        (Message::Learned { from, proposals: &learned, decided: from.next() }, bad(last)),
        (promise(&reported[0]), bad(next)),
        (promise(&reported[1]), bad(none)),
    ];
    judge(&mut world, &cases);
}

#[test]
fn a_slot_out_of_bounds_is_blamed_wherever_it_stands() {
    let mut world = led();
    let now = world.replica(1).promised();
    let from = world.replica(1).decided();
    let next = Ballot { round: 100, node: PEER };
    let bad = |slot| PeerMisbehaved::SlotsNotContiguous(PEER, slot);
    let limit = Slot::LIMIT;
    let promise = |[limit, decided, retained]: [Slot; 3]| Message::Promise {
        ballot: now,
        from,
        end: from,
        limit,
        decided,
        retained,
        proposals: &[],
    };
    let end_of_slots = [proposal(limit.0 - 1, next), proposal(limit.0, next)];
    let learned =
        Message::Learned { from: Slot(limit.0 - 1), proposals: &end_of_slots, decided: from };
    let cases = [
        (beat(now, now, limit), bad(limit)),
        (Message::Prepare { ballot: next, from: limit }, bad(limit)),
        (promise([limit, from, from]), bad(limit)),
        (promise([from, limit, from]), bad(limit)),
        (promise([from, from, limit]), bad(limit)),
        (Message::Accept { ballot: next, from, proposals: &[], decided: limit }, bad(limit)),
        (Message::Accept { ballot: next, from: limit, proposals: &[], decided: from }, bad(limit)),
        (Message::Accepted { ballot: now, end: limit, resend: false }, bad(limit)),
        (Message::Learn { from: limit }, bad(limit)),
        (Message::Learned { from, proposals: &[], decided: limit }, bad(limit)),
        (learned, bad(limit)),
    ];
    judge(&mut world, &cases);
}

#[test]
fn slots_that_are_no_run_are_blamed() {
    let mut world = led();
    let now = world.replica(1).promised();
    let from = world.replica(1).decided();
    let next = Ballot { round: 100, node: PEER };
    let bad = |slot: u64| PeerMisbehaved::SlotsNotContiguous(PEER, Slot(from.0 + slot));
    let at = |slot: u64| proposal(from.0 + slot, next);
    let (gap, late) = ([at(0), at(2)], [at(1)]);
    let old = [Proposal { ballot: now, ..at(0) }];
    let promise = |first: u64, end: u64, limit: u64, proposals| Message::Promise {
        ballot: now,
        from: from.plus(first),
        end: from.plus(end),
        limit: from.plus(limit),
        decided: from,
        retained: Slot::ZERO,
        proposals,
    };
    let accept = |proposals| Message::Accept { ballot: next, from, proposals, decided: from };
    let learned = |proposals| Message::Learned { from, proposals, decided: from };
    let cases = [
        (accept(&gap), bad(1)),
        (accept(&late), bad(0)),
        (learned(&gap), bad(1)),
        (learned(&late), bad(0)),
        (promise(1, 0, 2, &[]), bad(1)),
        (promise(0, 2, 1, &[]), bad(0)),
        (promise(0, 0, 1, &old), bad(0)),
        (promise(0, 2, 2, &old), bad(2)),
    ];
    judge(&mut world, &cases);
}

#[test]
fn a_decree_above_the_limit_is_blamed_in_every_message_that_holds_one() {
    let mut world = led();
    let now = world.replica(1).promised();
    let from = world.replica(1).decided();
    let next = Ballot { round: 100, node: PEER };
    let of = |ballot| [Proposal { slot: from, ballot, decree: Kind::App(7) }];
    let (new, old) = (of(next), of(now));
    let promise = Message::Promise {
        ballot: now,
        from,
        end: from.next(),
        limit: from.next(),
        decided: from,
        retained: Slot::ZERO,
        proposals: &old,
    };
    let too_large = PeerMisbehaved::TooLarge(PEER);
    let cases = [
        (promise, too_large),
        (Message::Accept { ballot: next, from, proposals: &new, decided: from }, too_large),
        (Message::Learned { from, proposals: &new, decided: from }, too_large),
    ];
    judge(&mut world, &cases);
}

#[test]
fn the_last_ballot_and_the_last_slot_are_sound() {
    let mut world = led();
    let header = world.replica(PEER.0).header();
    let last = Ballot { round: Ballot::ROUND_LIMIT - 1, node: THIRD };
    let end = Slot(Slot::LIMIT.0 - 1);
    let now = world.now;
    for message in [Message::Learn { from: end }, beat(last, last, end)] {
        let event = Event::Received { header, message };
        assert_eq!(world.node(1).replica.handle(now, event), Ok(()));
    }
}
