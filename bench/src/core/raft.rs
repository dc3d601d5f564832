//! raft-rs: one proposal message with all commands of a turn, entries that are handles on bytes,
//! and no message of its own for what is committed.

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, HardState, Message, MessageType, Snapshot};
use raft::{Config, GetEntriesContext, RaftState, RawNode, StateRole, Storage};

use super::client::{Applier, Client};
use super::tail::{SHORT, Tail};
use super::{Cluster, TURNS_PER_TICK};

/// Three replicas on one thread.
pub(crate) struct RaftRs {
    nodes: Vec<Node>,
    leader: usize,
    turns: u64,
    /// Submitted and not proposed yet.
    fresh: Vec<Entry>,
    /// Messages on their way; used again and again.
    messages: Vec<Message>,
}

struct Node {
    raw: RawNode<Store>,
    applier: Applier,
}

impl RaftRs {
    /// A group that has a leader.
    ///
    /// # Panics
    /// When no leader is elected.
    pub(crate) fn new() -> Self {
        let nodes =
            [1, 2, 3].map(|id| Node { raw: server(id, SHORT), applier: Applier::default() });
        let mut cluster = Self {
            nodes: nodes.into_iter().collect(),
            leader: 0,
            turns: 0,
            fresh: Vec::new(),
            messages: Vec::new(),
        };
        cluster.nodes[0].raw.campaign().expect("it may campaign");
        for _ in 0..16 {
            (0..3).for_each(|place| cluster.work(place, |_| {}));
        }
        assert_eq!(cluster.nodes[0].raw.raft.state, StateRole::Leader, "the first node leads");
        cluster
    }

    /// Does what is due on one replica, and hands on what it wants to send.
    fn work(&mut self, place: usize, mut answered: impl FnMut(u64)) {
        let Node { raw, applier } = &mut self.nodes[place];
        while raw.has_ready() {
            let mut ready = raw.ready();
            self.messages.extend(ready.take_messages());
            apply(&ready.take_committed_entries(), applier, &mut answered);
            raw.mut_store().append(ready.take_entries());
            if let Some(hard) = ready.hs() {
                raw.mut_store().hard = hard.clone();
            }
            self.messages.extend(ready.take_persisted_messages());
            let mut light = raw.advance_append(ready);
            if let Some(commit) = light.commit_index() {
                raw.mut_store().hard.commit = commit;
            }
            self.messages.extend(light.take_messages());
            apply(&light.take_committed_entries(), applier, &mut answered);
            raw.advance_apply();
        }
        for message in self.messages.drain(..) {
            let receiver = message.to as usize - 1;
            self.nodes[receiver].raw.step(message).expect("nobody misbehaves");
        }
    }

    fn tick(&mut self) {
        for node in &mut self.nodes {
            node.raw.tick();
        }
    }
}

/// Applies what is committed; empty entries are the library's own.
pub(crate) fn apply(entries: &[Entry], applier: &mut Applier, mut answered: impl FnMut(u64)) {
    for entry in entries.iter().filter(|entry| !entry.data.is_empty()) {
        answered(applier.apply(&entry.data));
    }
}

/// One proposal for all of `entries`.
pub(crate) fn proposal(from: u64, entries: Vec<Entry>) -> Message {
    let mut message = Message::default();
    message.set_msg_type(MessageType::MsgPropose);
    message.from = from;
    message.entries = entries.into();
    message
}

/// A command, as the library wants it.
pub(crate) fn entry(command: Bytes) -> Entry {
    Entry { data: command, ..Entry::default() }
}

/// One replica, which forgets the oldest of so many entries.
///
/// # Panics
/// When the library refuses the configuration.
pub(crate) fn server(id: u64, items_max: usize) -> RawNode<Store> {
    let config = Config {
        id,
        election_tick: 100,
        heartbeat_tick: 1,
        max_size_per_msg: 1 << 30,
        max_inflight_msgs: 1024,
        skip_bcast_commit: true,
        ..Config::default()
    };
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    RawNode::new(&config, Store::new(items_max), &logger).expect("a sound configuration")
}

impl Cluster for RaftRs {
    fn submit(&mut self, command: Bytes) {
        self.fresh.push(entry(command));
    }

    fn turn(&mut self, client: &mut Client) {
        self.turns += 1;
        if self.turns.is_multiple_of(TURNS_PER_TICK) {
            self.tick();
        }
        let leader = self.leader;
        if !self.fresh.is_empty() {
            let room = Vec::with_capacity(self.fresh.len());
            let fresh = std::mem::replace(&mut self.fresh, room);
            let raw = &mut self.nodes[leader].raw;
            raw.step(proposal(leader as u64 + 1, fresh)).expect("the leader takes it");
        }
        self.work(leader, |number| client.answer(number));
        self.work((leader + 1) % 3, |_| {});
        self.work((leader + 2) % 3, |_| {});
        self.work(leader, |number| client.answer(number));
    }

    fn settle(&mut self) {
        self.tick();
        (0..3).for_each(|place| self.work(place, |_| {}));
    }

    fn applied(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.applier.applied()).collect()
    }
}

/// What a replica has stored, in memory.
pub(crate) struct Store {
    log: Tail<Entry>,
    pub(crate) hard: HardState,
}

impl Store {
    fn new(items_max: usize) -> Self {
        Self { log: Tail::new(1, items_max), hard: HardState::default() }
    }

    /// Appends, in place of what stands there.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) {
        if let Some(first) = entries.first() {
            self.log.truncate(first.index);
        }
        entries.into_iter().for_each(|entry| self.log.push(entry));
    }
}

impl Storage for Store {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let members = ConfState { voters: vec![1, 2, 3], ..ConfState::default() };
        Ok(RaftState { hard_state: self.hard.clone(), conf_state: members })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        _max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        Ok(self.log.range(low, high))
    }

    fn term(&self, place: u64) -> raft::Result<u64> {
        if place == 0 {
            return Ok(0);
        }
        let entry = self.log.get(place);
        entry.map(|entry| entry.term).ok_or(raft::Error::Store(raft::StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.log.end() - 1)
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        Err(raft::Error::Store(raft::StorageError::SnapshotTemporarilyUnavailable))
    }
}
