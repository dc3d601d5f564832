//! The rules of leaders and notices, one schedule each.

mod world;

use synod_core::{
    Ballot, Event, Header, Kind, Message, NodeId, PeerMisbehaved, Proposal, Slot, Standing,
};
use world::World;

/// Three nodes at rest and their leader.
fn led() -> (World, u64) {
    let mut world = World::new(3, true, |config| config.limits.window = 8);
    world.run(2000);
    let leader = world.leader().expect("a leader");
    (world, leader)
}

/// What a node sends that is not a beat.
fn sends(world: &mut World, id: u64) -> Vec<&'static str> {
    let others: Vec<u64> = world.ids().filter(|other| *other != id).collect();
    others.iter().for_each(|other| world.node(*other).inbox.clear());
    world.drain(id);
    let inboxes = others.iter().flat_map(|other| world.nodes[*other as usize - 1].inbox.iter());
    inboxes.map(world::Parcel::name).filter(|name| *name != "beat").collect()
}

/// S57, R4: a leader that learns a decision in its own slots stops before it speaks again.
#[test]
fn a_leader_that_learns_a_decision_stops_before_it_speaks() {
    let (mut world, leader) = led();
    let peer = world.ids().find(|id| *id != leader).expect("three nodes");
    let slot = world.propose(leader).expect("room");
    assert_eq!(slot, world.replica(leader).decided());
    let header: Header = world.replica(peer).header();
    let ballot = Ballot { round: 1000, node: NodeId(peer) };
    let chosen = [Proposal { slot, ballot, decree: Kind::App(77) }];
    let message = Message::Learned { from: slot, proposals: &chosen, decided: slot.next() };
    // The world's own oracle knows nothing of this decision: nothing is carried out before the
    // checks.
    world.handle(leader, Event::Received { header, message });
    assert_ne!(world.replica(leader).standing(), Standing::Leading);
    assert_eq!(world.replica(leader).decided(), slot.next());
    world.node(leader).pending.clear();
    let mut names = Vec::new();
    let now = world.now;
    let replica = &mut world.node(leader).replica;
    replica.handle(now, Event::DeadlineReached).expect("own event");
    while let Some(action) = replica.poll() {
        if let synod_core::Action::Send { message, .. } = action {
            names.push(message.name());
        }
    }
    assert!(!names.contains(&"2a"), "it speaks as a leader: {names:?}");
}

/// An idle healthy group is silent but for its beats.
#[test]
fn an_idle_group_only_beats() {
    let (mut world, leader) = led();
    for id in world.ids() {
        assert_eq!(sends(&mut world, id), Vec::<&str>::new());
    }
    world.run(1000);
    assert_eq!(world.leader(), Some(leader));
    for id in world.ids() {
        assert_eq!(sends(&mut world, id), Vec::<&str>::new());
    }
}

/// R3: a notice does not reach beyond what was accepted in its ballot.
#[test]
fn a_notice_decides_only_what_was_accepted_in_its_ballot() {
    let (mut world, leader) = led();
    let mut others = world.ids().filter(|id| *id != leader);
    let (deaf, third) = (others.next().expect("three"), others.next().expect("three"));
    // The leader's accept reaches one node only, which then takes a higher ballot's notice.
    let slot = world.propose(leader).expect("room");
    world.drain(leader);
    world.node(third).inbox.clear();
    while !world.node(deaf).inbox.is_empty() {
        world.receive(deaf, 0, false);
    }
    let held = world.replica(deaf).next_slot();
    assert_eq!(held, slot.next());
    let header = world.replica(third).header();
    let round = world.replica(deaf).promised().round + 1;
    let ballot = Ballot { round, node: NodeId(third) };
    let decided = slot.next();
    let message = Message::Accept { ballot, from: decided, proposals: &[], decided };
    world.handle(deaf, Event::Received { header, message });
    assert_eq!(world.replica(deaf).decided(), slot, "S56: the older proposal is not delivered");
    assert_eq!(world.node(deaf).handed, slot);
    assert!(world.replica(deaf).promised() == ballot && Slot::ZERO < slot);
}

/// A ballot has one owner: nobody prepares or accepts in that of another, or answers a ballot that
/// is not the receiver's own.
#[test]
fn a_message_in_a_ballot_of_another_owner_is_blamed_and_has_no_effect() {
    let (mut world, leader) = led();
    let peer = world.ids().find(|id| *id != leader).expect("three nodes");
    let third = world.ids().find(|id| *id != leader && *id != peer).expect("three nodes");
    let header = world.replica(peer).header();
    let ballot = Ballot { round: 1000, node: NodeId(third) };
    let (from, end, decided) = (Slot(1), Slot(1), Slot(1));
    let messages = [
        Message::Prepare { ballot, from },
        Message::Accept { ballot, from, proposals: &[], decided },
        Message::Accepted { ballot, end, resend: false },
    ];
    let (now, before) = (world.now, world.replica(leader).promised());
    for message in messages {
        let replica = &mut world.node(leader).replica;
        let blamed = replica.handle(now, Event::Received { header, message });
        assert_eq!(blamed, Err(PeerMisbehaved::BadBallot(NodeId(peer), ballot)));
    }
    assert_eq!(world.replica(leader).promised(), before);
    assert_eq!(world.replica(leader).standing(), Standing::Leading);
}
