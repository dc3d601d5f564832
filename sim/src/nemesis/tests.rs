//! Each fault does what it says.

mod plots;

use std::collections::BTreeSet;

use bytes::Bytes;
use synod_core::service::Request;
use synod_core::{MemberIndex, Standing};

use super::*;
use crate::clock::ms;
use crate::kinds::MessageKind;
use crate::network::Fate;
use crate::options::Options;
use crate::trace::Lines;

/// A calm cluster that has been running for two seconds.
fn calm(nodes: usize, seed: u64) -> World {
    let mut options = Options::calm(nodes, seed);
    options.network.remembers = true;
    let mut world = World::new(options, Lines::Keep);
    run(&mut world, 2_000);
    world
}

fn run(world: &mut World, millis: u64) {
    let end = world.now().after(ms(millis));
    while world.next_at().is_some_and(|at| at <= end) {
        let _ = world.step();
        assert_eq!(world.violation(), None);
    }
    world.skip_to(end);
}

/// Begins `fault` in a cluster that runs; returns how it is to end.
fn begin(world: &mut World, fault: Fault, seed: u64) -> (Nemesis, Vec<(Moment, End)>) {
    let mut weights = [0; Fault::COUNT];
    weights[fault as usize] = 1;
    let options = NemesisOptions { every_nanos: 1, lasts_nanos: 500_000_000, weights };
    let mut nemesis = Nemesis::new(options, seed);
    let mut ends = Vec::new();
    nemesis.begin(world, &mut ends);
    (nemesis, ends)
}

/// Ends it now.
fn end(world: &mut World, nemesis: &mut Nemesis, ends: Vec<(Moment, End)>) {
    for (_, end) in ends {
        nemesis.end(world, end, &mut Vec::new());
    }
}

fn linked(world: &World, one: MemberIndex, other: MemberIndex) -> bool {
    !world.network().is_cut(one, other) && !world.network().is_cut(other, one)
}

/// The kinds of the messages that had this fate.
fn kinds_of(world: &World, fate: Fate) -> BTreeSet<MessageKind> {
    let events = world.trace().kept().iter().filter(|event| event.told.fate == Some(fate));
    events.filter_map(|event| event.told.kind).collect()
}

#[test]
fn one_kind_is_lost_and_nothing_else() {
    let mut some = 0;
    for seed in 0..60 {
        let mut world = calm(3, 1);
        let (mut nemesis, ends) = begin(&mut world, Fault::LoseKind, seed);
        run(&mut world, 300);
        let lost = kinds_of(&world, Fate::Dropped);
        assert!(lost.len() <= 2, "{lost:?}");
        some += lost.len();
        end(&mut world, &mut nemesis, ends);
        let before = world.network().counts().lost;
        run(&mut world, 300);
        assert_eq!(world.network().counts().lost, before, "it is over");
    }
    assert!(some >= 5, "{some}");
}

#[test]
fn one_kind_is_held_and_comes_later() {
    let mut some = 0;
    for seed in 0..60 {
        let mut world = calm(3, 1);
        let (mut nemesis, ends) = begin(&mut world, Fault::HoldKind, seed);
        run(&mut world, 200);
        let held = kinds_of(&world, Fate::Held);
        assert!(held.len() <= 2, "{held:?}");
        some += held.len();
        if seed % 2 == 0 {
            end(&mut world, &mut nemesis, ends);
        } else {
            nemesis.give_up(&mut world);
        }
        run(&mut world, 200);
        assert_eq!(world.network().counts().lost, 0, "nothing held is lost");
        assert!(nemesis.rules.is_empty());
    }
    assert!(some >= 5, "{some}");
}

