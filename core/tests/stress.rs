//! Random schedules over tiny limits: messages are lost, doubled and reordered, links are cut in
//! one direction, writes complete late, nodes crash between any two writes. Then everything heals
//! and the group must come to rest in agreement, without further clients.
//!
//! `STRESS_SEEDS=1000..2000` runs other seeds and goes on behind a failure, unless `STRESS_FIRST`
//! is set.

mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use synod_core::{Event, NodeId, Quorums};
use world::World;

/// splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// Which of the waiting messages arrives next. `Newest` lets a few wait for very long.
#[derive(Clone, Copy)]
enum Order {
    Oldest,
    Any,
    Newest,
}

/// How rough a schedule is; drawn per seed.
struct Mood {
    loss: u64,
    doubling: u64,
    crash: u64,
    cut: u64,
    slow_disk: u64,
    stall: u64,
    order: Order,
    wipes_left: u64,
}

fn world_of(chance: &mut Chance) -> World {
    let count = 1 + chance.below(5);
    let phase2 = 1 + chance.below(count);
    let quorums = if chance.one_in(3) {
        Quorums { phase1: (count + 1 - phase2) as usize, phase2: phase2 as usize }
    } else {
        Quorums::majority(count as usize)
    };
    let window = 2 << chance.below(3);
    let run = 1 + chance.below(3) as usize;
    let bytes = 1 + chance.below(40) as usize;
    let writes = 1 + chance.below(3) as usize;
    let is_formed = !chance.one_in(6);
    let past = [0, 8, 100, 1 << 20][chance.below(4) as usize];
    let mut world = World::new(count, is_formed, |config| {
        let members = config.configuration.clone();
        config.configuration = members.with_quorums(quorums).expect("sound quorums");
        config.limits.window = window;
        config.limits.past_bytes_max = past;
        config.limits.run_slots_max = run;
        config.limits.run_bytes_max = bytes;
        config.limits.writes_in_flight_max = writes;
        config.seed = config.node.0;
    });
    for id in world.ids() {
        world.node(id).is_inline = chance.one_in(5);
        world.node(id).applies_at_once = !chance.one_in(3);
    }
    world
}

/// One random thing happens.
fn step(world: &mut World, chance: &mut Chance, mood: &mut Mood) {
    let id = 1 + chance.below(world.nodes.len() as u64);
    match chance.below(100) {
        0..55 => receive_some(world, chance, mood, id),
        55..70 => {
            if chance.one_in(mood.stall * 300) {
                world.node(id).is_stalled = !world.node(id).is_stalled;
            }
            if !chance.one_in(mood.slow_disk) && world.node(id).is_up {
                world.persist(id, 1 + chance.below(3) as usize);
            }
        }
        70..80 => {
            let is_jump = chance.one_in(mood.stall * 100);
            world.now.0 += chance.below(if is_jump { 3_000_000_000 } else { 30_000_000 });
            world.tick(id);
        }
        80..90 => {
            for _ in 0..=chance.below(4) {
                world.propose(id);
            }
        }
        90..95 => {
            world.work(id);
            world.apply(id);
        }
        95 => {
            if chance.one_in(mood.crash) && world.node(id).is_up {
                let kept = chance.below(4) as usize;
                let keeps_state = chance.one_in(2);
                world.crash(id, kept, keeps_state);
            }
        }
        96 if chance.one_in(40) => {
            world.handle(id, Event::PersistFailed);
            world.drain(id);
            let kept = chance.below(4) as usize;
            world.crash(id, kept, false);
        }
        96 => world.restart(id),
        97..99 => change_links(world, chance, mood, id),
        99.. => {
            if mood.wipes_left > 0 && chance.one_in(200) {
                mood.wipes_left -= 1;
                world.crash(id, 0, false);
                world.wipe(id, 100 + chance.below(1000));
            }
        }
    }
    // A host may carry out what is due in any number of steps.
    let id = 1 + chance.below(world.nodes.len() as u64);
    if chance.one_in(3) {
        let count = chance.below(5) as usize;
        world.drain_some(id, count);
    } else {
        world.drain(id);
    }
}

/// `id` receives some of what waits for it, in the order of the mood.
fn receive_some(world: &mut World, chance: &mut Chance, mood: &Mood, id: u64) {
    for _ in 0..=chance.below(4) {
        let waiting = world.node(id).inbox.len() as u64;
        if waiting == 0 {
            break;
        }
        let place = match mood.order {
            Order::Oldest => 0,
            Order::Any => chance.below(waiting),
            Order::Newest => waiting - 1 - chance.below(waiting.min(3)),
        } as usize;
        if chance.one_in(mood.loss) || !world.node(id).is_up {
            world.node(id).inbox.remove(place);
        } else {
            let again = chance.one_in(mood.doubling);
            world.receive(id, place, again);
        }
    }
}

/// One link breaks or comes back, or all of them do at once.
fn change_links(world: &mut World, chance: &mut Chance, mood: &Mood, id: u64) {
    if chance.one_in(2) {
        let to = chance.below(world.nodes.len() as u64) as usize;
        world.cut[id as usize - 1][to] = chance.one_in(mood.cut);
        let peer = NodeId(to as u64 + 1);
        if chance.one_in(2) {
            world.handle(id, Event::PeerDown { peer });
        } else {
            world.handle(id, Event::PeerUp { peer });
        }
    } else {
        if chance.one_in(mood.cut * 3) {
            let side = chance.next();
            for from in 0..world.nodes.len() {
                for to in 0..world.nodes.len() {
                    world.cut[from][to] = (side >> from ^ side >> to) & 1 == 1;
                }
            }
        }
    }
}

