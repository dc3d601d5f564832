//! Replicas in a world whose every fault a test chooses: each message, write, read and
//! application waits until it is let go on. An oracle watches messages, disks and deliveries from
//! outside and never asks a replica what it believes.

#![allow(dead_code, reason = "each test binary uses a part of this")]

mod oracle;

use std::collections::VecDeque;

use oracle::Oracle;
use synod_core::record::Replay;
use synod_core::{
    Action, Ballot, Body, Boot, ClusterId, Config, Configuration, Event, GroupId, Header,
    Incarnation, Instant, Kind, Message, NodeId, NodeSet, PeerMisbehaved, Proposal, Record,
    Replica, Slot, WriteId,
};

/// A message with its proposals owned.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) header: Header,
    message: Message<'static, u64>,
    proposals: Vec<Proposal<u64>>,
}

/// A record with its body owned.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) id: WriteId,
    pub(crate) promised: Ballot,
    pub(crate) decided: Slot,
    pub(crate) body: Owned,
}

#[derive(Clone, Debug)]
pub(crate) enum Owned {
    Mark,
    Accepted(Vec<Proposal<u64>>),
    Learned(Vec<Proposal<u64>>),
    Roster(bool, Vec<(NodeId, Incarnation)>),
}

/// A read of the log that the host was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Job {
    /// Of slots to apply.
    ReadBack(Slot, Slot),
    /// Of slots for a peer: to, from, end, decided.
    CatchUp(NodeId, Slot, Slot, Slot),
}

/// One node.
pub(crate) struct Node {
    pub(crate) replica: Replica<u64>,
    pub(crate) is_up: bool,
    pub(crate) inbox: VecDeque<Parcel>,
    pub(crate) pending: VecDeque<Written>,
    pub(crate) disk: Vec<Written>,
    pub(crate) jobs: VecDeque<Job>,
    /// Handed out to be applied, up to here.
    pub(crate) handed: Slot,
    /// Applied and reported, up to here.
    pub(crate) applied: Slot,
    /// What a restart finds applied.
    pub(crate) saved: Slot,
    /// The disk answers within `persist`.
    pub(crate) is_inline: bool,
    /// The disk stands still.
    pub(crate) is_stalled: bool,
    /// The state machine answers at once.
    pub(crate) applies_at_once: bool,
    pub(crate) messages_sent: u64,
    pub(crate) proposals_sent: u64,
    pub(crate) writes: u64,
}

/// All of it.
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Instant,
    pub(crate) oracle: Oracle,
    /// By sender and receiver: whether messages get through.
    pub(crate) cut: Vec<Vec<bool>>,
    /// Received messages that a replica blamed on its peer.
    pub(crate) blamed: Vec<PeerMisbehaved>,
    /// Reads for a peer that were asked for while another one was out for it.
    pub(crate) doubled_reads: u64,
    /// Reads for a peer that were asked for.
    pub(crate) catch_ups: u64,
    next_decree: u64,
}

/// More actions than any sound replica has due without a new event.
const ACTIONS_MAX: usize = 100_000;

