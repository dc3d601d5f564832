//! What a leader and a candidate believe of their peers.

mod world;

use synod_core::Standing;
use world::World;

fn plain(count: u64) -> World {
    World::new(count, true, |config| {
        config.limits.window = 4;
        config.limits.run_slots_max = 1;
    })
}

/// Lets the messages that wait for `id` and bear one of `names` arrive; the others are lost.
fn receive_only(world: &mut World, id: u64, names: &[&str]) {
    for _ in 0..world.node(id).inbox.len() {
        if names.contains(&world.node(id).inbox[0].name()) {
            world.receive(id, 0, false);
        } else {
            world.node(id).inbox.pop_front();
        }
    }
    world.drain(id);
}

/// A deposed leader that hears of later decisions from an acceptor that still follows it does not
/// blame the messenger: a decided mark moves the durable cursor of any ballot.
#[test]
fn an_acceptor_ahead_of_its_leader_is_not_blamed() {
    let mut world = plain(5);
    world.run(2000);
    let old = world.leader().expect("a leader");
    let mut others = world.ids().filter(|id| *id != old);
    let between = others.next().expect("five nodes");
    let rest: Vec<u64> = others.collect();
    // The old leader reaches only the one between, which hears the rest and follows the old one.
    for id in &rest {
        world.cut[old as usize - 1][*id as usize - 1] = true;
        world.cut[*id as usize - 1][old as usize - 1] = true;
    }
    // The rest elects a leader of its own; prepares and accepts to the one between are lost, and
    // so is what tells the old leader that nobody proves it.
    let mut elected = None;
    for _ in 0..400 {
        world.now.0 += 10_000_000;
        for id in world.ids() {
            if id == old || id == between {
                continue;
            }
            world.tick(id);
            world.drain(id);
            world.persist(id, usize::MAX);
            world.drain(id);
            let inbox = world.node(id).inbox.len();
            (0..inbox).for_each(|_| world.receive(id, 0, false));
            world.drain(id);
        }
        world.node(between).inbox.clear();
        elected = rest.iter().copied().find(|id| world.replica(*id).is_established());
        if let Some(id) = elected
            && world.oracle.chosen_to() < world.replica(old).next_slot().0 + 3
        {
            world.propose(id);
        }
    }
    let new = elected.expect("three of five elect");
    assert!(world.replica(new).decided() > world.replica(old).next_slot());
    assert_eq!(world.replica(old).standing(), Standing::Leading);
    // The one between catches up from the rest, then answers the old leader.
    let decided = world.replica(new).decided();
    for _ in 0..200 {
        world.now.0 += 10_000_000;
        for id in rest.iter().copied().chain([between]) {
            world.tick(id);
            world.drain(id);
            world.persist(id, usize::MAX);
            world.drain(id);
        }
        receive_only(&mut world, between, &["learned", "beat"]);
        rest.iter().for_each(|id| receive_only(&mut world, *id, &["learn"]));
    }
    assert_eq!(world.replica(between).decided(), decided);
    world.drain(old);
    receive_only(&mut world, between, &["2a"]);
    world.drain(between);
    world.persist(between, usize::MAX);
    world.drain(between);
    receive_only(&mut world, old, &["2b"]);
    assert_eq!(world.blamed, []);
}

/// One read of the log is out per peer, also when the peer starts again meanwhile.
#[test]
fn a_peer_that_starts_again_gets_no_second_read() {
    let mut world = plain(3);
    world.run(2000);
    let leader = world.leader().expect("a leader");
    let lag = world.ids().find(|id| *id != leader).expect("three nodes");
    world.crash(lag, 0, false);
    for _ in 0..40 {
        world.propose(leader);
        world.run(100);
    }
    for _ in 0..3 {
        world.restart(lag);
        world.run_without_work(40);
        world.crash(lag, 0, false);
    }
    assert_eq!(world.doubled_reads, 0);
}
