//! A cluster in one thread for transcripts and protocol tests: every message and every write
//! waits until the test lets it go on.

#![allow(dead_code, reason = "each test binary uses a part of this")]

pub(crate) mod disk;
pub(crate) mod mail;
pub(crate) mod oracle;
pub(crate) mod script;
pub(crate) mod stage;

use std::collections::VecDeque;
use std::fmt;

use synod_core::{
    Action, Ballot, Boot, ClusterId, Config, Configuration, Decree, Event, GroupId, Header,
    Incarnation, Instant, Kind, Message, NodeId, NodeSet, PeerMisbehaved, Replica, Slot, Standing,
};

use disk::{Written, read_back, recover, show_record};
use mail::Parcel;
use oracle::Oracle;

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
    /// The first slot that the log can still read back; a snapshot holds what lies below.
    pub(crate) retained: Slot,
    /// How far the clock of this node runs ahead of the cluster's, in nanoseconds.
    pub(crate) ahead: u64,
    /// The standing in the trace.
    shown: (Standing, Ballot),
}

/// The cluster.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Instant,
    /// What happened since it was read last, one line each.
    pub(crate) trace: Vec<String>,
    pub(crate) show_beats: bool,
    /// Links that lose everything, as (from, to).
    pub(crate) cut: Vec<(u64, u64)>,
    pub(crate) oracle: Oracle,
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
                disk.push(Written::roster(roster()));
            }
            let recovered = recover(&disk, (Incarnation(id.0), Boot(1)), Slot::ZERO);
            let replica = Replica::new(config, recovered, Instant::ZERO).expect("sound");
            Node::new(replica, disk)
        });
        let nodes = nodes.collect();
        Self {
            nodes,
            now: Instant::ZERO,
            trace: Vec::new(),
            show_beats: false,
            cut: Vec::new(),
            oracle: Oracle::default(),
        }
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut Node {
        &mut self.nodes[id as usize - 1]
    }

    pub(crate) fn replica(&self, id: u64) -> &Replica<Letter> {
        &self.nodes[id as usize - 1].replica
    }

    /// The ids of all nodes.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> + use<> {
        1..=self.nodes.len() as u64
    }

    /// The clock of `id`.
    pub(crate) fn clock(&self, id: u64) -> Instant {
        Instant(self.now.0 + self.nodes[id as usize - 1].ahead)
    }

    /// Pushes an event into `id`, which is up.
    pub(crate) fn push(&mut self, id: u64, event: Event<'_, Letter>) -> Result<(), PeerMisbehaved> {
        let now = self.clock(id);
        let outcome = self.node(id).replica.handle(now, event);
        self.note_standing(id);
        outcome
    }

    /// Carries out everything that is due at `id`.
    pub(crate) fn drain(&mut self, id: u64) {
        self.note_standing(id);
        let mut actions = 0;
        while self.nodes[id as usize - 1].is_up && self.step(id) {
            actions += 1;
            assert!(actions < 100_000, "node {id} does not come to rest");
        }
    }

    fn note_standing(&mut self, id: u64) {
        let node = self.node(id);
        let standing = node.replica.standing();
        let ballot = match standing {
            Standing::Following => Ballot::ZERO,
            Standing::Preparing | Standing::Leading => node.replica.promised(),
        };
        if node.shown == (standing, ballot) {
            return;
        }
        node.shown = (standing, ballot);
        self.trace.push(match standing {
            Standing::Following => format!("n{id} Following"),
            Standing::Preparing | Standing::Leading => format!("n{id} {standing:?} {ballot}"),
        });
    }

    fn step(&mut self, id: u64) -> bool {
        let members = self.node(id).replica.config().configuration.members().to_vec();
        let (show_beats, now) = (self.show_beats, self.clock(id));
        let header = self.node(id).replica.header();
        let node = &mut self.nodes[id as usize - 1];
        let Some(action) = node.replica.poll() else { return false };
        let mut mail = None;
        let mut event = None;
        let line = match action {
            Action::Persist { id: write, record } => {
                let line = format!("n{id} ⇒ disk w{} {}", write.0, show_record(&record));
                node.pending.push_back(Written::new(write, &record));
                Some(line)
            }
            Action::Send { to, message } => {
                self.oracle.sent(&header, &message);
                let text = message.to_string();
                let names: Vec<String> =
                    to.iter().map(|to| format!("n{}", members[to.place()])).collect();
                mail = Some((to, Parcel::new(header, &message)));
                let is_beat = matches!(message, Message::Beat(_));
                (!is_beat || show_beats).then(|| format!("n{id} → {}  {text}", names.join(" ")))
            }
            Action::Deliver { chosen } => {
                let line = chosen.iter().map(|p| format!(" {p}")).collect::<String>();
                self.oracle.delivered(&header, chosen);
                node.delivered.extend(chosen.iter().map(|p| (p.slot, p.decree.clone())));
                let end = chosen.last().map(|p| p.slot.next()).expect("not empty");
                event = Some(Event::Applied { end });
                Some(format!("n{id} decided{line}"))
            }
            Action::DeliverFromLog { from, end } => {
                let chosen = read_back(&node.disk, from, end);
                self.oracle.delivered(&header, &chosen);
                node.delivered.extend(chosen.iter().map(|p| (p.slot, p.decree.clone())));
                event = Some(Event::Applied { end });
                Some(format!("n{id} reads back {from}..{end}"))
            }
            Action::CatchUp { to, from, end, decided } => {
                // As many as one message holds.
                let most = node.replica.config().limits.run_slots_max as u64;
                let end = end.min(from.plus(most));
                let chosen = read_back(&node.disk, from, end);
                let message = Message::Learned { from, proposals: &chosen, decided };
                let index = node.replica.config().configuration.index_of(to).expect("member");
                mail = Some((NodeSet::of(index), Parcel::new(header, &message)));
                event = Some(Event::CaughtUp { to, end });
                Some(format!("n{id} → n{to}  {message} from its log"))
            }
            Action::LeaderChanged { leader } => Some(match leader {
                Some(ballot) => format!("n{id} leader {ballot}"),
                None => format!("n{id} leader none"),
            }),
        };
        self.trace.extend(line);
        if let Some(event) = event {
            self.node(id).replica.handle(now, event).expect("own event");
        }
        if let Some((to, parcel)) = mail {
            self.post(id, to, &parcel);
        }
        self.note_standing(id);
        true
    }

    /// Puts mail into the boxes of `to`, but for links that are cut.
    fn post(&mut self, from: u64, to: NodeSet, parcel: &Parcel) {
        for member in to.iter() {
            let place = member.place();
            if !self.cut.contains(&(from, place as u64 + 1)) {
                self.nodes[place].inbox.push_back(parcel.clone());
            }
        }
    }

    /// Delivers one message to `id`, if it is up. Nothing is drained yet.
    pub(crate) fn deliver(&mut self, id: u64, parcel: &Parcel) -> Result<(), PeerMisbehaved> {
        if !self.node(id).is_up {
            return Ok(());
        }
        let outcome = parcel
            .with(|message| self.push(id, Event::Received { header: parcel.header, message }));
        if let Err(fault) = outcome {
            self.trace.push(format!("n{id} drops {}: {fault}", parcel.name));
        }
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

    /// The disk of `id` confirms its oldest `count` writes, with one watermark; then everything
    /// due there.
    pub(crate) fn persist(&mut self, id: u64, count: usize) {
        let node = self.node(id);
        if !node.is_up {
            return;
        }
        let count = count.min(node.pending.len());
        let confirmed: Vec<Written> = node.pending.drain(..count).collect();
        let upto = confirmed.last().map(|written| written.id);
        node.disk.extend(confirmed);
        if let Some(upto) = upto {
            self.push(id, Event::Persisted { upto }).expect("own event");
        }
        self.drain(id);
    }

    /// Lets time pass; every node that is up gets its deadline.
    pub(crate) fn advance(&mut self, millis: u64) {
        self.now = Instant(self.now.0 + millis * 1_000_000);
        for id in self.ids() {
            self.tick(id);
        }
    }

    pub(crate) fn tick(&mut self, id: u64) {
        if self.node(id).is_up {
            self.push(id, Event::DeadlineReached).expect("own event");
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
            for id in self.ids() {
                busy |= !self.node(id).inbox.is_empty() || !self.node(id).pending.is_empty();
                self.persist(id, usize::MAX);
                // What a test forges or a wiped disk says may be dropped.
                let _ = self.deliver_all(id, usize::MAX);
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
        let now = self.clock(id);
        let node = self.node(id);
        let Header { incarnation, boot, .. } = node.replica.header();
        let recovered = recover(&node.disk, (incarnation, Boot(boot.0 + 1)), node.retained);
        let config = node.replica.config().clone();
        node.replica = Replica::new(config, recovered, now).expect("the log is sound");
        node.start();
    }

    pub(crate) fn leader(&self) -> Option<u64> {
        let up = self.nodes.iter().filter(|node| node.is_up);
        up.filter(|node| node.replica.is_established())
            .max_by_key(|node| node.replica.promised())
            .map(|node| node.replica.config().node.0)
    }

    /// Proposes letters at `id`, one decree each; then everything due there.
    pub(crate) fn propose(&mut self, id: u64, letters: &str) {
        let now = self.clock(id);
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

impl Node {
    fn new(replica: Replica<Letter>, disk: Vec<Written>) -> Self {
        Self {
            replica,
            delivered: Vec::new(),
            inbox: VecDeque::new(),
            pending: VecDeque::new(),
            disk,
            is_up: true,
            retained: Slot::ZERO,
            ahead: 0,
            shown: (Standing::Following, Ballot::ZERO),
        }
    }

    /// A new run of the process.
    pub(crate) fn start(&mut self) {
        self.delivered.clear();
        self.inbox.clear();
        self.shown = (Standing::Following, Ballot::ZERO);
        self.is_up = true;
    }
}