#[test]
fn a_leader_is_cut_from_its_quorum() {
    let mut ways = BTreeSet::new();
    for seed in 0..30 {
        let mut world = calm(5, 1);
        let leads = |world: &World, member: &MemberIndex| {
            world.service(*member).is_some_and(|s| s.replica().standing() == Standing::Leading)
        };
        let leader = world.members().find(|member| leads(&world, member)).expect("one leads");
        let (mut nemesis, ends) = begin(&mut world, Fault::CutLeader, seed);
        let others = || world.members().filter(|member| *member != leader);
        let kept = others().filter(|other| linked(&world, leader, *other)).count();
        assert!(kept + 1 < world.options().quorums.phase2, "{kept}");
        let hears = others().filter(|other| !world.network().is_cut(*other, leader)).count();
        let reaches = others().filter(|other| !world.network().is_cut(leader, *other)).count();
        ways.insert((hears == 4, reaches == 4));
        run(&mut world, 3_000);
        assert!(!leads(&world, &leader), "it steps down");
        end(&mut world, &mut nemesis, ends);
        assert!(world.members().all(|member| linked(&world, leader, member)));
    }
    assert_eq!(ways.len(), 3, "cut both ways, deaf and silent");
}

#[test]
fn a_chain_is_not_transitive() {
    for seed in 0..20 {
        let mut world = calm(3, 1);
        begin(&mut world, Fault::Chain, seed);
        let [a, b, c] = [0, 1, 2].map(MemberIndex);
        let links = [(a, b), (b, c), (a, c)];
        let linked = links.iter().filter(|(one, other)| linked(&world, *one, *other)).count();
        assert!(linked >= 2);
        let mut world = calm(7, 1);
        begin(&mut world, Fault::Chain, seed);
        let reach = |member| world.members().filter(|m| self::linked(&world, member, *m)).count();
        assert!(world.members().all(|member| reach(member) >= 2), "nobody is alone");
        assert!(world.members().any(|member| reach(member) < 7), "somebody is not reached");
    }
}

#[test]
fn only_quorums_hear_anything() {
    let mut quorums = BTreeSet::new();
    for seed in 0..20 {
        let mut world = calm(5, 1);
        let (mut nemesis, mut ends) = begin(&mut world, Fault::MinimalQuorum, seed);
        while let Some((_, next)) = ends.pop() {
            nemesis.end(&mut world, next, &mut ends);
            let hears = |to| world.members().all(|from| !world.network().is_cut(from, to));
            let hearing: Vec<MemberIndex> = world.members().filter(|to| hears(*to)).collect();
            assert_eq!(hearing.len(), if ends.is_empty() { 5 } else { 3 });
            quorums.insert(hearing);
        }
    }
    assert!(quorums.len() > 5, "{quorums:?}");
}

#[test]
fn members_are_clogged_in_one_order_and_let_go_in_another() {
    let mut reordered = 0;
    for seed in 0..20 {
        let mut world = calm(5, 1);
        let (_, ends) = begin(&mut world, Fault::Swizzle, seed);
        let last = ends.iter().map(|(at, _)| *at).max();
        let clogs = ends.iter().map(|(_, end)| match end {
            End::Clog { member, until } => (*member, *until),
            other => panic!("{other:?}"),
        });
        let clogs: Vec<(MemberIndex, Moment)> = clogs.collect();
        assert!(clogs.iter().all(|(_, until)| Some(*until) > last), "all are clogged at once");
        reordered += u32::from(!clogs.is_sorted_by_key(|(_, until)| *until));
        let (member, until) = clogs[0];
        world.clog(member, until);
        let got = |world: &World| {
            let gets = world.trace().kept().iter().filter(|event| event.word == "gets");
            gets.filter(|event| event.told.peer == Some(member)).count()
        };
        run(&mut world, 10);
        let before = got(&world);
        run(&mut world, 100);
        assert!(until < world.now() || got(&world) == before, "nothing comes of it");
    }
    assert!(reordered > 5, "{reordered}");
}

#[test]
fn a_flood_brings_everything_once_more() {
    let mut world = calm(3, 1);
    let before = world.network().counts().doubled;
    begin(&mut world, Fault::Flood, 1);
    assert!(world.network().counts().doubled >= before + 40, "{:?}", world.network().counts());
    run(&mut world, 500);
}

