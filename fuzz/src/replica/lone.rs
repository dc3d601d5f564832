//! The lone replica and its honest host.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use synod_core::wire::{self, Decoder, Payload};
use synod_core::{
    Action, Ballot, Beat, Body, Boot, ClusterId, Config, Configuration, Event, GroupId, Header,
    Instant, Limits, MEMBERS_MAX, MemberIndex, Message, NodeId, NodeSet, PeerMisbehaved, Proposal,
    Record, Replica, Slot, Standing, WriteId,
};

use super::Op;
use super::disk::Disk;
use super::said::{Oddity, Said, Scene, incarnation_of};
use super::watch::Watch;

/// The node under test; the others follow.
const NODE: NodeId = NodeId(1);

/// Small, so that every limit is reached.
const LIMITS: Limits = Limits {
    window: 8,
    past_bytes_max: 40,
    decree_bytes_max: 16,
    run_slots_max: 4,
    run_bytes_max: 32,
    writes_in_flight_max: 2,
};

/// More actions than this without an event in between never end.
const ACTIONS_MAX: usize = 1000;

/// How far the replica got, so that a test can tell whether its inputs reach anything.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Reached {
    pub promised: bool,
    pub accepted: bool,
    pub led: bool,
    pub led_others: bool,
    pub decided: bool,
    pub decided_as_leader: bool,
    pub learned: bool,
    pub read_back: bool,
    pub served_from_log: bool,
    pub restarted_with_open_slots: bool,
    pub refused_a_message: bool,
}

impl Reached {
    /// One bit for each.
    #[must_use]
    pub fn bits(self) -> u64 {
        let Self {
            promised,
            accepted,
            led,
            led_others,
            decided,
            decided_as_leader,
            learned,
            read_back,
            served_from_log,
            restarted_with_open_slots,
            refused_a_message,
        } = self;
        crate::target::bits([
            promised,
            accepted,
            led,
            led_others,
            decided,
            decided_as_leader,
            learned,
            read_back,
            served_from_log,
            restarted_with_open_slots,
            refused_a_message,
        ])
    }
}

/// The replica, its disk, its state machine and its clock.
#[derive(Debug)]
pub(crate) struct Lone {
    config: Config,
    replica: Replica<Bytes>,
    now: Instant,
    disk: Disk,
    watch: Watch,
    decoder: Decoder,
    /// What the state machine was handed and has not applied.
    handed: Slot,
    applied: Slot,
    /// Peers being served from the log, with the end of what they are sent.
    serving: Vec<(NodeId, Slot)>,
    leader: Option<Ballot>,
    /// The beat and the prepare that it sent last: what peers that play along answer.
    beat: Beat,
    asked: Option<(Ballot, Slot)>,
    reached: Reached,
}

impl Lone {
    pub(crate) fn new(members: u64, votes: bool) -> Self {
        let nodes: Vec<NodeId> = (NODE.0..NODE.0 + members).map(NodeId).collect();
        let configuration = Configuration::first(&nodes).expect("a sound set");
        let mut config = Config::new(ClusterId(7), GroupId(8), NODE, configuration);
        config.limits = LIMITS;
        let header = Header {
            cluster: config.cluster,
            group: config.group,
            epoch: config.configuration.epoch(),
            node: NODE,
            incarnation: incarnation_of(NODE),
            boot: Boot(1),
        };
        let mut disk = Disk::formatted(&header, votes);
        let recovered = disk.recover(0, header.incarnation, header.boot);
        let now = Instant::ZERO;
        let replica = Replica::new(config.clone(), recovered, now).expect("a sound start");
        Self {
            config,
            replica,
            now,
            disk,
            watch: Watch::new(NODE, LIMITS),
            decoder: Decoder::new(&LIMITS),
            handed: Slot::ZERO,
            applied: Slot::ZERO,
            serving: Vec::new(),
            leader: None,
            beat: Beat::default(),
            asked: None,
            reached: Reached::default(),
        }
    }

