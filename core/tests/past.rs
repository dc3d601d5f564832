//! What is decided, applied and durable leaves memory as `past_bytes_max` says, and is read from
//! the log for whoever still needs it.

mod world;

use std::rc::Rc;

use synod_core::{
    Action, ClusterId, Config, Configuration, Decree, Event, GroupId, Incarnation, Instant, NodeId,
    Recovered, Replica, Standing, WriteId,
};
use world::World;

/// A decree of eight bytes, of which it can be told how often it is held.
#[derive(Clone, Default)]
struct Counted(#[expect(dead_code, reason = "it is counted, not looked at")] Option<Rc<()>>);

impl Decree for Counted {
    fn size_bytes(&self) -> usize {
        8
    }
}

/// A group of one, whose log is durable at once and whose machine applies at once.
struct Lone {
    replica: Replica<Counted>,
    now: Instant,
    decree: Rc<()>,
    /// Writes that the log is not to report yet.
    stalled: Option<WriteId>,
    is_stalled: bool,
}

impl Lone {
    fn new(past_bytes_max: usize) -> Self {
        let members = Configuration::first(&[NodeId(1)]).expect("a group of one");
        let mut config = Config::new(ClusterId(7), GroupId(0), NodeId(1), members);
        config.limits.window = 64;
        config.limits.past_bytes_max = past_bytes_max;
        let (now, recovered) = (Instant(1), Recovered::formatted(Incarnation(1)));
        let replica = Replica::new(config, recovered, now).expect("it is sound");
        let mut lone =
            Self { replica, now, decree: Rc::default(), stalled: None, is_stalled: false };
        while lone.replica.standing() != Standing::Leading {
            lone.now.0 += 1_000_000;
            lone.tell(Event::DeadlineReached);
        }
        lone
    }

    fn tell(&mut self, event: Event<'_, Counted>) {
        self.replica.handle(self.now, event).expect("only messages can misbehave");
        while let Some(action) = self.replica.poll() {
            let event = match action {
                Action::Persist { id, .. } if self.is_stalled => {
                    self.stalled = Some(id);
                    continue;
                }
                Action::Persist { id, .. } => Event::Persisted { upto: id },
                Action::Deliver { chosen } => {
                    Event::Applied { end: chosen.last().expect("a run").slot.next() }
                }
                Action::LeaderChanged { .. } => continue,
                Action::Send { .. } | Action::DeliverFromLog { .. } | Action::CatchUp { .. } => {
                    panic!("there is nobody else, and nothing is behind")
                }
            };
            self.replica.handle(self.now, event).expect("only messages can misbehave");
        }
    }

    fn propose(&mut self, count: usize) {
        for _ in 0..count {
            let decree = Counted(Some(self.decree.clone()));
            assert!(self.replica.propose(self.now, decree, None).is_ok(), "there is room");
            self.tell(Event::DeadlineReached);
        }
    }

    fn held(&self) -> usize {
        Rc::strong_count(&self.decree) - 1
    }
}

#[test]
fn no_more_of_the_past_is_held_than_said() {
    let mut lone = Lone::new(80);
    lone.propose(10);
    assert_eq!(lone.held(), 10, "as much as may be");
    lone.propose(100);
    assert!((9..=11).contains(&lone.held()), "{} are held", lone.held());
    let mut lone = Lone::new(0);
    lone.propose(100);
    assert!(lone.held() <= 2, "{}: what no durable mark covers yet", lone.held());
    let mut lone = Lone::new(usize::MAX);
    lone.propose(1000);
    assert!((112..=128).contains(&lone.held()), "{}: up to twice the window", lone.held());
}

#[test]
fn what_is_not_durable_stays() {
    let mut lone = Lone::new(0);
    lone.is_stalled = true;
    lone.propose(8);
    assert_eq!(lone.held(), 8);
    lone.is_stalled = false;
    let upto = lone.stalled.expect("a write");
    lone.tell(Event::Persisted { upto });
    // The next record has the mark, and nothing has to be proposed after it.
    lone.propose(1);
    assert!(lone.held() <= 2, "{} are held", lone.held());
}

/// A member that was away comes back; says how many reads of a log that took, and how many slots
/// were behind it.
fn a_laggard_comes_back(past_bytes_max: usize) -> u64 {
    let mut world = World::new(3, true, |config| {
        config.limits.window = 64;
        config.limits.past_bytes_max = past_bytes_max;
    });
    world.run(2000);
    let leader = world.leader().expect("one leads");
    let away = world.ids().find(|id| *id != leader).expect("others");
    world.crash(away, usize::MAX, true);
    for _ in 0..40 {
        world.propose(leader).expect("there is room");
        world.run(5);
    }
    assert!(world.replica(leader).decided() > world.replica(away).decided().plus(30));
    let before = world.catch_ups;
    world.restart(away);
    world.run(2000);
    assert_eq!(world.replica(away).decided(), world.replica(leader).decided());
    assert!(world.agree() && world.blamed.is_empty());
    world.catch_ups - before
}

#[test]
fn a_laggard_is_served_from_memory_or_else_from_the_log() {
    assert_eq!(a_laggard_comes_back(1 << 20), 0);
    assert!(a_laggard_comes_back(0) > 0);
    assert!(a_laggard_comes_back(20 * 8) > 0);
}