#[test]
fn bad_links_lose_or_delay() {
    let mut sum = 0;
    for seed in 0..10 {
        let mut world = calm(5, 1);
        let (mut nemesis, ends) = begin(&mut world, Fault::BadLinks, seed);
        run(&mut world, 500);
        let lost = world.network().counts().lost;
        sum += lost;
        end(&mut world, &mut nemesis, ends);
        run(&mut world, 500);
        assert_eq!(world.network().counts().lost, lost, "it is over");
    }
    assert!(sum > 50, "{sum}");
}

#[test]
fn a_slow_node_takes_few_turns() {
    let turns = |world: &World, member: MemberIndex| {
        let sends = world.trace().kept().iter().filter(|event| event.word == "sends");
        sends.filter(|event| event.member == member).count()
    };
    let mut world = calm(3, 1);
    let (mut nemesis, ends) = begin(&mut world, Fault::SlowNode, 2);
    let slow = world.members().find(|member| world.node(*member).slow_nanos > 0).expect("one");
    world.slow_down(slow, 400_000_000);
    let before = world.members().map(|member| turns(&world, member)).collect::<Vec<_>>();
    run(&mut world, 1_000);
    let taken = |m: MemberIndex| turns(&world, m) - before[m.place()];
    let others = world.members().filter(|member| *member != slow);
    assert!(others.map(taken).all(|count| count > 2 * taken(slow)));
    end(&mut world, &mut nemesis, ends);
    assert_eq!(world.node(slow).slow_nanos, 0);
}

#[test]
fn a_wild_clock_is_right_again_in_the_end() {
    let mut rates = BTreeSet::new();
    let mut back = 0;
    for seed in 0..40 {
        let mut world = calm(3, 1);
        let (mut nemesis, ends) = begin(&mut world, Fault::WildClock, seed);
        let Some((_, End::Clock(member))) = ends.first().copied() else { panic!("{ends:?}") };
        rates.insert(world.node(member).clock.rate_ppm());
        let told = |world: &World| world.node(member).process.as_ref().map(|p| p.told);
        back += u32::from(told(&world) > Some(world.node(member).clock.at(world.now())));
        let before = told(&world);
        run(&mut world, 300);
        assert!(told(&world) >= before, "its host never goes back");
        end(&mut world, &mut nemesis, ends);
        assert_eq!(world.node(member).clock.rate_ppm(), 1_000_000);
        assert!(Some(world.node(member).clock.at(world.now())) >= told(&world));
        run(&mut world, 2_000);
        let leaders = world.members().filter_map(|m| world.service(m)?.replica().leader());
        assert_eq!(leaders.count(), 3);
    }
    assert_eq!(rates.len(), 6, "{rates:?}");
    assert!(back > 3, "{back}");
}

#[test]
fn starved_timers_come_late() {
    let mut options = Options::calm(3, 1);
    options.process.late_timer_ppm = PPM;
    options.process.late_timer_nanos = 10_000_000_000;
    let mut world = World::new(options, Lines::None);
    run(&mut world, 1_000);
    assert!(world.members().all(|member| world.node(member).starved_until > world.now()));
    assert_eq!(world.stats().leaders, 0, "nobody's timer went off");
    world.become_sound();
    world.members().for_each(|member| world.wake(member));
    run(&mut world, 3_000);
    assert!(world.stats().leaders > 0);
}

#[test]
fn a_long_pause_outlasts_every_other_fault() {
    let mut world = calm(3, 1);
    begin(&mut world, Fault::LongPause, 4);
    let until = world.members().map(|member| world.node(member).paused_until).max();
    assert!(until > Some(world.now().after(ms(10_000))), "{until:?}");
}

/// Runs on while the faults end, each at its time.
fn run_ends(world: &mut World, nemesis: &mut Nemesis, mut ends: Vec<(Moment, End)>) {
    while let Some(next) = (0..ends.len()).min_by_key(|place| ends[*place].0) {
        let (at, end) = ends.remove(next);
        let wait = at.0.saturating_sub(world.now().0).div_ceil(1_000_000);
        let asker = MemberIndex((wait % world.nodes.len() as u64) as u8);
        world.submit(asker, Request::new(Bytes::from(format!("{} at {at}", ends.len()))));
        run(world, wait);
        nemesis.end(world, end, &mut ends);
    }
}

