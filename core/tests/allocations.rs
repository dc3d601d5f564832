//! No heap allocation per command in steady state (C13): three replicas in one thread, with every
//! message encoded and decoded and every record encoded. What the replicas and the codecs allocate
//! is counted apart from what this host allocates for itself.

mod counting;
mod hosts;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use counting::so_far;
use hosts::config;
use synod_core::record::{self, Stamp};
use synod_core::wire::{self, Payload};
use synod_core::{
    Action, Ballot, Boot, Decree, Event, Incarnation, Instant, Kind, Message, NodeId, Proposal,
    Recovered, Replica, Slot, Standing, WriteId,
};

const MEMBERS: u64 = 3;

/// Allocations by who made them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Tally {
    replicas: u64,
    codecs: u64,
    host: u64,
}

/// Three replicas whose logs confirm a write one round after it was handed out.
struct World {
    replicas: Vec<Replica<Bytes>>,
    inboxes: Vec<VecDeque<Bytes>>,
    written: Vec<Option<WriteId>>,
    decoder: wire::Decoder,
    /// Frames are split off from here, as from a receive buffer.
    frames: BytesMut,
    /// Records are written over each other: nobody reads them here.
    records: BytesMut,
    now: Instant,
    applied: u64,
    tally: Tally,
}

/// What `work` allocates, added to `count`.
fn counted<R>(count: &mut u64, work: impl FnOnce() -> R) -> R {
    let before = so_far();
    let outcome = work();
    *count += so_far() - before;
    outcome
}

impl World {
    fn new() -> Self {
        let roster: Vec<_> = (1..=MEMBERS).map(|id| (NodeId(id), Incarnation(id))).collect();
        let start = |id: u64| {
            let formatted = Recovered::formatted(Incarnation(id));
            let recovered = Recovered { roster: roster.clone(), votes: true, ..formatted };
            Replica::new(config(id, MEMBERS), recovered, Instant::ZERO).expect("sound")
        };
        let mut frames = BytesMut::with_capacity(FRAMES_BYTES);
        let _ = frames.split();
        Self {
            replicas: (1..=MEMBERS).map(start).collect(),
            inboxes: (0..MEMBERS).map(|_| VecDeque::with_capacity(1024)).collect(),
            written: vec![None; MEMBERS as usize],
            decoder: wire::Decoder::new(&config(1, MEMBERS).limits),
            frames,
            records: BytesMut::with_capacity(1 << 16),
            now: Instant::ZERO,
            applied: 0,
            tally: Tally::default(),
        }
    }

    /// One turn of each replica. The leader proposes up to `decrees`.
    fn round(&mut self, decrees: usize) {
        let before = so_far();
        let Tally { replicas, codecs, host } = self.tally;
        self.now = Instant(self.now.0 + 1_000_000);
        for place in 0..MEMBERS as usize {
            self.feed(place, decrees);
            self.pull(place);
        }
        let new = (self.tally.replicas - replicas) + (self.tally.codecs - codecs);
        self.tally.host = host + (so_far() - before) - new;
    }

    fn feed(&mut self, place: usize, decrees: usize) {
        let (now, replica) = (self.now, &mut self.replicas[place]);
        while let Some(frame) = self.inboxes[place].pop_front() {
            let decoded = counted(&mut self.tally.codecs, || self.decoder.decode(&frame));
            let (header, payload) = decoded.expect("a sound frame");
            let Payload::Replica(message) = payload else { panic!("nobody else speaks here") };
            let event = Event::Received { header, message };
            let outcome = counted(&mut self.tally.replicas, || replica.handle(now, event));
            outcome.expect("members behave");
        }
        if let Some(upto) = self.written[place].take() {
            let event = Event::Persisted { upto };
            let outcome = counted(&mut self.tally.replicas, || replica.handle(now, event));
            outcome.expect("own event");
        }
        if replica.standing() == Standing::Leading {
            for number in 0..decrees {
                // A decree as it comes: bytes of a buffer that a request was read into.
                let bytes = [number as u8; 100];
                let mut read = BytesMut::from(&bytes[..]);
                let decree = read.split().freeze();
                let propose = || replica.propose(now, decree, None);
                let _ = counted(&mut self.tally.replicas, propose);
            }
        }
        let event = Event::DeadlineReached;
        let outcome = counted(&mut self.tally.replicas, || replica.handle(now, event));
        outcome.expect("own event");
    }

