//! Properties: no sequence of events, however odd, panics, breaks an invariant or a promise, or
//! keeps a cluster from agreement. The contracts of the core run in these tests, and an oracle
//! watches from outside.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bolero::{TypeGenerator, check};
use common::mail::Parcel;
use common::{Cluster, Letter};
use synod_core::{
    Ballot, Beat, Boot, Config, Event, Header, Incarnation, Kind, MEMBERS_MAX, Message, NodeId,
    NodeSet, PeerMisbehaved, Proposal, Slot, Standing,
};

/// Limits so small that each of them is met.
fn small(config: &mut Config) {
    config.limits.window = 4;
    config.limits.run_slots_max = 3;
    config.limits.writes_in_flight_max = 2;
}

/// How often something rare was reached: a test whose inputs lead nowhere tests nothing.
#[derive(Default)]
struct Reached(AtomicUsize);

impl Reached {
    const fn never() -> Self {
        Self(AtomicUsize::new(0))
    }

    fn note(&self, reached: bool) {
        self.0.fetch_add(usize::from(reached), Relaxed);
    }

    fn assert(&self, what: &str) {
        assert!(self.0.load(Relaxed) > 0, "never reached: {what}");
    }
}

/// What happens to a lone replica, node 1 of three. Numbers are taken near those that the replica
/// has, so that the made-up messages get past the first judgement.
#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Op {
    Beat { from: bool, leader: u8, round: u8, promised: u8, decided: u8, hears: u8 },
    Prepare { from: bool, round: u8, slot: u8 },
    Promise { from: bool, first: u8, len: u8, more: u8, decided: u8, ballot: u8, gap: u8 },
    Accept { from: bool, round: u8, first: u8, len: u8, decided: u8 },
    Accepted { from: bool, end: u8, resend: bool },
    Nack { from: bool, up: u8 },
    Learn { from: bool, slot: u8 },
    Learned { from: bool, first: u8, len: u8, ballot: u8, decided: u8, gap: u8 },
    Agree { from: bool },
    Persist { writes: u8 },
    Propose,
    Advance { millis: u8 },
    Crash { keep: u8 },
}

/// A lone replica among made-up peers.
struct Lone {
    cluster: Cluster,
    refused: bool,
    led: bool,
}

impl Lone {
    fn new() -> Self {
        let mut cluster = Cluster::with(3, true, small);
        cluster.oracle.peers_lie = true;
        Self { cluster, refused: false, led: false }
    }

    /// A slot near what the replica knows to be decided.
    fn slot(&self, near: u8) -> Slot {
        let decided = self.cluster.replica(1).decided().0;
        Slot((decided + u64::from(near % 14)).saturating_sub(3))
    }

    /// A ballot of `node` near the one promised.
    fn ballot(&self, node: u64, near: u8) -> Ballot {
        let promised = self.cluster.replica(1).promised().round;
        let round = (promised + u64::from(near % 4)).saturating_sub(1);
        Ballot { round, node: NodeId(node) }
    }

