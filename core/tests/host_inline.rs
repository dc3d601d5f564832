//! A host whose log is durable when `persist` returns, as persistent memory is. A whole exchange
//! (accept, write, answer) then happens in one `drain`, without a turn of the loop in between.
//!
//! Power may fail between any two actions of a drain.

mod hosts;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use hosts::{Chance, Log, Machine, assert_agreement, config};
use synod_core::wire::{self, Payload};
use synod_core::{
    Ballot, Boot, Event, Header, Host, Incarnation, Instant, Message, NodeId, NodeSet, Persistence,
    Proposal, Record, Replica, Slot, Standing, WriteId, drain,
};

const MEMBERS: u64 = 3;

/// What survives: log and state machine both live in persistent memory.
#[derive(Default)]
struct Persistent {
    log: Log,
    machine: Machine,
    boot: u64,
}

/// The host for one call of `drain`.
struct InlineHost<'a> {
    header: Header,
    memory: &'a mut Persistent,
    inboxes: &'a mut [VecDeque<Bytes>],
    frame: &'a mut BytesMut,
    done: &'a mut Vec<Event<'static, Bytes>>,
    /// Actions until the power fails. At zero nothing has an effect any more.
    power: u64,
}

impl InlineHost<'_> {
    /// Whether the next action still happens.
    const fn is_alive(&mut self) -> bool {
        self.power = self.power.saturating_sub(1);
        self.power > 0
    }
}

impl Host<Bytes> for InlineHost<'_> {
    fn persist(&mut self, id: WriteId, record: Record<'_, Bytes>) -> Persistence {
        if !self.is_alive() {
            return Persistence::Pending;
        }
        self.memory.log.append(&self.header, id, &record);
        assert_eq!(self.memory.log.sync(1), Some(id), "no other write is ever open");
        Persistence::Done
    }

    fn send(&mut self, to: NodeSet, message: Message<'_, Bytes>) {
        if !self.is_alive() {
            return;
        }
        wire::encode(&self.header, &Payload::Replica(message), self.frame);
        let frame = self.frame.split().freeze();
        for member in to.iter() {
            self.inboxes[member.place()].push_back(frame.clone());
        }
    }

    fn deliver(&mut self, chosen: &[Proposal<Bytes>]) -> Option<Slot> {
        self.is_alive().then(|| self.memory.machine.apply(chosen))
    }

    fn deliver_from_log(&mut self, from: Slot, end: Slot) {
        if self.is_alive() {
            let chosen = self.memory.log.read(from, end);
            let end = self.memory.machine.apply(&chosen);
            self.done.push(Event::Applied { end });
        }
    }

    fn catch_up(&mut self, to: NodeId, from: Slot, end: Slot, decided: Slot) {
        if self.is_alive() {
            let end = end.min(from.plus(16));
            let proposals = self.memory.log.read(from, end);
            let message = Message::Learned { from, proposals: &proposals, decided };
            wire::encode(&self.header, &Payload::Replica(message), self.frame);
            self.inboxes[to.0 as usize - 1].push_back(self.frame.split().freeze());
            self.done.push(Event::CaughtUp { to, end });
        }
    }

    fn leader_changed(&mut self, _leader: Option<Ballot>) {}
}

