//! What a replica says, and when it keeps silent, message by message: no cluster breaks at once
//! without these rules, but each has its reason.

mod world;

use synod_core::{
    Ballot, Beat, Boot, Event, Header, Incarnation, Message, NodeId, NodeSet, Slot, Standing,
    WriteId,
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
