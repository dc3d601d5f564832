//! What a replica says, and when it keeps silent, message by message: no cluster breaks at once
//! without these rules, but each has its reason.

mod world;

use synod_core::{
    Ballot, Beat, Boot, ConfigError, Event, Header, Incarnation, Kind, Message, NodeId, NodeSet,
    Proposal, Recovered, Replica, Slot, Standing, WriteId,
};
use world::{Owned, World, Written};

/// Three nodes at rest: the leader and the others.
fn led() -> (World, u64, [u64; 2]) {
    let mut world = World::new(3, true, |config| config.limits.window = 8);
    world.run(2000);
    let leader = world.leader().expect("a leader");
    let mut others = world.ids().filter(|id| *id != leader);
    let others = std::array::from_fn(|_| others.next().expect("three nodes"));
    for id in world.ids() {
        world.drain(id);
        world.persist(id, usize::MAX);
        world.drain(id);
        world.ids().for_each(|id| world.node(id).inbox.clear());
    }
    (world, leader, others)
}

/// A message of `from` arrives at `id`, which does everything that is due; its disk waits.
fn hear(world: &mut World, id: u64, from: u64, message: Message<'_, u64>) {
    let header = world.replica(from).header();
    world.handle(id, Event::Received { header, message });
    world.drain(id);
}

/// What `id` has sent to `to` since the inbox was looked at last, but for beats.
fn letters(world: &mut World, to: u64) -> Vec<Message<'static, u64>> {
    let inbox = std::mem::take(&mut world.node(to).inbox);
    let others = inbox.iter().filter(|parcel| parcel.name() != "beat");
    others.map(world::Parcel::without_proposals).collect()
}

fn beat(leader: Ballot, promised: Ballot, decided: Slot) -> Message<'static, u64> {
    let roster = std::array::from_fn(|_| Incarnation::NONE);
    let hears = NodeSet::first(3);
    Message::Beat(Beat { leader, round: 0, promised, decided, hears, roster })
}

/// R4: a leader decides by its own count; what others say that they decided makes it ask nobody.
#[test]
fn a_leader_asks_nobody_for_decrees() {
    let (mut world, leader, [peer, _]) = led();
    let ballot = world.replica(leader).promised();
    let ahead = world.replica(leader).decided().plus(3);
    for _ in 0..5 {
        hear(&mut world, leader, peer, beat(ballot, ballot, ahead));
        world.now.0 += 60_000_000;
        world.tick(leader);
        world.drain(leader);
    }
    assert_eq!(world.replica(leader).standing(), Standing::Leading);
    assert!(letters(&mut world, peer).iter().all(|message| message.name() != "learn"));
}

/// E1: an answer without a decree would only make the asker ask again.
#[test]
fn who_asks_for_what_is_not_decided_gets_an_answer_once_it_is() {
    let (mut world, leader, [peer, third]) = led();
    let from = world.replica(peer).decided();
    hear(&mut world, peer, third, Message::Learn { from });
    assert_eq!(letters(&mut world, third), []);
    let slot = world.propose(leader).expect("room");
    assert_eq!(slot, from);
    world.drain(leader);
    world.run(200);
    assert!(world.replica(peer).decided() > from);
    world.node(third).inbox.clear();
    world.drain(peer);
    assert!(world.replica(third).decided() > from);
}

/// C1: a refusal tells a promise, so it waits until that is durable, whatever was promised before.
#[test]
fn a_refusal_waits_for_the_promise_that_it_tells() {
    let (mut world, leader, [peer, third]) = led();
    let old = world.replica(leader).promised();
    let new = Ballot { round: old.round + 1, node: NodeId(third) };
    let from = world.replica(peer).decided();
    hear(&mut world, peer, third, Message::Prepare { ballot: new, from });
    let accept = Message::Accept { ballot: old, from, proposals: &[], decided: from };
    hear(&mut world, peer, leader, accept);
    assert_eq!(letters(&mut world, leader), [], "the promise is on its way to the disk");
    world.persist(peer, usize::MAX);
    world.drain(peer);
    let refusal = Message::Nack { refused: old, promised: new };
    assert_eq!(letters(&mut world, leader), [refusal]);
}