/// Links come back as far as some node reaches a quorum in both directions: decrees are chosen,
/// whatever the rest looks like (R12), and the lead does not wander.
fn progress_of_a_hub(world: &mut World, chance: &mut Chance) {
    world.heal();
    let count = world.nodes.len();
    let both = world.replica(1).config().configuration.quorums().both();
    loop {
        for from in 0..count {
            for to in 0..from {
                let is_cut = chance.one_in(2);
                world.cut[from][to] = is_cut;
                world.cut[to][from] = is_cut;
            }
        }
        let reach = |row: &Vec<bool>| row.iter().filter(|is_cut| !**is_cut).count();
        if world.cut.iter().any(|row| reach(row) >= both) {
            break;
        }
    }
    world.run(15_000);
    let before = world.oracle.chosen_to();
    let round = |world: &World| world.nodes.iter().map(|n| n.replica.promised().round).max();
    let highest = round(world);
    for _ in 0..100 {
        world.run(50);
        for id in world.ids() {
            world.propose(id);
        }
    }
    world.run(500);
    let chosen = world.oracle.chosen_to() - before;
    assert!(chosen >= 90, "{chosen} of 100 chosen with {:?} {}", world.cut, picture(world));
    assert_eq!(highest, round(world), "the lead wanders");
}

/// Everything heals; the group must come to rest by itself and take one more decree.
fn converge(world: &mut World, may_be_short_of_votes: bool) {
    world.heal();
    let mut waited = 0;
    let mut at_rest = 0;
    // At rest: half a second with one leader, nothing open and everybody agreed.
    while at_rest < 5 {
        world.run(100);
        waited += 100;
        let rests = world.leader().is_some_and(|leader| {
            let replica = world.replica(leader);
            replica.decided() == replica.next_slot() && replica.room() > 0
        });
        at_rest = if rests && world.agree() { at_rest + 1 } else { 0 };
        if may_be_short_of_votes && waited > 20_000 {
            return;
        }
        assert!(waited <= 20_000, "no agreement after {waited} ms: {}", picture(world));
    }
    let leader = world.leader().expect("a leader");
    let slot = world.propose(leader).unwrap_or_else(|| panic!("no room: {}", picture(world)));
    world.run(2000);
    assert_eq!(world.leader(), Some(leader), "the lead changes without a reason");
    assert!(world.agree() && world.replica(leader).decided() > slot, "{}", picture(world));
    let sent: Vec<(u64, u64)> = world.nodes.iter().map(|n| (n.messages_sent, n.writes)).collect();
    world.run(1000);
    for (node, (messages, writes)) in world.nodes.iter().zip(sent) {
        let beats = (node.messages_sent - messages) / world.nodes.len() as u64;
        assert!(beats <= 60, "an idle node sends {beats} messages a second to each peer");
        assert_eq!(node.writes, writes, "an idle node writes");
    }
}

fn picture(world: &World) -> String {
    let show = |node: &world::Node| {
        let replica = &node.replica;
        format!(
            "\n  n{} {:?} promised={} leader={:?} decided={} end={} delivered={} votes={} \
             disk={:?}",
            replica.config().node,
            replica.standing(),
            replica.promised(),
            replica.leader(),
            replica.decided(),
            replica.next_slot(),
            replica.delivered(),
            replica.votes(),
            node.disk.last().map(|written| written.decided),
        )
    };
    world.nodes.iter().map(show).collect()
}

fn run(seed: u64) {
    let mut chance = Chance(seed);
    let mut world = world_of(&mut chance);
    let quorums = world.replica(1).config().configuration.quorums();
    let spare = world.nodes.len() - quorums.both();
    let mut mood = Mood {
        loss: 3 << chance.below(8),
        doubling: 4 << chance.below(6),
        crash: 1 << chance.below(6),
        cut: 1 + chance.below(8),
        slow_disk: 1 + (1 << chance.below(5)),
        stall: 1 << chance.below(6),
        order: [Order::Oldest, Order::Any, Order::Newest][chance.below(3) as usize],
        wipes_left: if chance.one_in(4) { spare as u64 } else { 0 },
    };
    let wipes = mood.wipes_left;
    if chance.one_in(2) {
        world.run(1500);
    }
    for _ in 0..1000 + chance.below(3000) {
        step(&mut world, &mut chance, &mut mood);
    }
    let all_vote = world.nodes.iter().all(|node| node.replica.votes());
    if all_vote && chance.one_in(3) {
        progress_of_a_hub(&mut world, &mut chance);
    }
    // A disk wiped while the group formed may leave too few that vote: documented (R10).
    let wiped = mood.wipes_left < wipes;
    converge(&mut world, wiped);
    let blamed = world.blamed.iter().filter(|blame| {
        use synod_core::PeerMisbehaved::{StaleBoot, StaleIncarnation};
        !matches!(blame, StaleBoot(..) | StaleIncarnation(..))
    });
    assert_eq!(blamed.collect::<Vec<_>>(), Vec::<&_>::new(), "honest peers are blamed");
}

#[test]
fn random_schedules_end_in_agreement() {
    let (seeds, goes_on) = match std::env::var("STRESS_SEEDS") {
        Ok(range) => {
            let (from, end) = range.split_once("..").expect("from..end");
            (
                from.parse().expect("a number")..end.parse().expect("a number"),
                std::env::var("STRESS_FIRST").is_err(),
            )
        }
        Err(_) => (0..60, false),
    };
    let mut failed = Vec::new();
    for seed in seeds {
        if catch_unwind(AssertUnwindSafe(|| run(seed))).is_err() {
            println!("seed {seed} fails");
            failed.push(seed);
            if !goes_on {
                break;
            }
        }
    }
    assert!(failed.is_empty(), "seeds {failed:?} fail");
}
