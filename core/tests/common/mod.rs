//! A cluster in one thread for transcripts and protocol tests: every message and every write
//! waits until the test lets it go on.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::collections::VecDeque;
use std::fmt;

use synod_core::record::Replay;
use synod_core::{
    Action, Ballot, Beat, Body, Boot, ClusterId, Config, Configuration, Decree, Event, GroupId,
    Header, Incarnation, Instant, Kind, Message, NodeId, NodeSet, PeerMisbehaved, Proposal, Record,
    Recovered, Replica, Slot, WriteId,
};

/// A decree with a name of one letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Letter(pub(crate) char);

impl Default for Letter {
    fn default() -> Self {
        Self('-')
    }
}

impl Decree for Letter {
    fn size_bytes(&self) -> usize {
        1
    }
}

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A message that waits for delivery.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) header: Header,
    pub(crate) text: String,
    pub(crate) name: &'static str,
    content: Content,
}

/// A message with its proposals owned.
#[derive(Clone, Debug)]
enum Content {
    Plain(Message<'static, Letter>),
    Promise(Ballot, Slot, Slot, Slot, Slot, Slot, Vec<Proposal<Letter>>),
    Accept(Ballot, Slot, Vec<Proposal<Letter>>, Slot),
    Learned(Slot, Vec<Proposal<Letter>>, Slot),
}

/// A record with its content owned.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) id: WriteId,
    pub(crate) promised: Ballot,
    pub(crate) decided: Slot,
    body: OwnedBody,
}

#[derive(Clone, Debug)]
enum OwnedBody {
    Mark,
    Accepted(Vec<Proposal<Letter>>),
    Learned(Vec<Proposal<Letter>>),
    Roster(bool, Vec<(NodeId, Incarnation)>),
}

/// One node: its replica, its disk, its mail.
pub(crate) struct Node {
    pub(crate) replica: Replica<Letter>,
    pub(crate) delivered: Vec<(Slot, Kind<Letter>)>,
    pub(crate) inbox: VecDeque<Parcel>,
    /// Writes that the disk has not confirmed.
    pub(crate) pending: VecDeque<Written>,
    /// Records that survive a crash.
    pub(crate) disk: Vec<Written>,
    pub(crate) is_up: bool,
    applied_durably: Slot,
}

/// The cluster.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Instant,
    /// What happened since it was read last, one line each.
    pub(crate) trace: Vec<String>,
    pub(crate) show_beats: bool,
}

impl Cluster {
    /// `count` nodes that have met: their disks hold each other's incarnations, and all may vote.
    pub(crate) fn formed(count: u64) -> Self {
        Self::with(count, true, |_| {})
    }

