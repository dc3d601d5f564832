//! A candidate without room waits quietly, and open tails do not grow without bound.

mod world;

use synod_core::Standing;
use world::World;

fn tiny(count: u64) -> World {
    World::new(count, true, |config| config.limits.window = 2)
}

/// A leader whose state machine stands still fills its window, gives its lead up when its disk
/// stalls, and campaigns again.
fn a_candidate_without_room() -> World {
    let mut world = tiny(1);
    world.run(1000);
    assert_eq!(world.leader(), Some(1));
    world.node(1).applies_at_once = false;
    while world.propose(1).is_some() {
        world.flush();
    }
    // The disk stalls until the lead is given up, and answers at once from then on.
    world.now.0 += 100_000_000;
    world.tick(1);
    while world.replica(1).standing() == Standing::Leading {
        world.now.0 += 1_000_000_000;
        world.propose(1);
        world.tick(1);
        world.drain(1);
    }
    world.persist(1, usize::MAX);
    world.node(1).is_inline = true;
    world.run(1500);
    world
}

#[test]
fn a_candidate_without_room_does_not_write_marks_for_ever() {
    let mut world = a_candidate_without_room();
    let before = world.node(1).writes;
    world.run(100);
    assert!(world.node(1).writes - before < 10, "{} writes", world.node(1).writes - before);
    world.node(1).applies_at_once = true;
    world.run(3000);
    assert_eq!(world.leader(), Some(1));
}

/// It leads, since nothing is open, and its barrier waits for room. That comes while a run of slots
/// is handed out, and no event follows: the barrier still goes before the next decree (C3).
#[test]
fn nothing_is_proposed_before_a_barrier_that_waited_for_room() {
    let mut world = a_candidate_without_room();
    assert_eq!(world.replica(1).standing(), Standing::Leading);
    let barrier = world.replica(1).next_slot();
    assert_eq!(world.replica(1).decided(), barrier);
    world.apply(1);
    world.drain(1);
    assert_eq!(world.replica(1).next_slot(), barrier, "the barrier waits still");
    assert_eq!(world.replica(1).room(), 0, "and nothing goes before it");
    assert_eq!(world.propose(1), Some(barrier.next()));
}

/// Leaderships that fail before their barrier is decided leave no more behind than one did.
#[test]
fn failed_leaderships_do_not_pile_up_barriers() {
    let mut world = tiny(3);
    // Node 3 is away. Accepts of nodes 1 and 2 are lost; everything else gets through.
    world.crash(3, 0, false);
    for _ in 0..2000 {
        world.now.0 += 10_000_000;
        for id in 1..=2 {
            world.tick(id);
            world.drain(id);
            world.persist(id, usize::MAX);
            world.drain(id);
            while !world.node(id).inbox.is_empty() {
                if world.node(id).inbox[0].name() == "2a" {
                    world.node(id).inbox.pop_front();
                }
                world.receive(id, 0, false);
                world.drain(id);
            }
        }
        // The leader gets no answer to its beats now and then.
        if world.now.0 % 2_000_000_000 < 1_000_000_000 {
            world.node(1).inbox.clear();
            world.node(2).inbox.clear();
        }
    }
    world.heal();
    world.run(10_000);
    assert!(world.leader().is_some(), "the group never comes back");
    assert!(world.agree());
}

/// A single node that loses its power in every start before a mark is written.
#[test]
fn a_crash_loop_does_not_pile_up_barriers() {
    let mut world = tiny(1);
    for _ in 0..12 {
        let boot = world.replica(1).decided();
        while world.replica(1).decided() == boot {
            world.now.0 += 10_000_000;
            world.tick(1);
            world.drain(1);
            world.persist(1, 1);
            assert!(world.now.0 < 60_000_000_000, "no leader any more");
        }
        world.crash(1, 0, false);
        world.restart(1);
    }
}

/// A decree of the largest size is taken, here and by the others; a larger one is not.
#[test]
fn a_decree_may_be_as_large_as_the_limit() {
    // A decree of this world has eight bytes.
    for (bytes_max, fits) in [(8, true), (7, false)] {
        let mut world = World::new(3, true, |config| config.limits.decree_bytes_max = bytes_max);
        world.run(2000);
        let leader = world.leader().expect("a leader");
        let slot = world.propose(leader);
        assert_eq!(slot.is_some(), fits, "{bytes_max} bytes at most");
        world.run(1000);
        let is_decided = |id: u64| slot.is_none_or(|slot| world.replica(id).decided() > slot);
        assert!(world.ids().all(is_decided), "everybody takes what the leader took");
    }
}