    pub(crate) const fn reached(&self) -> Reached {
        self.reached
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Hear { from, oddity, said } => self.hear(*from, oddity.0, said),
            Op::Support(by) => self.support(*by),
            Op::PeerUp(peer) => self.tell(Event::PeerUp { peer: self.peer(*peer) }),
            Op::PeerDown(peer) => self.tell(Event::PeerDown { peer: self.peer(*peer) }),
            Op::Persist(count) => {
                if let Some(event) = self.disk.confirm(usize::from(count % 3)) {
                    self.tell(event);
                }
            }
            Op::Fail(chance) if *chance < u8::MAX => {
                if let Some(event) = self.disk.confirm(1) {
                    self.tell(event);
                }
            }
            Op::Fail(_) => {
                self.disk.failed = true;
                self.tell(Event::PersistFailed);
            }
            Op::Apply(count) => {
                let end = self.applied.plus(u64::from(count % 8)).min(self.handed);
                self.applied = end;
                self.tell(Event::Applied { end });
            }
            Op::CaughtUp(choice) => {
                if !self.serving.is_empty() {
                    let choice = usize::from(*choice) % self.serving.len();
                    let (to, end) = self.serving.swap_remove(choice);
                    self.tell(Event::CaughtUp { to, end });
                }
            }
            Op::Wait(millis) => {
                self.now = self.now.after(Duration::from_millis(u64::from(millis % 800)));
                self.tick();
            }
            Op::Deadline => {
                let deadline = self.replica.deadline();
                if deadline < Instant::NEVER {
                    self.now = self.now.max(deadline);
                    self.tick();
                }
            }
            Op::Propose(len) => self.propose(usize::from(len % 20)),
            Op::Restart { kept, machine_kept } => self.restart(usize::from(*kept), *machine_kept),
        }
    }

    /// Carries out everything that is due.
    pub(crate) fn drain(&mut self) {
        for _ in 0..ACTIONS_MAX {
            if !self.step() {
                assert!(self.replica.decided() <= self.replica.next_slot());
                return;
            }
        }
        panic!("{ACTIONS_MAX} actions and no end");
    }

    /// Carries out one action; `false` when none is due.
    fn step(&mut self) -> bool {
        let header = self.replica.header();
        let (decided, standing) = (self.replica.decided(), self.replica.standing());
        let Some(action) = self.replica.poll() else { return false };
        match action {
            Action::Persist { id, record } => {
                assert!(!self.disk.failed, "a replica whose log failed writes nothing");
                assert!(self.disk.in_flight() < LIMITS.writes_in_flight_max, "C9: too many writes");
                check_record(id, &record);
                self.disk.write(id, &header, &record);
            }
            Action::Send { to, message } => {
                assert!(!self.disk.failed, "a replica whose log failed sends nothing");
                assert!(!to.is_empty() && !to.contains(MemberIndex(0)), "to itself");
                assert!(to.0 & !NodeSet::first(self.config.configuration.members().len()).0 == 0);
                self.watch.on_send(&message, &self.disk.facts);
                note(&mut self.reached, &message);
                check_frame(&mut self.decoder, header, &message);
                match message {
                    Message::Beat(beat) => self.beat = beat,
                    Message::Prepare { ballot, from } => self.asked = Some((ballot, from)),
                    _answer => {}
                }
            }
            Action::Deliver { chosen } => {
                for proposal in chosen {
                    assert_eq!(proposal.slot, self.handed, "C7: each slot once, in order");
                    self.handed = proposal.slot.next();
                }
                assert!(self.handed <= decided, "C7: only what is decided");
                self.reached.decided = true;
                let alone = self.config.configuration.members().len() == 1;
                self.reached.decided_as_leader |= standing == Standing::Leading && !alone;
            }
            Action::DeliverFromLog { from, end } => {
                assert_eq!(from, self.handed, "C7: each slot once, in order");
                assert!(end <= decided, "C7: only what is decided");
                let written = self.disk.written();
                let known = |slot| written.slots.contains_key(&Slot(slot));
                assert!((from.0..end.0).all(known), "R5: what is decided is in the log");
                self.handed = end;
                self.reached.read_back = true;
            }
            Action::CatchUp { to, from, end, decided: told } => {
                assert!(self.serving.iter().all(|(peer, _)| *peer != to), "one at a time");
                assert!(from < end && end <= told && told <= decided);
                let known = |slot| self.disk.facts.slots.contains_key(&Slot(slot));
                assert!((from.0..end.0).all(known), "what is served is durable");
                self.serving.push((to, end));
                self.reached.served_from_log = true;
            }
            Action::LeaderChanged { leader } => {
                assert_ne!(leader, self.leader, "no change");
                self.leader = leader;
                let leads = leader.is_some_and(|ballot| ballot.node == NODE);
                self.reached.led |= leads;
                self.reached.led_others |= leads && self.config.configuration.members().len() > 1;
            }
        }
        true
    }

    fn peer(&self, choice: u8) -> NodeId {
        let members = self.config.configuration.members();
        members.get(usize::from(choice) % members.len()).copied().unwrap_or(NODE)
    }

    /// An event that nobody else is to blame for.
    fn tell(&mut self, event: Event<'_, Bytes>) {
        assert_eq!(self.replica.handle(self.now, event), Ok(()), "only messages can misbehave");
    }

    /// A message arrives. A message that is refused has no effect.
    fn hear(&mut self, from: u8, oddity: Option<Oddity>, said: &Said) {
        // Timers first, so that what changes next is the message's doing.
        self.tell(Event::DeadlineReached);
        let sender = self.peer(from);
        let own = self.replica.header();
        let boot = Boot(1);
        let sound = Header { node: sender, incarnation: incarnation_of(sender), boot, ..own };
        let header = oddity.map_or(sound, |oddity| oddity.done_to(sound, own));
        let scene = Scene::of(&self.replica, sender);
        let proposals = said.proposals(scene, &self.disk);
        let message = said.message(scene, &proposals);
        let is_learned = matches!(message, Message::Learned { .. });
        let before = self.state();
        let outcome = self.replica.handle(self.now, Event::Received { header, message });
        if let Err(error) = outcome {
            assert_eq!(self.state(), before, "a message that is refused has no effect");
            self.reached.refused_a_message = true;
            check_blame(error);
        } else if is_learned {
            self.reached.learned |= self.replica.decided() > before.2;
        }
    }

    /// Peers do what the replica needs them to.
    fn support(&mut self, by: u8) {
        let own = self.replica.header();
        for (place, node) in self.config.configuration.members().to_vec().into_iter().enumerate() {
            if node == NODE || by & 1 << (place % 8) == 0 {
                continue;
            }
            let header = Header { node, incarnation: incarnation_of(node), boot: Boot(1), ..own };
            let leader = self.beat.leader;
            let beat = Beat {
                leader: if leader.node == NODE { leader } else { Ballot::ZERO },
                round: self.beat.round,
                promised: Ballot::ZERO,
                decided: Slot::ZERO,
                hears: self.config.configuration.everyone(),
                roster: [own.incarnation; MEMBERS_MAX],
            };
            let promise = self.asked.map(|(ballot, from)| {
                let (decided, retained, proposals) = (Slot::ZERO, Slot::ZERO, &[]);
                let (end, limit) = (from, from);
                Message::Promise { ballot, from, end, limit, decided, retained, proposals }
            });
            let ballot = self.replica.promised();
            let accepted =
                Message::Accepted { ballot, end: self.replica.next_slot(), resend: false };
            for message in
                [Some(Message::Beat(beat)), promise, Some(accepted)].into_iter().flatten()
            {
                // A peer that was heard under another disk or a later boot is refused.
                let _ = self.replica.handle(self.now, Event::Received { header, message });
            }
        }
    }

    /// What a message could change.
    fn state(&self) -> (Standing, Ballot, Slot, Slot, Option<Ballot>, usize) {
        let replica = &self.replica;
        let (standing, leader) = (replica.standing(), replica.leader());
        let (promised, decided, next) =
            (replica.promised(), replica.decided(), replica.next_slot());
        (standing, promised, decided, next, leader, replica.room())
    }

    fn tick(&mut self) {
        self.tell(Event::DeadlineReached);
        self.drain();
        let deadline = self.replica.deadline();
        assert!(deadline > self.now, "the loop would spin: {deadline:?} at {:?}", self.now);
    }

    fn propose(&mut self, len: usize) {
        let decree = Bytes::from(vec![0xDE; len]);
        let (next, room) = (self.replica.next_slot(), self.replica.room());
        match self.replica.propose(self.now, decree.clone(), None) {
            Ok(slot) => {
                assert_eq!(slot, next);
                assert!(room > 0 && len <= LIMITS.decree_bytes_max);
                assert_eq!(self.replica.standing(), Standing::Leading);
            }
            Err(refused) => assert_eq!(refused.decree, decree, "the decree comes back"),
        }
    }

    fn restart(&mut self, kept: usize, machine_kept: bool) {
        let header = self.replica.header();
        let boot = Boot(header.boot.0 + 1);
        let kept = kept.min(self.disk.in_flight());
        let mut recovered = self.disk.recover(kept, header.incarnation, boot);
        recovered.applied = if machine_kept { self.applied } else { Slot::ZERO };
        self.reached.restarted_with_open_slots |= !recovered.accepted.is_empty();
        self.applied = recovered.applied;
        self.handed = recovered.applied;
        self.serving.clear();
        self.leader = None;
        self.asked = None;
        let restarted = Replica::new(self.config.clone(), recovered, self.now);
        self.replica = restarted.expect("a replica starts from what it wrote");
    }
}

/// A frame of the message is one that a peer with the same limits takes.
fn check_frame(decoder: &mut Decoder, header: Header, message: &Message<'_, Bytes>) {
    let payload = Payload::Replica(message.clone());
    let mut out = BytesMut::new();
    wire::encode(&header, &payload, &mut out);
    assert_eq!(decoder.decode(&out.freeze()), Ok((header, payload)), "peers can read it");
}

fn check_record(id: WriteId, record: &Record<'_, Bytes>) {
    let run: &[Proposal<Bytes>] = match record.body {
        Body::Accepted(run) | Body::Learned(run) => run,
        Body::Mark | Body::Roster { .. } => &[],
    };
    assert!(run.len() <= LIMITS.run_slots_max, "C5: {id:?} is too long");
}

fn note(reached: &mut Reached, message: &Message<'_, Bytes>) {
    reached.promised |= matches!(message, Message::Promise { .. });
    reached.accepted |= matches!(message, Message::Accepted { end, .. } if *end > Slot::ZERO);
}

/// Each kind of blame has words for a log.
fn check_blame(error: PeerMisbehaved) {
    assert!(!error.to_string().is_empty());
}