/// A refusal concerns the ballot that it names.
#[test]
fn a_late_refusal_of_an_older_ballot_deposes_nobody() {
    let (mut world, peer, _) = led();
    world.crash(peer, 0, false);
    world.run(3000);
    let leader = world.leader().expect("another leader");
    world.restart(peer);
    world.run(500);
    let now = world.replica(leader).promised();
    let refused = Ballot { round: now.round - 1, node: now.node };
    assert!(!refused.is_zero(), "there was an earlier round");
    hear(&mut world, leader, peer, Message::Nack { refused, promised: now });
    assert_eq!(world.replica(leader).standing(), Standing::Leading);
    let promised = Ballot { round: now.round + 1, node: NodeId(peer) };
    hear(&mut world, leader, peer, Message::Nack { refused: now, promised });
    assert_eq!(world.replica(leader).standing(), Standing::Following);
}

/// A prepare that arrives twice is answered twice; the leader that came of it stays known.
#[test]
fn a_late_copy_of_a_prepare_does_not_make_a_follower_forget_its_leader() {
    let (mut world, leader, [peer, _]) = led();
    let ballot = world.replica(leader).promised();
    assert_eq!(world.replica(peer).leader(), Some(ballot));
    let from = world.replica(leader).decided();
    hear(&mut world, peer, leader, Message::Prepare { ballot, from });
    assert_eq!(world.replica(peer).leader(), Some(ballot));
}

/// A wish to be sent what is missing is told once.
#[test]
fn a_gap_is_complained_of_once() {
    let (mut world, leader, [peer, _]) = led();
    let ballot = world.replica(leader).promised();
    let end = world.replica(peer).next_slot();
    let decided = world.replica(peer).decided();
    let ahead = Message::Accept { ballot, from: end.next(), proposals: &[], decided };
    hear(&mut world, peer, leader, ahead);
    assert_eq!(letters(&mut world, leader), [Message::Accepted { ballot, end, resend: true }]);
    let probe = Message::Accept { ballot, from: end, proposals: &[], decided };
    hear(&mut world, peer, leader, probe);
    assert_eq!(letters(&mut world, leader), [Message::Accepted { ballot, end, resend: false }]);
}

/// R10: a disk that is on nobody's record speaks for nobody, and its runs are not counted.
#[test]
fn the_boot_of_a_stranger_makes_no_member_stale() {
    let (mut world, leader, [peer, _]) = led();
    let header = world.replica(peer).header();
    let stranger = Header { incarnation: Incarnation(77), boot: Boot(1000), ..header };
    let learn = Message::Learn { from: Slot(0) };
    world.handle(leader, Event::Received { header: stranger, message: learn });
    // Another run of the member itself, so that its header is judged anew.
    let restarted = Header { boot: Boot(header.boot.0 + 1), ..header };
    world.handle(leader, Event::Received { header: restarted, message: learn });
    assert_eq!(world.blamed, []);
    // The run before is over.
    world.handle(leader, Event::Received { header, message: learn });
    assert_eq!(world.blamed.len(), 1);
}

/// B3: a link that broke makes its peer silent, and a request to it pointless; one to another peer
/// stands.
#[test]
fn a_request_moves_on_when_the_link_to_its_peer_breaks() {
    for breaks in [true, false] {
        let (mut world, leader, [lag, third]) = led();
        let ballot = world.replica(leader).promised();
        let from = world.replica(lag).decided();
        let decided = from.plus(1);
        // It hears from both that they are ahead, and asks one.
        hear(&mut world, lag, third, beat(ballot, ballot, decided));
        let accept = Message::Accept { ballot, from: decided.next(), proposals: &[], decided };
        hear(&mut world, lag, leader, accept);
        let learn = Message::Learn { from };
        assert!(letters(&mut world, leader).contains(&learn), "it asks the leader");
        let broken = if breaks { leader } else { third };
        world.handle(lag, Event::PeerDown { peer: NodeId(broken) });
        world.now.0 += 60_000_000;
        world.tick(lag);
        world.drain(lag);
        assert_eq!(letters(&mut world, third).contains(&learn), breaks);
    }
}

/// R10: the promise of a member without a vote binds nobody. It follows a leader below it, and asks
/// it at once for what it lacks, and for nothing else.
#[test]
fn a_member_without_a_vote_learns_from_a_leader_below_its_promise() {
    for lacks in [true, false] {
        let (mut world, leader, [lost, third]) = led();
        let ballot = world.replica(leader).promised();
        world.crash(lost, 0, false);
        world.wipe(lost, 900);
        let high = Ballot { round: ballot.round + 5, node: NodeId(third) };
        hear(&mut world, lost, third, Message::Prepare { ballot: high, from: Slot(0) });
        assert_eq!(world.replica(lost).promised(), high);
        letters(&mut world, leader);
        let decided = if lacks { Slot(1) } else { Slot(0) };
        let accept = Message::Accept { ballot, from: decided, proposals: &[], decided };
        hear(&mut world, lost, leader, accept);
        assert_eq!(world.replica(lost).leader(), Some(ballot));
        let asks = letters(&mut world, leader).contains(&Message::Learn { from: Slot(0) });
        assert_eq!(asks, lacks);
    }
}