impl World {
    /// `count` nodes; `formed` when their disks hold each other's incarnations.
    pub(crate) fn new(count: u64, formed: bool, change: impl Fn(&mut Config)) -> Self {
        let ids: Vec<NodeId> = (1..=count).map(NodeId).collect();
        let members = Configuration::first(&ids).expect("a sound set");
        let mut quorum = 0;
        let nodes = ids.iter().map(|id| {
            let mut config = Config::new(ClusterId(7), GroupId(0), *id, members.clone());
            change(&mut config);
            quorum = config.configuration.quorums().phase2;
            let mut disk = Vec::new();
            if formed {
                let table = ids.iter().map(|id| (*id, Incarnation(id.0))).collect();
                let body = Owned::Roster(true, table);
                let (promised, decided) = (Ballot::ZERO, Slot::ZERO);
                disk.push(Written { id: WriteId(0), promised, decided, body });
            }
            Node::start(config, disk, Incarnation(id.0), Boot(1), Slot::ZERO, Instant::ZERO)
        });
        let nodes: Vec<Node> = nodes.collect();
        let cut = vec![vec![false; nodes.len()]; nodes.len()];
        let oracle = Oracle::new(nodes.len(), quorum);
        let (now, blamed) = (Instant::ZERO, Vec::new());
        Self { nodes, now, oracle, cut, blamed, doubled_reads: 0, catch_ups: 0, next_decree: 1 }
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut Node {
        &mut self.nodes[id as usize - 1]
    }

    pub(crate) fn replica(&self, id: u64) -> &Replica<u64> {
        &self.nodes[id as usize - 1].replica
    }

    pub(crate) fn ids(&self) -> std::ops::RangeInclusive<u64> {
        1..=self.nodes.len() as u64
    }

    pub(crate) fn handle(&mut self, id: u64, event: Event<'_, u64>) {
        let now = self.now;
        let node = self.node(id);
        if node.is_up
            && let Err(blame) = node.replica.handle(now, event)
        {
            self.blamed.push(blame);
        }
    }

    /// Carries out everything that is due at `id`.
    pub(crate) fn drain(&mut self, id: u64) {
        let carried_out = self.drain_some(id, ACTIONS_MAX);
        assert!(carried_out < ACTIONS_MAX, "node {id} is busy for ever without an event");
    }

    /// Carries out at most `count` actions at `id`; returns how many were due.
    pub(crate) fn drain_some(&mut self, id: u64, count: usize) -> usize {
        (0..count).take_while(|_| self.nodes[id as usize - 1].is_up && self.step(id)).count()
    }

    fn step(&mut self, id: u64) -> bool {
        let place = id as usize - 1;
        let node = &mut self.nodes[place];
        let header = node.replica.header();
        let Some(action) = node.replica.poll() else { return false };
        let mut event = None;
        match action {
            Action::Persist { id, record } => {
                node.writes += 1;
                node.pending.push_back(Written::new(id, &record));
                if node.is_inline && !node.is_stalled {
                    self.sync(place, usize::MAX);
                    event = Some(Event::Persisted { upto: id });
                }
            }
            Action::Send { to, message } => {
                let parcel = Parcel::new(header, message);
                node.messages_sent += to.len() as u64;
                node.proposals_sent += (to.len() * parcel.proposals.len()) as u64;
                self.oracle.sent(place, &parcel.message());
                self.post(place, to, &parcel);
            }
            Action::Deliver { chosen } => {
                let (first, end) = (chosen[0].slot, chosen[0].slot.plus(chosen.len() as u64));
                assert_eq!(first, node.handed, "node {id} delivers out of order");
                self.oracle.delivered(place, chosen);
                node.handed = end;
                if node.applies_at_once {
                    node.applied = end;
                    event = Some(Event::Applied { end });
                }
            }
            Action::DeliverFromLog { from, end } => {
                assert_eq!(from, node.handed, "node {id} reads back out of order");
                node.handed = end;
                node.jobs.push_back(Job::ReadBack(from, end));
            }
            Action::CatchUp { to, from, end, decided } => {
                let job = Job::CatchUp(to, from, end, decided);
                let for_same = |job: &Job| matches!(job, Job::CatchUp(other, ..) if *other == to);
                self.doubled_reads += u64::from(node.jobs.iter().any(for_same));
                self.catch_ups += 1;
                node.jobs.push_back(job);
            }
            Action::LeaderChanged { .. } => {}
        }
        if let Some(event) = event {
            self.handle(id, event);
        }
        true
    }

    fn post(&mut self, from: usize, to: NodeSet, parcel: &Parcel) {
        for member in to.iter().map(|member| member.place()) {
            assert_ne!(member, from, "nobody writes to itself");
            if !self.cut[from][member] && self.nodes[member].is_up {
                self.nodes[member].inbox.push_back(parcel.clone());
            }
        }
    }

    /// The message at `place` in the inbox of `id` arrives; it stays there too if `again`.
    pub(crate) fn receive(&mut self, id: u64, place: usize, again: bool) {
        let node = self.node(id);
        let parcel = if again { node.inbox.get(place).cloned() } else { node.inbox.remove(place) };
        let Some(parcel) = parcel else { return };
        let (header, message) = (parcel.header, parcel.message());
        self.handle(id, Event::Received { header, message });
    }

    /// The oldest `count` pending writes of `id` become durable and are reported.
    pub(crate) fn persist(&mut self, id: u64, count: usize) {
        if !self.node(id).is_stalled
            && let Some(upto) = self.sync(id as usize - 1, count)
        {
            self.handle(id, Event::Persisted { upto });
        }
    }

    /// The oldest `count` pending writes at `place` reach the disk.
    fn sync(&mut self, place: usize, count: usize) -> Option<WriteId> {
        let node = &mut self.nodes[place];
        let count = count.min(node.pending.len());
        let first = node.disk.len();
        node.disk.extend(node.pending.drain(..count));
        for written in &node.disk[first..] {
            self.oracle.durable(place, written);
        }
        (count > 0).then(|| node.disk[node.disk.len() - 1].id)
    }

    /// The state machine of `id` catches up with what was handed to it.
    pub(crate) fn apply(&mut self, id: u64) {
        let node = self.node(id);
        if !node.jobs.iter().any(|job| matches!(job, Job::ReadBack(..)))
            && node.applied < node.handed
        {
            node.applied = node.handed;
            let end = node.handed;
            self.handle(id, Event::Applied { end });
        }
    }

    /// The oldest read of the log of `id` is done.
    pub(crate) fn work(&mut self, id: u64) {
        let place = id as usize - 1;
        let node = &mut self.nodes[place];
        let Some(job) = node.jobs.pop_front() else { return };
        match job {
            Job::ReadBack(from, end) => {
                self.oracle.delivered(place, &read_back(&node.disk, from, end));
                node.applied = end;
                self.handle(id, Event::Applied { end });
            }
            Job::CatchUp(to, from, end, decided) => {
                let limits = node.replica.config().limits;
                let mut chosen = read_back(&node.disk, from, end);
                chosen.truncate(limits.run_slots_max);
                let end = from.plus(chosen.len() as u64);
                let message = Message::Learned { from, proposals: &chosen, decided };
                let index = node.replica.config().configuration.index_of(to).expect("a member");
                let parcel = Parcel::new(node.replica.header(), message);
                self.oracle.sent(place, &parcel.message());
                self.post(place, NodeSet::of(index), &parcel);
                self.handle(id, Event::CaughtUp { to, end });
            }
        }
    }

    pub(crate) fn tick(&mut self, id: u64) {
        self.handle(id, Event::DeadlineReached);
    }

    /// Proposes a decree that nobody proposed before.
    pub(crate) fn propose(&mut self, id: u64) -> Option<Slot> {
        let (now, decree) = (self.now, self.next_decree);
        self.next_decree += 1;
        let node = self.node(id);
        if !node.is_up {
            return None;
        }
        node.replica.propose(now, decree, None).ok()
    }

    /// Stops `id`. Its disk keeps the oldest `kept` of the writes not confirmed yet; its state
    /// machine keeps what it applied if `keeps_state`, else what it had kept before.
    pub(crate) fn crash(&mut self, id: u64, kept: usize, keeps_state: bool) {
        self.sync(id as usize - 1, kept);
        let node = self.node(id);
        node.pending.clear();
        node.jobs.clear();
        if keeps_state {
            node.saved = node.applied;
        }
        node.is_up = false;
    }

    pub(crate) fn restart(&mut self, id: u64) {
        let now = self.now;
        let node = self.node(id);
        if node.is_up {
            return;
        }
        let Header { incarnation, boot, .. } = node.replica.header();
        let config = node.replica.config().clone();
        let disk = std::mem::take(&mut node.disk);
        let mut next = Node::start(config, disk, incarnation, Boot(boot.0 + 1), node.saved, now);
        next.inbox = std::mem::take(&mut node.inbox);
        next.is_inline = node.is_inline;
        next.applies_at_once = node.applies_at_once;
        *node = next;
        self.oracle.restarted(id as usize - 1);
    }

    /// Starts `id` on an empty disk of another incarnation.
    pub(crate) fn wipe(&mut self, id: u64, incarnation: u64) {
        let now = self.now;
        let node = self.node(id);
        let config = node.replica.config().clone();
        *node = Node::start(config, Vec::new(), Incarnation(incarnation), Boot(1), Slot::ZERO, now);
        self.oracle.wiped(id as usize - 1);
    }

    /// Heals everything but wiped disks.
    pub(crate) fn heal(&mut self) {
        self.cut.iter_mut().for_each(|row| row.fill(false));
        for id in self.ids() {
            self.restart(id);
            self.node(id).applies_at_once = true;
            self.node(id).is_stalled = false;
        }
    }

    /// Runs without faults, a few milliseconds at a time.
    pub(crate) fn run(&mut self, millis: u64) {
        let end = Instant(self.now.0 + millis * 1_000_000);
        while self.now < end {
            self.now = Instant(self.now.0 + 5_000_000);
            self.ids().for_each(|id| self.tick(id));
            self.flush();
        }
    }

    /// Lets time pass in so many turns of ten milliseconds, in which no host does its work: nothing
    /// is read from a log, and nothing is applied.
    pub(crate) fn run_without_work(&mut self, turns: usize) {
        for _ in 0..turns {
            self.now.0 += 10_000_000;
            for id in self.ids() {
                self.tick(id);
                self.drain(id);
                self.persist(id, usize::MAX);
                let inbox = self.node(id).inbox.len();
                (0..inbox).for_each(|_| self.receive(id, 0, false));
                self.drain(id);
            }
        }
    }

    /// Lets everything go on until nothing is under way.
    pub(crate) fn flush(&mut self) {
        for _ in 0..2000 {
            let mut is_busy = false;
            for id in self.ids() {
                self.drain(id);
                let node = self.node(id);
                is_busy |= node.is_up && !node.inbox.is_empty();
                is_busy |= !node.pending.is_empty() || !node.jobs.is_empty();
                let inbox = node.inbox.len();
                self.persist(id, usize::MAX);
                (0..inbox).for_each(|_| self.receive(id, 0, false));
                self.work(id);
                if self.node(id).applies_at_once {
                    self.apply(id);
                }
            }
            if !is_busy {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    pub(crate) fn leader(&self) -> Option<u64> {
        let up = self.nodes.iter().filter(|node| node.is_up && node.replica.is_established());
        up.max_by_key(|node| node.replica.promised()).map(|node| node.replica.config().node.0)
    }

    /// Whether all nodes that are up have decided and handed out the same.
    pub(crate) fn agree(&self) -> bool {
        let mut up = self.nodes.iter().filter(|node| node.is_up);
        let Some(first) = up.next().map(|node| node.replica.decided()) else { return true };
        self.nodes.iter().filter(|node| node.is_up).all(|node| {
            node.replica.decided() == first && node.handed == first && node.applied == first
        })
    }
}

impl Node {
    fn start(
        config: Config,
        disk: Vec<Written>,
        incarnation: Incarnation,
        boot: Boot,
        saved: Slot,
        now: Instant,
    ) -> Self {
        let mut replay = Replay::new();
        disk.iter().for_each(|written| replay.push(&written.record()));
        let mut recovered =
            replay.finish(incarnation, boot, Slot::ZERO).expect("the log is contiguous");
        recovered.applied = saved;
        let replica = Replica::new(config, recovered, now).expect("a sound log");
        Self {
            replica,
            is_up: true,
            inbox: VecDeque::new(),
            pending: VecDeque::new(),
            disk,
            jobs: VecDeque::new(),
            handed: saved,
            applied: saved,
            saved,
            is_inline: false,
            is_stalled: false,
            applies_at_once: true,
            messages_sent: 0,
            proposals_sent: 0,
            writes: 0,
        }
    }
}

impl Parcel {
    fn new(header: Header, message: Message<'_, u64>) -> Self {
        let (message, proposals): (Message<'static, u64>, &[Proposal<u64>]) = match message {
            Message::Beat(beat) => (Message::Beat(beat), &[]),
            Message::Prepare { ballot, from } => (Message::Prepare { ballot, from }, &[]),
            Message::Promise { ballot, from, end, limit, decided, retained, proposals } => {
                let rest = &[];
                let message = Message::Promise {
                    ballot,
                    from,
                    end,
                    limit,
                    decided,
                    retained,
                    proposals: rest,
                };
                (message, proposals)
            }
            Message::Accept { ballot, from, proposals, decided } => {
                (Message::Accept { ballot, from, proposals: &[], decided }, proposals)
            }
            Message::Accepted { ballot, end, resend } => {
                (Message::Accepted { ballot, end, resend }, &[])
            }
            Message::Nack { refused, promised } => (Message::Nack { refused, promised }, &[]),
            Message::Learn { from } => (Message::Learn { from }, &[]),
            Message::Learned { from, proposals, decided } => {
                (Message::Learned { from, proposals: &[], decided }, proposals)
            }
        };
        Self { header, message, proposals: proposals.to_vec() }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.message.name()
    }

    /// The message alone; what it proposes or reports is left out.
    pub(crate) fn without_proposals(&self) -> Message<'static, u64> {
        self.message
    }

    pub(crate) fn message(&self) -> Message<'_, u64> {
        let proposals = &self.proposals[..];
        match self.message {
            Message::Promise { ballot, from, end, limit, decided, retained, .. } => {
                Message::Promise { ballot, from, end, limit, decided, retained, proposals }
            }
            Message::Accept { ballot, from, decided, .. } => {
                Message::Accept { ballot, from, proposals, decided }
            }
            Message::Learned { from, decided, .. } => Message::Learned { from, proposals, decided },
            Message::Beat(_)
            | Message::Prepare { .. }
            | Message::Accepted { .. }
            | Message::Nack { .. }
            | Message::Learn { .. } => self.message,
        }
    }
}

impl Written {
    fn new(id: WriteId, record: &Record<'_, u64>) -> Self {
        let body = match record.body {
            Body::Mark => Owned::Mark,
            Body::Accepted(run) => Owned::Accepted(run.to_vec()),
            Body::Learned(run) => Owned::Learned(run.to_vec()),
            Body::Roster { votes, members } => Owned::Roster(votes, members.to_vec()),
        };
        Self { id, promised: record.promised, decided: record.decided, body }
    }

    fn record(&self) -> Record<'_, u64> {
        let body = match &self.body {
            Owned::Mark => Body::Mark,
            Owned::Accepted(run) => Body::Accepted(run),
            Owned::Learned(run) => Body::Learned(run),
            Owned::Roster(votes, members) => Body::Roster { votes: *votes, members },
        };
        Record { promised: self.promised, decided: self.decided, body }
    }
}

/// The slots `from..end` as the log has them: the last record wins, a learned one most.
fn read_back(disk: &[Written], from: Slot, end: Slot) -> Vec<Proposal<u64>> {
    let mut found: Vec<Option<(bool, Proposal<u64>)>> = vec![None; (end - from) as usize];
    for written in disk {
        let (learned, run) = match &written.body {
            Owned::Accepted(run) => (false, run),
            Owned::Learned(run) => (true, run),
            Owned::Mark | Owned::Roster(..) => continue,
        };
        for proposal in run.iter().filter(|p| p.slot >= from && p.slot < end) {
            let place = &mut found[(proposal.slot - from) as usize];
            if learned || place.as_ref().is_none_or(|(known_learned, _)| !known_learned) {
                *place = Some((learned, proposal.clone()));
            }
        }
    }
    found.into_iter().map(|found| found.expect("decided slots are in the log").1).collect()
}

/// What a decree is, in words.
pub(crate) fn decree_of(kind: &Kind<u64>) -> u64 {
    match kind {
        Kind::Noop => 0,
        Kind::App(decree) => *decree,
    }
}