    pub(crate) fn with(count: u64, formed: bool, change: impl Fn(&mut Config)) -> Self {
        let ids: Vec<NodeId> = (1..=count).map(NodeId).collect();
        let roster = || ids.iter().map(|id| (*id, Incarnation(id.0))).collect::<Vec<_>>();
        let members = Configuration::first(&ids).expect("a sound set");
        let nodes = ids.iter().map(|id| {
            let mut config = Config::new(ClusterId(7), GroupId(0), *id, members.clone());
            change(&mut config);
            let mut disk = Vec::new();
            if formed {
                let body = OwnedBody::Roster(true, roster());
                let (promised, decided) = (Ballot::ZERO, Slot::ZERO);
                disk.push(Written { id: WriteId(0), promised, decided, body });
            }
            let recovered = recover(&disk, Incarnation(id.0), Boot(1));
            let replica = Replica::new(config, recovered, Instant::ZERO).expect("sound");
            Node {
                replica,
                delivered: Vec::new(),
                inbox: VecDeque::new(),
                pending: VecDeque::new(),
                disk,
                is_up: true,
                applied_durably: Slot::ZERO,
            }
        });
        let nodes = nodes.collect();
        Self { nodes, now: Instant::ZERO, trace: Vec::new(), show_beats: false }
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut Node {
        &mut self.nodes[id as usize - 1]
    }

    pub(crate) fn replica(&self, id: u64) -> &Replica<Letter> {
        &self.nodes[id as usize - 1].replica
    }

    /// Carries out everything that is due at `id`.
    pub(crate) fn drain(&mut self, id: u64) {
        while self.nodes[id as usize - 1].is_up && self.step(id) {}
    }

    fn step(&mut self, id: u64) -> bool {
        let members = self.node(id).replica.config().configuration.members().to_vec();
        let show_beats = self.show_beats;
        let header = self.node(id).replica.header();
        let node = &mut self.nodes[id as usize - 1];
        let Some(action) = node.replica.poll() else { return false };
        let mut mail = None;
        let line = match action {
            Action::Persist { id: write, record } => {
                let line = format!("n{id} ⇒ disk w{} {}", write.0, show_record(&record));
                node.pending.push_back(Written::new(write, &record));
                Some(line)
            }
            Action::Send { to, message } => {
                let text = message.to_string();
                let names: Vec<String> =
                    to.iter().map(|to| format!("n{}", members[to.place()])).collect();
                mail = Some((to, Parcel::new(header, &message)));
                let is_beat = matches!(message, Message::Beat(_));
                (!is_beat || show_beats).then(|| format!("n{id} → {}  {text}", names.join(" ")))
            }
            Action::Deliver { chosen } => {
                let line = chosen.iter().map(|p| format!(" {p}")).collect::<String>();
                for proposal in chosen {
                    node.delivered.push((proposal.slot, proposal.decree.clone()));
                }
                let end = chosen.last().map(|p| p.slot.next()).expect("not empty");
                node.replica.handle(self.now, Event::Applied { end }).expect("own event");
                Some(format!("n{id} decided{line}"))
            }
            Action::DeliverFromLog { from, end } => {
                let chosen = read_back(&node.disk, from, end);
                node.delivered.extend(chosen.iter().map(|p| (p.slot, p.decree.clone())));
                node.replica.handle(self.now, Event::Applied { end }).expect("own event");
                Some(format!("n{id} reads back {from}..{end}"))
            }
            Action::CatchUp { to, from, end, decided } => {
                let chosen = read_back(&node.disk, from, end);
                let end = from.plus(chosen.len() as u64);
                let message = Message::Learned { from, proposals: &chosen, decided };
                let index = node.replica.config().configuration.index_of(to).expect("member");
                mail = Some((NodeSet::of(index), Parcel::new(header, &message)));
                node.replica.handle(self.now, Event::CaughtUp { to, end }).expect("own event");
                Some(format!("n{id} → n{to}  {message} from its log"))
            }
            Action::LeaderChanged { leader } => Some(match leader {
                Some(ballot) => format!("n{id} leader {ballot}"),
                None => format!("n{id} leader none"),
            }),
        };
        if let Some((to, parcel)) = mail {
            for member in to.iter() {
                self.nodes[member.place()].inbox.push_back(parcel.clone());
            }
        }
        self.trace.extend(line);
        true
    }

    /// Delivers one waiting message to `id`, then everything due there.
    pub(crate) fn deliver(&mut self, id: u64, parcel: &Parcel) -> Result<(), PeerMisbehaved> {
        if !self.node(id).is_up {
            return Ok(());
        }
        let now = self.now;
        let outcome = parcel.with(|message| {
            let event = Event::Received { header: parcel.header, message };
            self.node(id).replica.handle(now, event)
        });
        outcome
    }

    /// Delivers what waits for `id`, at most `count` messages, oldest first; drains once at the
    /// end, as a runtime does.
    pub(crate) fn deliver_all(&mut self, id: u64, count: usize) -> Result<(), PeerMisbehaved> {
        let mut outcome = Ok(());
        for _ in 0..count {
            let Some(parcel) = self.node(id).inbox.pop_front() else { break };
            outcome = outcome.and(self.deliver(id, &parcel));
        }
        self.drain(id);
        outcome
    }

    /// The disk of `id` confirms its oldest `count` writes.
    pub(crate) fn persist(&mut self, id: u64, count: usize) {
        let now = self.now;
        let node = self.node(id);
        for _ in 0..count {
            let Some(written) = node.pending.pop_front() else { break };
            let upto = written.id;
            node.disk.push(written);
            node.replica.handle(now, Event::Persisted { upto }).expect("own event");
        }
        self.drain(id);
    }

    /// Lets time pass; every node that is up gets its deadline.
    pub(crate) fn advance(&mut self, millis: u64) {
        self.now = Instant(self.now.0 + millis * 1_000_000);
        for id in 1..=self.nodes.len() as u64 {
            self.tick(id);
        }
    }

    pub(crate) fn tick(&mut self, id: u64) {
        let now = self.now;
        if self.node(id).is_up {
            self.node(id).replica.handle(now, Event::DeadlineReached).expect("own event");
            self.drain(id);
        }
    }

    /// Runs without any fault: everything is delivered and persisted at once.
    pub(crate) fn run(&mut self, millis: u64) {
        let end = Instant(self.now.0 + millis * 1_000_000);
        while self.now < end {
            self.advance(5);
            self.flush();
        }
    }

    /// Delivers and persists until nothing is under way.
    pub(crate) fn flush(&mut self) {
        for _ in 0..1000 {
            let mut busy = false;
            for id in 1..=self.nodes.len() as u64 {
                busy |= !self.node(id).inbox.is_empty() || !self.node(id).pending.is_empty();
                self.persist(id, usize::MAX);
                self.deliver_all(id, usize::MAX).expect("members behave");
                self.drain(id);
            }
            if !busy {
                return;
            }
        }
        panic!("the cluster does not come to rest");
    }

    /// Stops `id`; what its disk has not confirmed is lost, but for the oldest `kept` writes.
    pub(crate) fn crash(&mut self, id: u64, kept: usize) {
        let node = self.node(id);
        let kept = kept.min(node.pending.len());
        let survivors: Vec<Written> = node.pending.drain(..kept).collect();
        node.disk.extend(survivors);
        node.pending.clear();
        node.inbox.clear();
        node.is_up = false;
    }

    /// Starts `id` again from its disk.
    pub(crate) fn restart(&mut self, id: u64) {
        let now = self.now;
        let node = self.node(id);
        let Header { incarnation, boot, .. } = node.replica.header();
        let recovered = recover(&node.disk, incarnation, Boot(boot.0 + 1));
        let config = node.replica.config().clone();
        node.replica = Replica::new(config, recovered, now).expect("the log is sound");
        node.delivered.clear();
        node.is_up = true;
    }

    pub(crate) fn leader(&self) -> Option<u64> {
        let up = self.nodes.iter().filter(|node| node.is_up);
        up.filter(|node| node.replica.is_established())
            .max_by_key(|node| node.replica.promised())
            .map(|node| node.replica.config().node.0)
    }

    /// Proposes letters at `id`.
    pub(crate) fn propose(&mut self, id: u64, letters: &str) {
        let now = self.now;
        for letter in letters.chars().filter(|letter| !letter.is_whitespace()) {
            let node = self.node(id);
            let outcome = node.replica.propose(now, Letter(letter), None);
            if let Err(refused) = outcome {
                self.trace.push(format!("n{id} refuses {letter}: {}", refused.why));
            }
        }
        self.drain(id);
    }

    /// The letters that `id` delivered, in order; `.` for a no-op.
    pub(crate) fn letters(&self, id: u64) -> String {
        let delivered = self.nodes[id as usize - 1].delivered.iter();
        delivered
            .map(|(_, decree)| match decree {
                Kind::Noop => '.',
                Kind::App(letter) => letter.0,
            })
            .collect()
    }
}

impl Parcel {
    pub(crate) fn new(header: Header, message: &Message<'_, Letter>) -> Self {
        let content = match *message {
            Message::Promise { ballot, from, end, limit, decided, retained, proposals } => {
                let proposals = proposals.to_vec();
                Content::Promise(ballot, from, end, limit, decided, retained, proposals)
            }
            Message::Accept { ballot, from, proposals, decided } => {
                Content::Accept(ballot, from, proposals.to_vec(), decided)
            }
            Message::Learned { from, proposals, decided } => {
                Content::Learned(from, proposals.to_vec(), decided)
            }
            Message::Beat(beat) => Content::Plain(Message::Beat(beat)),
            Message::Prepare { ballot, from } => Content::Plain(Message::Prepare { ballot, from }),
            Message::Accepted { ballot, end, resend } => {
                Content::Plain(Message::Accepted { ballot, end, resend })
            }
            Message::Nack { refused, promised } => {
                Content::Plain(Message::Nack { refused, promised })
            }
            Message::Learn { from } => Content::Plain(Message::Learn { from }),
        };
        Self { header, text: message.to_string(), name: message.name(), content }
    }

