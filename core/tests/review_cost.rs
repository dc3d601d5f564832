//! What a decree costs in messages and writes.

mod world;

use world::World;

/// A leader of `count` nodes, at rest.
fn led(count: u64) -> (World, u64) {
    let mut world = World::new(count, true, |_| {});
    world.run(2000);
    let leader = world.leader().expect("a leader");
    (world, leader)
}

fn messages(world: &World) -> u64 {
    world.nodes.iter().map(|node| node.messages_sent).sum()
}

/// One decree at a time: an accept, its answer and a notice per peer, and one write per node.
#[test]
fn a_decree_takes_three_messages_per_peer() {
    let (mut world, leader) = led(3);
    let before = messages(&world);
    for _ in 0..100 {
        world.propose(leader).expect("room");
        world.flush();
    }
    let sent = messages(&world) - before;
    assert!(sent <= 100 * 2 * 3, "{sent} messages for 100 decrees and 2 peers");
}

/// One lost accept among many in flight is repaired by sending what was behind it about once more,
/// whatever the disk of the peer confirms meanwhile.
#[test]
fn a_lost_accept_costs_one_more_round() {
    for (run, writes) in [(256, 8), (1, 64), (8, 2)] {
        let mut world = World::new(3, true, |config| {
            config.limits.run_slots_max = run;
            config.limits.writes_in_flight_max = writes;
        });
        world.run(2000);
        let leader = world.leader().expect("a leader");
        let peer = world.ids().find(|id| *id != leader).expect("three nodes");
        let before = world.node(leader).proposals_sent;
        for number in 0..400 {
            world.propose(leader).expect("room");
            world.drain(leader);
            if number == 100 {
                assert_eq!(world.node(peer).inbox.pop_back().expect("an accept").name(), "2a");
            }
        }
        // Each node takes one message at a time; its disk confirms one write in between.
        for _ in 0..5000 {
            for id in world.ids() {
                world.receive(id, 0, false);
                world.drain(id);
                world.persist(id, 1);
                world.drain(id);
            }
        }
        world.flush();
        assert_eq!(world.replica(peer).delivered(), world.replica(leader).delivered());
        let again = world.node(leader).proposals_sent - before - 2 * 400;
        assert!(again <= 2 * 300, "{again} proposals sent again, runs of {run}, {writes} writes");
    }
}

/// A laggard whose disk takes its writes one by one costs each slot about once more.
#[test]
fn a_laggard_with_a_slow_disk_is_not_sent_everything_again_and_again() {
    let (mut world, leader) = led(3);
    let peer = world.ids().find(|id| *id != leader).expect("three nodes");
    world.cut[leader as usize - 1][peer as usize - 1] = true;
    for _ in 0..100 {
        world.propose(leader).expect("room");
        world.flush();
    }
    world.cut[leader as usize - 1][peer as usize - 1] = false;
    for _ in 0..300 {
        world.propose(leader).expect("room");
    }
    world.drain(leader);
    let before = world.node(leader).proposals_sent;
    for _ in 0..2000 {
        world.now.0 += 1_000_000;
        for id in world.ids() {
            world.tick(id);
            let waiting = world.node(id).inbox.len();
            (0..waiting).for_each(|_| world.receive(id, 0, false));
            world.drain(id);
            world.persist(id, if id == peer { 1 } else { usize::MAX });
            world.drain(id);
            world.work(id);
        }
    }
    assert_eq!(world.replica(peer).delivered(), world.replica(leader).delivered());
    let sent = world.node(leader).proposals_sent - before;
    assert!(sent <= 300 * 2 + 100 + 300, "{sent} proposals sent again for 400 slots");
}