    fn pull(&mut self, place: usize) {
        let (now, replica) = (self.now, &mut self.replicas[place]);
        let header = replica.header();
        loop {
            let before = so_far();
            let action = replica.poll();
            self.tally.replicas += so_far() - before;
            let Some(action) = action else { return };
            let mut event = None;
            match action {
                Action::Persist { id, record } => {
                    self.records.clear();
                    let encode =
                        || record::encode(&header, &Stamp::default(), &record, &mut self.records);
                    counted(&mut self.tally.codecs, encode);
                    self.written[place] = Some(id);
                }
                Action::Send { to, message } => {
                    let payload = Payload::Replica(message);
                    if self.frames.capacity() < wire::encoded_len(&payload) {
                        self.frames.reserve(FRAMES_BYTES);
                        let _ = self.frames.split();
                    }
                    let encode = || wire::encode(&header, &payload, &mut self.frames);
                    counted(&mut self.tally.codecs, encode);
                    let frame = self.frames.split().freeze();
                    to.iter().for_each(|to| self.inboxes[to.place()].push_back(frame.clone()));
                }
                Action::Deliver { chosen } => {
                    self.applied += chosen.len() as u64;
                    let end = chosen.last().expect("not empty").slot.next();
                    event = Some(Event::Applied { end });
                }
                Action::LeaderChanged { .. } => {}
                Action::DeliverFromLog { .. } | Action::CatchUp { .. } => {
                    panic!("nobody lags in this test")
                }
            }
            if let Some(event) = event {
                let outcome = counted(&mut self.tally.replicas, || replica.handle(now, event));
                outcome.expect("own event");
            }
        }
    }
}

const FRAMES_BYTES: usize = 1 << 20;

#[test]
fn thousands_of_decrees_cost_the_replicas_no_allocation() {
    let mut world = World::new();
    // Elected, the ring of slots used all around, and every path taken.
    for round in 0..3000 {
        world.round(round % 20);
    }
    assert!(world.replicas.iter().any(Replica::is_established), "nobody leads");
    assert!(world.applied > 5000, "only {} decrees", world.applied);
    world.tally = Tally::default();
    world.applied = 0;
    for round in 0..5000 {
        world.round(round % 20);
    }
    let decrees = world.applied / MEMBERS;
    assert!(decrees > 10_000, "only {decrees} decrees");
    assert_eq!((world.tally.replicas, world.tally.codecs), (0, 0), "over {decrees} decrees");
    // The counter is alive: this host allocates for each decree that it makes up.
    assert!(world.tally.host > decrees, "the host made {} allocations", world.tally.host);
}

/// A decree whose clone allocates, against the contract of the trait.
#[derive(Clone, Default)]
struct Heavy(Vec<u8>);

impl Decree for Heavy {
    fn size_bytes(&self) -> usize {
        self.0.len()
    }
}

#[test]
fn an_allocation_in_a_replica_would_be_noticed() {
    let roster: Vec<_> = (1..=MEMBERS).map(|id| (NodeId(id), Incarnation(id))).collect();
    let formatted = Recovered::formatted(Incarnation(1));
    let recovered: Recovered<Heavy> = Recovered { roster, votes: true, ..formatted };
    let mut replica = Replica::new(config(1, MEMBERS), recovered, Instant::ZERO).expect("sound");
    let mut header = replica.header();
    (header.node, header.incarnation, header.boot) = (NodeId(2), Incarnation(2), Boot(1));
    let ballot = Ballot { round: 1, node: NodeId(2) };
    let decree = |slot: u64| Kind::App(Heavy(vec![slot as u8; 100]));
    let proposals: Vec<_> =
        (0..10).map(|slot| Proposal { slot: Slot(slot), ballot, decree: decree(slot) }).collect();
    let message =
        Message::Accept { ballot, from: Slot(0), proposals: &proposals, decided: Slot(0) };
    let mut count = 0;
    let event = Event::Received { header, message };
    counted(&mut count, || replica.handle(Instant(1), event)).expect("a member speaks");
    assert_eq!(count, 10, "one for each decree that the replica took over");
}