    pub(crate) fn with<R>(&self, act: impl FnOnce(Message<'_, Letter>) -> R) -> R {
        match &self.content {
            Content::Plain(message) => act(*message),
            Content::Promise(ballot, from, end, limit, decided, retained, proposals) => {
                act(Message::Promise {
                    ballot: *ballot,
                    from: *from,
                    end: *end,
                    limit: *limit,
                    decided: *decided,
                    retained: *retained,
                    proposals,
                })
            }
            Content::Accept(ballot, from, proposals, decided) => {
                let (ballot, from, decided) = (*ballot, *from, *decided);
                act(Message::Accept { ballot, from, proposals, decided })
            }
            Content::Learned(from, proposals, decided) => {
                act(Message::Learned { from: *from, proposals, decided: *decided })
            }
        }
    }

    pub(crate) fn beat(&self) -> Option<Beat> {
        match &self.content {
            Content::Plain(Message::Beat(beat)) => Some(*beat),
            _other => None,
        }
    }
}

impl Written {
    fn new(id: WriteId, record: &Record<'_, Letter>) -> Self {
        let body = match record.body {
            Body::Mark => OwnedBody::Mark,
            Body::Accepted(run) => OwnedBody::Accepted(run.to_vec()),
            Body::Learned(run) => OwnedBody::Learned(run.to_vec()),
            Body::Roster { votes, members } => OwnedBody::Roster(votes, members.to_vec()),
        };
        Self { id, promised: record.promised, decided: record.decided, body }
    }