    /// A run of at most six slots, without the one at `gap` places.
    fn run(first: Slot, len: u8, ballot: Ballot, gap: Option<u8>) -> Vec<Proposal<Letter>> {
        let letters = ['a', 'b', 'c'];
        let proposal = |place: u8| {
            let letter = letters[usize::from(place) % letters.len()];
            Proposal { slot: first.plus(place.into()), ballot, decree: Kind::App(Letter(letter)) }
        };
        (0..len % 7).filter(|place| Some(*place) != gap).map(proposal).collect()
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Persist { writes } => self.cluster.persist(1, usize::from(writes % 3)),
            Op::Propose => self.cluster.propose(1, "p"),
            Op::Advance { millis } => {
                self.cluster.now.0 += u64::from(millis) * 4_000_000;
                self.cluster.tick(1);
            }
            Op::Crash { keep } => {
                self.cluster.crash(1, usize::from(keep % 3));
                self.cluster.restart(1);
            }
            Op::Beat { from, .. }
            | Op::Prepare { from, .. }
            | Op::Promise { from, .. }
            | Op::Accept { from, .. }
            | Op::Accepted { from, .. }
            | Op::Nack { from, .. }
            | Op::Learn { from, .. }
            | Op::Learned { from, .. }
            | Op::Agree { from } => self.say(if from { 2 } else { 3 }, op),
        }
        self.cluster.drain(1);
        self.cluster.node(2).inbox.clear();
        self.cluster.node(3).inbox.clear();
        self.led |= self.cluster.replica(1).standing() == Standing::Leading;
    }

    /// Peer `from` says what `op` makes up.
    fn say(&mut self, from: u64, op: Op) {
        let own = self.cluster.replica(1).promised();
        let hear = |lone: &mut Self, message: Message<'_, Letter>| lone.hear(from, &message);
        match op {
            Op::Beat { leader, round, promised, decided, hears, .. } => {
                let leads = leader % 3 == 0;
                let leader = if leads { self.ballot(from, leader / 3) } else { Ballot::ZERO };
                let promised = self.ballot(u64::from(promised % 3) + 1, promised / 3);
                let decided = self.slot(decided);
                let (round, hears) = (round.into(), NodeSet(u16::from(hears % 8)));
                let roster = roster();
                hear(self, Message::Beat(Beat { leader, round, promised, decided, hears, roster }));
            }
            Op::Prepare { round, slot, .. } => {
                let (ballot, from) = (self.ballot(from, round), self.slot(slot));
                hear(self, Message::Prepare { ballot, from });
            }
            Op::Promise { first, len, more, decided, ballot, gap, .. } => {
                let (first, accepted_in) = (self.slot(first), self.ballot(2, ballot));
                let proposals = Self::run(first, len, accepted_in, Some(gap));
                let end = first.plus((len % 7).into());
                hear(
                    self,
                    Message::Promise {
                        ballot: own,
                        from: first,
                        end,
                        limit: end.plus((more % 3).into()),
                        decided: self.slot(decided),
                        retained: Slot::ZERO,
                        proposals: &proposals,
                    },
                );
            }
            Op::Accept { round, first, len, decided, .. } => {
                let (ballot, first) = (self.ballot(from, round), self.slot(first));
                let proposals = Self::run(first, len, ballot, None);
                let decided = self.slot(decided);
                hear(self, Message::Accept { ballot, from: first, proposals: &proposals, decided });
            }
            Op::Accepted { end, resend, .. } => {
                let end = self.slot(end);
                hear(self, Message::Accepted { ballot: own, end, resend });
            }
            Op::Nack { up, .. } => {
                let promised = self.ballot(from, up);
                hear(self, Message::Nack { refused: own, promised });
            }
            Op::Learn { slot, .. } => hear(self, Message::Learn { from: self.slot(slot) }),
            Op::Learned { first, len, ballot, decided, gap, .. } => {
                let (first, ballot) = (self.slot(first), self.ballot(from, ballot));
                let proposals = Self::run(first, len, ballot, Some(gap));
                let decided = self.slot(decided);
                hear(self, Message::Learned { from: first, proposals: &proposals, decided });
            }
            Op::Agree { .. } => self.agree(from),
            Op::Persist { .. } | Op::Propose | Op::Advance { .. } | Op::Crash { .. } => {
                unreachable!("nobody says this")
            }
        }
    }

    /// A helpful peer: it knows no leader and hears everybody, promises what is prepared and
    /// accepts what is proposed.
    fn agree(&mut self, from: u64) {
        let replica = self.cluster.replica(1);
        let (own, end, decided) = (replica.promised(), replica.next_slot(), replica.decided());
        let standing = replica.standing();
        let leader = if standing == Standing::Leading { own } else { Ballot::ZERO };
        let (hears, roster) = (NodeSet(7), roster());
        let beat = Beat { leader, round: 1, promised: own, decided, hears, roster };
        match standing {
            Standing::Following => self.hear(from, &Message::Beat(beat)),
            Standing::Preparing => self.hear(
                from,
                &Message::Promise {
                    ballot: own,
                    from: decided,
                    end: decided,
                    limit: decided,
                    decided,
                    retained: Slot::ZERO,
                    proposals: &[],
                },
            ),
            Standing::Leading => {
                self.hear(from, &Message::Beat(beat));
                self.hear(from, &Message::Accepted { ballot: own, end, resend: false });
            }
        }
    }

    fn hear(&mut self, from: u64, message: &Message<'_, Letter>) {
        let own = self.cluster.replica(1).header();
        let (node, incarnation, boot) = (NodeId(from), Incarnation(from), Boot(1));
        let parcel = Parcel::new(Header { node, incarnation, boot, ..own }, message);
        self.refused |= self.cluster.deliver(1, &parcel).is_err();
    }
}

