//! A cluster of services in one thread, with real frames between them and logs in memory. A packet
//! waits until the test lets it go on, unless nobody holds it.

#![allow(dead_code, reason = "each test binary uses a part of this")]

pub(crate) mod disk;
pub(crate) mod journal;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use synod_core::service::{
    Input, Outcome, Output, Rejected, Request, RequestId, Service, ServiceConfig, ServiceMessage,
};
use synod_core::wire::{self, Payload};
use synod_core::{
    Ballot, ClusterId, Config, Configuration, Event, GroupId, Instant, Message, NodeId, Standing,
};

use disk::Disk;
use journal::Journal;

/// A frame on its way. Nodes are counted from 0.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The name of the message in it.
    pub(crate) name: &'static str,
    frame: Bytes,
}

/// One member.
pub(crate) struct Member {
    config: ServiceConfig,
    pub(crate) disk: Disk,
    /// `None` while it is down.
    pub(crate) service: Option<Service<Journal>>,
    /// What a state machine that keeps its state on disk would find there.
    saved: Journal,
    pub(crate) outcomes: BTreeMap<RequestId, Outcome<u64>>,
    /// What the host was told in this run, in order.
    pub(crate) told: Vec<Told>,
}

/// Something that the host of a service was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    Leader(Option<Ballot>),
    Outcome(RequestId),
}

/// What the network does with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Pass,
    Drop,
    /// Put aside until [`Cluster::release`].
    Hold,
}

pub(crate) struct Cluster {
    pub(crate) members: Vec<Member>,
    pub(crate) now: Instant,
    pub(crate) packets: VecDeque<Packet>,
    pub(crate) held: Vec<Packet>,
    /// Links that lose everything, by direction.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// Decides on the packets that no cut has lost.
    pub(crate) fate: Box<dyn FnMut(&Packet) -> Fate>,
}

impl Cluster {
    pub(crate) fn of(members: usize) -> Self {
        Self::with(members, |_| {})
    }

    /// `change` adjusts the configuration of each member.
    pub(crate) fn with(members: usize, change: impl Fn(&mut ServiceConfig)) -> Self {
        let ids: Vec<NodeId> = (1..=members as u64).map(NodeId).collect();
        let set = Configuration::first(&ids).expect("a sound set");
        let member = |id: &NodeId| {
            let config = Config::new(ClusterId(7), GroupId(0), *id, set.clone());
            let mut config = ServiceConfig::new(config);
            change(&mut config);
            let disk = Disk::formatted(100 + id.0);
            let (saved, outcomes, told) = (Journal::default(), BTreeMap::new(), Vec::new());
            Member { config, disk, service: None, saved, outcomes, told }
        };
        let mut cluster = Self {
            members: ids.iter().map(member).collect(),
            now: Instant(1_000_000_000),
            packets: VecDeque::new(),
            held: Vec::new(),
            cut: BTreeSet::new(),
            fate: Box::new(|_| Fate::Pass),
        };
        for place in 0..members {
            cluster.start(place);
        }
        cluster
    }

    /// Starts a member from its disk, with an empty state machine or with what was saved.
    pub(crate) fn start(&mut self, place: usize) {
        let member = &mut self.members[place];
        let recovered = member.disk.recover();
        let machine = member.saved.clone();
        let service = Service::new(member.config.clone(), recovered, machine, self.now);
        member.service = Some(service.expect("a sound configuration and log"));
        member.outcomes.clear();
        member.told.clear();
        self.drain(place);
    }

    /// Kills a member; what it wrote stays, and what is on the way to it is lost.
    pub(crate) fn crash(&mut self, place: usize) {
        self.members[place].service = None;
        self.packets.retain(|packet| packet.to != place);
    }

    /// Kills a member whose state machine keeps its state on disk.
    pub(crate) fn crash_with_state(&mut self, place: usize) {
        self.members[place].saved = self.service(place).machine().clone();
        self.crash(place);
    }