/// Ballots end: whoever promised the last round starts no other one, which all would refuse.
#[test]
fn nobody_campaigns_behind_the_last_round() {
    for (round, leads) in [(Ballot::ROUND_LIMIT - 2, true), (Ballot::ROUND_LIMIT - 1, false)] {
        let mut world = World::new(1, true, |_| {});
        let promised = Ballot { round, node: NodeId(1) };
        let (id, decided) = (WriteId(0), Slot::ZERO);
        world.node(1).disk.push(Written { id, promised, decided, body: Owned::Mark });
        world.crash(1, 0, false);
        world.restart(1);
        world.run(2000);
        assert_eq!(world.leader().is_some(), leads);
    }
}

/// A7: a state machine that stands still is handed a window of decrees and no more.
#[test]
fn a_slow_state_machine_is_handed_a_window_at_most() {
    let mut world = World::new(3, true, |config| {
        config.limits.window = 8;
        config.limits.run_slots_max = 1;
    });
    world.run(2000);
    let leader = world.leader().expect("a leader");
    let slow = world.ids().find(|id| *id != leader).expect("three nodes");
    world.node(slow).applies_at_once = false;
    let before = world.node(slow).applied;
    for _ in 0..40 {
        world.propose(leader);
        world.run(20);
    }
    assert_eq!(world.node(slow).applied, before);
    assert_eq!(world.node(slow).handed, before.plus(8));
    assert!(world.replica(leader).decided() > before.plus(8), "the others go on");
}

/// What was read back from the log is applied before anything else is handed out.
#[test]
fn nothing_is_delivered_while_the_log_is_read_back() {
    let (mut world, leader, [peer, _]) = led();
    for _ in 0..3 {
        world.propose(leader).expect("room");
        world.run(100);
    }
    world.crash(peer, usize::MAX, false);
    world.restart(peer);
    world.drain(peer);
    let handed = world.node(peer).handed;
    assert!(handed > Slot::ZERO && !world.node(peer).jobs.is_empty(), "it reads its log back");
    let decided = world.replica(peer).decided();
    world.propose(leader).expect("room");
    world.run_without_work(20);
    assert!(world.replica(peer).decided() > decided, "it learns on");
    assert_eq!(world.node(peer).handed, handed);
    world.work(peer);
    world.drain(peer);
    assert!(world.node(peer).handed > handed);
}

/// R10: that a member has this disk on record is durable there, and outlives its runs.
#[test]
fn a_member_that_starts_again_stays_acquainted() {
    let (mut world, leader, [peer, _]) = led();
    assert!(world.replica(leader).unacquainted().is_empty());
    let header = world.replica(peer).header();
    let restarted = Header { boot: Boot(header.boot.0 + 1), ..header };
    let message = Message::Learn { from: Slot(0) };
    world.handle(leader, Event::Received { header: restarted, message });
    assert!(world.replica(leader).unacquainted().is_empty());
}

/// R10: what a disk promises counts once that disk is on durable record here.
#[test]
fn a_promise_counts_once_the_disk_behind_it_is_on_record() {
    let mut world = World::new(3, true, |_| {});
    // The first node has not met the third one.
    let members = vec![(NodeId(1), Incarnation(1)), (NodeId(2), Incarnation(2))];
    world.node(1).disk.clear();
    let (id, promised, decided) = (WriteId(0), Ballot::ZERO, Slot::ZERO);
    let body = Owned::Roster(true, members);
    world.node(1).disk.push(Written { id, promised, decided, body });
    world.crash(1, 0, false);
    world.restart(1);
    let persist = |world: &mut World| {
        world.drain(1);
        world.persist(1, usize::MAX);
        world.drain(1);
    };
    let hears_second = beat(Ballot::ZERO, Ballot::ZERO, Slot::ZERO);
    while world.replica(1).standing() != Standing::Preparing {
        world.now.0 += 10_000_000;
        hear(&mut world, 1, 2, hears_second);
        world.tick(1);
        assert!(world.now.0 < 10_000_000_000, "no campaign");
    }
    persist(&mut world);
    let (ballot, slot) = (world.replica(1).promised(), Slot::ZERO);
    let promise = Message::Promise {
        ballot,
        from: slot,
        end: slot,
        limit: slot,
        decided: slot,
        retained: slot,
        proposals: &[],
    };
    hear(&mut world, 1, 3, promise);
    assert_eq!(world.replica(1).standing(), Standing::Preparing);
    persist(&mut world);
    assert_eq!(world.replica(1).standing(), Standing::Preparing);
    hear(&mut world, 1, 3, promise);
    assert_eq!(world.replica(1).standing(), Standing::Leading);
}