/// Every member is known.
fn roster() -> [Incarnation; MEMBERS_MAX] {
    std::array::from_fn(|place| Incarnation(if place < 3 { place as u64 + 1 } else { 0 }))
}

#[test]
fn peers_may_say_anything() {
    static LED: Reached = Reached::never();
    static DECIDED: Reached = Reached::never();
    static REFUSED: Reached = Reached::never();
    let ops = bolero::produce::<Vec<Op>>().with().len(0..150usize);
    check!().with_iterations(3000).with_generator(ops).for_each(|ops| {
        let mut lone = Lone::new();
        let mut before = (Ballot::ZERO, Slot::ZERO, Boot(1));
        for op in ops {
            lone.apply(*op);
            let replica = lone.cluster.replica(1);
            let after = (replica.promised(), replica.decided(), replica.header().boot);
            if after.2 == before.2 {
                assert!(
                    after.0 >= before.0,
                    "the promise goes back from {} to {}",
                    before.0,
                    after.0
                );
                assert!(after.1 >= before.1, "decided goes back from {} to {}", before.1, after.1);
            }
            before = after;
        }
        LED.note(lone.led);
        DECIDED.note(lone.led && lone.cluster.replica(1).decided() > Slot(2));
        REFUSED.note(lone.refused);
    });
    LED.assert("it led");
    DECIDED.assert("it decided something");
    REFUSED.assert("it refused a message");
}

/// What happens to a cluster of three.
#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Turn {
    /// One of the messages that wait, in whatever order.
    Deliver {
        node: u8,
        which: u8,
    },
    DeliverAll {
        node: u8,
    },
    Drop {
        node: u8,
        which: u8,
    },
    Duplicate {
        node: u8,
        which: u8,
    },
    Persist {
        node: u8,
        writes: u8,
    },
    Propose {
        node: u8,
        count: u8,
    },
    Advance {
        millis: u8,
    },
    /// A while without faults, so that there is something to lose.
    Run {
        millis: u8,
    },
    Pause {
        node: u8,
        millis: u8,
    },
    Crash {
        node: u8,
        keep: u8,
    },
    Restart {
        node: u8,
    },
    LinkBreaks {
        node: u8,
        peer: u8,
    },
    LinkIsMade {
        node: u8,
        peer: u8,
    },
}

fn id(node: u8) -> u64 {
    u64::from(node % 3) + 1
}

/// Carries out one turn; `letter` names the next decree.
fn turn(cluster: &mut Cluster, turn: Turn, letter: &mut u32) {
    let take = |cluster: &mut Cluster, node: u8, which: u8| {
        let inbox = &mut cluster.node(id(node)).inbox;
        let place = usize::from(which) % inbox.len().max(1);
        inbox.remove(place)
    };
    match turn {
        Turn::Deliver { node, which } => {
            if let Some(parcel) = take(cluster, node, which) {
                honest(cluster.deliver(id(node), &parcel));
                cluster.drain(id(node));
            }
        }
        Turn::DeliverAll { node } => honest(cluster.deliver_all(id(node), usize::MAX)),
        Turn::Drop { node, which } => drop(take(cluster, node, which)),
        Turn::Duplicate { node, which } => {
            if let Some(parcel) = take(cluster, node, which) {
                cluster.node(id(node)).inbox.extend([parcel.clone(), parcel]);
            }
        }
        Turn::Persist { node, writes } => cluster.persist(id(node), usize::from(writes % 4)),
        Turn::Propose { node, count } => {
            for _ in 0..count % 6 {
                if cluster.node(id(node)).is_up {
                    *letter += 1;
                    let text = char::from_u32(*letter).expect("a letter").to_string();
                    cluster.propose(id(node), &text);
                }
            }
        }
        Turn::Advance { millis } => cluster.advance(millis.into()),
        Turn::Run { millis } => run(cluster, u64::from(millis) * 8),
        Turn::Pause { node, millis } => {
            cluster.node(id(node)).ahead += u64::from(millis) * 4_000_000;
            cluster.tick(id(node));
        }
        Turn::Crash { node, keep } => cluster.crash(id(node), usize::from(keep % 4)),
        Turn::Restart { node } => {
            if !cluster.node(id(node)).is_up {
                cluster.restart(id(node));
                cluster.drain(id(node));
            }
        }
        Turn::LinkBreaks { node, peer } => {
            link(cluster, node, Event::PeerDown { peer: NodeId(id(peer)) })
        }
        Turn::LinkIsMade { node, peer } => {
            link(cluster, node, Event::PeerUp { peer: NodeId(id(peer)) })
        }
    }
}