    pub(crate) fn service(&self, place: usize) -> &Service<Journal> {
        self.members[place].service.as_ref().expect("the member is up")
    }

    pub(crate) fn service_mut(&mut self, place: usize) -> &mut Service<Journal> {
        self.members[place].service.as_mut().expect("the member is up")
    }

    pub(crate) fn journal(&self, place: usize) -> Vec<String> {
        self.service(place).machine().texts()
    }

    /// Submits without polling, so that several requests pile up.
    pub(crate) fn offer(&mut self, place: usize, request: Request) -> Result<RequestId, Rejected> {
        let now = self.now;
        self.service_mut(place).submit(now, request)
    }

    pub(crate) fn submit(&mut self, place: usize, text: &str) -> RequestId {
        let request = Request::new(Bytes::copy_from_slice(text.as_bytes()));
        let id = self.offer(place, request).expect("there is room");
        self.drain(place);
        id
    }

    pub(crate) fn outcome(&self, place: usize, id: RequestId) -> Option<Outcome<u64>> {
        self.members[place].outcomes.get(&id).copied()
    }

    pub(crate) fn is_applied(&self, place: usize, id: RequestId) -> bool {
        matches!(self.outcome(place, id), Some(Outcome::Applied { .. }))
    }

    pub(crate) fn input(&mut self, place: usize, event: Event<'_, Bytes>) {
        let now = self.now;
        let verdict = self.service_mut(place).handle(now, Input::Replica(event));
        verdict.expect("only messages can misbehave");
        self.drain(place);
    }

    /// Pulls every output of a member and carries it out.
    pub(crate) fn drain(&mut self, place: usize) {
        let Self { members, packets, now, .. } = self;
        let member = &mut members[place];
        let Some(service) = &mut member.service else { return };
        let header = service.replica().header();
        while let Some(output) = service.poll() {
            match output {
                Output::Persist { id, record } => {
                    member.disk.write(&record);
                    let event = Event::Persisted { upto: id };
                    let verdict = service.handle(*now, Input::Replica(event));
                    verdict.expect("only messages can misbehave");
                }
                Output::Send { to, payload } => {
                    let (name, frame) = (name(&payload), frame(&header, &payload));
                    for member in to.iter() {
                        let to = member.place();
                        let frame = frame.clone();
                        packets.push_back(Packet { from: place, to, name, frame });
                    }
                }
                Output::ReadBack { from, end } => {
                    let chosen = member.disk.read(from, end);
                    let verdict = service.handle(*now, Input::ReadBack { chosen: &chosen });
                    verdict.expect("only messages can misbehave");
                }
                Output::CatchUp { to, from, end, decided } => {
                    let proposals = member.disk.read(from, end);
                    let message = Message::Learned { from, proposals: &proposals, decided };
                    let frame = frame(&header, &Payload::Replica(message));
                    let to_place = to.0 as usize - 1;
                    packets.push_back(Packet { from: place, to: to_place, name: "learned", frame });
                    let end = proposals.last().map_or(from, |proposal| proposal.slot.next());
                    let event = Event::CaughtUp { to, end };
                    let verdict = service.handle(*now, Input::Replica(event));
                    verdict.expect("only messages can misbehave");
                }
                Output::LeaderChanged { leader } => member.told.push(Told::Leader(leader)),
                Output::Outcome { id, outcome } => {
                    member.told.push(Told::Outcome(id));
                    let earlier = member.outcomes.insert(id, outcome);
                    assert_eq!(earlier, None, "A1: two outcomes for {id:?}, now {outcome:?}");
                }
            }
        }
    }

    /// Hands over the next packet, or lets time pass until the next deadline.
    pub(crate) fn step(&mut self) {
        let Some(packet) = self.packets.pop_front() else { return self.pass_time() };
        if self.cut.contains(&(packet.from, packet.to)) {
            return;
        }
        match (self.fate)(&packet) {
            Fate::Pass => self.deliver(&packet),
            Fate::Drop => {}
            Fate::Hold => self.held.push(packet),
        }
    }