    fn record(&self) -> Record<'_, Letter> {
        let body = match &self.body {
            OwnedBody::Mark => Body::Mark,
            OwnedBody::Accepted(run) => Body::Accepted(run),
            OwnedBody::Learned(run) => Body::Learned(run),
            OwnedBody::Roster(votes, members) => Body::Roster { votes: *votes, members },
        };
        Record { promised: self.promised, decided: self.decided, body }
    }
}

/// What a log would give back.
fn recover(disk: &[Written], incarnation: Incarnation, boot: Boot) -> Recovered<Letter> {
    let mut replay = Replay::new();
    for written in disk {
        replay.push(&written.record());
    }
    replay.finish(incarnation, boot, Slot::ZERO).expect("a contiguous log")
}

/// The decided slots `from..end` as the log has them: the last record wins, a learned one most.
fn read_back(disk: &[Written], from: Slot, end: Slot) -> Vec<Proposal<Letter>> {
    let mut found: Vec<Option<(bool, Proposal<Letter>)>> = vec![None; (end - from) as usize];
    for written in disk {
        let (learned, run) = match &written.body {
            OwnedBody::Accepted(run) => (false, run),
            OwnedBody::Learned(run) => (true, run),
            OwnedBody::Mark | OwnedBody::Roster(..) => continue,
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

fn show_record(record: &Record<'_, Letter>) -> String {
    let body = match record.body {
        Body::Mark => "mark".to_string(),
        Body::Accepted(run) => format!("accepted {}", show_run(run)),
        Body::Learned(run) => format!("learned {}", show_run(run)),
        Body::Roster { votes, members } => {
            let met = members.iter().filter(|(_, incarnation)| *incarnation != Incarnation::NONE);
            format!("roster of {} votes={votes}", met.count())
        }
    };
    format!("{body} promised={} decided={}", record.promised, record.decided)
}

fn show_run(run: &[Proposal<Letter>]) -> String {
    let run: Vec<String> = run.iter().map(ToString::to_string).collect();
    format!("[{}]", run.join(" "))
}
