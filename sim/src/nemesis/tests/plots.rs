//! Plots come to what they are for, and leave nothing behind.

use super::*;
use crate::nemesis::plots::led_by;
use crate::nemesis::rings::cursors;

/// A small cluster whose rings are gone through soon.
fn small(nodes: usize, seed: u64) -> World {
    let mut options = Options::calm(nodes, seed);
    options.limits.window = 4;
    options.service.pipeline = 4;
    let mut world = World::new(options, Lines::Keep);
    run(&mut world, 2_000);
    world
}

/// Goes on to the next step of the plot, while clients ask at member 0. Whether there is one.
fn step(world: &mut World, nemesis: &mut Nemesis, ends: &mut Vec<(Moment, End)>) -> bool {
    let Some(place) = ends.iter().position(|(_, end)| *end == End::Plot) else { return false };
    let (at, end) = ends.remove(place);
    world.submit(MemberIndex(0), Request::new(Bytes::from(format!("at {at}"))));
    run(world, at.0.saturating_sub(world.now().0).div_ceil(1_000_000));
    nemesis.end(world, end, ends);
    true
}

/// The plot is over, and the cluster is as before.
fn is_over(world: &mut World, nemesis: &mut Nemesis, ends: Vec<(Moment, End)>) {
    run_ends(world, nemesis, ends);
    assert!(nemesis.plot.is_none() && nemesis.rules.is_empty());
    let before = world.checkers().images().chosen_end();
    run(world, 5_000);
    assert!(world.members().all(|member| linked(world, MemberIndex(0), member)));
    world.submit(MemberIndex(0), Request::new(Bytes::from_static(b"last")));
    run(world, 1_000);
    assert!(world.checkers().images().chosen_end() > before, "requests are applied");
}

fn leader_of(world: &World) -> MemberIndex {
    world.members().find(|member| led_by(world, *member).is_some()).expect("one leads")
}

#[test]
fn a_deaf_leader_gets_old_answers_and_steps_down_in_time() {
    for seed in 0..3 {
        let mut world = small(3, seed);
        let leader = leader_of(&world);
        let ballot = led_by(&world, leader);
        let (mut nemesis, mut ends) = begin(&mut world, Fault::StaleAnswers, seed);
        let (began, mut deaf_since) = (world.now(), None);
        let beats = |world: &World| {
            let gets = world.trace().kept().iter().filter(|event| event.word == "gets");
            let beats = gets.filter(|e| e.told.kind == Some(MessageKind::Beat));
            beats.filter(|event| event.member == leader).count()
        };
        while step(&mut world, &mut nemesis, &mut ends) {
            if deaf_since.is_none() && !nemesis.rules.is_empty() {
                deaf_since = Some((world.now(), beats(&world)));
                assert_eq!(led_by(&world, leader), ballot, "until then all is well");
            }
        }
        let (at, heard) = deaf_since.expect("it got deaf");
        assert!(at >= began.after(world.options().timeouts.heartbeat * 64), "{began} to {at}");
        assert!(beats(&world) >= heard + 20, "answers to sixteen rounds of two members");
        assert_ne!(led_by(&world, leader), ballot, "they prove nothing");
        is_over(&mut world, &mut nemesis, ends);
    }
}

#[test]
fn a_member_hears_one_leader_and_learns_of_the_next() {
    let mut learned = 0;
    for seed in 0..10 {
        let mut world = small(if seed % 2 == 0 { 3 } else { 5 }, seed);
        let leader = leader_of(&world);
        let ballot = led_by(&world, leader);
        let decided = |world: &World| {
            let follows = |service: &synod_core::service::Service<crate::machine::Machine>| {
                service.replica().leader() == ballot
            };
            let services = world.members().filter_map(|member| world.service(member));
            let others = services.filter(|service| follows(service));
            others.map(|service| service.replica().decided()).min()
        };
        let (mut nemesis, mut ends) = begin(&mut world, Fault::Hearsay, seed);
        while led_by(&world, leader) == ballot {
            assert!(step(&mut world, &mut nemesis, &mut ends), "it goes on");
        }
        let mut hears = false;
        while step(&mut world, &mut nemesis, &mut ends) {
            // Whoever follows the old leader knows what only a later one got decided.
            let news = world.members().filter_map(|member| led_by(&world, member)).max();
            hears |=
                news > ballot && decided(&world) == Some(world.checkers().images().chosen_end());
        }
        learned += u32::from(hears);
        is_over(&mut world, &mut nemesis, ends);
    }
    assert!(learned >= 5, "{learned}");
}

#[test]
fn whoever_lacks_a_ring_comes_to_lead() {
    let mut led = 0;
    for seed in 0..20 {
        let mut world = small(5, seed);
        let (mut nemesis, mut ends) = begin(&mut world, Fault::RingBehind, seed);
        let Some(Plot::Ring(ring)) = nemesis.plot.clone() else { continue };
        let (one, lacks) = (ring.one, cursors(&world, ring.one));
        let mut ring_behind = false;
        while step(&mut world, &mut nemesis, &mut ends) {
            let chosen = world.checkers().images().chosen_end();
            ring_behind |= lacks.is_some_and(|(decided, _)| chosen.since(decided) >= 8)
                && cursors(&world, one).is_some_and(|(decided, _)| chosen.since(decided) >= 4)
                && world
                    .service(one)
                    .is_some_and(|s| s.replica().standing() == Standing::Preparing);
        }
        led += u32::from(ring_behind && led_by(&world, one).is_some());
        is_over(&mut world, &mut nemesis, ends);
    }
    assert!(led >= 5, "{led}");
}