struct World {
    replicas: Vec<Option<Replica<Bytes>>>,
    memories: Vec<Persistent>,
    inboxes: Vec<VecDeque<Bytes>>,
    done: Vec<Vec<Event<'static, Bytes>>>,
    decoder: wire::Decoder,
    frame: BytesMut,
    now: Instant,
    chance: Chance,
    proposed: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            replicas: (0..MEMBERS).map(|_| None).collect(),
            memories: (0..MEMBERS).map(|_| Persistent::default()).collect(),
            inboxes: (0..MEMBERS).map(|_| VecDeque::new()).collect(),
            done: (0..MEMBERS).map(|_| Vec::new()).collect(),
            decoder: wire::Decoder::new(&config(1, MEMBERS).limits),
            frame: BytesMut::new(),
            now: Instant::ZERO,
            chance: Chance(seed),
            proposed: 0,
        };
        (0..MEMBERS as usize).for_each(|place| world.start(place));
        world
    }

    fn start(&mut self, place: usize) {
        let memory = &mut self.memories[place];
        memory.boot += 1;
        let id = place as u64 + 1;
        let mut recovered = memory.log.recover(Incarnation(id), Boot(memory.boot));
        // The state machine need not be told again what it holds.
        recovered.applied = memory.machine.end();
        let replica = Replica::new(config(id, MEMBERS), recovered, self.now).expect("sound");
        self.replicas[place] = Some(replica);
    }

    /// One turn of the loop of one node; the power fails at the `power`-th action from here on.
    /// Returns what is left of it.
    fn turn(&mut self, place: usize, power: u64) -> u64 {
        let Some(replica) = &mut self.replicas[place] else { return power };
        for _ in 0..self.chance.below(8) {
            let Some(frame) = self.inboxes[place].pop_front() else { break };
            let (header, payload) = self.decoder.decode(&frame).expect("a sound frame");
            let Payload::Replica(message) = payload else { panic!("nobody else speaks here") };
            let _ = replica.handle(self.now, Event::Received { header, message });
        }
        for event in self.done[place].drain(..) {
            replica.handle(self.now, event).expect("own event");
        }
        if replica.standing() == Standing::Leading {
            for _ in 0..self.chance.below(4) {
                let decree = Bytes::from(self.proposed.to_le_bytes().repeat(5));
                self.proposed += u64::from(replica.propose(self.now, decree, None).is_ok());
            }
        }
        replica.handle(self.now, Event::DeadlineReached).expect("own event");
        let header = replica.header();
        let mut host = InlineHost {
            header,
            memory: &mut self.memories[place],
            inboxes: &mut self.inboxes,
            frame: &mut self.frame,
            done: &mut self.done[place],
            power,
        };
        drain(replica, self.now, &mut host);
        let left = host.power;
        if left == 0 {
            self.replicas[place] = None;
            self.inboxes[place].clear();
            self.done[place].clear();
        }
        left
    }

    fn run_until(&mut self, is_reached: impl Fn(&Self) -> bool) {
        for _ in 0..2_000_000 {
            if is_reached(self) {
                return;
            }
            let place = self.chance.below(MEMBERS) as usize;
            self.turn(place, u64::MAX);
            self.now = Instant(self.now.0 + self.chance.below(400_000));
        }
        panic!("the cluster gets no further: {:?}", self.ends());
    }

    fn leader(&self) -> Option<usize> {
        let established = |replica: &Option<Replica<Bytes>>| {
            replica.as_ref().is_some_and(Replica::is_established)
        };
        self.replicas.iter().position(established)
    }

    fn most_decrees(&self) -> usize {
        self.memories.iter().map(|memory| memory.machine.decrees()).max().unwrap_or(0)
    }

    fn ends(&self) -> Vec<Slot> {
        self.memories.iter().map(|memory| memory.machine.end()).collect()
    }
}

#[test]
fn replicas_with_inline_logs_agree_through_power_failures_between_any_two_actions() {
    let mut world = World::new(0x5EED_0002);
    let mut failures = 0;
    while world.most_decrees() < 6000 {
        world.run_until(|world| world.leader().is_some());
        let goal = world.most_decrees() + 100;
        world.run_until(|world| world.most_decrees() >= goal);
        // The leader loses power in the middle of a drain: at its 1st, 2nd, 3rd.. action.
        let leader = world.leader().unwrap_or(0);
        let mut power = 1 + failures % 11;
        while power > 0 {
            power = world.turn(leader, power);
            world.now = Instant(world.now.0 + 200_000);
        }
        failures += 1;
        if failures % 3 > 0 {
            // The two others go on without it; now and then it is back before they notice.
            world.run_until(|world| world.leader().is_some_and(|next| next != leader));
        }
        world.start(leader);
        assert_agreement(world.memories.iter().map(|memory| &memory.machine));
    }
    assert!(failures >= 33, "{failures} power failures: each number of actions three times");
    let end = world.ends().into_iter().max().expect("three");
    world.run_until(|world| world.ends().iter().all(|reached| *reached >= end));
    assert_agreement(world.memories.iter().map(|memory| &memory.machine));
}

#[test]
fn one_drain_takes_an_accept_all_the_way_to_its_answer() {
    let mut world = World::new(0x5EED_0003);
    world.run_until(|world| world.leader().is_some());
    let leader = world.leader().expect("there is one");
    let follower = (leader + 1) % MEMBERS as usize;
    // Nothing else is under way.
    world.inboxes.iter_mut().for_each(VecDeque::clear);
    let replica = world.replicas[leader].as_mut().expect("it is up");
    replica.propose(world.now, Bytes::from_static(b"x"), None).expect("it leads");
    let header = replica.header();
    let mut host = InlineHost {
        header,
        memory: &mut world.memories[leader],
        inboxes: &mut world.inboxes,
        frame: &mut world.frame,
        done: &mut world.done[leader],
        power: u64::MAX,
    };
    drain(replica, world.now, &mut host);
    assert!(!world.inboxes[follower].is_empty());
    let before = world.inboxes[leader].len();
    let replica = world.replicas[follower].as_mut().expect("it is up");
    while let Some(frame) = world.inboxes[follower].pop_front() {
        let (header, payload) = world.decoder.decode(&frame).expect("a sound frame");
        let Payload::Replica(message) = payload else { panic!("nobody else speaks here") };
        replica.handle(world.now, Event::Received { header, message }).expect("a member speaks");
    }
    let header = replica.header();
    let mut host = InlineHost {
        header,
        memory: &mut world.memories[follower],
        inboxes: &mut world.inboxes,
        frame: &mut world.frame,
        done: &mut world.done[follower],
        power: u64::MAX,
    };
    drain(replica, world.now, &mut host);
    assert_eq!(world.memories[follower].log.in_flight(), 0);
    assert!(world.inboxes[leader].len() > before, "the answer left in the same drain");
}