/// R12: a stranger in the place of a member does not make the member heard.
#[test]
fn a_stranger_is_not_heard_in_the_place_of_a_member() {
    let (mut world, leader, [peer, third]) = led();
    let header = world.replica(peer).header();
    let stranger = Header { incarnation: Incarnation(77), ..header };
    let ballot = world.replica(leader).promised();
    let hears = |world: &mut World, header| {
        // The peer falls silent; the third goes on.
        for _ in 0..20 {
            world.now.0 += 40_000_000;
            hear(world, leader, third, beat(ballot, ballot, Slot::ZERO));
        }
        let message = Message::Learn { from: Slot(0) };
        world.handle(leader, Event::Received { header, message });
        world.node(third).inbox.clear();
        world.now.0 += 60_000_000;
        world.tick(leader);
        world.drain(leader);
        let inbox = &world.node(third).inbox;
        let mut beats = inbox.iter().filter_map(|parcel| match parcel.message() {
            Message::Beat(beat) => Some(beat.hears.len()),
            _ => None,
        });
        beats.next_back()
    };
    assert_eq!(hears(&mut world, stranger), Some(1));
    assert_eq!(hears(&mut world, header), Some(2));
}

/// A group that has not met lists who is missing.
#[test]
fn a_new_disk_is_acquainted_with_nobody() {
    let world = World::new(3, false, |_| {});
    let others: Vec<u8> = world.replica(1).unacquainted().iter().map(|member| member.0).collect();
    assert_eq!(others, [1, 2]);
}

/// A log that is not one run above its decided mark, or was never formatted, starts nothing.
#[test]
fn a_log_that_fits_nothing_is_refused_with_the_reason() {
    let world = World::new(1, true, |_| {});
    let config = world.replica(1).config().clone();
    let sound = || Recovered::<u64>::formatted(Incarnation(1));
    let refused = |change: &dyn Fn(&mut Recovered<u64>)| {
        let mut recovered = sound();
        change(&mut recovered);
        Replica::new(config.clone(), recovered, world.now).map(|_| ()).err()
    };
    let ballot = Ballot { round: 1, node: NodeId(1) };
    let at = |slot, ballot| Proposal { slot: Slot(slot), ballot, decree: Kind::Noop };
    assert_eq!(refused(&|_| {}), None);
    assert_eq!(refused(&|r| r.accepted = vec![at(0, ballot), at(1, ballot)]), None);
    let not_formatted = Some(ConfigError::LogNotFormatted);
    assert_eq!(refused(&|r| r.incarnation = Incarnation::NONE), not_formatted);
    assert_eq!(refused(&|r| r.boot = Boot(0)), not_formatted);
    let gap = |slot| Some(ConfigError::LogNotContiguous(Slot(slot)));
    assert_eq!(refused(&|r| r.accepted = vec![at(0, ballot), at(2, ballot)]), gap(1));
    assert_eq!(refused(&|r| r.accepted = vec![at(0, Ballot::ZERO)]), gap(0));
    let behind = Some(ConfigError::StateBehindLog(Slot(0), Slot(3)));
    assert_eq!(refused(&|r| (r.retained, r.decided) = (Slot(3), Slot(3))), behind);
}

/// Only a leader has room for decrees, and at most a window of it.
#[test]
fn only_a_leader_has_room() {
    let (mut world, leader, others) = led();
    assert_eq!(world.replica(leader).room(), 8);
    others.iter().for_each(|id| assert_eq!(world.replica(*id).room(), 0));
    world.propose(leader).expect("room");
    assert_eq!(world.replica(leader).room(), 7);
    world.handle(leader, Event::PersistFailed);
    assert_eq!(world.replica(leader).room(), 0);
}

