//! No heap allocation per command in steady state (C13), neither at the leader nor at a member that
//! forwards.

mod counting;

use bytes::Bytes;
use counting::so_far;
use synod_core::service::{
    At, Input, Outcome, Output, Request, Service, ServiceConfig, StateMachine,
};
use synod_core::wire::Payload;
use synod_core::{
    ClusterId, Config, Configuration, Event, GroupId, Incarnation, Instant, NodeId, Recovered,
    Standing,
};

/// Adds up bytes.
#[derive(Default)]
struct Sum(u64);

impl StateMachine for Sum {
    type Reply = u64;

    fn apply(&mut self, _at: At, request: &[u8]) -> u64 {
        self.0 += request.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        self.0
    }
}

/// Services that hand messages to each other directly, over logs that are durable at once.
struct Group {
    members: Vec<Service<Sum>>,
    applied: u64,
    now: Instant,
}

impl Group {
    fn of(count: u64) -> Self {
        let ids: Vec<NodeId> = (1..=count).map(NodeId).collect();
        let set = Configuration::first(&ids).expect("a sound set");
        let now = Instant(1);
        let start = |id: &NodeId| {
            let mut config = Config::new(ClusterId(1), GroupId(0), *id, set.clone());
            config.limits.window = 64;
            let log = Recovered::formatted(Incarnation(id.0));
            let service = Service::new(ServiceConfig::new(config), log, Sum::default(), now);
            service.expect("a sound configuration")
        };
        Self { members: ids.iter().map(start).collect(), applied: 0, now }
    }

    /// Carries out everything that is due at one member; whether there was anything.
    fn drain(&mut self, place: usize) -> bool {
        let mut moved = false;
        let (before, rest) = self.members.split_at_mut(place);
        let (one, after) = rest.split_first_mut().expect("a member");
        let header = one.replica().header();
        while let Some(output) = one.poll() {
            moved = true;
            match output {
                Output::Persist { id, record: _ } => {
                    let input = Input::Replica(Event::Persisted { upto: id });
                    one.handle(self.now, input).expect("only messages can misbehave");
                }
                Output::Send { to, payload } => {
                    for member in to.iter() {
                        let to = member.place();
                        let other = match to.checked_sub(place + 1) {
                            Some(behind) => &mut after[behind],
                            None => &mut before[to],
                        };
                        let input = match payload.clone() {
                            Payload::Replica(message) => {
                                Input::Replica(Event::Received { header, message })
                            }
                            Payload::Service(message) => Input::Service { header, message },
                        };
                        other.handle(self.now, input).expect("nobody misbehaves");
                    }
                }
                Output::Outcome { id: _, outcome } => {
                    assert!(matches!(outcome, Outcome::Applied { .. }));
                    self.applied += 1;
                }
                Output::ReadBack { .. } | Output::CatchUp { .. } => panic!("nobody lags"),
                Output::LeaderChanged { .. } => {}
            }
        }
        moved
    }

    fn settle(&mut self) {
        while (0..self.members.len()).fold(false, |moved, place| self.drain(place) | moved) {}
    }

    fn pass_time(&mut self) {
        self.now = self.members.iter().map(Service::deadline).min().expect("members");
        for member in &mut self.members {
            member.handle(self.now, Input::Replica(Event::DeadlineReached)).expect("no message");
        }
        self.settle();
    }

    fn leader(&self) -> Option<usize> {
        let leads = |service: &Service<Sum>| service.replica().standing() == Standing::Leading;
        let leader = self.members.iter().position(leads)?;
        let ballot = self.members[leader].replica().leader();
        let known = self.members.iter().all(|service| service.replica().leader() == ballot);
        known.then_some(leader)
    }

    /// `rounds` times, `batch` requests at one member.
    fn work(&mut self, place: usize, rounds: u64, batch: u64) {
        for round in 0..rounds {
            for _ in 0..batch {
                let request = Request::new(Bytes::from_static(&[7; 100]));
                self.members[place].submit(self.now, request).expect("there is room");
            }
            self.settle();
            if round % 50 == 0 {
                self.pass_time();
            }
        }
    }
}

/// The allocations of many commands at one member, after some to warm up.
fn allocations(members: u64, at_leader: bool, batch: u64) -> u64 {
    let mut group = Group::of(members);
    while group.leader().is_none() {
        group.pass_time();
    }
    let leader = group.leader().expect("just seen");
    let place = if at_leader { leader } else { (leader + 1) % members as usize };
    group.work(place, 2_000, batch);
    assert_eq!(group.applied, 2_000 * batch);
    let before = so_far();
    group.work(place, 2_000, batch);
    let made = so_far() - before;
    assert_eq!(group.applied, 4_000 * batch);
    made
}

#[test]
fn a_group_of_one_does_not_allocate() {
    assert_eq!(allocations(1, true, 1), 0);
}

#[test]
fn a_leader_does_not_allocate() {
    assert_eq!(allocations(3, true, 1), 0);
    assert_eq!(allocations(3, true, 20), 0);
}

#[test]
fn forwarding_does_not_allocate() {
    assert_eq!(allocations(3, false, 1), 0);
    assert_eq!(allocations(3, false, 20), 0);
}

/// Decrees are cut from chunks, so that the first ones cost no allocation each either: those whose
/// handles still live in the window, and whose memory cannot be used again yet.
#[test]
fn first_decrees_share_a_chunk() {
    let mut group = Group::of(1);
    while group.leader().is_none() {
        group.pass_time();
    }
    group.work(0, 4, 1);
    let before = so_far();
    group.work(0, 40, 1);
    let made = so_far() - before;
    assert_eq!(group.applied, 44);
    assert!(made < 10, "{made} allocations for 40 decrees");
}