    /// Hands a packet over now. A peer that is to blame is no error here.
    pub(crate) fn deliver(&mut self, packet: &Packet) {
        let now = self.now;
        let member = &mut self.members[packet.to];
        let Some(service) = &mut member.service else { return };
        let mut decoder = wire::Decoder::new(&member.config.replica.limits);
        let (header, payload) = decoder.decode(&packet.frame).expect("a sound frame");
        let input = match payload {
            Payload::Replica(message) => Input::Replica(Event::Received { header, message }),
            Payload::Service(message) => Input::Service { header, message },
        };
        let _blamed = service.handle(now, input);
        self.drain(packet.to);
    }

    /// Lets go of everything that is held.
    pub(crate) fn release(&mut self) {
        self.fate = Box::new(|_| Fate::Pass);
        self.packets.extend(self.held.drain(..));
    }

    fn pass_time(&mut self) {
        let up = self.members.iter().filter_map(|member| member.service.as_ref());
        let next = up.map(Service::deadline).min().expect("somebody is up");
        self.now = self.now.max(next);
        for place in 0..self.members.len() {
            let due = |service: &Service<Journal>| service.deadline() <= self.now;
            if self.members[place].service.as_ref().is_some_and(due) {
                self.input(place, Event::DeadlineReached);
            }
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now.after(time);
        while self.now < end {
            self.step();
        }
    }

    /// Runs until `goal` holds; fails after a minute of the cluster's time.
    pub(crate) fn run_until(&mut self, goal: impl Fn(&Self) -> bool) {
        let end = self.now.after(Duration::from_secs(60));
        while !goal(self) {
            assert!(self.now < end, "the goal was not reached within a minute");
            self.step();
        }
    }

    pub(crate) fn cut_off(&mut self, place: usize) {
        for other in (0..self.members.len()).filter(|other| *other != place) {
            self.cut.extend([(place, other), (other, place)]);
        }
    }

    /// The member that leads in the highest ballot, if every member that is up and can hear it
    /// knows it.
    pub(crate) fn leader(&self) -> Option<usize> {
        let up = |place: &usize| self.members[*place].service.is_some();
        let leads = |place: &usize| self.service(*place).replica().standing() == Standing::Leading;
        let ballot = |place: usize| self.service(place).replica().promised();
        let places = (0..self.members.len()).filter(up);
        let leader = places.clone().filter(leads).max_by_key(|place| ballot(*place))?;
        let hears = |place: &usize| !self.cut.contains(&(leader, *place));
        let named = self.service(leader).replica().leader();
        let knows = |place: usize| self.service(place).replica().leader() == named;
        places.filter(hears).all(knows).then_some(leader)
    }

    /// Runs until there is a leader that all know, and returns it and the others.
    pub(crate) fn elect(&mut self) -> (usize, Vec<usize>) {
        self.run_until(|cluster| cluster.leader().is_some());
        let leader = self.leader().expect("just seen");
        (leader, (0..self.members.len()).filter(|place| *place != leader).collect())
    }

    /// Checks that the machines that are up have applied the same at the same slots, as far as they
    /// got (A4), and each request once.
    pub(crate) fn assert_same_journals(&self) {
        let up = self.members.iter().filter_map(|member| member.service.as_ref());
        let journals: Vec<&Journal> = up.map(Service::machine).collect();
        let longest = journals.iter().max_by_key(|journal| journal.lines.len()).expect("one is up");
        for journal in &journals {
            assert_eq!(journal.lines[..], longest.lines[..journal.lines.len()]);
        }
        let mut texts = longest.texts();
        let count = texts.len();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), count, "a request was applied twice");
    }
}

fn name(payload: &Payload<'_>) -> &'static str {
    match payload {
        Payload::Replica(message) => message.name(),
        Payload::Service(message) => ServiceMessage::name(message),
    }
}

fn frame(header: &synod_core::Header, payload: &Payload<'_>) -> Bytes {
    let mut out = BytesMut::new();
    wire::encode(header, payload, &mut out);
    out.freeze()
}