/// R5, R11: a log that falls idle learns of what was decided since its last record.
#[test]
fn an_idle_log_is_told_what_was_decided_meanwhile() {
    let (mut world, leader, [peer, third]) = led();
    let slot = world.propose(leader).expect("room");
    let settle = |world: &mut World| {
        world.now.0 += 60_000_000;
        world.tick(peer);
        world.drain(peer);
        world.persist(peer, usize::MAX);
        world.drain(peer);
    };
    world.drain(leader);
    while !world.node(peer).inbox.is_empty() {
        world.receive(peer, 0, false);
    }
    settle(&mut world);
    settle(&mut world);
    assert_eq!(world.replica(peer).decided(), slot, "nobody has told it");
    let (ballot, decided) = (world.replica(leader).promised(), slot.next());
    hear(&mut world, leader, third, Message::Accepted { ballot, end: decided, resend: false });
    world.persist(leader, usize::MAX);
    world.drain(leader);
    let notice = Message::Accept { ballot, from: decided, proposals: &[], decided };
    hear(&mut world, peer, leader, notice);
    assert_eq!(world.replica(peer).decided(), decided);
    settle(&mut world);
    let last = world.node(peer).disk.last().expect("records");
    assert_eq!(last.decided, decided);
}

/// An answer that a later one has overtaken asks for nothing.
#[test]
fn an_answer_that_was_overtaken_makes_nothing_be_sent_again() {
    let (mut world, leader, [peer, _]) = led();
    let first = world.propose(leader).expect("room");
    world.propose(leader).expect("room");
    world.propose(leader).expect("room");
    world.drain(leader);
    let ballot = world.replica(leader).promised();
    let accepted = |end, resend| Message::Accepted { ballot, end, resend };
    hear(&mut world, leader, peer, accepted(first.plus(2), false));
    let before = world.node(leader).proposals_sent;
    hear(&mut world, leader, peer, accepted(first.next(), true));
    assert_eq!(world.node(leader).proposals_sent, before);
    hear(&mut world, leader, peer, accepted(first.plus(2), true));
    assert_eq!(world.node(leader).proposals_sent, before + 1, "one was missing");
}

/// The first of five nodes, with a ring of eight slots, whose promise to its own ballot is durable.
fn candidate() -> (World, Ballot) {
    let mut world = World::new(5, true, |config| config.limits.window = 4);
    while world.replica(1).standing() != Standing::Preparing {
        world.now.0 += 10_000_000;
        for peer in [2, 3] {
            let promised = Ballot { round: 3, node: NodeId(3) };
            hear(&mut world, 1, peer, beat(Ballot::ZERO, promised, Slot::ZERO));
        }
        world.tick(1);
        assert!(world.now.0 < 10_000_000_000, "no campaign");
    }
    world.drain(1);
    world.persist(1, usize::MAX);
    world.drain(1);
    let ballot = world.replica(1).promised();
    (world, ballot)
}

/// A whole promise that reports on `slots`.
fn promise(world: &mut World, from: u64, ballot: Ballot, slots: std::ops::Range<u64>) {
    let old = Ballot { round: 1, node: NodeId(2) };
    let reported = |slot| Proposal { slot: Slot(slot), ballot: old, decree: Kind::App(slot) };
    let proposals: Vec<Proposal<u64>> = slots.clone().map(reported).collect();
    let message = Message::Promise {
        ballot,
        from: Slot(slots.start),
        end: Slot(slots.end),
        limit: Slot(slots.end),
        decided: Slot::ZERO,
        retained: Slot::ZERO,
        proposals: &proposals,
    };
    hear(world, 1, from, message);
}

/// R6: what lies beyond the ring of a candidate does not take the place of what another reported.
#[test]
fn a_report_from_beyond_the_ring_displaces_nothing() {
    let (mut world, ballot) = candidate();
    promise(&mut world, 2, ballot, 0..1);
    promise(&mut world, 3, ballot, 8..9);
    promise(&mut world, 4, ballot, 0..0);
    assert_eq!(world.replica(1).standing(), Standing::Leading);
    assert_eq!(world.replica(1).next_slot(), Slot(1), "the one open slot is proposed again");
}

/// A tail that fills the ring is room enough to lead, and no more is.
#[test]
fn a_tail_as_long_as_the_ring_can_be_led() {
    let (mut world, ballot) = candidate();
    promise(&mut world, 2, ballot, 0..8);
    promise(&mut world, 4, ballot, 0..0);
    assert_eq!(world.replica(1).standing(), Standing::Leading);
    assert_eq!(world.replica(1).next_slot(), Slot(8));
}