#[test]
fn one_leadership_after_the_other_leaves_proposals_behind() {
    let mut most = 0;
    for seed in 0..20 {
        let mut world = calm(5, seed);
        let (leaders, chosen) = (elected(&world), world.checkers().images().chosen_end());
        let (mut nemesis, mut ends) = begin(&mut world, Fault::Relay, seed);
        while nemesis.relay.is_some() {
            assert_eq!(world.checkers().images().chosen_end(), chosen, "nothing is decided");
            let (at, end) = ends.pop().expect("it looks again");
            let wait = at.0.saturating_sub(world.now().0).div_ceil(1_000_000);
            run(&mut world, wait);
            nemesis.end(&mut world, end, &mut ends);
        }
        most = most.max(elected(&world) - leaders);
        run_ends(&mut world, &mut nemesis, ends);
        assert!(nemesis.rules.is_empty());
        run(&mut world, 3_000);
        assert!(world.members().all(|member| linked(&world, MemberIndex(0), member)));
        assert!(world.checkers().images().chosen_end() > chosen, "it is over");
    }
    assert!(most >= 2, "{most}");
}

/// How many ballots were prepared, so far.
fn elected(world: &World) -> usize {
    let sends = world.trace().kept().iter().filter(|event| event.word == "sends");
    let prepares = sends.filter(|event| event.told.kind == Some(MessageKind::Prepare));
    prepares.filter_map(|event| event.told.ballot).collect::<BTreeSet<_>>().len()
}

#[test]
fn whoever_was_left_behind_comes_to_lead() {
    let mut led = 0;
    for seed in 0..20 {
        let mut world = calm(5, seed);
        let (mut nemesis, ends) = begin(&mut world, Fault::LeaveBehind, seed);
        let Some((_, End::Behind { one, .. })) = ends.first().copied() else { panic!("{ends:?}") };
        let leads = world.service(one).is_some_and(|s| s.replica().standing() == LEADS);
        run_ends(&mut world, &mut nemesis, ends);
        let now = world.service(one).is_some_and(|s| s.replica().standing() == LEADS);
        led += u32::from(now && !leads);
        assert!(nemesis.rules.is_empty());
        run(&mut world, 3_000);
        assert!(world.members().all(|member| linked(&world, one, member)));
    }
    assert!(led >= 5, "{led}");
}

#[test]
fn the_first_of_several_writes_is_torn() {
    let mut torn = 0;
    for seed in 0..20 {
        let mut world = calm(3, seed);
        let (mut nemesis, ends) = begin(&mut world, Fault::DeadTail, seed);
        assert!(world.members().any(|member| world.node(member).stalled));
        run_ends(&mut world, &mut nemesis, ends);
        run(&mut world, 3_000);
        assert!(world.members().all(|member| !world.node(member).stalled));
        assert!(world.members().all(|member| world.service(member).is_some()));
        torn += world.trace().kept().iter().filter(|event| event.word == "tears").count();
    }
    assert!(torn >= 5, "{torn}");
}

#[test]
fn what_two_leaderships_left_behind_comes_back_and_is_void() {
    let mut void = 0;
    for seed in 0..20 {
        let mut world = calm(5, seed);
        let (mut nemesis, ends) = begin(&mut world, Fault::Revive, seed);
        assert!(nemesis.revival.is_some() && nemesis.rules.len() == 2);
        run_ends(&mut world, &mut nemesis, ends);
        assert!(nemesis.revival.is_none() && nemesis.rules.is_empty());
        run(&mut world, 3_000);
        assert!(world.members().all(|member| linked(&world, MemberIndex(0), member)));
        let passed_over = |member| world.service(member).map(|s| s.status().counters.void);
        void += u32::from(world.members().filter_map(passed_over).any(|count| count > 0));
    }
    assert!(void >= 5, "{void}");
}

const LEADS: Standing = Standing::Leading;