fn link(cluster: &mut Cluster, node: u8, event: Event<'static, Letter>) {
    if cluster.node(id(node)).is_up {
        cluster.push(id(node), event).expect("own event");
        cluster.drain(id(node));
    }
}

/// Nobody misbehaves here; only a run of a process that is over may still be heard.
fn honest(outcome: Result<(), PeerMisbehaved>) {
    if let Err(fault) = outcome {
        assert!(matches!(fault, PeerMisbehaved::StaleBoot(..)), "{fault}");
    }
}

/// Runs without faults, heartbeat by heartbeat.
fn run(cluster: &mut Cluster, millis: u64) {
    for _ in 0..millis.div_ceil(25) {
        cluster.advance(25);
        for node in cluster.ids() {
            cluster.persist(node, usize::MAX);
            honest(cluster.deliver_all(node, usize::MAX));
        }
    }
}

#[test]
fn any_schedule_agrees_and_comes_to_rest() {
    static LEADERS: Reached = Reached::never();
    static LOST: Reached = Reached::never();
    let turns = bolero::produce::<Vec<Turn>>().with().len(0..200usize);
    check!().with_iterations(400).with_generator(turns).for_each(|turns| {
        let mut cluster = Cluster::with(3, true, small);
        let mut letter = 0x4E00;
        let mut leaders = NodeSet::EMPTY;
        for next in turns {
            if let Turn::Crash { node, keep } = next {
                LOST.note(cluster.node(id(*node)).pending.len() > usize::from(keep % 4));
            }
            turn(&mut cluster, *next, &mut letter);
            cluster.trace.clear();
            leaders = NodeSet(leaders.0 | cluster.leader().map_or(0, |leader| 1 << leader));
        }
        LEADERS.note(leaders.len() > 1);
        // Everything heals. No request comes, and yet all know what any of them knows.
        for node in cluster
            .ids()
            .filter(|node| !cluster.nodes[*node as usize - 1].is_up)
            .collect::<Vec<_>>()
        {
            cluster.restart(node);
        }
        run(&mut cluster, 4000);
        assert!(cluster.leader().is_some(), "nobody leads");
        assert_eq!(cluster.letters(1), cluster.letters(2));
        assert_eq!(cluster.letters(1), cluster.letters(3));
        // And a new request is decided.
        let leader = cluster.leader().expect("somebody leads");
        cluster.propose(leader, "z");
        run(&mut cluster, 500);
        for node in cluster.ids() {
            assert!(cluster.letters(node).ends_with('z'), "n{node} lacks the last request");
        }
    });
    LEADERS.assert("two leaders, one after the other");
    LOST.assert("a crash that lost a write");
}

/// A peer may propose further ahead than it ought to. Whoever leads next works through it.
#[test]
fn a_tail_longer_than_the_window_does_not_stop_the_next_leader() {
    let mut lone = Lone::new();
    lone.cluster.drain(1);
    // Six slots at once, none of them decided; the window is four.
    lone.apply(Op::Accept { from: true, round: 2, first: 3, len: 6, decided: 3 });
    assert_eq!(lone.cluster.replica(1).next_slot(), Slot(6));
    lone.apply(Op::Persist { writes: 2 });
    lone.apply(Op::Persist { writes: 2 });
    for _ in 0..6 {
        // Node 2 falls silent; node 3 agrees with everything.
        lone.apply(Op::Advance { millis: 50 });
        lone.apply(Op::Agree { from: false });
        lone.apply(Op::Persist { writes: 2 });
    }
    assert!(lone.led);
    for _ in 0..4 {
        lone.apply(Op::Agree { from: false });
        lone.apply(Op::Persist { writes: 2 });
    }
    assert_eq!(lone.cluster.replica(1).decided(), Slot(6));
}
